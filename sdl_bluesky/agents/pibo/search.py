"""The best point of a box by a grid and finer ones around its best points: sure, quick, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

SIDE = 21
ZOOMS = 3
_ZOOM_SIDE = 7
_SEEDS = 2
_APART = 0.1
ALTERNATIVES = 4


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        x: the best point [2].
        cost: its cost.
        others: next best points of the grid, apart from it and one another, with their costs.
    """

    x: Array
    cost: float
    others: list[tuple[Array, float]]


def search(bounds: Sequence[tuple[float, float]], cost: Callable[[Array], Array], extra: Array | None = None) -> Found:
    """The point of least cost. Ties go to the first of the grid.

    Args:
        bounds: (low, high) of two inputs.
        cost: of points [n, 2]: [n]; inf where nothing may be suggested.
        extra: points [k, 2] beside those of the grid.

    Raises:
        OutOfRange: no point of the grid may be suggested.
    """
    low, high = np.asarray(bounds, dtype=float).T
    points = low + _lattice(np.zeros(2), np.ones(2), SIDE) * (high - low)
    if extra is not None and len(extra):
        points = np.concatenate([points, extra])
    value = cost(points)
    if not np.isfinite(value).any():
        raise OutOfRange("nothing may be suggested: failures and the phase diagram leave no point within the bounds")
    order = _spread((points - low) / (high - low), value, _APART, max(_SEEDS, ALTERNATIVES + 1))
    best, least = points[order[0]], float(value[order[0]])
    step = (high - low) / (SIDE - 1)
    for start in order[:_SEEDS]:
        at, worth, reach = points[start], float(value[start]), step
        for _ in range(ZOOMS):
            near = _lattice(np.maximum(at - reach, low), np.minimum(at + reach, high), _ZOOM_SIDE)
            found = cost(near)
            k = int(np.argmin(found))
            if found[k] < worth:
                at, worth = near[k], float(found[k])
            reach = reach * 2.0 / (_ZOOM_SIDE - 1)
        if worth < least:
            best, least = at, worth
    return Found(best, least, [(points[k], float(value[k])) for k in order[1 : ALTERNATIVES + 1]])


def _lattice(low: Array, high: Array, side: int) -> Array:
    axes = [np.linspace(a, b, side) for a, b in zip(low, high, strict=True)]
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)


def _spread(u: Array, value: Array, apart: float, most: int) -> list[int]:
    """Indices of up to `most` points by cost, each at least `apart` from the better ones."""
    taken: list[int] = []
    free = np.isfinite(value)
    while free.any() and len(taken) < most:
        k = int(np.argmin(np.where(free, value, np.inf)))
        taken.append(k)
        free &= np.max(np.abs(u - u[k]), axis=1) > apart
    return taken
