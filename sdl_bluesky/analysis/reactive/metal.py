"""Metal and gas told apart in a reactive run, and the state of the target.

A crystal weighs metal and gas together: T_i = r m_i (1 + w u_i) at sensor i, with m_i its rate without gas at the same
power, r the metal that the target still gives, w the mass of gas over metal in the stoichiometric oxide and u_i, between 0
and 1, how far the film there is oxidised. Light gives r with an error (`analysis.reactive.actinometry`); the rates give the
bounds T_i/(1 + w) <= r m_i <= T_i and, as films that get less metal oxidise more, something between them. For each row:

    posterior(r, u) ~ N(ln r; light) prod_i N(ln T_i; ln r m_i (1 + w u_i)) prior(u)

a mixture of normal distributions of ln r, one for each u on a grid. The prior of the u_i has one level for all sensors,
logit u_i = t - q ln(m_i / m) + e_i, q 0, 1/2, 1 or 3/2 (1 is Langmuir's, as in Berg's model; films that saturate otherwise
depart from it by e_i, `FILM_STD`, to first order an error of ln T_i), and t such that a bare film and a full oxide are the
likeliest (Jeffreys' prior of a share, Beta(1/2, 1/2), at the mean sensor). No film is less oxidised than the target, theta
<= u_i: ions take the oxide off a target a hundred times faster than metal buries it on a film. ln r is flat. Rows share the
errors of the calibration: their intervals hold for each, not for all together.

The covered part of the target is theta = (1 - g)/(1 - c), g = r I0/I the yield per ion, c that of the oxide over that of the
metal, 3 to 60 %. The run itself tells c where it goes far enough: theta = s/(s + h) with the partial pressure s of the gas,
the rise of the gauge above argon's part (S. Berg, T. Nyberg, Thin Solid Films 476, 215, 2005), and an unknown h. Metallic
is theta below 1/4, poisoned above 3/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.special import ndtr

from sdl_bluesky.analysis.reactive.actinometry import Calibration, EmissionRows, log_density, unmodelled
from sdl_bluesky.analysis.reactive.findings import BRANCHES, row_findings
from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.oxides import oxygen_limit

EDGES = (0.25, 0.75)
"""Coverages between the branches."""
OXIDE_YIELDS: Array = np.linspace(0.03, 0.6, 58)
"""Yield of an oxide over that of its metal: flat prior."""
HALF_MTORR: Array = np.geomspace(1e-3, 10.0, 81)
"""Partial pressure at which half of a target is covered: flat prior of its logarithm."""
YIELD_STD = 0.05
"""Relative departure of a target from that law."""
GAUGE_STD = 0.001
"""Relative error of a difference of two pressures."""
ZERO_STD = 0.05
"""How well the zero rate of a crystal is known at least [ng cm^-2 s^-1]: 0.01 angstrom a second, or less."""
PATTERN_STD = 0.005
"""Relative change of a sensor's share by what changes in the plasma."""
FILM_STD = 0.3
"""Departure of a film's oxidation from the law that the sensors share, in log-odds."""
LEAST_SIGNAL = 3.0
"""Rates below so many errors are left out: they say nothing that the light does not."""

_CELL = 0.0025  # of ln r
_EDGES: Array = np.linspace(-5.0, 0.5, 2201)
_LOG_R: Array = (_EDGES[1:] + _EDGES[:-1]) / 2.0
_LEVEL: Array = np.linspace(-7.0, 7.0, 281)
_POWER = (0.0, 0.5, 1.0, 1.5)
_ALIKE = 0.1  # of ln std


