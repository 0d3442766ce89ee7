"""`sdl up`, `sdl ioc` and `sdl shell`: the lab's programs."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import OWN_LAB, home_of
from sdl_bluesky.cli.terminal import say
from sdl_bluesky.data.lifeline import SignalEvent
from sdl_bluesky.errors import SDLError


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    commands.add("up", _up, "simulated instruments and catalogue, until Ctrl-C")
    ioc = commands.add("ioc", _ioc, "one simulated instrument alone, until Ctrl-C")
    ioc.add_argument("name", choices=["sputter", "rbs", "mocvd"])
    ioc.add_argument("--port", type=int, help="port of Channel Access (default: the lab file's)")
    shell = commands.add("shell", _shell, "IPython with the lab's devices, plans, RunEngine and catalogue")
    what = shell.add_mutually_exclusive_group()
    what.add_argument("-c", dest="command", metavar="CODE", help="run this and end; exit status 1 if it failed")
    what.add_argument("file", nargs="?", type=Path, help="run this file and end")
    shell.add_argument("--startup", type=Path, help="folder of startup files (default: ./startup if it is there)")


def _until_stopped() -> SignalEvent:
    stop = SignalEvent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _up(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.server import api_key
    from sdl_bluesky.session.services import Services

    home = home_of(options)
    stop = _until_stopped()
    with Services(home.load_lab(options.lab), home, say) as services:
        api_key(home.tiled)
        say(f"key                 {home.tiled / 'api-key'}")
        say("in another terminal: sdl shell" + (f" --home {options.home}" if options.home else ""))
        say("for a Tiled client:")
        say(f"  export TILED_PROFILES={home.tiled / 'profiles'} TILED_API_KEY=$(cat {home.tiled / 'api-key'})")
        say(f"  python -c 'from tiled.client import from_uri; print(from_uri(\"{services.info.tiled_uri}\"))'")
        say("ready; Ctrl-C ends everything")
        stop.wait()
        say("ending ...")
    say("ended")
    return 0


def _ioc(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.claim import Claim
    from sdl_bluesky.session.epics_env import client_variables, free_port
    from sdl_bluesky.session.services import SIMULATED
    from sdl_bluesky.session.twin import start_ioc

    home = home_of(options)
    lab = home.load_lab(options.lab)
    home.make()
    claim = Claim(home.services_lock, "keeps the services of this data folder")
    part = lab.epics_of(options.name)
    port = options.port or (free_port(part.host) if part.port == "auto" else part.port)
    stop = _until_stopped()
    process = start_ioc(lab, home, port, options.name)
    try:
        what = SIMULATED[options.name]
        say(f"{what:20}{lab.prefix_of(options.name)}* on {part.host}:{port}; Ctrl-C ends it")
        say("for a client: export " + " ".join(f"{k}={v}" for k, v in client_variables(part.host, port).items()))
        while not stop.wait(0.2):
            if process.poll() is not None:
                raise SDLError(f"the IOC ended ({process.returncode}): see {home.log_of(options.name)}")
    finally:
        process.terminate()
        process.wait(10)
        claim.release()
    return 0


def _shell(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.shell import run_shell

    startup: Path | None = options.startup
    if startup is None and OWN_LAB.exists():
        startup = OWN_LAB.parent
    home = home_of(options)
    code = options.command
    if options.file is not None:
        code = options.file.read_text()
    return run_shell(home.make(), options.lab, startup, code)
