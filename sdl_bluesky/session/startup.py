"""What a startup file calls: it opens the lab and returns the names for its namespace.

The same few lines serve IPython (`sdl shell`) and the worker of a queue server:

    from sdl_bluesky.session.startup import start
    globals().update(start("lab.yml"))
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdl_bluesky.session.home import find_home
from sdl_bluesky.session.open import open_session


def start(lab: Path | str | None = None) -> dict[str, Any]:
    """Open a lab for an interactive or a remote session.

    Args:
        lab: lab file to use if neither ``$SDL_LAB`` nor the data folder names one.

    Returns:
        Names of devices, plans, RunEngine and catalogue, see `sdl_bluesky.session.namespace`.

    Raises:
        SDLError: the lab cannot be opened; what to do is in the message.
    """
    from sdl_bluesky.session.lab import load_lab

    chosen = os.environ.get("SDL_LAB") or lab
    place = find_home(None, load_lab(chosen) if chosen else None)
    session = open_session(None if place.lab_file.exists() else chosen, place)
    from sdl_bluesky.session.namespace import namespace

    return namespace(session)


def interactive(names: dict[str, Any]) -> None:
    """Make an IPython session comfortable: a live table for every run, and bluesky's magics (`%wa`, `%mov`, `%ct`)."""
    from bluesky.callbacks.best_effort import BestEffortCallback
    from bluesky.magics import BlueskyMagics
    from IPython import get_ipython  # type: ignore[attr-defined]

    shell = get_ipython()
    if shell is None:
        return
    table = BestEffortCallback()
    table.disable_plots()
    table.disable_heading()
    names["RE"].subscribe(table)
    shell.register_magics(BlueskyMagics)
