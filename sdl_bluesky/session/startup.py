"""What a startup file calls: it opens the lab and returns the names for its namespace.

The same few lines serve IPython (`sdl shell`) and the worker of a queue server:

    from sdl_bluesky.session.startup import interactive, start
    globals().update(start("lab.yml"))
    interactive(globals())
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdl_bluesky.session.home import find_home

log = logging.getLogger(__name__)


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
    from sdl_bluesky.session.open import open_session

    chosen = os.environ.get("SDL_LAB") or lab
    place = find_home(None, load_lab(chosen) if chosen else None)
    session = open_session(
        None if place.lab_file.exists() else chosen, place, tell=log.info if _ipython() is None else _tell
    )
    from sdl_bluesky.session.namespace import namespace

    return namespace(session)


def interactive(names: Mapping[str, Any]) -> None:
    """Make an IPython session comfortable: a live table for every run, and bluesky's magics (`%wa`, `%mov`, `%ct`).

    Does nothing outside of IPython.

    Args:
        names: what `start` returned.
    """
    shell = _ipython()
    if shell is None:
        return
    from bluesky.callbacks.best_effort import BestEffortCallback
    from bluesky.magics import BlueskyMagics

    table = BestEffortCallback()
    table.disable_plots()
    table.disable_heading()
    table.disable_baseline()

    def show(name: str, doc: dict[str, Any]) -> None:
        try:
            table(name, doc)
        except Exception:  # a table that cannot be printed must not end a run
            log.exception("the live table failed on a %s document", name)

    names["RE"].subscribe(show)
    shell.register_magics(BlueskyMagics)
    names["session"].guard.attach(BlueskyMagics.RE)  # the magics have a RunEngine of their own, which writes no data


def _ipython() -> Any:
    """The running IPython; None outside of one."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
