"""Pressure below which a magnetron plasma goes out, learned as a curve over the power from plasmas seen lit and seen out.

    ln p_b(P) = level + slope (ln P - ln P_0) + bend(ln P)

with P_0 the geometric middle of the powers and bend a Matern-3/2 process (a continuous curve that may have kinks). A
burning plasma at (P, p) stays lit with the probability Phi((ln p - ln p_b(P)) / sharpness). A narrow bracket (lit at one
pressure, out at a lower one, on the way down at one power) is a reading of ln p_b; what was only seen lit or only seen out
is an inequality.

Fully Bayesian: for every node of (size and length of the bend, sharpness) joint samples of the curve are conditioned on the
brackets exactly (Matheron's rule; Wilson et al., JMLR 22, 105, 2021), weighted with the evidence of the node, with the
inequalities, and against curves that rise with the power; a systematic resampling of all of them is the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_solve
from scipy.special import log_ndtr, ndtr

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

LogNormal = tuple[float, float]
"""Median, and standard deviation of the logarithm."""

_KNOTS = 33
_CURVES = 512
_KEPT = 1024
_NARROW = 0.25  # of ln p: a wider bracket is two inequalities
_GAUGE = 0.005  # error of ln p between two readings of one gauge
_JITTER = 1e-9
_CHUNK = 256
_BLOCK = 64
_BISECTIONS = 14


@dataclass(frozen=True)
class BoundaryPrior:
    """What is assumed of magnetrons in general; every size of the logarithm of the pressure.

    Attributes:
        level_mTorr: p_b in the middle of the powers: typically 2 to 5 mTorr, within a factor of two in nine of ten cases.
        slope: mean and standard deviation of d ln p_b / d ln P: a stronger discharge lives at lower pressures.
        bend: sizes that the deviation from that power law may have.
        length: lengths over which it changes, of ln P.
        sharpness: from one time to the next (gauge, target, history), with the weight of each.
        rise: a total rise of the curve with the power that is about as unlikely as one standard deviation.
    """

    level_mTorr: LogNormal = (3.2, 0.42)
    slope: tuple[float, float] = (-0.25, 0.2)
    bend: tuple[float, ...] = (0.03, 0.1, 0.25)
    length: tuple[float, ...] = (0.7, 2.0)
    sharpness: tuple[tuple[float, float], ...] = ((0.01, 0.5), (0.03, 0.35), (0.08, 0.15))
    rise: float = 0.1


@dataclass(frozen=True)
class PlasmaData:
    """What was seen.

    Attributes:
        lit: power [W] and pressure [mTorr] of plasmas that burnt [n, 2].
        out: of plasmas that were out though they had burnt before at a higher pressure nobody noted [m, 2].
        brackets: power, last pressure lit, pressure seen out [b, 3].
    """

    lit: Array = field(default_factory=lambda: np.empty((0, 2)))
    out: Array = field(default_factory=lambda: np.empty((0, 2)))
    brackets: Array = field(default_factory=lambda: np.empty((0, 3)))

    def __post_init__(self) -> None:
        for name, width in (("lit", 2), ("out", 2), ("brackets", 3)):
            rows = np.asarray(getattr(self, name), dtype=float).reshape(-1, width)
            if not np.all(np.isfinite(rows)) or np.any(rows <= 0):
                raise OutOfRange(f"{name}: powers and pressures must be finite numbers above 0")
            object.__setattr__(self, name, rows)


@dataclass(frozen=True)
class BoundaryModel:
    """The model over a range of powers.

    Attributes:
        power_W: lowest and highest power; beyond it the curve stays level.
        prior: see `BoundaryPrior`.
        seed: of the curves.

    >>> model = BoundaryModel((10.0, 100.0))
    >>> posterior = model.fit(PlasmaData(brackets=np.array([[30.0, 3.1, 3.0]])))
    >>> low, median, high = posterior.quantile([30.0], [0.05, 0.5, 0.95])[:, 0]
    """

    power_W: tuple[float, float]
    prior: BoundaryPrior = field(default_factory=BoundaryPrior)
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.power_W
        if not (np.isfinite(high) and 0 < low < high):
            raise OutOfRange(f"powers {self.power_W}: give (low, high) with 0 < low < high, in W")

    @property
    def knots(self) -> Array:
        """ln P at which curves are held [knots]; in between they are straight."""
        return np.linspace(np.log(self.power_W[0]), np.log(self.power_W[1]), _KNOTS)

    @property
    def _mean(self) -> Array:
        u = self.knots
        return np.log(self.prior.level_mTorr[0]) + self.prior.slope[0] * (u - u.mean())

    @cached_property
    def _drawn(self) -> list[tuple[Array, Array]]:
        """Prior covariance [knots, knots] and curves [curves, knots] of each size and length of the bend."""
        normal = np.random.default_rng([self.seed, 23]).standard_normal((_CURVES, _KNOTS))
        covs = [self._covariance(*node) for node in product(self.prior.bend, self.prior.length)]
        return [(cov, self._mean + _product(normal, _root(cov).T)) for cov in covs]

    def fit(self, data: PlasmaData) -> Boundary:
        """Posterior given what was seen; the prior, if nothing was."""
        u = self.knots
        narrow, lit, out = _sorted_out(data)
        at = np.log(narrow[:, 0])
        y = np.log(narrow[:, 1] * narrow[:, 2]) / 2.0
        spread = np.log(narrow[:, 1] / narrow[:, 2]) ** 2 / 12.0 + _GAUGE**2
        error = np.random.default_rng([self.seed, 29]).standard_normal((_CURVES, len(y)))
        curves, sharp, log_weight = [], [], []
        for (cov, g), (sharpness, weight) in product(self._drawn, self.prior.sharpness):
            noise = spread + sharpness**2
            log_w = np.full(_CURVES, np.log(weight))
            if y.size:
                reach = _between(u, cov, at)  # [knots, brackets]
                root = _root(_between(u, reach.T, at) + np.diag(noise))
                off = y - _between(u, self._mean[None], at)[0]
                log_w += -0.5 * off @ cho_solve((root, True), off) - np.log(np.diag(root)).sum()
                missed = y + np.sqrt(noise) * error - _between(u, g, at)
                g = g + _product(cho_solve((root, True), missed.T).T, reach.T)
            log_w = log_w + self._inequalities(g, sharpness, lit, out)
            curves.append(g)
            sharp.append(np.full(_CURVES, sharpness))
            log_weight.append(log_w)
        return _resampled(u, np.concatenate(curves), np.concatenate(sharp), np.concatenate(log_weight))

    def _covariance(self, bend: float, length: float) -> Array:
        """Prior covariance of the curve at the knots [knots, knots]."""
        u = self.knots
        r = np.sqrt(3.0) * np.abs(u[:, None] - u[None, :]) / length
        centred = u - u.mean()
        cov = bend**2 * (1.0 + r) * np.exp(-r)
        cov += self.prior.level_mTorr[1] ** 2 + self.prior.slope[1] ** 2 * np.outer(centred, centred)
        return cov + _JITTER * np.eye(len(u))

    def _inequalities(self, g: Array, sharpness: float, lit: Array, out: Array) -> Array:
        """Log probability [curves] of what was seen only from one side, and of rising no more than it does."""
        total = -0.5 * (np.maximum(np.diff(g, axis=1), 0.0).sum(axis=1) / self.prior.rise) ** 2
        for seen, sign in ((lit, 1.0), (out, -1.0)):
            if len(seen):
                above = np.log(seen[:, 1]) - _between(self.knots, g, np.log(seen[:, 0]))
                total = total + log_ndtr(sign * above / sharpness).sum(axis=1)
        return total


@dataclass(frozen=True)
class Boundary:
    """Posterior of the curve p_b(P) as equally weighted curves. Made by `BoundaryModel.fit`.

    Attributes:
        knots: ln P [knots].
        curves: ln p_b at the knots [kept, knots].
        sharpness: of each curve [kept].
        ess: effective number of the weighted curves that these were drawn from.
    """

    knots: Array
    curves: Array
    sharpness: Array
    ess: float

    def log_pressure(self, power_W: ArrayLike) -> Array:
        """ln p_b of every curve at powers [q]: [kept, q]."""
        return _between(self.knots, self.curves, np.log(_positive(power_W, "power")))

    def lit(self, x: ArrayLike) -> Array:
        """Probability of burning at (power, pressure) [q, 2] for every curve: [kept, q]."""
        x = np.asarray(x, dtype=float).reshape(-1, 2)
        above = np.log(_positive(x[:, 1], "pressure")) - self.log_pressure(x[:, 0])
        return ndtr(above / self.sharpness[:, None])

    def probability_lit(self, x: ArrayLike) -> Array:
        """Probability that a plasma that was lit at high pressure burns at (power, pressure) [q, 2]: [q]."""
        x = np.asarray(x, dtype=float).reshape(-1, 2)
        parts = [self.lit(x[i : i + _CHUNK]).mean(axis=0) for i in range(0, len(x), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def quantile(self, power_W: ArrayLike, q: ArrayLike) -> Array:
        """Quantiles q [k] of the boundary p_b at powers [m]: [k, m] mTorr."""
        return np.exp(np.quantile(self.log_pressure(power_W), np.asarray(q, dtype=float), axis=0))

    def safe_pressure(self, power_W: ArrayLike, probability: float) -> Array:
        """Lowest pressure [q] in mTorr at which a plasma at powers [q] burns with a probability."""
        curves, sharpness = self.log_pressure(power_W), self.sharpness[:, None]
        low, high = curves.min(axis=0) - 1.0, curves.max(axis=0) + 6.0 * self.sharpness.max()
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            enough = ndtr((middle - curves) / sharpness).mean(axis=0) >= probability
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.exp(high)


def _sorted_out(data: PlasmaData) -> tuple[Array, Array, Array]:
    """Narrow brackets (power, higher, lower), lit and out points; noise of the gauge may have swapped a bracket's ends."""
    higher, lower = data.brackets[:, 1:].max(axis=1), data.brackets[:, 1:].min(axis=1)
    brackets = np.column_stack([data.brackets[:, 0], higher, lower])
    wide = np.log(higher / lower) > _NARROW
    lit = np.concatenate([data.lit, brackets[wide][:, [0, 1]]])
    out = np.concatenate([data.out, brackets[wide][:, [0, 2]]])
    return brackets[~wide], lit, out


