"""A growth campaign read back from the catalogue: to go on with it, to check it, to learn from it in a later one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.campaigns import campaign_chain, decisions, start_of, stop_of
from sdl_bluesky.data.catalogue import find_runs, read_last
from sdl_bluesky.errors import CampaignError
from sdl_bluesky.plans.growth.campaign import agent_before
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.history import REFUSED, History, Step
from sdl_bluesky.plans.replayed import Replayed

if TYPE_CHECKING:
    from tiled.client.container import Container


def recall_growth(client: Container, campaign: str) -> tuple[GrowthFile, History]:
    """The file and the history of a growth campaign, from the catalogue alone.

    Raises:
        CatalogueError: the campaign is not there. LabFileError: its file cannot be read.
    """
    chain = campaign_chain(client, campaign)
    spec = GrowthFile.from_document(dict(start_of(chain[0])["campaign_file"]))
    history = History(campaign, str(chain[-1].item["id"]))
    history.steps += [_step(row) for row in decisions(client, campaign)]
    known = {step.suggestion_id for step in history.steps if step.outcome != "aborted"}
    refused = {step.uid for step in history.steps if REFUSED in (step.row or {})}
    for run in find_runs(client, campaign=campaign).values():
        uid, name = str(run.item["id"]), str(start_of(run).get("suggestion_id", ""))
        done = (stop_of(run) or {}).get("exit_status") == "success"
        if name and name not in known and done and uid not in refused:
            history.orphans[name] = (uid, read_last(run))
    return spec, history


def _step(row: Mapping[str, Any]) -> Step:
    told = dict(row["outcome_row"]) if isinstance(row["outcome_row"], Mapping) else None
    stage, name = str(row["stage"]), str(row["suggestion_id"])
    return Step(int(row["step"]), stage, name, dict(row["inputs"]), row["outcome"], str(row["outcome_uid"]), told)


def earlier_rows(client: Container, campaigns: Sequence[str]) -> list[dict[str, Any]]:
    """Layers of earlier campaigns as an agent learns of them, each with the "campaign" that it was grown in.

    Raises:
        CatalogueError: a campaign is not there. CampaignError: it grew nothing.
    """
    rows: list[dict[str, Any]] = []
    for campaign in campaigns:
        _, history = recall_growth(client, campaign)
        grown = [k.row for k in history.steps if k.outcome == "success" and k.row]
        if not grown:
            raise CampaignError(f"campaign {campaign} grew no layer: leave it out of `earlier`", history)
        rows += [{k: v for k, v in row.items() if k != "_id"} | {"campaign": campaign} for row in grown]
    return rows


def replay_growth(client: Container, campaign: str) -> Iterator[Replayed]:
    """Let an agent, rebuilt from the catalogue alone for every step, choose again.

    Raises:
        CatalogueError, LabFileError: as `recall_growth`.
        CampaignError: the campaign has no decision of an agent.
    """
    spec, history = recall_growth(client, campaign)
    earlier = earlier_rows(client, spec.grow.earlier)
    ranges = {"f_ga": spec.grow.f_ga, "f_as": spec.grow.f_as}
    found = False
    for target in spec.grow.targets:
        for i, step in enumerate(history.of(target.stage)):
            found = True
            [point] = agent_before(spec, history, target.stage, earlier, i).suggest(1)
            proposed = {name: float(point[name]) for name in ranges}
            difference = max(abs(proposed[k] - step.inputs[k]) / (high - low) for k, (low, high) in ranges.items())
            yield Replayed(step.step, step.stage, step.inputs, proposed, difference)
    if not found:
        raise CampaignError(f"campaign {campaign} has no decision of an agent yet")
