"""Profile-likelihood intervals: how far one quantity can go while all others follow as best they can.

The ends are where twice the rise of the likelihood is the quantile of chi2 with one degree of freedom (Wilks, Ann. Math.
Statist. 9, 60, 1938). They follow the bends that a covariance cannot, and stop at the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.inference.rbs_fit.box import Function, Local, Settings, minimise, part
from sdl_bluesky.inference.rbs_fit.composition import sums_of
from sdl_bluesky.inference.rbs_fit.likelihood import likelihood
from sdl_bluesky.inference.rbs_fit.result import FitResult
from sdl_bluesky.physics.geometry import Array

STIFFNESS = 0.05
"""Standard deviation of the constraint over that of the quantity."""
CLOSE = 0.02
"""An end is found when its rise is this near, in standard deviations."""
STEPS = 12
REFIT = Settings(evaluations=40, tolerance=1e-3, damping=1e-3)


@dataclass(frozen=True)
class Fraction:
    """Atomic fraction of an element in layers (numbers from 0), of the sum of `elements`; None: as in `composition`."""

    element: str
    layers: Sequence[int] | None = None
    elements: Sequence[str] | None = None


@dataclass(frozen=True)
class Total:
    """Areal density of layers (numbers from 0) [1e15 at/cm2]; None: as in `total`."""

    layers: Sequence[int] | None = None
    elements: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Interval:
    """Intervals of one quantity.

    Attributes:
        value: best one [b].
        lower, upper: ends [b].
        level: probability that they are meant to cover.
        open_lower, open_upper: the bounds of the fit stop the interval before the likelihood does [b].
        deeper: how far below the fit's minimum a refit came, in units of the deviance [b]; over 1: fit again with more
            restarts, the minimum was a false one.
    """

    value: Array
    lower: Array
    upper: Array
    level: float
    open_lower: Mask
    open_upper: Mask
    deeper: Array


Quantity = Callable[[Array, Indices], tuple[Array, Array]]
"""(theta [r, p], rows [r]) -> value [r], gradient [r, p]."""


def profile(result: FitResult, quantity: str | Fraction | Total, level: float = 0.95) -> Interval:
    """Intervals of one quantity for every spectrum of a fit.

    Args:
        result: of a fit.
        quantity: name of a parameter ("Cu@1", "fluence"), a `Fraction` or a `Total`.
        level: probability that the interval is meant to cover.

    Raises:
        UnknownName: the fit has no such parameter or element.
        OutOfRange: a layer that it does not have; a level that is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise OutOfRange(f"level {level}: a probability between 0 and 1")
    wanted = float(norm.ppf(0.5 + 0.5 * level))
    function = result.problem.local(likelihood(result.likelihood))
    measure = _quantity(result, quantity)
    rows = np.arange(len(result.values))
    value, slope = measure(result.values, rows)
    std = np.sqrt(np.einsum("bp,bpq,bq->b", slope, result.cov, slope))
    lowest = function(result.values, rows)[0]
    ends = [_end(result, function, measure, side * wanted, value, std, slope, lowest) for side in (-1, 1)]
    deeper = 2.0 * np.maximum(ends[0][2], ends[1][2])
    return Interval(value, ends[0][0], ends[1][0], level, ends[0][1], ends[1][1], deeper)


