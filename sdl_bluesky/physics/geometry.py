"""Where sources and sensors stand in the chamber. Lengths in cm; the substrate is centred on the origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import OutOfRange

Array: TypeAlias = NDArray[np.float64]
Vector: TypeAlias = tuple[float, float, float]


def unit_vector(vector: ArrayLike, what: str = "direction") -> Array:
    """Vectors of length one along the last axis, of the same shape [..., 3].

    Raises:
        OutOfRange: the last axis is not 3 long, or a vector is zero or not finite.
    """
    v = np.asarray(vector, dtype=float)
    if v.shape[-1:] != (3,):
        raise OutOfRange(f"{what} has shape {v.shape}: give three components on the last axis")
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    if not np.all(np.isfinite(length)) or np.any(length == 0.0):
        raise OutOfRange(f"{what} {v.tolist()} is zero or not finite: give a direction")
    return v / length


@dataclass(frozen=True)
class SourceGeometry:
    """A sputter source: the middle of its target [cm] and the direction out of the target (any length)."""

    position_cm: Vector
    axis: Vector


@dataclass(frozen=True)
class SensorGeometry:
    """A rate sensor: its place [cm] and the normal of its crystal (any length)."""

    position_cm: Vector
    normal: Vector = (0.0, 0.0, 1.0)
