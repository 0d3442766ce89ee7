"""Which lab and which data folder a command means; everything is imported when it is needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.cli.terminal import say

if TYPE_CHECKING:
    from sdl_bluesky.session.home import Home
    from sdl_bluesky.session.open import Session

OWN_LAB = Path("startup", "lab.yml")
"""In the repository, the user's copy of the lab file is the default of every command."""


def home_of(options: argparse.Namespace) -> Home:
    """The data folder that the options, the environment or the lab name."""
    from sdl_bluesky.session.home import find_home
    from sdl_bluesky.session.lab import load_lab

    return find_home(options.home, None if options.lab is None else load_lab(options.lab))


def open_lab(options: argparse.Namespace) -> Session:
    """A session on the lab, whose services run or are started."""
    from sdl_bluesky.session.open import open_session

    return open_session(options.lab, options.home, tell=say)


def open_data(options: argparse.Namespace) -> Any:
    """A client of the lab's catalogue, as a context."""
    from sdl_bluesky.session.catalogue import open_catalogue

    return open_catalogue(options.lab, options.home)