def _end(
    result: FitResult,
    function: Function,
    measure: Quantity,
    wanted: float,
    value: Array,
    std: Array,
    slope: Array,
    lowest: Array,
) -> tuple[Array, Mask, Array]:
    """End of the intervals [b], whether it is open [b], and how far below the minimum a refit came [b]."""
    size = len(value)
    lower, upper = result.problem.parameters.lower, result.problem.parameters.upper
    sign, need = np.sign(wanted), abs(wanted)
    along = np.einsum("bpq,bq->bp", result.cov, slope) / np.maximum(std, 1e-300)[:, None]
    theta = result.values + sign * need * along
    inner, outer = np.zeros(size), np.full(size, np.inf)  # distances from the best value, in standard deviations
    rise_inner, rise_outer = np.zeros(size), np.full(size, np.inf)
    distance = np.full(size, need)
    end, opened = np.array(value), np.zeros(size, dtype=bool)
    deeper = np.zeros(size)
    rows = np.flatnonzero(std > 0.0)
    for _ in range(STEPS):
        if not rows.size:
            break
        target = value + sign * distance * std
        begin = np.clip(theta[rows], lower, upper)
        stiff = _constrained(part(function, rows), measure, rows, target[rows], STIFFNESS * std[rows])
        found = minimise(stiff, begin, lower, upper, REFIT)
        there = measure(found.theta, rows)[0]
        penalty = 0.5 * ((there - target[rows]) / (STIFFNESS * std[rows])) ** 2
        rise = found.value - penalty - lowest[rows]
        deeper[rows] = np.maximum(deeper[rows], -rise)
        theta[rows] = found.theta
        far = sign * (there - value[rows]) / std[rows]
        height = np.sqrt(2.0 * np.maximum(rise, 0.0))
        end[rows] = there
        stuck = (height < need - CLOSE) & (far < 0.95 * distance[rows]) & (far <= inner[rows] + 1e-3)
        opened[rows] = stuck
        low = height < need
        inner[rows] = np.where(low, far, inner[rows])
        rise_inner[rows] = np.where(low, height, rise_inner[rows])
        outer[rows] = np.where(low, outer[rows], far)
        rise_outer[rows] = np.where(low, rise_outer[rows], height)
        done = (np.abs(height - need) < CLOSE) | stuck
        between = np.isfinite(outer[rows])
        with np.errstate(invalid="ignore", divide="ignore"):
            inside = inner[rows] + (outer[rows] - inner[rows]) * (need - rise_inner[rows]) / (
                rise_outer[rows] - rise_inner[rows]
            )
            further = inner[rows] * np.clip(need / np.maximum(rise_inner[rows], 1e-3), 1.05, 2.0) + 0.1
        distance[rows] = np.where(between, inside, further)
        rows = rows[~done]
    return end, opened, deeper


def _constrained(function: Function, measure: Quantity, some: Indices, target: Array, width: Array) -> Function:
    """The function with a stiff spring that holds the quantity at its target."""

    def sprung(theta: Array, rows: Indices) -> Local:
        value, gradient, curvature = function(theta, rows)
        here, slope = measure(theta, some[rows])
        off = (here - target[rows]) / width[rows]
        slope = slope / width[rows, None]
        value = value + 0.5 * off * off
        return value, gradient + off[:, None] * slope, curvature + slope[:, :, None] * slope[:, None, :]

    return sprung


def _quantity(result: FitResult, quantity: str | Fraction | Total) -> Quantity:
    p = len(result.names)
    if isinstance(quantity, str):
        if quantity not in result.names:
            raise UnknownName("parameter of the fit", quantity, result.names)
        k = result.names.index(quantity)
        unit = np.eye(p)[k]
        return lambda theta, rows: (theta[:, k], np.broadcast_to(unit, theta.shape))
    sums = sums_of(result, quantity.layers, quantity.elements)
    d = len(sums.adds)
    held = sums.values - result.values[:, :d] @ sums.adds
    every = np.concatenate([sums.adds.sum(axis=1), np.zeros(p - d)])
    if isinstance(quantity, Total):
        return lambda theta, rows: (held[rows].sum(axis=1) + theta @ every, np.broadcast_to(every, theta.shape))
    if quantity.element not in sums.elements:
        raise UnknownName("element", quantity.element, sums.elements)
    e = sums.elements.index(quantity.element)
    one = np.concatenate([sums.adds[:, e], np.zeros(p - d)])

    def fraction(theta: Array, rows: Indices) -> tuple[Array, Array]:
        whole = held[rows].sum(axis=1) + theta @ every
        found = (held[rows, e] + theta @ one) / whole
        return found, (one - found[:, None] * every) / whole[:, None]

    return fraction
