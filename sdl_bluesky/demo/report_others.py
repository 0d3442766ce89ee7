"""A section of both reports: what other agents would have picked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdl_bluesky.demo import page
from sdl_bluesky.errors import CampaignError
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.counterfactual import others, summarised
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.history import History


def others_section(spec: CampaignFile | GrowthFile, history: History, earlier: Sequence[Any] = ()) -> str:
    """The table of the agents that were asked again; a sentence where there is nothing to ask."""
    title = "<h2>What others would have picked</h2>"
    try:
        table = summarised(list(others(spec, history, earlier)))
    except CampaignError as fault:
        return f"{title}<p>{page.text(fault)}.</p>"
    growth = isinstance(spec, GrowthFile)
    unit = "probability in specification" if growth else "% of the mean rate"
    head = [
        "stage",
        "agent",
        "decisions",
        "disagreement, part of the range",
        f"regret, {unit}",
        "better than what was done",
    ]
    rows = (
        [
            page.text(k.stage),
            page.text(k.agent),
            page.number(k.decisions),
            page.number(k.disagreement),
            page.number(k.regret),
            page.number(k.better),
        ]
        for k in table
    )
    words = (
        "At each decision these agents were given what the campaign knew then. Regret is in hindsight, with the model "
        "that has all data taken for the truth: "
        + (
            "how much less likely their layer would have been in specification."
            if growth
            else "how much larger the error over the range would have been after their reading."
        )
        + " Below zero, theirs would have been better."
    )
    return f"{title}<p>{page.text(words)}</p>{page.table(head, rows)}"