def _between(knots: Array, curves: Array, u: Array) -> Array:
    """Curves [c, knots] at u [q], straight between the knots and level beyond the ends: [c, q]."""
    place = np.clip((u - knots[0]) / (knots[1] - knots[0]), 0.0, len(knots) - 1.0)
    left = np.minimum(place.astype(int), len(knots) - 2)
    part = place - left
    return curves[:, left] * (1.0 - part) + curves[:, left + 1] * part


def _root(cov: Array) -> Array:
    return np.asarray(np.linalg.cholesky(cov), dtype=np.float64)


def _product(a: Array, b: Array) -> Array:
    """a @ b in blocks too small for the threads of a linear-algebra library: the same floats with any number of them."""
    return np.concatenate([a[i : i + _BLOCK] @ b for i in range(0, len(a), _BLOCK)])


def _positive(values: ArrayLike, what: str) -> Array:
    v = np.atleast_1d(np.asarray(values, dtype=float))
    if not np.all(np.isfinite(v)) or np.any(v <= 0):
        raise OutOfRange(f"{what}: give finite numbers above 0")
    return v


def _resampled(knots: Array, curves: Array, sharpness: Array, log_weight: Array) -> Boundary:
    w = np.exp(log_weight - log_weight.max())
    w /= w.sum()
    picks = np.searchsorted(np.cumsum(w), (np.arange(_KEPT) + 0.5) / _KEPT * w.sum())
    picks = np.minimum(picks, len(w) - 1)
    return Boundary(knots, curves[picks], sharpness[picks], float(1.0 / np.sum(w**2)))
