"""`sdl replay-log` and `sdl data`: what becomes of documents."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdl_bluesky.cli import data_keys
from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import home_of, open_data
from sdl_bluesky.cli.terminal import say


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    log = commands.add(
        "replay-log", _replay_log, "bring what the document log holds into the catalogue; changes nothing twice"
    )
    log.add_argument("--log", type=Path, help="folder of the log (default: the data folder's)")
    data_keys.add(commands)


def _replay_log(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.replay import replay

    home = home_of(options)
    with open_data(options) as client:
        say(str(replay(options.log or home.log, client)))
    return 0
