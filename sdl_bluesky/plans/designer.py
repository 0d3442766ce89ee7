"""What a campaign makes after it has learned: checks of additivity, and films for a target. A function of the documents.

A designer is built from the campaign file, the geometry of the chamber and the decisions so far. Built again from the
catalogue it proposes the same, so that a campaign that was stopped goes on with the same film.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sdl_bluesky.analysis.design.inverse import deposition_time, design
from sdl_bluesky.analysis.health.additivity import choose_checks
from sdl_bluesky.analysis.runs import CHECK
from sdl_bluesky.errors import CampaignError, OutOfRange
from sdl_bluesky.plans.check_points import check_places
from sdl_bluesky.plans.history import Step
from sdl_bluesky.plans.knowledge import MEASURE, TARGET, Knowledge
from sdl_bluesky.plans.proposal import Proposal, plain_design

WORTH_IT = 0.02
"""A further film must promise to be in tolerance by so much more than the best one there is."""
NEAR = 0.1
"""Powers and pressures that differ by less than this share are the same to whoever vetoed them."""
UNTRUSTED = 1e-3
"""Probability of the misfit of the checks under which nothing explains their totals."""


class Designer(Knowledge):
    """Chooses checks and films; see `Knowledge` for what it is made of."""

    # checks

    def next_check(self) -> Proposal | None:
        """The next co-sputter setting without a film; None if there are enough of them, or they fail too often.

        Raises:
            OutOfRange: hardly any setting is left where all plasmas burn.
        """
        wanted, tried = self.spec.check_count, self.tried(CHECK)
        if len(self.succeeded(CHECK)) >= wanted or len(tried) >= 2 * wanted:
            return None
        box, known = self.box(), self.experience
        if len(box.elements) < 2:
            return None
        surfaces = {k: known.surfaces[k] for k in box.elements}
        failed = [s.inputs for s in tried if s.outcome == "failed"]
        vetoed = [s.inputs for s in tried if s.outcome == "vetoed"]

        def allowed(powers: Mapping[str, float], pressure: float) -> bool:
            lit = all(self.burns(k, p, pressure) for k, p in powers.items())
            unwanted = any(all(_near(one, k, p, pressure) for k, p in powers.items()) for one in vetoed)
            return lit and not unwanted and not any(_weaker(powers, pressure, one) for one in failed)

        remaining = max(1, wanted - len(known.checks))
        [check, *others] = choose_checks(
            surfaces,
            box.power_W,
            box.pressure_mTorr,
            n=remaining,
            done=known.shots,
            allowed=allowed,
            seed=self.spec.seed,
        )
        return Proposal(
            f"check-{self.spec.sample}-{len(tried) + 1}",
            {
                **{k: float(np.clip(p, *box.power_W[k])) for k, p in check.powers_W.items()},
                "pressure": float(np.clip(check.pressure_mTorr, *box.pressure_mTorr)),
            },
            {
                "acquisition": {"name": "information on the interaction", "value": check.information},
                "alternatives": [{**k.powers_W, "pressure": k.pressure_mTorr, "value": k.information} for k in others],
            },
            self.based_on(box),
        )

    def refuse_untrusted(self) -> None:
        """Stop a campaign whose sources do not add up in a way that can be corrected.

        Raises:
            CampaignError: no check could be made, or neither noise nor an interaction explains the totals.
        """
        if not self.spec.check_count or len(self.box().elements) < 2:
            return
        found = self.experience.assessment
        if found is None:
            raise CampaignError("none of the co-sputter checks could be made: see their decisions", self.history)
        if found.misfit_probability < UNTRUSTED:
            raise CampaignError(
                "the rates of the sources do not add up, and no interaction explains it "
                f"(p = {found.misfit_probability:.1g}): {'; '.join(found.findings) or 'the totals scatter'}. Look at the "
                "crystals and the targets, learn the sources again, or set `checks: 0` to go on all the same",
                self.history,
            )

    # films

    def next_film(self) -> Proposal:
        """The next film for the target.

        Raises:
            OutOfRange: the target cannot be reached; what can be is in the message.
        """
        target = self.spec.target
        assert target is not None
        box = self.box()
        failed = [s.inputs for s in self.tried(TARGET) if s.outcome == "failed"]
        vetoed = [s.inputs for s in self.tried(TARGET) if s.outcome == "vetoed"]
        inner = box.burns

        def burns(source: str, power: float, pressure: float) -> bool:
            weaker = any(power <= one[source] and pressure <= one["pressure"] for one in failed if source in one)
            unwanted = any(_near(one, source, power, pressure) for one in vetoed)
            return not weaker and not unwanted and (inner is None or inner(source, power, pressure))

        prediction, wanted = self.experience.prediction(), target.wanted()
        try:
            found = design(prediction, wanted, replace(box, burns=burns))
        except OutOfRange:
            if not failed or vetoed:
                raise
            found = design(prediction, wanted, box)  # nothing stronger is left: the same again, it may have been chance
        duration = target.duration or deposition_time(found, target.thickness or 0.0)
        return Proposal(
            f"target-{self.spec.sample}-{len(self.tried(TARGET)) + 1}",
            {**found.powers_W, "pressure": found.pressure_mTorr, "duration": duration},
            {
                "acquisition": {"name": "probability in tolerance", "value": found.probability},
                "alternatives": [plain_design(k) for k in found.alternatives],
                "expected": plain_design(found),
            },
            self.based_on(box),
        )

    def best(self) -> tuple[Step, dict[str, Any]] | None:
        """The film with the highest probability by everything that is known now; None without a film."""
        films = [(step, self.judged(step)) for step in self.succeeded(TARGET)]
        return max(films, key=lambda pair: pair[1]["probability"]) if films else None

    def unmeasured(self) -> Step | None:
        """The newest film, if it should be measured: the file says so, and it is not known to be in tolerance."""
        target, films = self.spec.target, self.succeeded(TARGET)
        if target is None or target.measure is None or not films:
            return None
        measured = {s.inputs.get("film_step") for s in self.tried(MEASURE)}
        newest = films[-1]
        return None if newest.step in measured or self._reached(self.judged(newest)) else newest

    def places(self) -> list[tuple[float, float]]:
        """Where a film is measured by backscattering [mm]."""
        target = self.spec.target
        assert target is not None
        return check_places(target.wanted().points_mm, self.chamber.x_mm, self.chamber.y_mm)

    def elements(self, film: Step) -> list[str]:
        """Elements of a film."""
        return list(dict.fromkeys(self.chamber.elements[k] for k in film.inputs if k in self.chamber.elements))

    def verdict(self) -> tuple[bool, str]:
        """Whether the target needs no further film, and why."""
        target = self.spec.target
        if target is None or not self.tried(TARGET):
            return False, ""
        best = self.best()
        used = sum(step.outcome != "vetoed" for step in self.tried(TARGET))
        said = ""
        if best is not None:
            said = f"the film of step {best[0].step} is in tolerance with a probability of {best[1]['probability']:.2f}"
            if self._reached(best[1]):
                return True, said
        if used >= target.depositions:
            return True, f"{used} of {target.depositions} deposition(s) used; {said or 'none of them made a film'}"
        return False, ""

    def worth_it(self, proposal: Proposal) -> tuple[bool, str]:
        """Whether a proposed film promises more than the best one that there is, and the words if it does not."""
        best = self.best()
        if best is None:
            return True, ""
        old, new = best[1]["probability"], float(proposal.explain["acquisition"]["value"])
        words = (
            f"a further film would not be more likely in tolerance ({new:.2f}) than that of step {best[0].step} "
            f"({old:.2f}): what limits is the calibration of the sensors; measure the film (`measure: rbs`), or widen the "
            "tolerance"
        )
        return (True, "") if new > old + WORTH_IT else (False, words)

    def _reached(self, judged: Mapping[str, Any]) -> bool:
        assert self.spec.target is not None
        return float(judged["probability"]) >= self.spec.target.confidence / 100.0


def _weaker(powers: Mapping[str, float], pressure: float, failed: Mapping[str, float]) -> bool:
    """Whether a setting is no stronger, in any respect, than one that failed."""
    return pressure <= failed["pressure"] and all(p <= failed[k] for k, p in powers.items() if k in failed)


def _near(one: Mapping[str, float], source: str, power: float, pressure: float) -> bool:
    """Whether a source would run much as in a setting that was not wanted."""
    if source not in one:
        return False
    return abs(power - one[source]) <= NEAR * one[source] and abs(pressure - one["pressure"]) <= NEAR * one["pressure"]
