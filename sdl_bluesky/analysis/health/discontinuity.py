"""Does the rate of a source jump within its range? Evidence of a step against a smooth surface.

    ln(rate / P) = h(z) + noise,      z = ln P, ln p from 0 to 1 over the ranges
    smooth:  h = constant + Matern-5/2
    step:    h = the same + step beyond a place between two neighbouring values of power or of pressure

Hyper-parameters, size and place of the step are averaged over their priors. A step counts as found where a ratio of the
two evidences as large as this one has a probability of at most `FALSE_ALARM` on smooth surfaces that fit the data as well:
they are drawn from the smooth model, its hyper-parameters weighted by their evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, qmc

from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.geometry import Array

LEAST_RUNS = 6
FALSE_ALARM = 0.05
_NODES = 128
_DRAWS = 400
_STEP_STD = 0.25  # of ln rate
_CONSTANT_STD = 3.0
# median and logarithmic spread: lengths (in units of the range), signal (of ln rate), relative noise, absolute noise
_PRIOR = ((1.2, 0.7), (1.2, 0.7), (0.3, 0.7), (0.012, 0.4))
_AXES = ("power", "pressure")


@dataclass(frozen=True)
class Jump:
    """The likeliest step.

    Attributes:
        p_value: probability of evidence as strong on a smooth surface.
        log_bayes_factor: ln of the evidence for a step over that for none.
        axis: "power" or "pressure".
        between: the two neighbouring values it lies between (W or mTorr).
        size: relative change of the rate there, going up; std: its standard error.
    """

    p_value: float
    log_bayes_factor: float
    axis: str
    between: tuple[float, float]
    size: float
    std: float

    @property
    def found(self) -> bool:
        """Whether smooth surfaces show that little often enough."""
        return self.p_value <= FALSE_ALARM


def find_jump(points: ArrayLike, rates: ArrayLike, std: ArrayLike, *, seed: int = 0) -> Jump:
    """Look for a step in the rates of one sensor, or in their mean over the sensors.

    Args:
        points: power [W] and pressure [mTorr] of the runs [n, 2].
        rates: [n], ng cm^-2 s^-1, positive.
        std: known part of their standard errors [n]; some per cent of scatter besides are expected.
        seed: of the nodes over which is averaged.

    Raises:
        OutOfRange: shapes differ, or a number is not positive and finite.
        WeakSignal: fewer than six runs.
    """
    x, y, e = (np.asarray(k, dtype=float) for k in (points, rates, std))
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != (len(x),) or e.shape != y.shape:
        raise OutOfRange(f"points {x.shape}, rates {y.shape} and errors {e.shape} do not belong together")
    if not np.all(np.isfinite(x) & (x > 0)) or not np.all(np.isfinite(y) & (y > 0) & np.isfinite(e) & (e >= 0)):
        raise OutOfRange("a setting or rate is not positive and finite, or an error is negative: leave that run out")
    if len(x) < LEAST_RUNS:
        raise WeakSignal(f"{len(x)} runs: a step is looked for in {LEAST_RUNS} or more")
    logs = np.log(x)
    z = (logs - logs.min(axis=0)) / np.maximum(np.ptp(logs, axis=0), 1e-9)
    target = np.log(y / x[:, 0])
    theta = np.exp(_nodes(seed))
    cov = _smooth(z, theta) + np.einsum("m,ij->mij", theta[:, 3] ** 2, np.eye(len(y))) + np.diag((e / y) ** 2)
    target = target - np.median(target)
    steps = _steps(x)
    root = np.linalg.inv(np.linalg.cholesky(cov))
    smooth = _log_density(root, target[:, None])[:, 0]
    weight = np.exp(smooth - np.logaddexp.reduce(smooth))
    both = np.column_stack([target, _draws(cov, weight, seed)])
    axes = [axis for axis, _, _ in steps]
    prior = np.log([1.0 / axes.count(axis) / len(set(axes)) for axis in axes])
    plain = _log_density(root, both)
    evidence = _with_steps(root, both, np.stack([s for _, _, s in steps], axis=1), plain)
    each = np.logaddexp.reduce(evidence, axis=1) + prior[:, None]
    factors = np.logaddexp.reduce(each, axis=0) - np.logaddexp.reduce(plain, axis=0)
    best = int(np.argmax(each[:, 0]))
    axis, between, s = steps[best]
    weight = np.exp(evidence[best, :, 0] - np.logaddexp.reduce(evidence[best, :, 0]))
    mean, variance = _size(cov, target, s)
    size = float(weight @ mean)
    spread = float(np.sqrt(weight @ (variance + (mean - size) ** 2)))
    p_value = float((1 + np.sum(factors[1:] >= factors[0])) / (_DRAWS + 1))
    return Jump(p_value, float(factors[0]), axis, between, float(np.expm1(size)), spread * float(np.exp(size)))


def _draws(cov: Array, weight: Array, seed: int) -> Array:
    """Readings of smooth surfaces [n, draws], nodes taken by their weight."""
    rng = np.random.default_rng([seed, 1])
    places = np.searchsorted(np.cumsum(weight), (np.arange(_DRAWS) + rng.random()) / _DRAWS)
    roots = np.linalg.cholesky(cov)[np.minimum(places, len(weight) - 1)]
    return np.einsum("kij,kj->ik", roots, rng.standard_normal((_DRAWS, cov.shape[1])))


def _nodes(seed: int) -> Array:
    """Logarithms of hyper-parameters from their priors [m, 4]."""
    unit = qmc.Sobol(len(_PRIOR), scramble=True, rng=np.random.default_rng(seed)).random(_NODES)
    return np.log([m for m, _ in _PRIOR]) + norm.ppf(unit) * np.array([s for _, s in _PRIOR])


def _smooth(z: Array, theta: Array) -> Array:
    away = (z[:, None] - z[None]) ** 2
    r = np.sqrt(5.0 * np.einsum("ijd,md->mij", away, theta[:, :2] ** -2))
    return _CONSTANT_STD**2 + (theta[:, 2] ** 2)[:, None, None] * (1 + r + r**2 / 3) * np.exp(-r)


def _steps(x: Array) -> list[tuple[str, tuple[float, float], Array]]:
    """Places between neighbouring values, two runs or more on either side: axis, the two values, 0 or 1 for each run."""
    found = []
    for k, axis in enumerate(_AXES):
        values = np.unique(np.round(x[:, k], 6))
        for low, high in pairwise(values):
            beyond = (x[:, k] > (low + high) / 2).astype(float)
            if 2 <= beyond.sum() <= len(x) - 2:
                found.append((axis, (float(low), float(high)), beyond))
    if not found:
        raise WeakSignal("all runs are at one setting: there is no place for a step between them")
    return found


def _log_density(root: Array, y: Array) -> Array:
    """ln N(y; 0, C) but for a constant [m, k] of the columns of y [n, k]; root [m, n, n] is L^-1 with C = L L'."""
    away = root @ y
    return (
        -0.5 * np.einsum("mnk,mnk->mk", away, away) + np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)[:, None]
    )


def _with_steps(root: Array, y: Array, steps: Array, plain: Array) -> Array:
    """The same [steps, m, k] with C + step^2 u u' for each u of `steps` [n, steps] (Sherman and Morrison)."""
    away, along = root @ y, root @ steps
    reach = 1.0 + _STEP_STD**2 * np.einsum("mns,mns->sm", along, along)
    cross = np.einsum("mns,mnk->smk", along, away, optimize=True)
    return plain + 0.5 * _STEP_STD**2 * cross**2 / reach[:, :, None] - 0.5 * np.log(reach)[:, :, None]


def _size(cov: Array, y: Array, step: Array) -> tuple[Array, Array]:
    """Mean and variance of the step for every node."""
    seen = cov + _STEP_STD**2 * np.outer(step, step)
    both = np.stack([np.broadcast_to(k, (len(cov), len(y))) for k in (y, step)], axis=2)
    solved = np.einsum("i,mik->mk", step, np.linalg.solve(seen, both))
    return _STEP_STD**2 * solved[:, 0], _STEP_STD**2 - _STEP_STD**4 * solved[:, 1]
