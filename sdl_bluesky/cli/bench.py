"""`sdl bench`: the studies behind the figures that the documentation names."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.terminal import say


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    from sdl_bluesky.bench import BENCHES

    bench = commands.add("bench", _bench, "measure the program: speed, accuracy, calibration", lab=False)
    bench.add_argument("name", metavar="NAME", help=", ".join(BENCHES))
    bench.add_argument("--json", type=Path, dest="json_file", metavar="FILE", help="write machine and rows here")
    bench.add_argument("--seeds", type=int, metavar="N", help="repeat with N seeds (default: the study's own number)")
    bench.add_argument("--figures", type=Path, metavar="DIR", help="draw the study's figures into this folder")
    bench.add_argument("--quick", action="store_true", help="a small version, to see that it works")


def _bench(options: argparse.Namespace) -> int:
    from sdl_bluesky import bench

    return bench.run(options.name, options.json_file, options.seeds, options.quick, options.figures, say)
