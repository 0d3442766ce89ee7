"""The search behind an inverse design: powers for a level and a pressure, the probability improved, what can be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares, minimize
from scipy.special import ndtr

from sdl_bluesky.analysis.design.box import Box, Predicted, Predicts
from sdl_bluesky.analysis.design.target import Target
from sdl_bluesky.errors import WeakSignal
from sdl_bluesky.physics.composition import atomic_masses
from sdl_bluesky.physics.geometry import Array

_LEVEL_PULL = 0.1  # tolerances for the whole width of a power range: it only decides what the composition leaves open
_RATE_PULL = 30.0  # tolerances for a factor e beside the wanted rates
_SOFT = 0.25  # of the tolerance, width over which the edge of the tolerance is smoothed for the search
_CENTRED = 0.1  # of the tolerance
_POLISH = 60


@dataclass(frozen=True, eq=False)
class Design:
    """A setting and what it is expected to make.

    Attributes:
        powers_W: of each source. pressure_mTorr: of the gas.
        elements: of the film [e].
        points_mm: of the target [m, 2].
        fraction, std: expected fractions and their standard errors [e, m].
        flux: expected mass flux of each element [e, m], ng cm^-2 s^-1.
        probability: that every wanted fraction is within tolerance at every point, by the model's own errors.
        margin: distance from the nearest edge of the box, as a part of its (logarithmic) width.
        alternatives: other settings that were found, best first.
        findings: what a person should look at.
    """

    powers_W: Mapping[str, float]
    pressure_mTorr: float
    elements: tuple[str, ...]
    points_mm: Array
    fraction: Array
    std: Array
    flux: Array
    probability: float
    margin: float
    alternatives: tuple[Design, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Expected mass rate of all elements, mean over the points, ng cm^-2 s^-1."""
        return float(self.flux.sum(axis=0).mean())


