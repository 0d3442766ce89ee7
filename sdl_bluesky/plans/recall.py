"""A campaign read back from the catalogue: its history, to go on with it, and its decisions, to check them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sdl_bluesky.analysis.runs import CHECK
from sdl_bluesky.data.campaigns import campaign_chain, decisions, primaries, primary, start_of, stop_of
from sdl_bluesky.data.catalogue import find_runs
from sdl_bluesky.errors import CampaignError, CatalogueError
from sdl_bluesky.plans.campaign import agent_for, agent_of
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.designer import Designer
from sdl_bluesky.plans.earlier import recorded_runs
from sdl_bluesky.plans.history import REFUSED, History, Step, feed
from sdl_bluesky.plans.knowledge import MEASURE, TARGET
from sdl_bluesky.plans.replayed import Replayed

if TYPE_CHECKING:
    from tiled.client.container import Container


def recall(client: Container, campaign: str) -> tuple[CampaignFile, History]:
    """The file and the history of a campaign, from the catalogue alone.

    Args:
        client: root of the catalogue; every run of the campaign must have arrived there.
        campaign: id of the campaign.

    Returns:
        The campaign file as it was recorded; decisions in order, and completed experiments without a decision.

    Raises:
        CatalogueError: the campaign, or a run that it learned from, is not there.
        LabFileError: the recorded campaign file cannot be read.
    """
    chain = campaign_chain(client, campaign)
    start = start_of(chain[0])
    if "campaign_file" not in start:
        raise CatalogueError(f"campaign {campaign} does not say what it was: its start document has no campaign_file")
    spec = CampaignFile.from_document(dict(start["campaign_file"]))
    history = History(campaign, str(chain[-1].item["id"]))
    told = decisions(client, campaign)
    history.earlier = recorded_runs(client, start, spec)
    # what every sensor read is needed where films are designed; an agent learns from the rows of the decisions
    wanted = [str(row["outcome_uid"]) for row in told if row["outcome"] == "success" and row["stage"] != MEASURE]
    data = primaries(client, wanted) if spec.target is not None or spec.check_count else {}
    history.steps += [_step(row, data) for row in told]
    known = {step.suggestion_id for step in history.steps if step.outcome != "aborted"}
    refused = {step.uid for step in history.steps if REFUSED in (step.row or {})}
    for run in find_runs(client, campaign=campaign).values():
        start, stop = start_of(run), stop_of(run) or {}
        suggestion_id = str(start.get("suggestion_id", ""))
        done = stop.get("exit_status") == "success" and run.item["id"] not in refused
        done = done and start.get("stage") != MEASURE  # spectra are not reduced: the film is measured again
        if suggestion_id and suggestion_id not in known and done:
            history.orphans[suggestion_id] = (str(run.item["id"]), primary(run))
    return spec, history


def _step(row: Mapping[str, Any], data: Mapping[str, dict[str, Any]]) -> Step:
    stage, uid, name = str(row["stage"]), str(row["outcome_uid"]), str(row["suggestion_id"])
    told = dict(row["outcome_row"]) if isinstance(row["outcome_row"], Mapping) else None
    seen = told if row["outcome"] == "success" and stage == MEASURE else data.get(uid)
    return Step(int(row["step"]), stage, name, dict(row["inputs"]), row["outcome"], uid, told, seen)


def replay(client: Container, campaign: str) -> Iterator[Replayed]:
    """Let an agent, rebuilt from the catalogue alone for every step, choose again.

    Raises:
        CatalogueError, LabFileError: as `recall`.
        CampaignError: the campaign has no decision of an agent.
    """
    spec, history = recall(client, campaign)
    geometry = start_of(campaign_chain(client, campaign)[0]).get("geometry")
    found = False
    for source, learn in spec.learn.items():
        steps = history.of(f"learn:{source}")
        for i, step in enumerate(steps):
            found = True
            agent = agent_for(spec, source, history.earlier_rows(source))
            feed(agent, steps[:i])
            [point] = agent.suggest(1)
            ranges = {"power": learn.power, "pressure": learn.pressure}
            proposed = {name: float(point[name]) for name in ranges}
            difference = max(abs(proposed[n] - step.inputs[n]) / (high - low) for n, (low, high) in ranges.items())
            yield Replayed(step.step, step.stage, step.inputs, proposed, difference)
    if geometry is not None:
        for again in _films_again(spec, geometry, history):
            found = True
            yield again
    if not found:
        raise CampaignError(f"campaign {campaign} has no decision of an agent yet")


def _films_again(spec: CampaignFile, geometry: Mapping[str, Any], history: History) -> Iterator[Replayed]:
    """Checks and films, chosen again; a time is compared relative to itself."""
    for i, step in enumerate(history.steps):
        if step.stage not in (CHECK, TARGET) or not step.inputs:
            continue
        before = History(history.campaign, history.last_run, history.steps[:i], earlier=history.earlier)
        designer = Designer(spec, geometry, before, lambda source, past=before: agent_of(spec, source, past))
        proposal = designer.next_check() if step.stage == CHECK else designer.next_film()
        if proposal is None:
            raise CampaignError(f"step {step.step} of campaign {history.campaign} is a check too many")
        box, proposed = designer.box(), proposal.inputs
        widths = {k: high - low for k, (low, high) in {**box.power_W, "pressure": box.pressure_mTorr}.items()}
        widths = {k: widths.get(k) or abs(value) for k, value in step.inputs.items()}
        difference = max(abs(proposed.get(k, 0.0) - value) / widths[k] for k, value in step.inputs.items())
        yield Replayed(step.step, step.stage, step.inputs, proposed, difference)
