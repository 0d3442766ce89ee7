"""How a file of this package adds its commands to `sdl`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Run = Callable[[argparse.Namespace], int]


def common_options() -> argparse.ArgumentParser:
    """The options of every command that works on a lab."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--lab",
        type=Path,
        help="lab file (default: the data folder's, $SDL_LAB, ./startup/lab.yml, or the shipped one)",
    )
    common.add_argument(
        "--home", type=Path, help="data folder (default: $SDL_HOME, or one of yours named after the lab)"
    )
    return common


@dataclass(frozen=True)
class Commands:
    """A place in the command line where commands can be added.

    Attributes:
        place: the subparsers of the command above.
        common: options of the commands that work on a lab.
    """

    place: Any
    common: argparse.ArgumentParser

    def add(self, name: str, run: Run, text: str, *, lab: bool = True) -> argparse.ArgumentParser:
        """A command that calls `run`; with the options of a lab unless `lab` is false."""
        one: argparse.ArgumentParser = self.place.add_parser(
            name, help=text, description=text, parents=[self.common] if lab else []
        )
        one.set_defaults(run=run)
        return one

    def group(self, name: str, text: str) -> Commands:
        """A command whose next word chooses the action."""
        above = self.place.add_parser(name, help=text, description=text)
        return Commands(above.add_subparsers(required=True, metavar="ACTION"), self.common)