@dataclass(frozen=True)
class ReactiveRates:
    """What a reactive run says, a row for each of its conditions.

    Attributes:
        metal, std: rate of the metal at each sensor [n, q], as the sensor would read it; the error of the sensors'
            tooling is not in it.
        low, high: 95 % interval of it [n, q].
        factor: metal from the target over that without gas [n]; factor_std.
        by_light, by_light_std: the same from the light alone [n].
        oxidised: mean share of the stoichiometric oxide at each sensor [n, q].
        probability: of metallic, transition, poisoned [n, 3].
        oxide_yield: yield of the oxide over that of the metal, and its standard deviation.
        findings: named texts, the name before the colon.
    """

    metal: Array
    std: Array
    low: Array
    high: Array
    factor: Array
    factor_std: Array
    by_light: Array
    by_light_std: Array
    oxidised: Array
    probability: Array
    oxide_yield: tuple[float, float]
    findings: tuple[str, ...]

    @property
    def branch(self) -> list[str]:
        """The likeliest state of the target in each row."""
        return [BRANCHES[k] for k in np.argmax(self.probability, axis=1)]


def metal_rates(
    rows: EmissionRows, calibration: Calibration, element: str, sensors: Sequence[str] = ()
) -> ReactiveRates:
    """Tell metal and gas apart.

    Args:
        rows: of one sweep at one power and argon flow, in the order measured, at least one of them without oxygen.
        calibration: of the same source.
        element: of its target.
        sensors: their names, for the findings.

    Raises:
        Unidentifiable: no usable row without oxygen, at the power of the others.
        UnknownName: there is no such element.
    """
    limit = oxygen_limit(element)
    names = list(sensors) or [f"sensor {k + 1}" for k in range(rows.rate.shape[1])]
    if len(names) != rows.rate.shape[1]:
        raise OutOfRange(f"{len(names)} names do not belong to {rows.rate.shape[1]} sensors")
    bare = _bare_rows(rows)
    findings = list(calibration.findings)
    mean, mean_std, zero_std = _bare_rates(rows[bare], findings, names)
    light, light_std = _by_light(rows, bare, calibration)
    current = rows.current_A / rows.current_A[bare].mean()
    films = _Films(mean, limit)
    found = [
        films.posterior(rows.rate[k], np.hypot(rows.std[k], zero_std), light[k], light_std[k], current[k], not bare[k])
        for k in range(len(rows))
    ]
    posterior, oxidised = np.stack([k[0] for k in found]), np.stack([k[1] for k in found])
    factor = posterior @ np.exp(_LOG_R)
    factor_std = np.sqrt(np.maximum(posterior @ np.exp(2 * _LOG_R) - factor**2, 0.0))
    low, high = (_quantile(posterior, level)[:, None] for level in (0.025, 0.975))
    own = np.hypot(mean_std, zero_std) / mean
    metal = factor[:, None] * mean
    rise = np.maximum(rows.pressure_mTorr - rows.pressure_mTorr[bare].mean(), 0.0)
    weights = _oxide_yields(factor / current, factor_std / factor, rise, GAUGE_STD * rows.pressure_mTorr, ~bare)
    probability = _branches(posterior, current, weights)
    oxide = float(weights @ OXIDE_YIELDS)
    findings += row_findings(rows, limit, mean, light, light_std, probability, factor)
    return ReactiveRates(
        metal=metal,
        std=np.hypot(factor_std[:, None] * mean, metal * own),
        low=np.maximum(metal - mean * np.hypot(factor[:, None] - low, 1.96 * factor[:, None] * own), 0.0),
        high=metal + mean * np.hypot(high - factor[:, None], 1.96 * factor[:, None] * own),
        factor=factor,
        factor_std=factor_std,
        by_light=np.exp(light),
        by_light_std=np.exp(light) * light_std,
        oxidised=oxidised,
        probability=probability,
        oxide_yield=(oxide, float(np.sqrt(weights @ (OXIDE_YIELDS - oxide) ** 2))),
        findings=tuple(findings),
    )


