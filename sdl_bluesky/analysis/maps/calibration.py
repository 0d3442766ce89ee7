"""What measured points of films tell of a chamber: tooling factors of its sensors, sticking and mismatch of its sources.

    calibration = calibrate(films, chamber.sensors, chamber.tooling_std)
    composition_map(..., calibration=calibration)      Prediction(surfaces, chamber, calibration)

All films, with their rates, totals and points, are solved together (`joint`). Which sources stick poorly is a question
of yes or no for each, answered by the evidence: of the answers, the most probable one is kept, and a poorly sticking source
is accepted only where that is more probable than the simpler answer without it (Occam's window: Madigan and Raftery,
J. Am. Stat. Assoc. 89, 1535 (1994)). A point that stands apart from all the rest is left out, with a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from scipy.stats import chi2

from sdl_bluesky.analysis.maps.joint import Joint, Sticking, solve
from sdl_bluesky.analysis.maps.pattern import Prior
from sdl_bluesky.analysis.maps.readings import Film, SourceRates
from sdl_bluesky.physics.geometry import Array, SensorGeometry

MOST_POOR = 2
"""Sources of a chamber that may stick poorly."""
APART = 1e-4
"""Probability under which a point stands apart, over the number of points."""
SIGMAS = 3.0
"""Standard deviations below 0 of ln sigma that make a finding."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of a chamber.

    Attributes:
        names: of the numbers [k]: ln_tooling:SENSOR, ln_sticking:SOURCE, diffuse:SOURCE, square_radius_cm2:SOURCE.
        mean, covariance: [k], [k, k].
        findings: what a person should look at.
        derived_from: uids of the films.
        films: what it was made of; later films are solved together with them.
        poor: sources that stick poorly.
        left_out: (uid of film, number of point) that stand apart.
        prior: what was assumed of sources.
    """

    names: tuple[str, ...]
    mean: Array
    covariance: Array
    findings: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    films: tuple[Film, ...] = ()
    poor: tuple[str, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    prior: Prior = field(default_factory=Prior)

    def of(self, name: str) -> tuple[float, float]:
        """Mean and standard error of one of the numbers."""
        k = self.names.index(name)
        return float(self.mean[k]), float(np.sqrt(self.covariance[k, k]))


def calibrate(
    films: Sequence[Film],
    sensors: Mapping[str, SensorGeometry],
    tooling_std: float,
    *,
    witnesses: Sequence[SourceRates] = (),
    prior: Prior | None = None,
    sticking: Sticking | None = None,
) -> Calibration:
    """Calibrate a chamber by the films that were measured at points; without points it is what is assumed.

    Args:
        films: with points, and rates of their sources from the surfaces that later films will use.
        sensors: [q] by name.
        tooling_std: relative standard error of a sensor's calibration before.
        witnesses: rates of sources that are in no film; their spare readings tell of the sensors.
        prior, sticking: what is assumed.

    Raises:
        OutOfRange: shapes differ, a number is not finite, a place cannot see a source, or points and film have fewer than
            two elements in common.
        WeakSignal: a source cannot be seen.
    """
    prior, sticking = prior or Prior(), sticking or Sticking()
    everything = [*films, *([Film(tuple(witnesses), together=False)] if witnesses else [])]
    left_out: set[tuple[str, int]] = set()

    def attempt(poor: Sequence[str]) -> tuple[float, Joint]:
        joint = solve(everything, sensors, tooling_std, prior, sticking, poor, left_out)
        odds = len(poor) * float(np.log(sticking.chance / (1.0 - sticking.chance)))
        return joint.log_evidence + odds, joint

    measured = list(dict.fromkeys(k.name for film in films if film.points is not None for k in film.sources))
    total = sum(len(film.points.x_mm) for film in films if film.points is not None)
    while True:
        poor = _poor(measured, attempt)
        joint = attempt(poor)[1]
        worst = _apart(joint, total)
        if worst is None or 2 * len(left_out) >= total:
            break
        left_out.add((films[worst[0]].uid, worst[1]))
    findings = [k for film in joint.findings for k in film]
    findings += [_apart_text(films, uid, number) for uid, number in sorted(left_out)]
    shared = slice(0, joint.layout.shared)
    found = Calibration(
        names=joint.layout.names,
        mean=joint.mean[shared],
        covariance=joint.cov[shared, shared],
        derived_from=tuple(film.uid for film in films if film.uid),
        films=tuple(films),
        poor=tuple(poor),
        left_out=tuple(sorted(left_out)),
        prior=prior,
    )
    return replace(found, findings=(*findings, *_poor_texts(found, joint.layout.sources, measured)))


def _poor(sources: Sequence[str], attempt: Callable[[Sequence[str]], tuple[float, Joint]]) -> tuple[str, ...]:
    """The most probable set of poorly sticking sources that beats every simpler one within it."""
    value: dict[tuple[str, ...], float] = {(): attempt(())[0]}
    for count in range(1, min(MOST_POOR, max(len(sources) - 1, 0)) + 1):
        for chosen in combinations(sources, count):
            value[chosen] = attempt(chosen)[0]
    best: tuple[str, ...] = ()
    for chosen, weight in value.items():
        simpler = [k for k in value if set(k) < set(chosen)]
        if weight > value[best] and all(weight > value[k] for k in simpler):
            best = chosen
    return best


def _apart(joint: Joint, total: int) -> tuple[int, int] | None:
    """The point (film, number) that is least probable given all others, if it is too improbable."""
    if not joint.chi2:
        return None
    p = {place: float(chi2.sf(value, width)) for place, (value, width) in joint.chi2.items()}
    place = min(p, key=lambda k: p[k])
    return place if p[place] < APART / max(total, 1) else None


def _apart_text(films: Sequence[Film], uid: str, number: int) -> str:
    points = next(k.points for k in films if k.uid == uid and k.points is not None)
    return (
        f"point {number + 1} of film {uid[:8] or '?'} at ({points.x_mm[number]:g}, {points.y_mm[number]:g}) mm stands "
        "apart from all the rest and is not used: look at its spectrum"
    )


def _poor_texts(found: Calibration, sources: Sequence[str], measured: Sequence[str]) -> list[str]:
    texts = []
    for name in sources:
        ln, std = found.of(f"ln_sticking:{name}")
        if ln < -SIGMAS * std:
            texts.append(
                f"poor sticking: {name} keeps {np.exp(ln):.2f} +- {std * np.exp(ln):.2f} of its flux on the wafer"
            )
    unknown = [k for k in sources if k not in measured]
    if unknown:
        texts.append(f"sticking of {', '.join(unknown)} is assumed to be 1: no film with it was measured")
    return texts
