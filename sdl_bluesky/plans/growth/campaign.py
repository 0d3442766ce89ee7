"""A growth campaign as a plan: an agent chooses flows, the reactor grows, light and diffraction tell what grew.

As in `plans.campaign`, the campaign is a run of its own around the runs of its layers, and holds no state that is not in
documents. How a layer is grown and what its run says is handed in (`Grower`), so that any reactor serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bluesky.utils import MsgGenerator

from sdl_bluesky.agents import PIBOAgent
from sdl_bluesky.agents.stopping import Budget
from sdl_bluesky.errors import CampaignError, IngestError, InterlockTripped, OutOfRange, SDLError, Vetoed, WeakSignal
from sdl_bluesky.plans.approval import Approval
from sdl_bluesky.plans.decision import FIELDS, STREAM, Decision
from sdl_bluesky.plans.growth.file import PRELIMINARY, GrowthFile
from sdl_bluesky.plans.history import VETOED, History, feed
from sdl_bluesky.plans.record import Record
from sdl_bluesky.plans.step import RUN_KEY, Log, Measured, Observer, do_step
from sdl_bluesky.plans.stubs import in_thread, recorded

FAILURES = (InterlockTripped, WeakSignal, IngestError)
"""Errors that spoil one layer and no more; any other ends the campaign, and so does a trip that nobody has acknowledged."""
MOST_FAILURES = 3
"""Layers in a row that may be spoiled before the campaign ends."""


class Grower(Protocol):
    """A reactor as a campaign sees it."""

    def grow(self, flows: Mapping[str, float], sample: str, md: Mapping[str, Any]) -> MsgGenerator[Measured]:
        """Grow and measure one layer with flows {"f_ga": sccm, "f_as": sccm}, as one run."""
        ...

    def row(self, uid: str, data: Mapping[str, Any]) -> dict[str, float]:
        """What an agent learns of it: flows as read back, wavelength, lattice, "<outcome>_std", and maybe "maintenance".

        Raises:
            WeakSignal, OutOfRange: its light or its diffraction tell no layer.
        """
        ...


@dataclass(frozen=True)
class _Part(Log):
    grower: Grower
    spec: GrowthFile


def growth_agent(spec: GrowthFile, earlier: Sequence[Mapping[str, Any]] = ()) -> PIBOAgent:
    """A new agent of a campaign: a function of the campaign file and the layers of earlier campaigns alone."""
    grow, first = spec.grow, spec.grow.targets[0]
    agent = PIBOAgent(
        bounds={"f_ga": grow.f_ga, "f_as": grow.f_as},
        target=first.as_aim(),
        model=grow.model,
        acquisition=grow.acquisition,
        p=grow.quantile,
        campaign=spec.name,
        phase=None if grow.phase is None else grow.phase.as_table(),
        budget=first.runs,
        seed=spec.seed,
    )
    for row in earlier:
        agent.ingest([dict(row)])
    return agent


def agent_before(
    spec: GrowthFile, history: History, stage: str, earlier: Sequence[Mapping[str, Any]] = (), steps: int | None = None
) -> PIBOAgent:
    """The agent at a stage, with all that was learned by then and the first `steps` of the stage (all by default)."""
    agent = growth_agent(spec, earlier)
    feed(agent, history.of(PRELIMINARY))
    for target in spec.grow.targets:
        agent.retarget(target.as_aim())
        agent.budget = Budget(target.runs)
        own = history.of(target.stage)
        feed(agent, own if target.stage != stage else own[:steps])
        if target.stage == stage:
            return agent
    raise CampaignError(f"the campaign has no stage {stage!r}: {', '.join(spec.stages())}", history)


def run_growth(
    grower: Grower,
    spec: GrowthFile,
    *,
    history: History | None = None,
    earlier: Sequence[Mapping[str, Any]] = (),
    md: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    approval: Approval | None = None,
) -> MsgGenerator[History]:
    """Grow the preliminary layers, then layers for each target until it is met or its runs are used.

    Args:
        grower: the reactor.
        spec: the campaign file.
        history: what was done before, from the catalogue; None for a new campaign.
        earlier: rows of the layers of `spec.grow.earlier`, each with its "campaign".
        md: more metadata for the campaign's start document.
        observer: called after each decision with the step and the reason to stop, if any.
        approval: the lab's rules of what a person must allow.

    Returns:
        The history, completed.

    Raises:
        CampaignError: too many layers in a row were spoiled, or the reactor has tripped and waits for a person.
        SDLError: what ended the campaign. The decisions made by then are in the documents.
    """
    past = history or History()
    start = {
        "plan_name": "run_growth",
        "purpose": "campaign",
        "goal": spec.goal,
        "campaign_name": spec.name,
        "campaign_file": spec.as_document(),
        "sample": spec.sample,
        "agent_seed": spec.seed,
        **({"campaign": past.campaign, "resumes": past.last_run} if past.campaign else {}),
        **(md or {}),
    }
    part = _Part(past, observer, Record(STREAM, FIELDS), approval, grower, spec)
    opened: list[str] = []

    def stages() -> MsgGenerator[None]:
        past.campaign = past.campaign or opened[0]
        past.last_run = opened[0]
        yield from _preliminary(part, earlier)
        for target in spec.grow.targets:
            yield from _target(part, target.stage, earlier)

    yield from recorded(stages(), start, opened, key=RUN_KEY)
    return past


def _preliminary(part: _Part, earlier: Sequence[Mapping[str, Any]]) -> MsgGenerator[None]:
    agent = growth_agent(part.spec, earlier)
    done = part.history.of(PRELIMINARY)
    feed(agent, done)
    finished = {s.suggestion_id for s in done if s.outcome != "aborted"}
    layers = part.spec.grow.preliminary
    for k, flows in enumerate(layers, 1):
        name = f"{PRELIMINARY}-{k}"
        if name in finished:
            continue
        point = {"f_ga": flows.f_ga, "f_as": flows.f_as}
        decision = Decision(part.history.next_step, PRELIMINARY, "campaign file", name, point, [])
        end = (True, "the preliminary layers are grown") if k == len(layers) else (False, "")
        yield from _layer(part, agent, decision, lambda end=end: end)


def _target(part: _Part, stage: str, earlier: Sequence[Mapping[str, Any]]) -> MsgGenerator[None]:
    agent = yield from in_thread(lambda: agent_before(part.spec, part.history, stage, earlier))
    stop, _ = yield from in_thread(agent.should_stop)
    while not stop:
        [suggestion] = yield from in_thread(lambda: agent.suggest(1))
        point = dict(suggestion)
        name = str(point.pop("_id"))
        told = agent.explain()
        explain = {**told, "expected": told.get("prediction"), "prediction": {}}
        known = [uid for k in part.spec.stages() for uid in part.history.uids(k)]
        decision = Decision(part.history.next_step, stage, agent.name, name, point, known, explain)
        yield from _layer(part, agent, decision, agent.should_stop)
        stop, _ = yield from in_thread(agent.should_stop)


def _layer(part: _Part, agent: PIBOAgent, decision: Decision, should_stop: Any) -> MsgGenerator[None]:
    """One layer: grown, measured, learned from; a spoiled one is told to the agent and no place is blamed for it."""
    made: list[str] = []

    def experiment(md: dict[str, Any]) -> MsgGenerator[Measured]:
        try:
            measured = yield from part.grower.grow(decision.inputs, part.spec.sample, md)
        except InterlockTripped as fault:
            if getattr(fault, "run_uid", ""):
                raise
            told = (
                "nothing was grown; put it right and acknowledge it, then `sdl campaign resume` goes on with this layer"
            )
            raise CampaignError(f"{fault}: {told}", part.history) from fault
        made.append(measured.uid)
        return measured

    def learned(data: Mapping[str, Any]) -> dict[str, Any]:
        uid = made[-1] if made else ""
        try:
            row = {"_id": decision.suggestion_id, "uid": uid, **part.grower.row(uid, data)}
        except OutOfRange as fault:
            raise WeakSignal(str(fault)) from fault
        agent.ingest([row])
        return row

    def failed(fault: SDLError) -> dict[str, Any]:
        told = {VETOED: True} if isinstance(fault, Vetoed) else {"exclude": False, **_refused(fault, agent)}
        agent.register_failures([{"_id": decision.suggestion_id, **decision.inputs, **told}])
        return told

    yield from do_step(part, decision, experiment, learned, failed, should_stop, FAILURES)
    latest = [s.outcome for s in part.history.steps[-MOST_FAILURES:]]
    if len(latest) == MOST_FAILURES and set(latest) == {"failed"}:
        raise CampaignError(
            f"{MOST_FAILURES} layers in a row were spoiled: look at the reactor, then `sdl campaign resume` goes on",
            part.history,
        )


def _refused(fault: SDLError, agent: PIBOAgent) -> dict[str, Any]:
    refused = agent.refused[-1]["row"] if isinstance(fault, IngestError) and agent.refused else None
    return {} if refused is None else {"refused": dict(refused)}