class _Films:
    """What the sensors read at r = 1 under each hypothesis of how oxidised their films are, with its prior; for a sweep.

    Args:
        mean: rates without gas [q].
        limit: mass of gas over metal in the stoichiometric oxide.
    """

    def __init__(self, mean: Array, limit: float) -> None:
        level, power = (k.ravel() for k in np.meshgrid(_LEVEL, _POWER, indexing="ij"))
        shift = np.log(mean / np.exp(np.mean(np.log(mean))))
        self._share = 1.0 / (1.0 + np.exp(power[:, None] * shift - level[:, None]))  # [hypothesis, q]
        middle = 1.0 / (1.0 + np.exp(-level))
        self._log_prior = 0.5 * np.log(middle * (1.0 - middle))
        self._mean, self._limit = mean, limit

    def posterior(
        self, rate: Array, std: Array, light: float, light_std: float, current: float, has_gas: bool
    ) -> tuple[Array, Array]:
        """Probability of each cell of ln r and the mean share of the oxide at each sensor [q].

        A rate that is nan or below its noise is left out. `current` is that of the discharge over the one without gas.
        """
        share = self._share if has_gas else np.zeros((1, rate.size))
        with np.errstate(invalid="ignore"):
            use = np.flatnonzero(rate > LEAST_SIGNAL * std)
        heavier = 1.0 + self._limit * share[:, use]
        by_film = self._limit * share[:, use] * (1.0 - share[:, use]) / heavier * FILM_STD
        error = np.sqrt((std[use] / rate[use]) ** 2 + PATTERN_STD**2 + by_film**2)  # [hypothesis, used]
        says = np.concatenate(
            [np.log(rate[use] / self._mean[use]) - np.log(heavier), np.full((len(share), 1), light)], 1
        )
        precision = np.concatenate([1.0 / error**2, np.full((len(share), 1), 1.0 / light_std**2)], axis=1)
        total = precision.sum(axis=1)
        middle = np.sum(says * precision, axis=1) / total
        value = 0.5 * (np.log(precision).sum(axis=1) - np.log(total))
        value -= 0.5 * np.sum((says - middle[:, None]) ** 2 * precision, axis=1)
        value += self._log_prior if has_gas else 0.0
        least = np.log(current * (1.0 - (1.0 - OXIDE_YIELDS[0]) * share.min(axis=1)))
        weight = np.exp(value - value.max()) * ndtr((middle - least) * np.sqrt(total))
        weight /= weight.sum()
        cells = _mixture(weight, middle, 1.0 / np.sqrt(total))
        return cells / cells.sum(), weight @ share


def _mixture(weight: Array, middle: Array, std: Array) -> Array:
    """Sum of normal distributions of ln r over the cells; deviations within a tenth of each other are taken as one."""
    place = np.clip(np.rint((middle - _LOG_R[0]) / _CELL).astype(int), 0, _LOG_R.size - 1)
    group = np.rint(np.log(std) / _ALIKE).astype(int)
    cells = np.zeros(_LOG_R.size)
    for k in np.unique(group):
        alike = group == k
        centres = np.bincount(place[alike], weights=weight[alike], minlength=_LOG_R.size)
        cells += np.maximum(fftconvolve(centres, _normal(float(np.exp(k * _ALIKE))), mode="same"), 0.0)
    return cells


def _normal(std: float) -> Array:
    """A normal distribution over cells, round the middle one (odd, out to six deviations)."""
    reach = int(np.ceil(6.0 * std / _CELL))
    return np.diff(ndtr((np.arange(-reach, reach + 2) - 0.5) * _CELL / std))


def _bare_rows(rows: EmissionRows) -> NDArray[np.bool_]:
    """Rows without gas [n]."""
    bare = (rows.oxygen_sccm == 0) & (rows.ratio > 5 * rows.ratio_std)
    if not bare.any():
        raise Unidentifiable("no row without oxygen shows the metal's line: measure one before and after the sweep")
    power = rows.power_W[bare].mean()
    if np.any(np.abs(rows.power_W - power) > 0.05 * power):
        raise Unidentifiable(
            f"powers from {rows.power_W.min():.3g} to {rows.power_W.max():.3g} W in one sweep: analyse each power by itself"
        )
    return bare


