"""`sdl analyse`: results of runs, of some or of all that have none yet."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import home_of, open_data
from sdl_bluesky.cli.terminal import say, warn
from sdl_bluesky.errors import OutOfRange, SDLError, ServiceMissing, UnknownName

if TYPE_CHECKING:
    from sdl_bluesky.analysis.worker import Outcome, Worker


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    one = commands.add("analyse", _analyse, "analyse runs of the catalogue, whoever made them: those named, or all")
    one.add_argument("uid", nargs="*", help="runs (default: every finished one that has no result yet)")
    one.add_argument("--follow", action="store_true", help="go on as runs arrive, until Ctrl-C")
    one.add_argument("--since", metavar="TIME", help="runs that started since, as 2026-08-01 or 2026-08-01T12:00")
    one.add_argument("--kinds", metavar="rbs,...", help="kinds of results that are wanted (default: all)")
    one.add_argument("--again", action="store_true", help="look also at runs that have a result: nothing is made twice")
    one.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder with networks for spectra, beside `models` of the data folder (may be repeated)",
    )


def _analyse(options: argparse.Namespace) -> int:
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")  # read when tiled is imported: the worker itself is patient
    missing = [folder for folder in options.models if not folder.is_dir()]
    if missing:
        raise OutOfRange(f"--models {missing[0]}: there is no such folder")
    models = (*options.models, home_of(options).models)
    if options.uid:
        if options.follow or options.since or options.kinds or options.again:
            raise OutOfRange("--follow, --since, --kinds and --again choose runs: leave them out, or the uids")
        return _named(options, models)
    return _all(options, models)


def _named(options: argparse.Namespace, models: tuple[Path, ...]) -> int:
    from sdl_bluesky.analysis.jobs import analyse_run

    failed = 0
    with open_data(options) as client:
        for uid in options.uid:
            try:
                for key in analyse_run(client, uid, models):
                    say(key)
            except ServiceMissing:
                raise
            except SDLError as fault:
                if len(options.uid) == 1:
                    raise
                failed += 1
                warn(f"sdl: {type(fault).__name__}: {fault}")
    return 1 if failed else 0


def _all(options: argparse.Namespace, models: tuple[Path, ...]) -> int:
    from sdl_bluesky.analysis.worker import Worker

    chosen: dict[str, Any] = {"models": models, "again": options.again, "tell": _tell}
    if options.kinds:
        chosen["kinds"] = _kinds(options.kinds)
    if options.since:
        chosen["since"] = _moment(options.since)
    if options.follow:
        _connector(options)()  # must be there at the beginning: nothing arrives in a catalogue that nobody keeps
        worker = Worker(_connector(options), **chosen)
        try:
            worker.follow(threading.Event())
        except KeyboardInterrupt:
            say(f"no longer followed; {_words(worker)}")
        return 0
    with open_data(options) as client:
        worker = Worker(_connector(options, str(client.uri)), **chosen)
        well = worker.once()
    say(_words(worker))
    return 0 if well else 1


def _connector(options: argparse.Namespace, own: str = "") -> Callable[[], Any]:
    """Connects to the lab's catalogue, wherever it answers at that moment; `own`: address of one that we started."""
    from sdl_bluesky.data.catalogue import connect
    from sdl_bluesky.data.server import api_key

    home = home_of(options)
    named = home.load_lab(options.lab).catalogue.uri

    def made() -> Any:
        running = home.services()
        uri = running.tiled_uri if running is not None else own or named
        if uri == "auto":
            raise ServiceMissing(f"nothing runs on {home.path}: start the lab (`sdl up`), or leave out --follow")
        return connect(uri, os.environ.get("TILED_API_KEY") or api_key(home.tiled))

    return made


def _tell(outcome: Outcome) -> None:
    run = outcome.run
    if outcome.error is not None:
        warn(f"{run.uid}  {run.kind:12s}  {type(outcome.error).__name__}: {outcome.error}")
    else:
        say(f"{run.uid}  {run.kind:12s}  {' '.join(outcome.keys) or 'no result'}")


def _words(worker: Worker) -> str:
    failed = f", {worker.failed} failed" if worker.failed else ""
    return f"{worker.done} run(s) analysed{failed}"


def _kinds(text: str) -> list[str]:
    from sdl_bluesky.analysis.kinds import KINDS

    asked = [k.strip() for k in text.split(",") if k.strip()]
    for name in asked:
        if name not in KINDS:
            raise UnknownName("kind of result", name, KINDS)
    if not asked:
        raise OutOfRange(f"--kinds {text!r}: name some of {', '.join(KINDS)}")
    return asked


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as fault:
        raise OutOfRange(f"--since {text}: write a time as 2026-08-01 or 2026-08-01T12:00") from fault
