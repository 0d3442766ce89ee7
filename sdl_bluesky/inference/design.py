"""Points to begin with, before a model can choose: [n, d] within bounds ((low, high), ...), the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.stats import qmc

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.physics.geometry import Array

Bounds = Sequence[tuple[float, float]]
DESIGNS = ("corners", "sobol", "random")
COUNT = 5


def _within(unit: Array, bounds: Bounds) -> Array:
    low, high = np.asarray(bounds, dtype=float).T
    return low + unit * (high - low)


def corners(bounds: Bounds) -> Array:
    """All corners, from opposite ends in turn, then the centre (the paper's Case 3)."""
    d = len(bounds)
    points = [np.array(c, dtype=float) for c in product((0.0, 1.0), repeat=d)]
    half = [p for c in points[: len(points) // 2] for p in (c, 1.0 - c)]
    return _within(np.array([*half, np.full(d, 0.5)]), bounds)


def sobol(bounds: Bounds, n: int = COUNT, seed: int = 0, first: int = 0) -> Array:
    """Points number `first` to `first + n` of a scrambled Sobol sequence (Case 2)."""
    sequence = qmc.Sobol(len(bounds), scramble=True, rng=np.random.default_rng(seed))
    if first:
        sequence.fast_forward(first)
    power = 1 << max(n - 1, 0).bit_length()
    unit = sequence.random(power) if first == 0 else np.concatenate([sequence.random(1) for _ in range(n)])
    return _within(unit[:n], bounds)


def random(bounds: Bounds, n: int = COUNT, seed: int = 0, first: int = 0) -> Array:
    """Points number `first` to `first + n` of a sequence of independent uniform points (Case 1)."""
    unit = np.array([np.random.default_rng([seed, k]).random(len(bounds)) for k in range(first, first + n)])
    return _within(unit.reshape(n, len(bounds)), bounds)


def initial_design(name: str, bounds: Bounds, seed: int = 0) -> Array:
    """The initial design of a name: corners and centre, or five points.

    Raises:
        UnknownName: there is none of that name.
    """
    if name == "corners":
        return corners(bounds)
    if name == "sobol":
        return sobol(bounds, seed=seed)
    if name == "random":
        return random(bounds, seed=seed)
    raise UnknownName("initial design", name, DESIGNS)


def grid(bounds: Bounds, most: int = 1000) -> Array:
    """A regular grid, ends included: 31 x 31 for two inputs, in general the finest with `most` points or fewer."""
    d = len(bounds)
    side = max(2, int(np.floor(most ** (1.0 / d) + 1e-9)))
    axes = [np.linspace(low, high, side) for low, high in bounds]
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
