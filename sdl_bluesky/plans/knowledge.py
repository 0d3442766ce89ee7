"""What a campaign knows after it has learned: its decisions, and the models that follow from their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.design.inverse import Box
from sdl_bluesky.analysis.experience import Experience
from sdl_bluesky.analysis.maps.readings import Points
from sdl_bluesky.analysis.runs import CHECK, FILMS, Experiment
from sdl_bluesky.errors import CampaignError
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.check_points import RecordedPoints
from sdl_bluesky.plans.history import History, Step
from sdl_bluesky.plans.proposal import NOT_POWERS, plain_composition

TARGET, MEASURE = FILMS[1], "measure"
LIT = 0.95
"""Least probability with which the plasmas of a check or a film burn."""

Fed: TypeAlias = Callable[[str], Any]


class Knowledge:
    """The decisions of a campaign, and the models that follow from their runs.

    Args:
        spec: the campaign file.
        geometry: of the chamber, as in start documents.
        history: the decisions so far; looked at whenever something is asked.
        agent: gives the agent of a source, fed with what the campaign has learned: it knows where a plasma burns.
    """

    def __init__(self, spec: CampaignFile, geometry: Mapping[str, Any], history: History, agent: Fed) -> None:
        self.spec, self._geometry, self.history = spec, dict(geometry), history
        self.chamber = Chamber.from_start({"uid": "campaign", "geometry": geometry})
        self._agent, self._agents = agent, {}
        self._heard: Step | None = None
        self._base: Experience | None = None
        self._known: tuple[tuple[Any, ...], Experience] | None = None

    def hear(self, step: Step) -> dict[str, Any]:
        """Take a step whose decision is not written yet; returns what it tells, for that decision.

        Of a check the assessment of all so far; of a film its composition and the probability that it is in tolerance;
        of measured points what they said, and what every film is taken for since; nothing of a failure.
        """
        self._heard = step
        if step.outcome != "success":
            return {}
        if step.stage == CHECK:
            return self.assessed()
        if step.stage == TARGET:
            return self.judged(step)
        return {**(step.row or {}), "judged": [self.judged(film) for film in self.succeeded(TARGET)]}

    @property
    def experience(self) -> Experience:
        """The model of everything that the campaign has measured."""
        if self._base is None:
            learned = {k: [*self.earlier(k), *self.runs(f"learn:{k}", [k])] for k in self.spec.learn}
            self._base = Experience(self.chamber, learned)
            _ = self._base.surfaces  # learned once, for all that follows
        checks, films = self.runs(CHECK), self.runs(TARGET)
        points: dict[str, Points] = {}
        for step in self.succeeded(MEASURE):
            if step.row is not None:
                points[str(step.row["film"])] = RecordedPoints.of(step.row)
        key = tuple(k.uid for k in (*checks, *films)), tuple(points)
        if self._known is None or self._known[0] != key:
            self._known = (key, self._base.more(checks, films, points))
        return self._known[1]

    def box(self) -> Box:
        """Where films may lie: within what was learned, with the wanted sources and pressure, and where plasmas burn.

        Raises:
            OutOfRange: the wanted pressure was not learned. UnknownName: an element is wanted that no source has.
        """
        spec = self.spec
        names = spec.film_sources
        low = max(spec.learn[k].pressure[0] for k in names)
        high = min(spec.learn[k].pressure[1] for k in names)
        elements = {k: self.chamber.elements[k] for k in names}
        box = Box(elements, {k: spec.learn[k].power for k in names}, (low, high), self.burns)
        film = spec.target or spec.deposit
        if film is not None and film.pressure is not None:
            box = box.at_pressure(film.pressure)
        return box if spec.target is None else box.for_target(spec.target.wanted())

    def burns(self, source: str, power_W: float, pressure_mTorr: float) -> bool:
        """Whether a plasma is likely enough to burn for a check or a film."""
        if source not in self._agents:
            self._agents[source] = self._agent(source)
        return bool(self._agents[source].lit_probability(np.array([[power_W, pressure_mTorr]]))[0] >= LIT)

    def assessed(self) -> dict[str, Any]:
        """What the checks so far say, as it stands in the documents."""
        found = self.experience.assessment
        return {} if found is None else found.as_document()

    def judged(self, step: Step) -> dict[str, Any]:
        """What is known of a film now: fractions where they are wanted, with errors, and the probability in tolerance."""
        target = self.spec.target
        assert target is not None
        wanted, known = target.wanted(), self.experience
        film = next(k for k in known.films if k.uid == step.uid)
        found = known.judged(film, wanted.points_mm)
        return {
            "film": step.uid,
            **plain_composition(found, wanted.points_mm),
            "probability": wanted.probability(found.elements, found.samples),
            "findings": list(found.findings),
        }

    def tried(self, stage: str) -> list[Step]:
        """Steps of a stage that told something, successes and failures, the one that was just heard of included."""
        steps = [s for s in self.history.of(stage) if s.outcome != "aborted"]
        new = self._heard
        if new is not None and new.stage == stage and all(s.step != new.step for s in steps):
            steps.append(new)
        return steps

    def succeeded(self, stage: str) -> list[Step]:
        """The successes among them."""
        return [s for s in self.tried(stage) if s.outcome == "success"]

    def runs(self, stage: str, sources: Sequence[str] | None = None) -> list[Experiment]:
        """The experiments behind the successes of a stage.

        Raises:
            CampaignError: one has no data.
        """
        found: list[Experiment] = []
        for step in self.succeeded(stage):
            if step.data is None:
                raise CampaignError(f"step {step.step} is a success without data: its run {step.uid} cannot be read")
            names = list(sources or (k for k in step.inputs if k not in NOT_POWERS))
            start = {"uid": step.uid, "sources": names, "geometry": self._geometry}
            found.append(Experiment.of(start, step.data))
        return found

    def earlier(self, source: str) -> list[Experiment]:
        """Earlier runs of a source under the setting of today.

        Raises:
            CampaignError: one has no data.
        """
        runs = [run for run in self.history.earlier.get(source, ()) if run.same_setting]
        for run in runs:
            if run.data is None:
                raise CampaignError(f"the earlier run {run.uid} cannot be read")
        starts = [{"uid": run.uid, "sources": [source], "geometry": self._geometry} for run in runs]
        return [Experiment.of(start, run.data or {}) for start, run in zip(starts, runs, strict=True)]

    def based_on(self, box: Box) -> list[str]:
        """Runs from which a choice within the box follows."""
        learned = [uid for source in box.elements for uid in self.history.of_today(source)]
        return learned + [uid for stage in (CHECK, TARGET, MEASURE) for uid in self.history.uids(stage)]
