"""Points to begin with, before a model can choose: [n, d] within bounds ((low, high), ...), the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.stats import qmc

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.physics.geometry import Array

Bounds = Sequence[tuple[float, float]]
DESIGNS = ("ends", "corners", "sobol", "random")
COUNT = 5


def _within(unit: Array, bounds: Bounds) -> Array:
    low, high = np.asarray(bounds, dtype=float).T
    return low + unit * (high - low)


def corners(bounds: Bounds) -> Array:
    """All corners, from opposite ends in turn, then the centre (the paper's Case 3)."""
    d = len(bounds)
    return _within(np.array([*_corners(d), np.full(d, 0.5)]), bounds)


def _corners(d: int) -> Array:
    """Corners of the unit cube [2^d, d], from opposite ends in turn."""
    points = [np.array(c, dtype=float) for c in product((0.0, 1.0), repeat=d)]
    return np.array([p for c in points[: len(points) // 2] for p in (c, 1.0 - c)])


def ends(bounds: Bounds, power: int) -> Array:
    """The corners of the other inputs at the highest power, from opposite ends in turn: [2^(d-1), d].

    A rate is proportional to the power but for a smooth factor, and a reading is best where there is most to read.

    Args:
        bounds: (low, high) of each input.
        power: column of the power.
    """
    unit = _corners(len(bounds))
    return _within(unit[unit[:, power] == 1.0], bounds)


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


def initial_design(name: str, bounds: Bounds, seed: int = 0, power: int | None = None) -> Array:
    """The initial design of a name: ends (corners, if no input is a power), corners and centre, or five points.

    Raises:
        UnknownName: there is none of that name.
    """
    if name == "ends" and power is not None:
        return ends(bounds, power)
    if name in ("ends", "corners"):
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
