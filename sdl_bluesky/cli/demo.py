"""`sdl demo`: the autonomous lab on simulated instruments, end to end."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.terminal import Progress, say, show_summary
from sdl_bluesky.errors import OutOfRange

SPEED, REACTOR_SPEED = 100.0, 200.0
"""Simulated seconds per second, unless another number is given: heating and cooling of a reactor take long."""


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    demo = commands.add("demo", _demo, "the autonomous lab on simulated instruments, end to end", lab=False)
    demo.add_argument(
        "what",
        nargs="?",
        choices=["sputter", "rbs", "mocvd", "all"],
        default="sputter",
        help="sputter: learn two sources, deposit and map a film; rbs: the same, and the film is measured by RBS; "
        "mocvd: grow layers to two wavelengths; all: the three at once, each in its part of the folder (%(default)s)",
    )
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for everything it makes (%(default)s)")
    demo.add_argument(
        "--speed",
        type=float,
        help=f"simulated seconds per second, 1 to 1000 ({SPEED:g}, of the reactor {REACTOR_SPEED:g})",
    )
    demo.add_argument(
        "--target",
        metavar="Cu=0.6",
        help="sputter: make a film of this composition in the middle (atomic fractions, as Cu=0.6,Sn=0.4): its powers are "
        "designed, it is measured by RBS, and made again if it is not as wanted",
    )
    demo.add_argument("--seed", type=int, default=0, help="of the twin and of the agents (%(default)d)")


def _demo(options: argparse.Namespace) -> int:
    if options.target is not None and options.what != "sputter":
        raise OutOfRange("--target belongs to `sdl demo sputter`: leave it out, or demonstrate sputter")
    if options.what == "all":
        return _all(options)
    if options.target is not None:
        from sdl_bluesky.demo import target

        run_demo = partial(target.run_demo, target=target.parse_target(options.target))
        what = "simulated sputter chamber and RBS end station"
    elif options.what == "sputter":
        from sdl_bluesky.demo.sputter import run_demo

        what = "simulated sputter chamber"
    elif options.what == "mocvd":
        from sdl_bluesky.demo.growth import run_demo

        what = "simulated MOCVD reactor"
    else:
        from sdl_bluesky.demo.rbs import run_demo

        what = "simulated sputter chamber and RBS end station"
    usual = REACTOR_SPEED if options.what == "mocvd" else SPEED
    speed = usual if options.speed is None else options.speed
    began = time.monotonic()
    say(f"sdl demo {options.what}: {what} at {speed:g} x real time, data in {options.out}/")
    summary = run_demo(options.out, speed, options.seed, say, Progress())
    show_summary(summary, options.out)
    say(f"done in {time.monotonic() - began:.0f} s")
    return 0


def _all(options: argparse.Namespace) -> int:
    from sdl_bluesky.demo.all_labs import LABS, run_all

    began = time.monotonic()
    say(f"sdl demo all: {', '.join(LABS)} at once, data in {options.out}/")
    show_summary(run_all(options.out, options.speed, options.seed, say), options.out)
    say(f"done in {time.monotonic() - began:.0f} s")
    return 0
