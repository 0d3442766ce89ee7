"""How a learned rate grows old: target erosion and gauge drift, and the readings that bring it up to date.

    ln rate_now(x) = ln rate_then(x) + g(x, E, t)

    g = sum_k f_k(x) w_k(E) + s(x) d(t)      f = 1, zP, zp;  s = d ln rate_then / d ln p
    w_k(E) = a_k E + b_k W_k(E)              trend and random walk in the energy on the target E [kWh] since it was learned
    d(t)   = c V(t)                          random walk of ln p, true over read, in the time t [days] since then

zP and zp go from -1 to 1 over the ranges in ln P and ln p. All is Gaussian, so that readings made later condition it:
each gives ln rate at its setting, energy and time, with the scatter of a reading. The errors of the learned rate take
part with their covariance where it is known; else they count as independent between settings, which is on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

Rate = Callable[[Array], tuple[Array, Array]]
"""Power [W] and pressure [mTorr] [m, 2] -> rate [m] and either its standard deviation [m] or its covariance [m, m]."""

RUN_S = 300.0
"""Process time of a re-anchor run."""
_STEP = 0.02  # of ln p, for slopes
_SAME = 1e-9
_CHUNK = 16
_GRID = 9


@dataclass(frozen=True)
class AgeingPrior:
    """How fast rates change, before any reading: of magnetrons and gauges in general.

    Attributes:
        trend_per_kWh: standard deviation of the steady change of ln rate (targets of two and three inches lose or gain
            some tens of per cent over a life of a few to some ten kWh).
        walk_per_root_kWh: what the change adds beside that.
        tilt: the same two numbers for the slopes in zP and zp, as part of those of the level: wear changes the rate at
            all settings nearly alike.
        gauge_per_root_day: drift of ln p.
    """

    trend_per_kWh: float = 0.08
    walk_per_root_kWh: float = 0.02
    tilt: float = 0.1
    gauge_per_root_day: float = 0.01

    def __post_init__(self) -> None:
        numbers = (self.trend_per_kWh, self.walk_per_root_kWh, self.tilt, self.gauge_per_root_day)
        if not all(np.isfinite(v) and v >= 0 for v in numbers):
            raise OutOfRange(f"priors of ageing {numbers}: give numbers of 0 or more")


@dataclass(frozen=True)
class Anchor:
    """A reading made after the model was learned.

    Attributes:
        power_W, pressure_mTorr: mean readbacks.
        energy_kWh: on the target since the model was learned.
        days: since then.
        ln_rate: of the reading.
        std: its standard error with the scatter of a reading, relative to the rate.
    """

    power_W: float
    pressure_mTorr: float
    energy_kWh: float
    days: float
    ln_rate: float
    std: float


@dataclass(frozen=True)
class Request:
    """A re-anchor run that is asked for.

    Attributes:
        power_W, pressure_mTorr: where.
        cost: of this run, in the unit of the cost function.
        error_after: predicted error of the model, relative, after this run and those before it.
    """

    power_W: float
    pressure_mTorr: float
    cost: float
    error_after: float


def energy_of_a_run(power_W: float, pressure_mTorr: float) -> float:
    """Energy on the target [kWh] of a re-anchor run: a cost for `AgedRate.cheapest_anchors`."""
    return power_W * RUN_S / 3.6e6


@dataclass(frozen=True)
class AgedRate:
    """A learned rate with its age.

    Attributes:
        rate: as it was learned; see `Rate`.
        power_W, pressure_mTorr: ranges over which it is used.
        prior: see `AgeingPrior`.
        anchors: later readings.
        mean: the learned rate alone [m], where that is faster than `rate`; for slopes.
    """

    rate: Rate
    power_W: tuple[float, float]
    pressure_mTorr: tuple[float, float]
    prior: AgeingPrior = field(default_factory=AgeingPrior)
    anchors: tuple[Anchor, ...] = ()
    mean: Callable[[Array], Array] | None = None

    def __post_init__(self) -> None:
        for low, high in (self.power_W, self.pressure_mTorr):
            if not 0 < low < high < np.inf:
                raise OutOfRange(f"({low:g}, {high:g}) is no range of powers or pressures")

    def observe(self, anchors: Sequence[Anchor]) -> AgedRate:
        """The same with more readings.

        Raises:
            OutOfRange: a number is not finite, an error not positive, or an age negative.
        """
        for k in anchors:
            numbers = (k.power_W, k.pressure_mTorr, k.energy_kWh, k.days, k.ln_rate, k.std)
            if not np.all(np.isfinite(numbers)) or min(k.power_W, k.pressure_mTorr, k.std) <= 0:
                raise OutOfRange(f"a re-anchor reading is not finite, or has no error: {k}")
            _check_age(k.energy_kWh, k.days)
        return replace(self, anchors=(*self.anchors, *anchors))

    def predict(self, x: ArrayLike, energy_kWh: float, days: float) -> tuple[Array, Array]:
        """Rate [m] and its standard deviation [m] at power and pressure x [m, 2], at that age.

        Raises:
            OutOfRange: x is not positive, or the age negative.
        """
        x = _settings(x)
        parts = [self.predict_log(x[i : i + _CHUNK], energy_kWh, days) for i in range(0, len(x), _CHUNK)]
        mean = np.exp(np.concatenate([ln_rate for ln_rate, _ in parts]))
        return mean, mean * np.sqrt(np.concatenate([np.diag(cov) for _, cov in parts]))

    def predict_log(self, x: ArrayLike, energy_kWh: float, days: float) -> tuple[Array, Array]:
        """ln rate [m] and its joint covariance [m, m]; as `predict`."""
        _check_age(energy_kWh, days)
        x = _settings(x)
        m = len(x)
        then = self._anchor_settings
        every = np.concatenate([x, then])
        ages = np.array([[energy_kWh, days]] * m + [[k.energy_kWh, k.days] for k in self.anchors], dtype=float)
        base, cov = self._prior(every, ages)
        if not self.anchors:
            return base, cov
        misfit = np.array([k.ln_rate for k in self.anchors]) - base[m:]
        seen = cov[m:, m:] + np.diag([k.std**2 for k in self.anchors])
        gain = np.linalg.solve(seen, cov[m:, :m]).T
        after = cov[:m, :m] - gain @ cov[m:, :m]
        return base[:m] + gain @ misfit, (after + after.T) / 2.0

    def error(self, energy_kWh: float, days: float) -> float:
        """Predicted error over the ranges: root mean square standard deviation of the rate over the mean rate.

        The grid is even in power and pressure, as in the figure E_RMS of a learned surface.
        """
        ln_rate, cov = self.predict_log(self._grid, energy_kWh, days)
        return float(np.sqrt(_weights(ln_rate) @ np.diag(cov)))

    def expired(self, tolerance: float, energy_kWh: float, days: float) -> tuple[bool, str]:
        """Whether the predicted error is above `tolerance` (relative), and why.

        Raises:
            OutOfRange: the tolerance is not positive, or the age negative.
        """
        if not tolerance > 0:
            raise OutOfRange(f"tolerance {tolerance}: give a relative error above 0, such as 0.03")
        error = self.error(energy_kWh, days)
        age = f"{energy_kWh:.3g} kWh and {days:.3g} days after it was learned"
        if error <= tolerance:
            return False, f"predicted error {100 * error:.1f} % of the rate, {100 * tolerance:.1f} % allowed, {age}"
        last = self.anchors[-1] if self.anchors else None
        old = replace(self, anchors=()).error(0.0, 0.0)
        if old > tolerance:
            why = f"it was learned to {100 * old:.1f} % only"
        else:
            since = energy_kWh - (last.energy_kWh if last else 0.0), days - (last.days if last else 0.0)
            no_gauge = replace(self, prior=replace(self.prior, gauge_per_root_day=0.0)).error(energy_kWh, days)
            cause = "the gauge may have drifted" if no_gauge <= tolerance else "the target has worn"
            why = f"{cause}: {since[0]:.3g} kWh and {since[1]:.3g} days since its last run"
        return True, f"predicted error {100 * error:.1f} % of the rate is above {100 * tolerance:.1f} %, {age}; {why}"

    def energy_left(self, tolerance: float, energy_kWh: float, days: float, most_kWh: float = 100.0) -> float:
        """Energy on the target [kWh] that the model still bears: until its predicted error passes `tolerance`."""
        if self.expired(tolerance, energy_kWh, days)[0]:
            return 0.0
        low, high = 0.0, most_kWh
        if self.error(energy_kWh + high, days) <= tolerance:
            return most_kWh
        while high - low > 1e-3 * max(high, 1e-3):
            middle = (low + high) / 2
            low, high = (middle, high) if self.error(energy_kWh + middle, days) <= tolerance else (low, middle)
        return low

    def cheapest_anchors(
        self,
        tolerance: float,
        energy_kWh: float,
        days: float,
        *,
        std: float | Callable[[Array], Array] = 0.015,
        cost: Callable[[float, float], float] = lambda power_W, pressure_mTorr: RUN_S,
        candidates: ArrayLike | None = None,
        most: int = 5,
        allowed: Callable[[float, float], bool] = lambda power_W, pressure_mTorr: True,
    ) -> tuple[Request, ...]:
        """Runs that bring the predicted error under `tolerance` at the least cost, () if it is there already.

        Greedy: the cheapest single run that does it; if none does, the one that lowers the variance most per cost, and on.

        Args:
            tolerance: relative error, see `error`.
            energy_kWh, days: age now.
            std: relative standard error of a run's rate, scatter included; one number, or [c] of settings [c, 2].
            cost: of a run at (power, pressure): seconds (the same everywhere by default), or such as `energy_of_a_run`.
            candidates: settings [c, 2]; a grid over the ranges by default.
            most: largest number of runs; if they do not suffice the last error says so.
            allowed: whether a run may be made at (power, pressure).

        Raises:
            OutOfRange: no setting is allowed, a cost or `std` is not positive, or see `expired`.
        """
        if most < 1:
            raise OutOfRange(f"most = {most}: allow one re-anchor run or more")
        if not self.expired(tolerance, energy_kWh, days)[0]:
            return ()
        x = self._grid if candidates is None else _settings(candidates)
        x = np.array([row for row in x if allowed(float(row[0]), float(row[1]))]).reshape(-1, 2)
        costs = np.array([float(cost(float(p), float(q))) for p, q in x])
        if not len(x) or not np.all(np.isfinite(costs) & (costs > 0)):
            raise OutOfRange(f"{len(x)} settings are allowed for re-anchor runs, and every cost must be above 0")
        errors = np.broadcast_to(np.asarray(std(x) if callable(std) else std, dtype=float), len(x))
        if not np.all(np.isfinite(errors) & (errors > 0)):
            raise OutOfRange(f"relative errors of re-anchor runs {std}: give numbers above 0")
        g = len(self._grid)
        ln_rate, cov = self.predict_log(np.concatenate([self._grid, x]), energy_kWh, days)
        weight = _weights(ln_rate[:g])
        out: list[Request] = []
        while len(out) < most:
            seen = np.diag(cov)[g:] + errors**2
            fall = weight @ cov[:g, g:] ** 2 / seen
            left = np.sqrt(np.maximum(weight @ np.diag(cov)[:g] - fall, 0.0))
            enough = np.flatnonzero(left <= tolerance)
            cheap = enough[np.lexsort((left[enough], costs[enough]))] if enough.size else np.argsort(-fall / costs)
            best = int(cheap[0])
            out.append(Request(float(x[best, 0]), float(x[best, 1]), float(costs[best]), float(left[best])))
            if left[best] <= tolerance:
                break
            column = cov[:, g + best]
            cov = cov - np.outer(column, column) / seen[best]
        return tuple(out)

    @property
    def _grid(self) -> Array:
        power, pressure = np.linspace(*self.power_W, _GRID), np.linspace(*self.pressure_mTorr, _GRID)
        return np.stack([a.ravel() for a in np.meshgrid(power, pressure)], axis=1)

    @property
    def _anchor_settings(self) -> Array:
        return np.array([[k.power_W, k.pressure_mTorr] for k in self.anchors], dtype=float).reshape(-1, 2)

    def _prior(self, x: Array, ages: Array) -> tuple[Array, Array]:
        """ln rate [m] before the anchors and its covariance [m, m] at settings x [m, 2] and ages (kWh, days) [m, 2]."""
        mean, spread = self.rate(x)
        mean, spread = np.asarray(mean, dtype=float), np.asarray(spread, dtype=float)
        if not np.all(np.isfinite(mean)) or np.any(mean <= 0):
            raise OutOfRange("the learned rate is not positive at a setting: there is no logarithm to age")
        if spread.ndim == 1:
            same = np.all(np.abs(np.log(x[:, None] / x[None])) < _SAME, axis=-1)
            spread = np.where(same, spread[:, None] * spread[None], 0.0)
        cov = spread / np.outer(mean, mean)
        up, down = x.copy(), x.copy()
        up[:, 1] *= np.exp(_STEP)
        down[:, 1] *= np.exp(-_STEP)
        alone = self.mean or (lambda at: self.rate(at)[0])
        slope = np.log(alone(up) / alone(down)) / (2 * _STEP) if self.prior.gauge_per_root_day else np.zeros(len(x))
        low, high = np.log(np.array([self.power_W, self.pressure_mTorr])).T
        z = 2 * (np.log(x) - low) / (high - low) - 1
        p = self.prior
        shape = 1.0 + p.tilt**2 * (z @ z.T)
        energy, days = ages[:, 0], ages[:, 1]
        cov = cov + shape * (
            p.trend_per_kWh**2 * np.outer(energy, energy) + p.walk_per_root_kWh**2 * np.minimum.outer(energy, energy)
        )
        cov += p.gauge_per_root_day**2 * np.outer(slope, slope) * np.minimum.outer(days, days)
        return np.log(mean), cov


def _settings(x: ArrayLike) -> Array:
    x = np.asarray(x, dtype=float)
    if x.ndim != 2 or x.shape[1] != 2 or not np.all(np.isfinite(x)) or np.any(x <= 0):
        raise OutOfRange(f"settings of shape {x.shape}: give positive numbers (power, pressure) [m, 2]")
    return x


def _weights(ln_rate: Array) -> Array:
    """What relative variances [m] count in the mean square error of the rate, relative to the mean rate."""
    rate = np.exp(ln_rate - ln_rate.max())
    return rate**2 / (len(rate) * rate.mean() ** 2)


def _check_age(energy_kWh: float, days: float) -> None:
    if not (np.isfinite(energy_kWh) and np.isfinite(days) and energy_kWh >= 0 and days >= 0):
        raise OutOfRange(
            f"an age of {energy_kWh} kWh and {days} days: counters that went back? The model is of another target"
        )
