"""`sdl campaign waiting`, `approve` and `veto`: a person's word on steps that may not be done without it."""

from __future__ import annotations

import argparse
import time

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import home_of
from sdl_bluesky.cli.terminal import say


def add(actions: Commands) -> None:
    """Add the commands of this file."""
    actions.add("waiting", _waiting, "steps that wait for a person")
    for name, run, text in (
        ("approve", _approve, "let a step that waits be done"),
        ("veto", _veto, "do not let a step that waits be done; the agent proposes another"),
    ):
        one = actions.add(name, run, text)
        one.add_argument("key", help="as `sdl campaign waiting` names the step, or its beginning")
        one.add_argument("--why", default="", help="for the record" + ("" if name == "approve" else "; needed"))
        one.add_argument("--who", default="", help="for the record; the user by default")


def _waiting(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.approvals import Desk

    for request in Desk(home_of(options).approvals).waiting():
        inputs = "  ".join(f"{name} {value:g}" for name, value in request.inputs.items())
        until = time.strftime("%H:%M:%S", time.localtime(request.until))
        say(f"{request.key}  {request.stage}  {inputs}  until {until}  ({request.rule})")
    return 0


def _approve(options: argparse.Namespace) -> int:
    return _decide(options, True)


def _veto(options: argparse.Namespace) -> int:
    return _decide(options, False)


def _decide(options: argparse.Namespace, given: bool) -> int:
    from sdl_bluesky.data.approvals import Desk

    request = Desk(home_of(options).approvals).decide(options.key, given, options.why, options.who)
    say(f"step {request.step} ({request.stage}) of campaign {request.campaign} is {'approved' if given else 'vetoed'}")
    return 0
