"""Signatures of what goes wrong in a sputter laboratory, as named findings of results.

    negative_rate           a model predicts a rate below zero somewhere, or a run read one
    n_above_5               the exponent of the emission pattern is larger than a magnetron's can be
    additivity_divergence   the rates of co-sputtering sources do not add up
    discontinuity           a rate jumps between neighbouring settings
    poor_sticking           a source's atoms stay on the crystals and leave the wafer (Zn, Ba at high pressure)
    drift_expired           a model is older than its predicted error allows
    target_changed          a model belongs to a target that is gone
    poisoned                a target is covered by its compound

A result lists those that it shows in its metadata: `signatures: [{"name", "source", "value", "threshold", "advice"}]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from sdl_bluesky.analysis.health.additivity import Assessment
from sdl_bluesky.analysis.health.ageing import AgedModel, TargetState
from sdl_bluesky.analysis.health.discontinuity import FALSE_ALARM, LEAST_RUNS, find_jump
from sdl_bluesky.analysis.maps.calibration import Calibration
from sdl_bluesky.analysis.runs import Experiment
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.errors import CatalogueError, OutOfRange, TargetChanged, WeakSignal
from sdl_bluesky.physics.flux import SUSPICIOUS_N, FluxFit

SIGMAS = 2.0
"""Standard errors by which a number must lie beyond its threshold, where it has any."""
STICKS = 1.0
TOLERANCE = 0.05
"""Predicted error, relative to the mean rate, above which a model counts as expired where nobody says another."""
MISFIT = 0.01
"""Probability under which totals do not fit."""


class Name(StrEnum):
    """Names of the signatures."""

    NEGATIVE_RATE = "negative_rate"
    N_ABOVE_5 = "n_above_5"
    ADDITIVITY_DIVERGENCE = "additivity_divergence"
    DISCONTINUITY = "discontinuity"
    POOR_STICKING = "poor_sticking"
    DRIFT_EXPIRED = "drift_expired"
    TARGET_CHANGED = "target_changed"
    POISONED = "poisoned"


@dataclass(frozen=True)
class Signature:
    """One named finding.

    Attributes:
        name: which.
        source: of the source, or several, joined by "+".
        value: the number that shows it.
        threshold: beyond which it is shown.
        advice: what to do.
    """

    name: Name
    source: str
    value: float
    threshold: float
    advice: str

    def as_document(self) -> dict[str, Any]:
        """Plain types, for metadata."""
        return asdict(self) | {"name": self.name.value}


def as_documents(signatures: Sequence[Signature]) -> list[dict[str, Any]]:
    """The list that a result carries under `signatures`."""
    return [k.as_document() for k in signatures]


def of_readings(source: str, rates: ArrayLike, std: ArrayLike) -> list[Signature]:
    """Negative rates among the readings of a run, [q] with standard errors [q]; nan for none."""
    y, e = np.asarray(rates, dtype=float), np.asarray(std, dtype=float)
    if y.shape != e.shape:
        raise OutOfRange(f"rates {y.shape} and errors {e.shape} do not belong together")
    below = np.isfinite(y) & np.isfinite(e) & (np.nan_to_num(y) < -SIGMAS * np.nan_to_num(e))
    if not below.any():
        return []
    advice = "let the crystals' heat settle after the shutter has moved, and look for flaking; then measure again"
    return [Signature(Name.NEGATIVE_RATE, source, float(y[below].min()), 0.0, advice)]


def of_flux(source: str, fit: FluxFit | None) -> list[Signature]:
    """An exponent above 5, surely."""
    if fit is None or not fit.n - SIGMAS * fit.n_std > SUSPICIOUS_N:
        return []
    advice = "check sticking (high vapour pressure, high pressure), a sensor in the shadow, axis and tooling"
    return [Signature(Name.N_ABOVE_5, source, fit.n, SUSPICIOUS_N, advice)]


def of_surface(
    source: str,
    surface: SourceSurface,
    power_W: tuple[float, float],
    pressure_mTorr: tuple[float, float],
    points: int = 11,
) -> list[Signature]:
    """A rate surface that is negative within its ranges (low, high), or whose runs show a step."""
    found: list[Signature] = []
    power, pressure = np.linspace(*power_W, points), np.linspace(*pressure_mTorr, points)
    rate, _ = surface.grid(power, pressure)
    if rate.min() < 0:
        q, j, i = np.unravel_index(int(np.argmin(rate)), rate.shape)
        where = f"{power[i]:.3g} W, {pressure[j]:.3g} mTorr"
        advice = f"too few runs there: measure at {where} ({surface.sensors[int(q)]})"
        found.append(Signature(Name.NEGATIVE_RATE, source, float(rate.min()), 0.0, advice))
    data = surface.level.data
    x, y = surface.points, surface.level.offset + surface.level.scale * data.y
    good = y > 0
    if good.sum() < LEAST_RUNS or len(x) != len(y):
        return found
    try:
        jump = find_jump(x[good], y[good], surface.level.scale * np.sqrt(data.given[good]))
    except WeakSignal:
        return found
    if jump.found:
        unit = "W" if jump.axis == "power" else "mTorr"
        low, high = jump.between
        advice = (
            f"the rate changes by {100 * jump.size:+.0f} +- {100 * jump.std:.0f} % between {low:.4g} and {high:.4g} {unit} "
            f"(p = {jump.p_value:.2g}, allowed {FALSE_ALARM:g}): measure between them, or learn the two sides apart"
        )
        found.append(Signature(Name.DISCONTINUITY, source, jump.size, 0.0, advice))
    return found


def of_assessment(found: Assessment) -> list[Signature]:
    """Rates that do not add up, by an interaction or else."""
    sources = "+".join(dict.fromkeys(k.source for k in found.pairs))
    if found.found:
        worst = max(found.pairs, key=lambda k: abs(k.change))
        advice = (
            f"{worst.source} changes by {100 * worst.change:+.1f} +- {100 * worst.std:.1f} % beside {worst.neighbour}: "
            "correct the rates with the interaction that was learned, or use sources that are further apart"
        )
        return [Signature(Name.ADDITIVITY_DIVERGENCE, sources, worst.change, 0.0, advice)]
    if found.misfit_probability < MISFIT:
        advice = (
            "no interaction explains it: look for a drifting sensor or a worn target, and measure the sources again"
        )
        return [Signature(Name.ADDITIVITY_DIVERGENCE, sources, found.misfit_probability, MISFIT, advice)]
    return []


def of_totals(sources: Sequence[str], checks: Mapping[str, float]) -> list[Signature]:
    """A film whose totals do not fit its sources' rates: `checks` of a composition map."""
    used = checks.get("totals_used", 0.0)
    if not used or checks["totals_chi2"] <= chi2.ppf(1.0 - MISFIT, used):
        return []
    advice = "make three diverse checks and assess additivity before the next film"
    worst = float(checks.get("totals_worst_relative", np.nan))
    threshold = float(chi2.ppf(1.0 - MISFIT, used))
    value = float(checks["totals_chi2"])
    return [
        Signature(
            Name.ADDITIVITY_DIVERGENCE, "+".join(sources), value, threshold, f"up to {100 * worst:.1f} %: {advice}"
        )
    ]


