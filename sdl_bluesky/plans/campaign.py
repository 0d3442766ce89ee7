"""A campaign as a plan: an agent chooses, the lab does, the agent learns; every decision is a document.

The campaign is a run of its own (run key ``campaign``) around the runs of its experiments. It holds no state that is not
in documents: given the history that the catalogue tells, it goes on where the last one stopped, with the same next point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky.utils import MsgGenerator

from sdl_bluesky.agents import make_agent
from sdl_bluesky.devices import Chamber
from sdl_bluesky.errors import CampaignError, IngestError, SDLError
from sdl_bluesky.plans.approval import Approval
from sdl_bluesky.plans.campaign_file import CampaignFile, Learn
from sdl_bluesky.plans.decision import FIELDS, STREAM, Decision
from sdl_bluesky.plans.designer import Designer
from sdl_bluesky.plans.film_stages import check_stage, target_stage
from sdl_bluesky.plans.history import History, failure_of, feed, row_of
from sdl_bluesky.plans.preflight import check_campaign
from sdl_bluesky.plans.record import Record
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.sputter import Measurement
from sdl_bluesky.plans.step import RUN_KEY, Log, Observer, do_step
from sdl_bluesky.plans.stubs import in_thread, recorded
from sdl_bluesky.plans.work import ChamberWork, EndStation, Work


@dataclass(frozen=True)
class Part(Log):
    """What is the same for all steps of one campaign in a sputter chamber."""

    work: Work
    spec: CampaignFile


def agent_for(spec: CampaignFile, source: str, earlier: Sequence[Mapping[str, Any]] = ()) -> Any:
    """A new agent for one source of a campaign: a function of the campaign file, and of the earlier rows that it names."""
    agent = _new_agent(spec, source)
    if earlier:
        agent.ingest([dict(row) for row in earlier])
    return agent


def _new_agent(spec: CampaignFile, source: str) -> Any:
    learn: Learn = spec.learn[source]
    common = {
        "bounds": {"power": learn.power, "pressure": learn.pressure},
        "objective": "rate",
        "budget": learn.experiments,
        "seed": spec.seed * 1009 + list(spec.learn).index(source),
        "extinction": learn.extinction,
        "target_life": learn.target_life,
    }
    if learn.agent != "balm":
        return make_agent(learn.agent, **common)
    return make_agent(
        "balm",
        **common,
        model=learn.model,
        acquisition=learn.acquisition,
        initial=learn.initial,
        tolerance=None if learn.tolerance is None else learn.tolerance / 100.0,
    )


def agent_of(spec: CampaignFile, source: str, history: History) -> Any:
    """The agent of a source, with all that a campaign has learned of it."""
    agent = agent_for(spec, source, history.earlier_rows(source))
    feed(agent, history.of(f"learn:{source}"))
    return agent


def run_campaign(
    chamber: Chamber,
    spec: CampaignFile,
    settings: SputterSettings,
    *,
    history: History | None = None,
    md: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    geometry: Mapping[str, Any] | None = None,
    end_station: EndStation | None = None,
    approval: Approval | None = None,
) -> MsgGenerator[History]:
    """A campaign on the machines of this process; the other arguments are those of `campaign_on`.

    Args:
        chamber: real or simulated.
        spec: the campaign file.
        settings: how experiments are done.
        end_station: where films are measured, if the campaign file says so.

    Raises:
        SDLError: a fault of the campaign file, before anything moves; or as `campaign_on`.
    """
    check_campaign(chamber, spec, settings, geometry=geometry, end_station=end_station is not None)
    work = ChamberWork(chamber, settings, end_station)
    known = {"history": history, "md": md, "observer": observer, "geometry": geometry, "approval": approval}
    return (yield from campaign_on(work, spec, **known))


def campaign_on(
    work: Work,
    spec: CampaignFile,
    *,
    history: History | None = None,
    md: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    geometry: Mapping[str, Any] | None = None,
    approval: Approval | None = None,
) -> MsgGenerator[History]:
    """Learn every source of a campaign, check whether their rates add up, and make its film or films.

    Args:
        work: does the experiments.
        spec: the campaign file.
        history: what was done before, from the catalogue; None for a new campaign.
        md: more metadata for the campaign's start document.
        observer: called after each decision with the step and the reason to stop, if any; for progress displays.
        geometry: of the chamber, as in start documents; needed by checks and by a target.
        approval: the lab's rules of what a person must allow.

    Returns:
        The history, completed.

    Raises:
        CampaignError: the campaign file names earlier runs, and the history of a new campaign does not hold them.
        SDLError: what ended the campaign. The decisions made by then are in the documents.
    """
    past = history or History()
    if spec.wants_earlier and not past.earlier:
        raise CampaignError(
            "the campaign file names earlier runs, and nobody looked for them (`plans.earlier.find_earlier`): run it with "
            "`sdl campaign run`, or leave `earlier` out; nothing was moved"
        )
    start = {
        "plan_name": "run_campaign",
        "purpose": "campaign",
        "goal": spec.goal,
        "campaign_name": spec.name,
        "campaign_file": spec.as_document(),
        "sample": spec.sample,
        "sources": list(dict.fromkeys([*spec.learn, *spec.film_sources])),
        "agent_seed": spec.seed,
        **({"earlier": {k: [run.row for run in v] for k, v in past.earlier.items()}} if past.earlier else {}),
        **({"campaign": past.campaign, "resumes": past.last_run} if past.campaign else {}),
        **(md or {}),
    }
    part = Part(past, observer, Record(STREAM, FIELDS), approval, work, spec)
    opened: list[str] = []

    def stages() -> MsgGenerator[None]:
        past.campaign = past.campaign or opened[0]
        past.last_run = opened[0]
        for source in spec.learn:
            yield from _learn(part, source)
        if geometry is not None and (spec.check_count or spec.target is not None):
            designer = Designer(spec, geometry, past, lambda source: agent_of(spec, source, past))
            yield from check_stage(part, designer)
            if spec.target is not None:
                yield from target_stage(part, designer)
        if spec.deposit is not None:
            yield from _deposit(part)

    yield from recorded(stages(), start, opened, key=RUN_KEY)
    return past


def _learn(part: Part, source: str) -> MsgGenerator[None]:
    stage = f"learn:{source}"
    agent = agent_of(part.spec, source, part.history)
    sensor = part.spec.sensor or part.work.sensors[0]
    stop, _ = agent.should_stop()
    while not stop:
        [point] = yield from in_thread(lambda: agent.suggest(1))
        point = dict(point)
        suggestion_id = str(point.pop("_id"))
        decision = Decision(
            part.history.next_step,
            stage,
            part.spec.learn[source].agent,
            suggestion_id,
            point,
            part.history.known(source),
            agent.explain(),
        )

        def experiment(md: dict[str, Any], point: dict[str, float] = point) -> MsgGenerator[Measurement]:
            return part.work.rate(
                source,
                point["power"],
                point["pressure"],
                sample=part.spec.sample,
                sensor=sensor,
                careful_below=agent.careful_below(point),
                md=md,
            )

        def learned(data: Mapping[str, Any], suggestion_id: str = suggestion_id) -> dict[str, Any]:
            row = row_of(data, source, sensor, suggestion_id)
            try:
                agent.ingest([row])
            except IngestError as fault:
                if row.get("crystal_life", math.inf) > 0:
                    raise
                raise CampaignError(
                    f"the crystal of {sensor} is dead: replace it, then `sdl campaign resume` measures this point again",
                    failure_of(fault, row),
                ) from fault
            return row

        def failed(
            fault: SDLError, point: dict[str, float] = point, suggestion_id: str = suggestion_id
        ) -> dict[str, Any]:
            refused = agent.refused[-1]["row"] if isinstance(fault, IngestError) else None
            told = failure_of(fault, refused)
            agent.register_failures([{"_id": suggestion_id, **point, **told}])
            return told

        yield from do_step(part, decision, experiment, learned, failed, agent.should_stop)
        stop, _ = agent.should_stop()


def _deposit(part: Part) -> MsgGenerator[None]:
    deposit = part.spec.deposit
    assert deposit is not None
    if any(s.outcome == "success" for s in part.history.of("deposit")):
        return
    models = {source: part.history.of_today(source) for source in part.spec.learn}
    decision = Decision(
        part.history.next_step,
        "deposit",
        "campaign file",
        f"deposit-{part.spec.sample}",
        {**deposit.powers, "pressure": deposit.pressure, "duration": deposit.duration},
        [uid for uids in models.values() for uid in uids],
    )

    def experiment(md: dict[str, Any]) -> MsgGenerator[Measurement]:
        return part.work.film(
            deposit.powers,
            deposit.pressure,
            deposit.duration,
            sample=part.spec.sample,
            based_on=models,
            md=md,
        )

    yield from do_step(
        part, decision, experiment, lambda _: {}, lambda _: {}, lambda: (True, "the film was the last step")
    )
    last = part.history.steps[-1]
    if last.outcome != "success":
        raise CampaignError(f"the film could not be made as the campaign file says; see run {last.uid}", part.history)
