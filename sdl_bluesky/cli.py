"""The command `sdl`: the lab in a terminal."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky import __version__
from sdl_bluesky.errors import SDLError

if TYPE_CHECKING:
    from sdl_bluesky.plans.history import Step
    from sdl_bluesky.session.open import Session

EXAMPLES = """
two commands to a working lab:
  make install               everything into .venv
  make demo                  the same as: sdl demo sputter --out demo-out

a lab that stays:
  sdl up                     simulated instruments and catalogue, until Ctrl-C
  sdl shell                  IPython with devices, plans and RE, in another terminal
  sdl campaign run FILE.yml  an autonomous campaign
"""


OWN_LAB = Path("startup", "lab.yml")
"""In the repository, the user's copy of the lab file is the default of every command."""


def say(text: str = "") -> None:
    """A line for the person at the terminal."""
    print(text, flush=True)


class Progress:
    """A line for each finished step of a campaign, with the time it took."""

    def __init__(self) -> None:
        self._last: float | None = None

    def __call__(self, step: Step, stop_reason: str) -> None:
        """Called after each decision."""
        now = time.monotonic()
        took = f"   {now - self._last:4.1f} s" if self._last is not None else ""
        where = "  ".join(f"{name} {value:7.2f}" for name, value in step.inputs.items())
        found = ""
        if step.row:
            found = f"rate {step.row['rate']:7.2f} +- {step.row['rate_std']:.2f} ng cm^-2 s^-1"
        say(f"{step.step:3d}  {step.stage:10s} {where}  {found or step.outcome}{took}")
        if stop_reason:
            say(f"     {step.stage}: {stop_reason}")
        self._last = now


def _demo(options: argparse.Namespace) -> int:
    from sdl_bluesky.demo.sputter import run_demo

    began = time.monotonic()
    say(f"sdl demo {options.what}: simulated sputter chamber at {options.speed:g} x real time, data in {options.out}/")
    summary = run_demo(options.out, options.speed, options.seed, say, Progress())
    _show_summary(summary, options.out)
    say(f"done in {time.monotonic() - began:.0f} s")
    return 0


def _show_summary(summary: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="compared with the hidden truth")
    for column in ("what", "experiments", "figure", "value"):
        table.add_column(column)
    for name, source in summary["sources"].items():
        table.add_row(name, str(source["experiments"]), "e_rms_percent", f"{source['e_rms_percent']:.2f}")
    for key in ("rms_percent", "centre_error", "coverage_90"):
        if key in summary["composition"]:
            table.add_row("composition map", "", key, f"{summary['composition'][key]:.4g}")
    Console().print(table)
    say(f"summary {out}/summary.json, report {out}/report.html")