class Search:
    """Settings for one target: places in the box are logarithms of the powers, and of the pressure."""

    def __init__(self, prediction: Predicts, target: Target, box: Box, rate: tuple[float, float] | None) -> None:
        self._prediction, self._target, self._box, self._rate = prediction, target, box, rate
        self._names = list(box.elements)
        self._low = np.log([box.power_W[k][0] for k in self._names])
        self._last: tuple[tuple[bytes, float], Predicted] | None = None
        self._width = np.maximum(np.log([box.power_W[k][1] for k in self._names]) - self._low, 1e-9)

    def solved(self, level: float, pressure: float, near: Design | None = None) -> Design | None:
        """Powers near one level of their ranges that come closest to the target; None if a source cannot be seen.

        The slopes are those of rates in proportion to the powers, which they nearly are: a search with a slope that is a
        little wrong ends at the same place, and asks for a third of the predictions.
        """
        target, scale = self._target, 1.0 / self._target.tolerance

        def error(place: Array) -> Array:
            found = self._predict(place, pressure)
            wrong = scale * target.deviation(found.elements, found.samples.mean(axis=0)).ravel()
            return np.concatenate([wrong, [_LEVEL_PULL * (place.mean() - level), self._rate_error(found)]])

        def slope(place: Array) -> Array:
            found = self._predict(place, pressure)
            part, mass = self._parts(found)
            own = np.array([[self._box.elements[k] == e for k in self._names] for e in target.elements], dtype=float)
            fraction = np.einsum("es,sm->em", own, part)
            rows = scale * np.einsum("sm,esm->ems", part, own[:, :, None] - fraction[:, None]) * self._width
            pull = np.full(len(place), _LEVEL_PULL / len(place))
            rate = np.sign(self._rate_error(found, signed=True)) * _RATE_PULL * mass * self._width
            return np.vstack([rows.reshape(-1, len(place)), pull, rate])

        jacobian: Any = slope  # scipy's types know its names only
        start = np.full(len(self._names), level) if near is None else self._place(near)
        start = np.clip(start, 0.0, 0.95)  # a search that begins on an edge stays there
        try:
            solution = least_squares(
                error, start, jacobian, bounds=(0.0, 1.0), method="dogbox", xtol=1e-4, ftol=1e-3, max_nfev=12
            )
            return self._design(np.clip(solution.x, 0.0, 1.0), pressure)
        except WeakSignal:
            return None

    def polished(self, best: Design) -> Design:
        """The setting of the highest probability near one that was found."""
        low, high = np.log(self._box.pressure_mTorr)
        free = high > low
        start = self._place(best)
        if free:
            start = np.append(start, (np.log(best.pressure_mTorr) - low) / (high - low))

        def setting(place: Array) -> tuple[Array, float]:
            place = np.clip(place, 0.0, 1.0)
            pressure = float(np.exp(low + place[-1] * (high - low))) if free else best.pressure_mTorr
            return place[: len(self._names)], pressure

        def cost(place: Array) -> float:
            powers, pressure = setting(place)
            try:
                found = self._predict(powers, pressure)
            except WeakSignal:
                return 1.0
            slack = self._target.slack(found.elements, found.samples)
            smooth = float(np.mean(ndtr(slack / (_SOFT * self._target.tolerance))))
            return self._rate_error(found) ** 2 - smooth

        steps = 0.05 * np.eye(len(start)) * np.where(start > 0.9, -1.0, 1.0)
        simplex = np.vstack([start, start + steps])
        solution = minimize(
            cost,
            start,
            method="Nelder-Mead",
            bounds=[(0.0, 1.0)] * len(start),
            options={"initial_simplex": simplex, "maxfev": _POLISH, "xatol": 1e-3, "fatol": 1e-3},
        )
        return self._design(*setting(np.asarray(solution.x)))

    def centred(self, one: Design) -> bool:
        """Whether every fraction is expected where it is wanted: then nothing can be improved between them."""
        return bool(self._target.slack(one.elements, one.fraction) >= (1.0 - _CENTRED) * self._target.tolerance)

    def fits(self, one: Design) -> bool:
        """Whether a setting is expected within tolerance and rates, and all its plasmas burn."""
        lit = self._burns(one)
        fast = self._rate is None or self._rate[0] * (1 - 1e-3) <= one.rate <= self._rate[1] * (1 + 1e-3)
        return lit and fast and bool(self._target.slack(one.elements, one.fraction) >= 0.0)

    def _burns(self, one: Design) -> bool:
        burns = self._box.burns
        return burns is None or all(burns(k, p, one.pressure_mTorr) for k, p in one.powers_W.items())

    def refusal(self, found: Sequence[Design]) -> str:
        """Why nothing fits: what can be reached."""
        target, box = self._target, self._box
        ranges = ", ".join(f"{k} {low:g} to {high:g} W" for k, (low, high) in box.power_W.items())
        low, high = box.pressure_mTorr
        where = f"{ranges}, {low:g} mTorr" if low == high else f"{ranges}, {low:g} to {high:g} mTorr"
        said = "; ".join(
            f"{e} {100 * span[0]:.1f} to {100 * span[1]:.1f} % at ({x:g}, {y:g}) mm, wanted {100 * wanted:.1f} %"
            for (x, y), column, spans in zip(target.points_mm, target.fraction.T, np.moveaxis(self._reach(), 1, 0))
            for e, wanted, span in zip(target.elements, column, spans)
        )
        near = ""
        if found:
            one = max(found, key=lambda d: float(target.slack(d.elements, d.fraction)))
            worst = 100 * (target.tolerance - float(target.slack(one.elements, one.fraction)))
            dark = " where a plasma is not sure to burn" if not self._burns(one) else ""
            near = f"; the nearest setting{dark} misses by {worst:.1f} %"
        limits = "" if self._rate is None else f" at {self._rate[0]:g} to {self._rate[1]:g} ng cm^-2 s^-1"
        return (
            f"the composition cannot be reached within {100 * target.tolerance:g} %{limits} by what was learned ({where}): "
            f"{said}{near}. Change the target, choose other sources or another pressure, or learn wider ranges"
        )

    def _reach(self) -> Array:
        """Lowest and highest expected fraction of each wanted element at each point of the box [e, m, 2]."""
        low, high = self._box.pressure_mTorr
        reached: list[Array] = []
        for element in self._target.elements:
            mine = np.array([self._box.elements[k] == element for k in self._names], dtype=float)
            for place in (mine, 1.0 - mine):
                for pressure in dict.fromkeys((low, float(np.sqrt(low * high)), high)):
                    try:
                        found = self._predict(place, pressure)
                    except WeakSignal:
                        continue
                    wrong = self._target.deviation(found.elements, found.samples.mean(axis=0))
                    reached.append(wrong + self._target.fraction)
        if not reached:
            return np.full((*self._target.fraction.shape, 2), np.nan)
        return np.stack([np.min(reached, axis=0), np.max(reached, axis=0)], axis=-1)

    def _place(self, one: Design) -> Array:
        return (np.log([one.powers_W[k] for k in self._names]) - self._low) / self._width

    def _predict(self, place: Array, pressure: float) -> Predicted:
        key = (place.tobytes(), pressure)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._prediction.predict(self._powers(place), pressure, self._target.points_mm))
        return self._last[1]

    def _parts(self, found: Predicted) -> tuple[Array, Array]:
        """Part of each source in the atoms at each point [s, m], and in the whole mass [s]."""
        order = [list(found.sources).index(k) for k in self._names]
        flux = found.flux_samples.mean(axis=0)[order]
        moles = flux / atomic_masses([self._box.elements[k] for k in self._names])[:, None]
        return moles / moles.sum(axis=0), flux.sum(axis=1) / flux.sum()

    def _powers(self, place: Array) -> dict[str, float]:
        powers = np.exp(self._low + place * self._width)
        return {k: float(np.clip(p, *self._box.power_W[k])) for k, p in zip(self._names, powers)}

    def _design(self, place: Array, pressure: float) -> Design:
        found = self._predict(place, pressure)
        low, high = np.log(self._box.pressure_mTorr)
        inside = [*place] if high == low else [*place, (np.log(pressure) - low) / (high - low)]
        elements = tuple(found.elements)
        flux = np.zeros((len(elements), len(self._target.points_mm)))
        for source, mean in zip(found.sources, found.flux_samples.mean(axis=0)):
            flux[elements.index(self._box.elements[source])] += mean
        return Design(
            powers_W=self._powers(place),
            pressure_mTorr=pressure,
            elements=elements,
            points_mm=self._target.points_mm,
            fraction=found.samples.mean(axis=0),
            std=found.samples.std(axis=0, ddof=1),
            flux=flux,
            probability=self._target.probability(elements, found.samples),
            margin=float(np.min([min(v, 1.0 - v) for v in inside])),
            findings=tuple(found.findings),
        )

    def _rate_error(self, found: Predicted, signed: bool = False) -> float:
        """How far the total rate lies beside the wanted ones, in tolerances; `signed`: below 0 if it is too low."""
        if self._rate is None:
            return 0.0
        ln_rate = float(np.log(found.flux_samples.sum(axis=1).mean()))
        below, above = float(np.log(self._rate[0])) - ln_rate, ln_rate - float(np.log(self._rate[1]))
        sign = -1.0 if signed and below > 0.0 else 1.0
        return sign * _RATE_PULL * max(below, above, 0.0)
