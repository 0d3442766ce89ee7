"""`sdl campaign check`: whether a campaign can be done, and what it will take, before anything moves."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import home_of, open_data
from sdl_bluesky.cli.terminal import say, show_table
from sdl_bluesky.errors import ServiceError


def add(actions: Commands) -> None:
    """Add the commands of this file."""
    check = actions.add("check", _check, "check a campaign file, and say what it will take; nothing is moved")
    check.add_argument("file", type=Path)
    check.add_argument("--json", type=Path, dest="json_file", metavar="FILE", help="write the estimate here")
    took = actions.add("used", _used, "what a campaign has used, beside its estimate")
    took.add_argument("uid", help="uid of the campaign, or its beginning")


def _check(options: argparse.Namespace) -> int:
    import json

    from sdl_bluesky.plans.estimate.amounts import figures, unit_of, words_of
    from sdl_bluesky.session.estimates import check_file

    home = home_of(options)
    found = check_file(options.file, home.load_lab(options.lab), home)
    for note in found.notes:
        say(note)
    rows = []
    for name, amount in found.estimate.amounts.items():
        rows.append((words_of(name), *map(figures, (amount.low, amount.expected, amount.high)), unit_of(name)))
    show_table(f"campaign {found.spec.name}", ("what", "low", "expected", "high", "unit"), rows)
    for line in found.estimate.basis:
        say(line)
    for warning in found.estimate.warnings:
        say(f"look: {warning}")
    if options.json_file is not None:
        try:
            options.json_file.write_text(json.dumps(found.estimate.as_document(), indent=1), encoding="utf-8")
        except OSError as fault:
            raise ServiceError(f"the estimate cannot be written ({fault}): choose another file for --json") from fault
    say("the campaign can be done")
    return 0


def _used(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.campaigns import campaign_id
    from sdl_bluesky.plans.estimate.amounts import Estimate
    from sdl_bluesky.plans.estimate.used import beside
    from sdl_bluesky.session.estimates import used_by

    lab = home_of(options).load_lab(options.lab)
    with open_data(options) as client:
        from sdl_bluesky.data.campaigns import campaign_chain, start_of

        campaign = campaign_id(client, options.uid)
        start = start_of(campaign_chain(client, campaign)[0])
        expected = Estimate.from_document(start["estimate"]) if "estimate" in start else Estimate({})
        found = used_by(client, campaign, lab)
        rows = [_row(k) for k in beside(expected, found)]
    show_table(f"campaign {start.get('campaign_name', campaign)}", ("what", "expected", "used", "unit"), rows)
    for line in found.missing:
        say(line)
    return 0


def _row(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    from sdl_bluesky.plans.estimate.amounts import figures, unit_of, words_of

    name = str(row["name"])
    expected = "" if "expected" not in row else " to ".join(figures(row[k]) for k in ("low", "high"))
    return words_of(name), expected, figures(row["used"]), unit_of(name)