def _up(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.server import api_key
    from sdl_bluesky.session.home import find_home
    from sdl_bluesky.session.services import Services

    home = find_home(options.home, None if options.lab is None else _lab(options))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
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
    from sdl_bluesky.session.home import find_home
    from sdl_bluesky.session.twin import start_ioc

    home = find_home(options.home, None if options.lab is None else _lab(options))
    lab = home.load_lab(options.lab)
    home.make()
    claim = Claim(home.services_lock, "keeps the services of this data folder")
    port = options.port or (free_port(lab.epics.host) if lab.epics.port == "auto" else lab.epics.port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    process = start_ioc(lab, home, port)
    try:
        say(f"simulated chamber   {lab.prefix}* on {lab.epics.host}:{port}; Ctrl-C ends it")
        say("for a client: export " + " ".join(f"{k}={v}" for k, v in client_variables(lab.epics.host, port).items()))
        while not stop.wait(0.2):
            if process.poll() is not None:
                raise SDLError(f"the IOC ended ({process.returncode}): see {home.twin / 'ioc.log'}")
    finally:
        process.terminate()
        process.wait(10)
        claim.release()
    return 0


def _shell(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.home import find_home
    from sdl_bluesky.session.shell import run_shell

    startup: Path | None = options.startup
    if startup is None and OWN_LAB.exists():
        startup = OWN_LAB.parent
    home = find_home(options.home, None if options.lab is None else _lab(options))
    code = options.command
    if options.file is not None:
        code = options.file.read_text()
    return run_shell(home.make(), options.lab, startup, code)


def _lab(options: argparse.Namespace) -> Any:
    from sdl_bluesky.session.lab import load_lab

    return load_lab(options.lab)


def _find_campaign(options: argparse.Namespace) -> None:
    """Without a data folder given, a campaign may also be one of the demonstration in this folder."""
    from sdl_bluesky.session.home import Home

    demo = Home(Path("demo-out").resolve())
    if options.home is None and "SDL_HOME" not in os.environ and options.lab is None and demo.holds(options.uid):
        say(f"campaign {options.uid} is in {demo.path}")
        options.home = demo.path


def _open(options: argparse.Namespace) -> Session:
    from sdl_bluesky.session.open import open_session

    return open_session(options.lab, options.home, tell=say)


def _campaign_run(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.yamlfile import read_yaml
    from sdl_bluesky.plans.campaign_file import CampaignFile
    from sdl_bluesky.session.campaigns import run_campaign_file

    spec = read_yaml(options.file, CampaignFile)
    with _open(options) as session:
        history = run_campaign_file(session, spec, observer=Progress())
        _end_of_campaign(session, history.campaign)
    return 0


def _campaign_resume(options: argparse.Namespace) -> int:
    from sdl_bluesky.demo.sputter import MARK, conclude
    from sdl_bluesky.session.campaigns import resume

    _find_campaign(options)
    with _open(options) as session:
        history = resume(session, options.uid, Progress())
        _end_of_campaign(session, history.campaign)
        if (session.home.path / MARK).exists():
            _show_summary(conclude(session, history.campaign), session.home.path)
    return 0


def _end_of_campaign(session: Session, campaign: str) -> None:
    if session.analysis is not None:
        session.analysis.wait(60.0)
        for finding in session.analysis.findings:
            say(f"not analysed: {finding}")
    say(f"campaign {campaign} is finished")


def _campaign_replay(options: argparse.Namespace) -> int:
    from sdl_bluesky.plans.recall import campaign_id, replay

    _find_campaign(options)
    with _catalogue(options) as client:
        worst = 0.0
        for row in replay(client, campaign_id(client, options.uid)):
            recorded = "  ".join(f"{name} {value:8.4f}" for name, value in row.recorded.items())
            say(f"{row.step:3d}  {row.stage:10s} {recorded}  difference {row.difference:.1e} of the range")
            worst = max(worst, row.difference)
    say(f"largest difference {worst:.1e} of the range")
    return 0 if worst <= 1e-9 else 1


def _campaign_list(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.campaigns import list_campaigns

    with _catalogue(options) as client:
        for item in list_campaigns(client):
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.started))
            say(f"{item.uid}  {when}  {item.state:8s}  {item.name}  (sample {item.sample}, {item.runs} run(s))")
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from sdl_bluesky.analysis.jobs import analyse_run

    with _catalogue(options) as client:
        for key in analyse_run(client, options.uid):
            say(key)
    return 0


def _replay_log(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.replay import replay
    from sdl_bluesky.session.home import find_home

    home = find_home(options.home, None if options.lab is None else _lab(options))
    with _catalogue(options) as client:
        say(str(replay(options.log or home.log, client)))
    return 0


def _catalogue(options: argparse.Namespace) -> Any:
    from sdl_bluesky.session.catalogue import open_catalogue

    return open_catalogue(options.lab, options.home)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--lab",
        type=Path,
        help="lab file (default: the data folder's, $SDL_LAB, ./startup/lab.yml, or the shipped one)",
    )
    common.add_argument(
        "--home", type=Path, help="data folder (default: $SDL_HOME, or one of yours named after the lab)"
    )
    parser = argparse.ArgumentParser(
        "sdl", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"sdl_bluesky {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="more of what the program does, and tracebacks")
    commands = parser.add_subparsers(dest="command_name", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *, to: Any = commands, lab: bool = True
    ) -> Any:
        one = to.add_parser(name, help=text, description=text, parents=[common] if lab else [])
        one.set_defaults(run=run)
        return one

    demo = add("demo", _demo, "the autonomous lab on simulated instruments, end to end", lab=False)
    demo.add_argument("what", nargs="?", choices=["sputter"], default="sputter")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for everything it makes (%(default)s)")
    demo.add_argument(
        "--speed", type=float, default=100.0, help="simulated seconds per second, 1 to 1000 (%(default)g)"
    )
    demo.add_argument("--seed", type=int, default=0, help="of the twin and of the agents (%(default)d)")
    add("up", _up, "simulated instruments and catalogue, until Ctrl-C")
    ioc = add("ioc", _ioc, "one simulated instrument alone, until Ctrl-C")
    ioc.add_argument("name", choices=["sputter"])
    ioc.add_argument("--port", type=int, help="port of Channel Access (default: the lab file's)")
    shell = add("shell", _shell, "IPython with the lab's devices, plans, RunEngine and catalogue")
    what = shell.add_mutually_exclusive_group()
    what.add_argument("-c", dest="command", metavar="CODE", help="run this and end; exit status 1 if it failed")
    what.add_argument("file", nargs="?", type=Path, help="run this file and end")
    shell.add_argument("--startup", type=Path, help="folder of startup files (default: ./startup if it is there)")
    campaign = commands.add_parser("campaign", help="autonomous campaigns: run, resume, replay, list")
    actions = campaign.add_subparsers(required=True, metavar="ACTION")
    run = add("run", _campaign_run, "run a campaign file", to=actions)
    run.add_argument("file", type=Path)
    resume = add("resume", _campaign_resume, "go on with a campaign that was stopped, from its documents", to=actions)
    resume.add_argument("uid", help="uid of the campaign, or its beginning")
    again = add(
        "replay", _campaign_replay, "let agents rebuilt from the catalogue choose again, and compare", to=actions
    )
    again.add_argument("uid", help="uid of the campaign, or its beginning")
    add("list", _campaign_list, "campaigns of the catalogue", to=actions)
    analyse = add("analyse", _analyse, "analyse a run of the catalogue, whoever made it")
    analyse.add_argument("uid")
    log = add("replay-log", _replay_log, "bring what the document log holds into the catalogue; changes nothing twice")
    log.add_argument("--log", type=Path, help="folder of the log (default: the data folder's)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (1 for a fault that the message explains, 130 after Ctrl-C)."""
    options = _parser().parse_args(argv)
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
        print(f"sdl: {type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sdl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
