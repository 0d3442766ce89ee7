"""Regions of a phase diagram that a growth should keep out of, or pays for: a function, or a table over the flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import Array

Phase: TypeAlias = Callable[[Array], Any] | Mapping[str, Any] | None
"""Flows [n, 2] to penalties [n], or {"f_ga": axis [a], "f_as": axis [b], "penalty": [a, b]}. A penalty is 0 where growth is
good, a number above 0 where it is worse (the acquisition is multiplied by 1 + penalty), and inf, or False of a
function that gives bools (True: feasible), where nothing may be suggested."""


@dataclass(frozen=True)
class Table:
    """Penalties on a grid. Between its points the worst of the corners around counts; outside of it the nearest edge."""

    axes: tuple[Array, Array]
    penalty: Array

    def __call__(self, flows: Array) -> Array:
        """Penalties [n] at flows [n, 2]."""
        below, above = [], []
        for axis, f in zip(self.axes, flows.T, strict=True):
            f = np.clip(f, axis[0], axis[-1])
            above.append(np.searchsorted(axis, f, side="left"))
            below.append(np.searchsorted(axis, f, side="right") - 1)
        return np.max([self.penalty[i, j] for i in (below[0], above[0]) for j in (below[1], above[1])], axis=0)


def penalty_of(phase: Phase, names: Sequence[str]) -> Callable[[Array], Array]:
    """Penalties [n], 0 or above, at flows [n, 2] by a function or a table.

    Raises:
        OutOfRange: a table that is none; later, a function that gives negative numbers, nan, or another shape.
        UnknownName: a table without an axis.
    """
    if phase is None:
        return lambda flows: np.zeros(len(flows))
    law = _table(phase, names) if isinstance(phase, Mapping) else phase

    def penalty(flows: Array) -> Array:
        found = np.asarray(law(flows))
        if found.shape != (len(flows),):
            raise OutOfRange(f"the phase diagram gave {found.shape} for {len(flows)} points: give a number for each")
        found = np.where(found, 0.0, np.inf) if found.dtype == bool else found.astype(float)
        if np.any(np.isnan(found)) or np.any(found < 0):
            raise OutOfRange("a penalty of the phase diagram is negative or nan: 0 is good, inf is forbidden")
        return found

    return penalty


def _table(table: Mapping[str, Any], names: Sequence[str]) -> Table:
    for name in (*names, "penalty"):
        if name not in table:
            raise UnknownName("part of the phase diagram", name, list(table))
    axes = [np.asarray(table[name], dtype=float) for name in names]
    penalty = np.asarray(table["penalty"], dtype=float)
    if any(a.ndim != 1 or not a.size or np.any(np.diff(a) <= 0) or not np.all(np.isfinite(a)) for a in axes):
        raise OutOfRange("an axis of the phase diagram does not rise")
    if penalty.shape != (axes[0].size, axes[1].size):
        raise OutOfRange(f"penalties {penalty.shape} on axes of {axes[0].size} and {axes[1].size} points")
    return Table((axes[0], axes[1]), penalty)
