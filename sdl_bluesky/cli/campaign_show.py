"""`sdl campaign show`: what a campaign was for, what was decided and why, from its documents."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import open_data
from sdl_bluesky.cli.terminal import say
from sdl_bluesky.errors import UnknownName

_START = ("campaign_name", "goal", "sample", "operator", "agent_seed", "lab", "lab_sha256")


def add(actions: Commands, find: Callable[[argparse.Namespace], None]) -> None:
    """Add the commands of this file.

    Args:
        actions: the group `sdl campaign`.
        find: looks for the data folder of a campaign, see `cli.campaign`.
    """
    show = actions.add("show", _show, "what a campaign was for, what was decided and why")
    show.add_argument("uid", help="uid of the campaign, or its beginning")
    show.add_argument("--step", type=int, metavar="N", help="everything that stands in the decision of this step")
    show.set_defaults(find=find)


def _show(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.campaigns import campaign_chain, campaign_id, decisions, start_of, stop_of

    options.find(options)
    with open_data(options) as client:
        campaign = campaign_id(client, options.uid)
        chain, steps = campaign_chain(client, campaign), decisions(client, campaign)
        if options.step is not None:
            _tell_step(steps, options.step)
            return 0
        start = start_of(chain[0])
        say(f"campaign        {campaign}")
        for key in _START:
            if start.get(key) not in (None, ""):
                say(f"{key.replace('_', ' '):15s} {start[key]}")
        say(f"{'versions':15s} {', '.join(f'{k} {v}' for k, v in start.get('versions', {}).items())}")
        for run in chain:
            begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start_of(run)["time"]))
            stop = stop_of(run)
            ended = "open" if stop is None else f"{stop['exit_status']}  {stop.get('reason', '')}".rstrip()
            say(f"{'run':15s} {run.item['id']}  {begun}  {ended}")
        for step in steps:
            _tell(step)
    return 0


def _tell(step: Mapping[str, Any]) -> None:
    where = "  ".join(f"{name} {value:g}" for name, value in step["inputs"].items())
    value = float(step["acquisition_value"])
    why = step["acquisition_name"] + ("" if math.isnan(value) else f" {value:.3g}")
    who = f"by {step['agent']} ({why or 'as the file says'})"
    say(f"{step['step']:3d}  {step['stage']:10s} {where}  {who}  {step['outcome']}")
    said = step["approval"] if isinstance(step.get("approval"), Mapping) else {}
    if "given" in said:
        say(
            f"     {'approved' if said['given'] else 'vetoed'} by {said['who']}{': ' + said['why'] if said['why'] else ''}"
        )
    for text in [*(step["findings"] or []), *([step["reason"]] if step["reason"] else [])]:
        say(f"     {text}")
    if step["stop_reason"]:
        say(f"     {step['stop_reason']}")


def _tell_step(steps: list[dict[str, Any]], number: int) -> None:
    found = [step for step in steps if step["step"] == number]
    if not found:
        raise UnknownName("step", str(number), [str(step["step"]) for step in steps])
    for step in found:
        say(json.dumps(step, indent=1, default=str))
