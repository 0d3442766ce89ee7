"""`sdl campaign`: run, resume, replay and list autonomous campaigns."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sdl_bluesky.cli import campaign_approve
from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import open_data, open_lab
from sdl_bluesky.cli.terminal import Progress, say, show_summary

if TYPE_CHECKING:
    from sdl_bluesky.session.open import Session


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    actions = commands.group("campaign", "autonomous campaigns: run, resume, replay, list")
    run = actions.add("run", _run, "run a campaign file")
    run.add_argument("file", type=Path)
    resume = actions.add("resume", _resume, "go on with a campaign that was stopped, from its documents")
    resume.add_argument("uid", help="uid of the campaign, or its beginning")
    again = actions.add("replay", _replay, "let agents rebuilt from the catalogue choose again, and compare")
    again.add_argument("uid", help="uid of the campaign, or its beginning")
    actions.add("list", _list, "campaigns of the catalogue")
    campaign_approve.add(actions)


def _find(options: argparse.Namespace) -> None:
    """Without a data folder given, a campaign may also be one of the demonstration in this folder."""
    from sdl_bluesky.session.home import Home

    demo = Home(Path("demo-out").resolve())
    if options.home is None and "SDL_HOME" not in os.environ and options.lab is None and demo.holds(options.uid):
        say(f"campaign {options.uid} is in {demo.path}")
        options.home = demo.path


def _run(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.campaigns import read_campaign_file, run_campaign_file

    spec = read_campaign_file(options.file)
    with open_lab(options) as session:
        history = run_campaign_file(session, spec, observer=Progress())
        _end(session, history.campaign)
    return 0


def _resume(options: argparse.Namespace) -> int:
    from sdl_bluesky.demo.sputter import MARK, conclude
    from sdl_bluesky.session.campaigns import resume

    _find(options)
    with open_lab(options) as session:
        history = resume(session, options.uid, Progress())
        _end(session, history.campaign)
        if (session.home.path / MARK).exists():
            show_summary(conclude(session, history.campaign), session.home.path)
    return 0


def _end(session: Session, campaign: str) -> None:
    if session.analysis is not None:
        session.analysis.wait(60.0)
        for finding in session.analysis.findings:
            say(f"not analysed: {finding}")
    say(f"campaign {campaign} is finished")


def _replay(options: argparse.Namespace) -> int:
    from sdl_bluesky.plans.recall import campaign_id
    from sdl_bluesky.session.campaigns import replay_campaign

    _find(options)
    with open_data(options) as client:
        worst = 0.0
        for row in replay_campaign(client, campaign_id(client, options.uid)):
            recorded = "  ".join(f"{name} {value:8.4f}" for name, value in row.recorded.items())
            say(f"{row.step:3d}  {row.stage:10s} {recorded}  difference {row.difference:.1e} of the range")
            worst = max(worst, row.difference)
    say(f"largest difference {worst:.1e} of the range")
    return 0 if worst <= 1e-9 else 1


def _list(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.campaigns import list_campaigns

    with open_data(options) as client:
        for item in list_campaigns(client):
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.started))
            say(f"{item.uid}  {when}  {item.state:8s}  {item.name}  (sample {item.sample}, {item.runs} run(s))")
    return 0