def of_sticking(sticking: Mapping[str, tuple[float, float]]) -> list[Signature]:
    """Sources that stick poorly: mean and standard error of ln(sticking) by source, as a calibration has them."""
    advice = "cool the wafer or lower the pressure; keep this calibration in every map, and measure points again"
    return [
        Signature(Name.POOR_STICKING, source, float(np.exp(mean)), STICKS, advice)
        for source, (mean, std) in sticking.items()
        if np.isfinite(mean) and mean + SIGMAS * std < np.log(STICKS) and mean < np.log(0.95)
    ]


def of_calibration(calibration: Calibration) -> list[Signature]:
    """The same from a calibration."""
    names = {k.partition(":")[2]: k for k in calibration.names if k.startswith("ln_sticking:")}
    return of_sticking({source: calibration.of(name) for source, name in names.items()})


def of_age(model: AgedModel, now: TargetState, tolerance: float) -> list[Signature]:
    """A model that has expired, or whose target is gone."""
    try:
        expired, reason = model.expired(tolerance, now)
    except TargetChanged as fault:
        return [
            Signature(Name.TARGET_CHANGED, model.source, float(now.energy_kWh), model.learned.energy_kWh, str(fault))
        ]
    if not expired:
        return []
    runs = model.cheapest_anchors(tolerance, now)
    asked = "; ".join(f"{k.power_W:.4g} W at {k.pressure_mTorr:.3g} mTorr" for k in runs)
    enough = runs[-1].error_after <= tolerance
    advice = f"{reason}; measure again: {asked}" + ("" if enough else "; that is not enough: learn it again")
    return [Signature(Name.DRIFT_EXPIRED, model.source, model.level.error(*model.age(now)), tolerance, advice)]


def of_film(source: str, surface: SourceSurface, learned: Sequence[Experiment], film: Experiment) -> list[Signature]:
    """Whether a source's target is that of the runs it was learned from, and no more worn than they bear.

    A model has expired when wear makes its predicted error larger than `TOLERANCE` and half as large again as it was.
    Nothing is said of runs that do not tell the energy on their target.
    """
    chamber = film.chamber
    try:
        now = TargetState.of(film, source)
    except CatalogueError:
        return []
    try:
        model = AgedModel.learn(source, surface, learned, chamber.power_W, chamber.pressure_mTorr)
    except CatalogueError:
        return []
    except TargetChanged as fault:
        return [
            Signature(
                Name.TARGET_CHANGED, source, now.energy_kWh, TargetState.of(learned[0], source).energy_kWh, str(fault)
            )
        ]
    return of_age(model, now, max(TOLERANCE, 1.5 * model.level.error(0.0, 0.0)))


def of_reactive(source: str, branch: Sequence[str], probability: ArrayLike) -> list[Signature]:
    """Rows of a reactive run in which the target was poisoned; probability of that [n]."""
    p = np.asarray(probability, dtype=float)
    rows = [k for k, state in enumerate(branch) if state == "poisoned"]
    if not rows:
        return []
    advice = (
        f"{len(rows)} of {len(branch)} conditions: lower the oxygen until the target burns free, then raise it again"
    )
    return [Signature(Name.POISONED, source, float(p[rows].max()), 0.5, advice)]
