"""The space that an agent searches: named inputs with bounds, and the points that may be suggested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference import design
from sdl_bluesky.physics.geometry import Array

Mask: TypeAlias = NDArray[np.bool_]
Candidates: TypeAlias = Sequence[Mapping[str, float]] | ArrayLike | None
SLACK = 0.5
"""A reading may lie outside the bounds by this share of their width (readbacks are noisy); further out is a mistake."""


@dataclass(frozen=True)
class Space:
    """Inputs by name with bounds; `candidates` [q, d] are the points that may be suggested, `listed` if a user gave them."""

    names: tuple[str, ...]
    bounds: tuple[tuple[float, float], ...]
    candidates: Array
    listed: bool

    @classmethod
    def make(cls, bounds: Mapping[str, tuple[float, float]], candidates: Candidates = None) -> Space:
        """Check bounds and candidates; without candidates a grid of the bounds (31 x 31 for two inputs).

        Raises:
            OutOfRange: bounds are empty, inverted or not finite; candidates do not fit them.
            UnknownName: a candidate misses an input.
        """
        if not bounds:
            raise OutOfRange("bounds are empty: give {input: (low, high)} for one input or more")
        for name, pair in bounds.items():
            good = isinstance(name, str) and bool(name) and not name.startswith("_")
            if not good or np.shape(pair) != (2,) or not np.all(np.isfinite(pair)) or not pair[0] < pair[1]:
                raise OutOfRange(f"bounds of {name!r} are {pair}: give a finite (low, high) with low < high")
        names = tuple(bounds)
        pairs = tuple((float(low), float(high)) for low, high in bounds.values())
        if candidates is None:
            return cls(names, pairs, design.grid(pairs), False)
        return cls(names, pairs, _listed(names, pairs, candidates), True)

    def unit(self, x: ArrayLike) -> Array:
        """Points [n, d] with the bounds at 0 and 1."""
        low, high = np.asarray(self.bounds).T
        return (np.asarray(x, dtype=float).reshape(-1, len(self.names)) - low) / (high - low)

    def snapped(self, x: Array) -> Array:
        """The candidate [d] nearest to a point, if candidates were given; else the point itself."""
        if not self.listed:
            return x
        return self.candidates[int(np.argmin(np.sum((self.unit(self.candidates) - self.unit(x)) ** 2, axis=1)))]

    def point(self, x: Array) -> dict[str, float]:
        """A point [d] by names."""
        return {name: float(v) for name, v in zip(self.names, x)}

    def read(self, row: Mapping[str, Any]) -> Array:
        """The inputs [d] of a row.

        Raises:
            OutOfRange: an input is missing, not finite, or far outside its bounds.
        """
        x = np.array([number(row, name) for name in self.names])
        u = self.unit(x)[0]
        for k in np.flatnonzero((u < -SLACK) | (u > 1 + SLACK)):
            low, high = self.bounds[k]
            raise OutOfRange(f"{self.names[k]} = {x[k]:g} lies far outside its bounds {low:g} to {high:g}: wrong unit?")
        return x

    def domain(self, most: int = 96) -> Array:
        """Up to `most` points spread over the space, for averages; of listed candidates a random choice, always the same."""
        if not self.listed:
            return design.sobol(self.bounds, most, seed=0)
        if len(self.candidates) <= most:
            return self.candidates
        return self.candidates[np.sort(np.random.default_rng(0).choice(len(self.candidates), most, replace=False))]


def number(row: Mapping[str, Any], name: str) -> float:
    """One finite number of a row.

    Raises:
        OutOfRange: it is missing, no number, or not finite.
    """
    if name not in row:
        raise OutOfRange(f"{name!r} is missing")
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        raise OutOfRange(f"{name} = {row[name]!r} is no number") from None
    if not np.isfinite(value):
        raise OutOfRange(f"{name} = {value} is not finite")
    return value


def _listed(names: tuple[str, ...], bounds: tuple[tuple[float, float], ...], candidates: Any) -> Array:
    rows = list(candidates)
    if rows and isinstance(rows[0], Mapping):
        missing = [name for name in names if any(name not in row for row in rows)]
        if missing:
            raise UnknownName("candidate's input", missing[0], list(rows[0]))
        rows = [[row[name] for name in names] for row in rows]
    points = np.asarray(rows, dtype=float)
    if points.ndim != 2 or points.shape[1] != len(names) or not len(points) or not np.all(np.isfinite(points)):
        raise OutOfRange(
            f"candidates of shape {points.shape}: give finite points [q, {len(names)}], or none for a grid"
        )
    low, high = np.asarray(bounds).T
    out = np.flatnonzero(np.any((points < low) | (points > high), axis=1))
    if out.size:
        raise OutOfRange(f"candidates {out[:5].tolist()} lie outside the bounds")
    return np.array(list(dict.fromkeys(map(tuple, points.tolist()))), dtype=float)
