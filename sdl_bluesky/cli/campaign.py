"""`sdl campaign`: run, resume, replay and list autonomous campaigns (and, elsewhere, export and import them)."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.cli import campaign_approve, campaign_check, campaign_export, campaign_follow, campaign_show
from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import open_data, open_lab
from sdl_bluesky.cli.terminal import Progress, say, show_summary

if TYPE_CHECKING:
    from sdl_bluesky.session.open import Session
    from sdl_bluesky.session.queue.run import AgentSession


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    actions = commands.group("campaign", "autonomous campaigns: run, resume, replay, list, export, import")
    run = actions.add("run", _run, "run a campaign file")
    run.add_argument("file", type=Path)
    run.add_argument(
        "--estimate", action="store_true", help="estimate first what it will take, for `sdl campaign used`"
    )
    resume = actions.add("resume", _resume, "go on with a campaign that was stopped, from its documents")
    resume.add_argument("uid", help="uid of the campaign, or its beginning")
    for one in (run, resume):
        one.add_argument(
            "--queue",
            nargs="?",
            const="",
            metavar="ADDRESS",
            help="let a queue server do the experiments (its control address; that of startup/queue-server.yml by default)",
        )
    again = actions.add("replay", _replay, "let agents rebuilt from the catalogue choose again, and compare")
    again.add_argument("uid", help="uid of the campaign, or its beginning")
    again.add_argument("--others", action="store_true", help="ask other agents too, and compare their points")
    actions.add("list", _list, "campaigns of the catalogue")
    campaign_export.add(actions, _find)
    campaign_approve.add(actions)
    campaign_show.add(actions, _find)
    campaign_follow.add(actions, _find)
    campaign_check.add(actions)


def _find(options: argparse.Namespace) -> None:
    """Without a data folder given, a campaign may also be one of the demonstration in this folder."""
    from sdl_bluesky.session.home import Home

    demo = Home(Path("demo-out").resolve())
    if options.home is None and "SDL_HOME" not in os.environ and options.lab is None and demo.holds(options.uid):
        say(f"campaign {options.uid} is in {demo.path}")
        options.home = demo.path


def _run(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.yamlfile import located
    from sdl_bluesky.session.campaigns import read_campaign_file, run_campaign_file
    from sdl_bluesky.session.estimates import estimate

    spec = read_campaign_file(options.file)
    if options.queue is not None:
        from sdl_bluesky.session.queue.run import run_on_queue

        with _open_agent(options) as agent, located(options.file):
            history = run_on_queue(agent, spec, observer=Progress())
            say(f"campaign {history.campaign} is finished")
        return 0
    with open_lab(options) as session, located(options.file):
        md = {"estimate": estimate(session, spec).as_document()} if options.estimate else None
        history = run_campaign_file(session, spec, observer=Progress(), md=md)
        _end(session, history.campaign)
    return 0


def _resume(options: argparse.Namespace) -> int:
    from sdl_bluesky.demo.sputter import MARK, conclude
    from sdl_bluesky.session.campaigns import resume

    _find(options)
    if options.queue is not None:
        from sdl_bluesky.session.queue.run import resume_on_queue

        with _open_agent(options) as agent:
            history = resume_on_queue(agent, options.uid, Progress())
            say(f"campaign {history.campaign} is finished")
        return 0
    with open_lab(options) as session:
        history = resume(session, options.uid, Progress())
        _end(session, history.campaign)
        if (session.home.path / MARK).exists():
            show_summary(conclude(session, history.campaign), session.home.path)
    return 0


def _open_agent(options: argparse.Namespace) -> AbstractContextManager[AgentSession]:
    from sdl_bluesky.session.queue.client import ADDRESS
    from sdl_bluesky.session.queue.run import open_agent

    return open_agent(options.lab, options.home, options.queue or ADDRESS)


def _end(session: Session, campaign: str) -> None:
    if session.analysis is not None:
        session.analysis.wait(60.0)
        for finding in session.analysis.findings:
            say(f"not analysed: {finding}")
    say(f"campaign {campaign} is finished")


def _replay(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.campaigns import campaign_id
    from sdl_bluesky.session.campaigns import replay_campaign

    _find(options)
    with open_data(options) as client:
        worst = 0.0
        campaign = campaign_id(client, options.uid)
        for row in replay_campaign(client, campaign):
            recorded = "  ".join(f"{name} {value:8.4f}" for name, value in row.recorded.items())
            say(f"{row.step:3d}  {row.stage:10s} {recorded}  difference {row.difference:.1e} of the range")
            worst = max(worst, row.difference)
        if options.others:
            _tell_others(client, campaign)
    say(f"largest difference {worst:.1e} of the range")
    return 0 if worst <= 1e-9 else 1


def _tell_others(client: Any, campaign: str) -> None:
    from sdl_bluesky.plans.counterfactual import summarised
    from sdl_bluesky.session.campaigns import other_agents

    found = []
    for one in other_agents(client, campaign):
        found.append(one)
        point = "  ".join(f"{name} {value:8.4f}" for name, value in one.point.items()) or "nothing"
        say(f"{one.step:3d}  {one.agent:12s} {point}  disagreement {one.disagreement:.3f}  regret {one.regret:+.3f}")
    for row in summarised(found):
        say(
            f"{row.stage:10s} {row.agent:12s} disagreement {row.disagreement:.3f}  regret {row.regret:+.3f}  better in "
            f"{row.better} of {row.decisions}"
        )


def _list(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.campaigns import list_campaigns

    with open_data(options) as client:
        for item in list_campaigns(client):
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.started))
            say(f"{item.uid}  {when}  {item.state:8s}  {item.name}  (sample {item.sample}, {item.runs} run(s))")
    return 0
