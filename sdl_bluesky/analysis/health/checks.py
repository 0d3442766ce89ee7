"""Co-sputter shots, and which ones to make: diverse settings that tell an interaction before production."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import qmc

from sdl_bluesky.analysis.health.interaction import CONSTANT, Assumptions, loads, pairs_of
from sdl_bluesky.analysis.runs import Experiment
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.errors import OutOfRange, UnknownName, WeakSignal
from sdl_bluesky.physics.geometry import Array

CHECKS = 3
"""Checks before production."""
_CANDIDATES = 96
_NODES = 16
_SLOPE_STD = 0.005  # relative standard error of a total's slope that a design counts with


@dataclass(frozen=True)
class Shot:
    """One co-sputter run.

    Attributes:
        powers_W: mean readback of each source that burned.
        pressure_mTorr: mean readback.
        sensors: names [q].
        rate, std: total rate and its standard error [q], ng cm^-2 s^-1; nan where a sensor gave none.
        voltage_V: of each source, as far as it was read.
        uid: of the run.
    """

    powers_W: Mapping[str, float]
    pressure_mTorr: float
    sensors: tuple[str, ...]
    rate: Array
    std: Array
    voltage_V: Mapping[str, float] = field(default_factory=dict)
    uid: str = ""

    @classmethod
    def of(cls, experiment: Experiment) -> Shot:
        """A shot from the result of its run."""
        volts = {k: float(experiment.result.get(f"{k}_voltage", np.nan)) for k in experiment.sources}
        return cls(
            dict(experiment.power_W),
            experiment.pressure_mTorr,
            tuple(experiment.chamber.sensors),
            experiment.rate,
            experiment.std,
            {k: v for k, v in volts.items() if np.isfinite(v) and v > 0},
            experiment.uid,
        )


@dataclass(frozen=True)
class Check:
    """A setting at which the sources should be co-sputtered; information: what is learned of the pairs, in nats."""

    powers_W: Mapping[str, float]
    pressure_mTorr: float
    information: float


def choose_checks(
    surfaces: Mapping[str, SourceSurface],
    power_W: Mapping[str, tuple[float, float]],
    pressure_mTorr: tuple[float, float],
    *,
    n: int = CHECKS,
    done: Sequence[Shot] = (),
    allowed: Callable[[Mapping[str, float], float], bool] | None = None,
    assumptions: Assumptions | None = None,
    seed: int = 0,
) -> tuple[Check, ...]:
    """Diverse co-sputter settings that tell most of an interaction, all sources burning.

    Greedy: each setting is the one that adds most information [nats] on the change of each source by each neighbour, and
    on how it depends on pressure and on the ratio of powers, given the surfaces' correlated errors. So the settings spread
    over share and pressure, and stay away from where the surfaces know little.

    Args:
        surfaces: two or more learned sources.
        power_W: range of each source's power, where films will be made.
        pressure_mTorr: range of the pressure there.
        n: number of settings.
        done: shots there are already; the new ones complement them.
        allowed: says whether (powers, pressure) may be used, such as whether the plasmas burn there.
        assumptions: see `Assumptions`.
        seed: of the candidates.

    Raises:
        OutOfRange: fewer than two sources, a range is none, or too few candidates are left.
        UnknownName: a source has no range or was not learned.
    """
    names = _sources(surfaces)
    missing = [k for k in names if k not in power_W] or [k for k in power_W if k not in names]
    if missing:
        raise UnknownName("source with a surface and a range of powers", missing[0], names)
    ranges = [power_W[k] for k in names] + [pressure_mTorr]
    if n < 1 or not all(0 < low <= high < np.inf for low, high in ranges):
        raise OutOfRange(f"{n} check(s) in ranges {ranges}: give one or more, and ranges (low, high) above 0")
    low, high = np.log(np.array(ranges, dtype=float)).T
    unit = qmc.Sobol(len(ranges), scramble=True, rng=np.random.default_rng(seed)).random(128)[:_CANDIDATES]
    old = np.array([[*(s.powers_W.get(k, 0.0) for k in names), s.pressure_mTorr] for s in done])
    old = old[(old > 0).all(axis=1)] if len(old) else np.empty((0, len(ranges)))
    spots = np.exp(low + unit * (high - low))
    if allowed is not None:
        fine = [allowed(dict(zip(names, map(float, row[:-1]), strict=True)), float(row[-1])) for row in spots]
        spots = spots[np.array(fine, dtype=bool)]
    if len(spots) < n:
        raise OutOfRange(f"{len(spots)} of {_CANDIDATES} settings are allowed, {n} are needed: widen the ranges")
    x = np.concatenate([old, spots])
    sensors = common_sensors(surfaces, names)
    rates, cov = sums_alone(surfaces, names, sensors, x[:, :-1], x[:, -1], nodes=_NODES)
    total = rates.sum(axis=1)
    m, q = total.shape
    cov[np.arange(m * q), np.arange(m * q)] += (_SLOPE_STD * total.ravel()) ** 2
    given = assumptions or Assumptions()
    prior = given.prior(CONSTANT, len(pairs_of(len(names))))[1]
    load = loads(CONSTANT, x[:, :-1], np.ones(len(names)))
    reach = np.maximum(high - low, 1e-9)
    depth = (2 * (np.log(x[:, -1]) - low[-1]) / reach[-1] - 1)[:, None, None]
    lean = np.stack([np.log(x[:, j] / x[:, i]) for i, j in pairs_of(len(names))], axis=1)[:, None, :]
    lean = lean / max(float(np.abs(lean).max()), 1e-9)
    design = np.concatenate([load, load * depth, load * lean], axis=2)
    f = np.einsum("msq,msc->mqc", rates, design).reshape(m * q, -1)
    shape = np.kron(np.diag([1.0, 0.25, 0.25]), prior)

    def information(rows: Sequence[int]) -> float:
        at = np.concatenate([np.arange(q) + q * k for k in rows])
        noise = cov[np.ix_(at, at)]
        return 0.5 * float(np.linalg.slogdet(noise + f[at] @ shape @ f[at].T)[1] - np.linalg.slogdet(noise)[1])

    taken = list(range(len(old)))
    checks: list[Check] = []
    known = information(taken) if taken else 0.0
    for _ in range(n):
        gains = {k: information([*taken, k]) for k in range(len(old), m) if k not in taken}
        best = max(gains, key=lambda k: gains[k])
        taken.append(best)
        powers = dict(zip(names, map(float, x[best, :-1]), strict=True))
        checks.append(Check(powers, float(x[best, -1]), gains[best] - known))
        known = gains[best]
    return tuple(checks)


def _sources(surfaces: Mapping[str, SourceSurface]) -> list[str]:
    if len(surfaces) < 2:
        raise OutOfRange(f"{len(surfaces)} learned source(s): it takes two or more to interact")
    return list(surfaces)


def common_sensors(surfaces: Mapping[str, SourceSurface], names: Sequence[str]) -> list[str]:
    """Sensors that every one of the sources' surfaces knows.

    Raises:
        WeakSignal: there is none.
    """
    sensors = [k for k in surfaces[names[0]].sensors if all(k in surfaces[s].sensors for s in names)]
    if not sensors:
        raise WeakSignal(f"no sensor knows all of {', '.join(names)}: their rates cannot be added")
    return sensors


def sums_alone(
    surfaces: Mapping[str, SourceSurface],
    names: Sequence[str],
    sensors: Sequence[str],
    powers: Array,
    pressure: Array,
    nodes: int | None = None,
) -> tuple[Array, Array]:
    """Rates alone [m, s, q], and the covariance [m * q, m * q] of their sums with the scatter of a reading."""
    m, q = len(pressure), len(sensors)
    rates, cov = np.zeros((m, len(names), q)), np.zeros((m, q, m, q))
    for i, name in enumerate(names):
        surface = surfaces[name] if nodes is None else _thinned(surfaces[name], nodes)
        here = np.array([surface.sensors.index(k) for k in sensors])
        burns = np.flatnonzero(powers[:, i] > 0)
        x = np.stack([powers[burns, i], pressure[burns]], axis=1)
        mean, joint = surface.joint(x)
        joint[np.arange(len(burns)), :, np.arange(len(burns)), :] += surface.scatter_covariance(x)
        rates[burns, i] = mean[:, here]
        at = np.ix_(burns, np.arange(q), burns, np.arange(q))
        cov[at] += joint[:, here][:, :, :, here]
    return rates, cov.reshape(m * q, m * q)


def _thinned(surface: SourceSurface, nodes: int) -> SourceSurface:
    return replace(surface, level=surface.level.thinned(nodes), shares=tuple(k.thinned(nodes) for k in surface.shares))
