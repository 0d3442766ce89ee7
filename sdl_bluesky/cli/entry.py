"""The entry of the command `sdl`: its parser, and what becomes of a fault."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from sdl_bluesky import __version__
from sdl_bluesky.cli import analyse, bench, campaign, data, demo, rbs, services
from sdl_bluesky.cli.commands import Commands, common_options
from sdl_bluesky.cli.labs import OWN_LAB
from sdl_bluesky.cli.terminal import warn
from sdl_bluesky.errors import SDLError

DESCRIPTION = "The command `sdl`: the lab in a terminal."
EXAMPLES = """
two commands to a working lab:
  make install               everything into .venv
  make demo                  the same as: sdl demo sputter --out demo-out

a lab that stays:
  sdl up                     simulated instruments and catalogue, until Ctrl-C
  sdl shell                  IPython with devices, plans and RE, in another terminal
  sdl campaign run FILE.yml  an autonomous campaign

ion-beam analysis, without a lab:
  sdl rbs simulate --cases CASES.json --out DIR
  sdl rbs fit --cases CASES.json --spectra DIR --start mid --out FIT.json
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        "sdl", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"sdl_bluesky {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="more of what the program does, and tracebacks")
    commands = Commands(top.add_subparsers(dest="command_name", required=True, metavar="COMMAND"), common_options())
    for part in (demo, services, campaign, analyse, data, rbs, bench):
        part.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (1 for a fault that the message explains, 130 after Ctrl-C)."""
    options = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if "SDL_LAB" not in os.environ and OWN_LAB.exists():
        os.environ["SDL_LAB"] = str(OWN_LAB.resolve())
    try:
        return int(options.run(options))
    except SDLError as fault:
        if options.verbose:
            logging.getLogger(__name__).exception("the command failed")
        warn(f"sdl: {type(fault).__name__}: {fault}")
        for note in getattr(fault, "__notes__", ()):
            warn(f"  {note}")
        return 1
    except KeyboardInterrupt:
        warn("sdl: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