def _bare_rates(bare: EmissionRows, findings: list[str], names: Sequence[str]) -> tuple[Array, Array, Array]:
    """Rates without gas, their errors, and the error of a zero [q]."""
    if np.any(np.all(~np.isfinite(bare.rate), axis=0)):
        lost = [name for name, gone in zip(names, np.all(~np.isfinite(bare.rate), axis=0), strict=True) if gone]
        raise Unidentifiable(f"{', '.join(lost)}: no rate without oxygen: leave the sensor out")
    weight = np.where(np.isfinite(bare.rate), 1.0 / bare.std**2, 0.0)
    mean = np.sum(weight * np.nan_to_num(bare.rate), axis=0) / weight.sum(axis=0)
    if np.any(mean <= 0):
        raise Unidentifiable(
            f"rates without oxygen {mean.round(3).tolist()} ng cm^-2 s^-1: nothing arrives at a sensor"
        )
    change = np.ptp(bare.rate, axis=0) / 2.0
    for name, by, rate in zip(names, 2 * change, mean, strict=True):
        if by > 0.03 * rate:
            findings.append(f"drift: without oxygen {name} reads {100 * by / rate:.1f} % differently within the run")
    std = np.hypot(1.0 / np.sqrt(weight.sum(axis=0)), change / np.sqrt(max(len(bare), 1)))
    return mean, std, np.maximum(change, ZERO_STD)


def _by_light(rows: EmissionRows, bare: NDArray[np.bool_], law: Calibration) -> tuple[Array, Array]:
    """ln r by the light and its standard deviation [n]. The argon flow is held, and so is argon's own pressure."""
    argon = float(rows.pressure_mTorr[bare].mean())
    found, error = log_density(rows.ratio, rows.ratio_std, argon)
    weight = 1.0 / error[bare] ** 2
    start, start_std = float(np.sum(weight * found[bare]) / weight.sum()), float(1.0 / np.sqrt(weight.sum()))
    power = float(rows.power_W[bare].mean())
    change = law.terms(found, rows.pressure_mTorr, power) - law.terms(start, argon, power)
    gas = np.clip(1.0 - argon / rows.pressure_mTorr, 0.0, 1.0)
    other = unmodelled(np.log(rows.voltage_V / rows.voltage_V[bare].mean()), gas)
    noise = law.slope_at(found) ** 2 * (error**2 + start_std**2 + other**2)
    return change @ law.mean, np.sqrt(np.einsum("na,ab,nb->n", change, law.cov, change) + noise)


def _quantile(posterior: Array, level: float) -> Array:
    """Of r [n]."""
    summed = np.cumsum(np.pad(posterior, ((0, 0), (1, 0))), axis=1)
    return np.exp([np.interp(level, row, _EDGES) for row in summed])


def _oxide_yields(yields: Array, yield_std: Array, rise: Array, rise_std: Array, gas: NDArray[np.bool_]) -> Array:
    """Probability of each of `OXIDE_YIELDS` by g = 1 - (1 - c) s/(s + h) over the rows with gas, h integrated out."""
    s, c, h = rise[gas], OXIDE_YIELDS[:, None, None], HALF_MTORR[:, None]
    expected = 1.0 - (1.0 - c) * s / (s + h)
    by_gauge = (1.0 - c) * h / (s + h) ** 2 * rise_std[gas] / expected
    variance = yield_std[gas] ** 2 + YIELD_STD**2 + by_gauge**2
    value = -0.5 * np.sum(np.log(yields[gas] / expected) ** 2 / variance + np.log(variance), axis=-1)
    weight = np.exp(value - value.max()).sum(axis=1)
    return weight / weight.sum()


def _branches(posterior: Array, current: Array, oxide: Array) -> Array:
    """Probability of each branch [n, 3]."""
    yields = np.exp(_LOG_R) / current[:, None]  # [n, cell]
    found = np.zeros((len(posterior), 3))
    for c, weight in zip(OXIDE_YIELDS, oxide, strict=True):
        covered = (1.0 - yields) / (1.0 - c)
        state = (covered > EDGES[0]).astype(int) + (covered > EDGES[1])
        for k in range(3):
            found[:, k] += weight * np.sum(posterior * (state == k), axis=1)
    return found
