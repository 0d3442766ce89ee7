"""What other agents would have picked in a recorded campaign, and what that would have cost by everything known since.

At each decision of an agent, other agents are given what it knew and asked for their point. Two numbers compare the
points: `disagreement`, the largest difference of an input as a part of its range, and `regret`, in hindsight:

* of a rate, the error over the whole range after that one reading, less the error after the reading that was made, in
  percent of the mean rate. The model with all readings of the campaign is taken for the truth, and both readings are as
  it says;
* of a layer, the probability of being in specification at the point that was grown, less that at the other point, by
  the model with all layers of the campaign.

A negative regret is a point that would have been better. The truth is a model's, so differences below its own error
mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdl_bluesky.agents.learner import RateAgent
from sdl_bluesky.agents.pibo import PIBOAgent
from sdl_bluesky.errors import CampaignError, SDLError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.plans.campaign import agent_for, agent_of
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.growth.campaign import agent_before
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.history import History, Step, feed

RATE_OTHERS: Mapping[str, Mapping[str, str]] = {
    "nipv": {"agent": "balm", "acquisition": "nipv"},
    "bald": {"agent": "balm", "acquisition": "bald"},
    "random": {"agent": "random"},
    "plain GP": {"agent": "balm", "model": "standard", "acquisition": "balm-published", "initial": "corners"},
}
"""Settings of the agents beside that of a source; "plain GP" is a general model with the published criterion."""
GROWTH_OTHERS: Mapping[str, Mapping[str, str]] = {
    "published": {"model": "published", "acquisition": "published"},
    "probability": {"model": "log-odds", "acquisition": "probability"},
    "plain GP": {"model": "gp", "acquisition": "distance"},
}
RANDOM = "random"
_FEWEST = 3
"""Readings of a source, or layers, that there must be for a hindsight."""
_FEWEST_BEFORE = 2
"""Readings of a source before a decision: what one more adds to nothing says little."""


@dataclass(frozen=True)
class Other:
    """The point of another agent at one decision.

    Attributes:
        step, stage: of the decision.
        agent: who would have picked it.
        point: what it would have picked; empty if it had nothing to propose.
        disagreement: from the recorded point, as a part of the range.
        regret: see above; NaN without a hindsight.
    """

    step: int
    stage: str
    agent: str
    point: Mapping[str, float]
    disagreement: float
    regret: float


@dataclass(frozen=True)
class Summary:
    """One agent over one stage: means over its decisions, and how many of them it would have improved."""

    stage: str
    agent: str
    decisions: int
    disagreement: float
    regret: float
    better: int


def others(spec: CampaignFile | GrowthFile, history: History, earlier: Sequence[Any] = ()) -> Iterator[Other]:
    """What other agents would have picked, decision by decision.

    Args:
        spec: the campaign file.
        history: the campaign, from the catalogue.
        earlier: rows of earlier campaigns, which a growth campaign learned from.

    Raises:
        CampaignError: the campaign has no decision of an agent.
    """
    found = False
    for one in _layers(spec, history, earlier) if isinstance(spec, GrowthFile) else _rates(spec, history):
        found = True
        yield one
    if not found:
        raise CampaignError("the campaign has no decision of an agent yet", history)


def summarised(found: Sequence[Other]) -> list[Summary]:
    """By stage and agent, in the order in which they appear."""
    groups: dict[tuple[str, str], list[Other]] = {}
    for one in found:
        groups.setdefault((one.stage, one.agent), []).append(one)
    table = []
    for (stage, agent), rows in groups.items():
        away = [k.disagreement for k in rows if np.isfinite(k.disagreement)]
        regret = [k.regret for k in rows if np.isfinite(k.regret)]
        better = sum(v < 0 for v in regret)
        table.append(Summary(stage, agent, len(rows), _mean(away), _mean(regret), better))
    return table


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _rates(spec: CampaignFile, history: History) -> Iterator[Other]:
    for source, learn in spec.learn.items():
        steps = history.of(f"learn:{source}")
        if sum(s.outcome == "success" for s in steps) < _FEWEST:
            continue
        ranges, before = {"power": learn.power, "pressure": learn.pressure}, history.earlier_rows(source)
        full = agent_of(spec, source, history)
        truth = _RateTruth(full, before)
        for i, step in enumerate(steps):
            if step.outcome == "aborted":
                continue
            known = sum(s.outcome == "success" for s in steps[:i]) >= _FEWEST_BEFORE
            base = truth.error_after(spec, source, steps[:i], step.inputs) if known else float("nan")
            for name, settings in RATE_OTHERS.items():
                other = spec.model_copy(
                    update={"learn": {**spec.learn, source: learn.model_copy(update=dict(settings))}}
                )
                point = _point(agent_for(other, source, before), steps[:i], ranges)
                regret = truth.error_after(spec, source, steps[:i], point) - base if point and known else float("nan")
                yield Other(step.step, step.stage, name, point, _away(point, step.inputs, ranges), regret)


class _RateTruth:
    """The model with all readings of a source, taken for the truth."""

    def __init__(self, full: RateAgent, earlier: Sequence[Mapping[str, Any]] = ()) -> None:
        self._full, self._points, self._earlier = full, full.space.candidates, earlier
        self._inside = full.burning(self._points)
        self._rate = full.predict(self._points)[0]

    def error_after(self, spec: CampaignFile, source: str, before: Sequence[Step], point: Mapping[str, float]) -> float:
        """RMS error [% of the mean rate] when a reading at `point` is added to those before."""
        agent = agent_for(spec, source, self._earlier)
        feed(agent, before)
        x = np.array([[point[k] for k in agent.space.names]])
        agent.ingest([{**point, "rate": float(self._full.predict(x)[0][0])}])
        use = self._inside if self._inside.any() else np.ones_like(self._inside)
        off = agent.predict(self._points[use])[0] - self._rate[use]
        return 100.0 * float(np.sqrt(np.mean(off**2)) / abs(self._rate[use].mean()))


def _layers(spec: GrowthFile, history: History, earlier: Sequence[Any]) -> Iterator[Other]:
    ranges = {"f_ga": spec.grow.f_ga, "f_as": spec.grow.f_as}
    for number, target in enumerate(spec.grow.targets):
        steps = history.of(target.stage)
        if not any(s.outcome == "success" for s in steps):
            continue
        full = agent_before(spec, history, spec.stages()[-1], earlier)
        full.retarget(target.as_aim())
        chance = _Chance(full) if len(full.ledger.y) >= _FEWEST else None
        for i, step in enumerate(steps):
            if step.outcome == "aborted":
                continue
            base = chance.at(step.inputs) if chance else float("nan")
            points = {
                name: _growth_point(spec, history, target.stage, earlier, i, settings)
                for name, settings in GROWTH_OTHERS.items()
            }
            unit = np.random.default_rng([spec.seed, number, i]).random(2)
            points[RANDOM] = {k: float(low + u * (high - low)) for u, (k, (low, high)) in zip(unit, ranges.items())}
            for name, point in points.items():
                regret = base - chance.at(point) if point and chance else float("nan")
                yield Other(step.step, step.stage, name, point, _away(point, step.inputs, ranges), regret)


class _Chance:
    """Probability of being in specification by the model with all layers."""

    def __init__(self, full: PIBOAgent) -> None:
        self._full = full

    def at(self, point: Mapping[str, float]) -> float:
        flows: Array = np.array([[point["f_ga"], point["f_as"]]])
        return float(self._full.aim.probability(self._full.posterior().normal(flows))[0])


def _growth_point(
    spec: GrowthFile,
    history: History,
    stage: str,
    earlier: Sequence[Any],
    steps: int,
    settings: Mapping[str, str],
) -> dict[str, float]:
    other = spec.model_copy(update={"grow": spec.grow.model_copy(update=dict(settings))})
    try:
        [point] = agent_before(other, history, stage, earlier, steps).suggest(1)
    except SDLError:  # it has nothing to propose, which is an answer
        return {}
    return {k: float(point[k]) for k in ("f_ga", "f_as")}


def _point(agent: RateAgent, before: Sequence[Step], ranges: Mapping[str, Any]) -> dict[str, float]:
    feed(agent, before)
    try:
        [point] = agent.suggest(1)
    except SDLError:  # it has nothing to propose, which is an answer
        return {}
    return {k: float(point[k]) for k in ranges}


def _away(
    point: Mapping[str, float], recorded: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> float:
    if not point:
        return float("nan")
    return max(abs(point[k] - recorded[k]) / (high - low) for k, (low, high) in ranges.items())
