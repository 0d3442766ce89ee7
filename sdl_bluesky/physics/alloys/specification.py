"""What a layer is wanted to be: a wavelength and a lattice constant, each within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.alloys.laws import INP_LATTICE
from sdl_bluesky.physics.alloys.quaternary import Composition, Quaternary
from sdl_bluesky.physics.geometry import Array

EDGE = 1e-9
"""Relative slack at the edges, so that a layer exactly on one is inside whatever the rounding."""


def mismatch(lattice: ArrayLike, substrate: float = INP_LATTICE) -> Array:
    """Lattice mismatch 100 (d - substrate) / substrate [%], of the shape of `lattice` [Angstrom]."""
    return (100.0 * (np.asarray(lattice, dtype=float) - substrate) / substrate)[()]


def lattice_of(mismatch_percent: ArrayLike, substrate: float = INP_LATTICE) -> Array:
    """Lattice constant [Angstrom] of a mismatch [%]."""
    return (substrate * (1.0 + np.asarray(mismatch_percent, dtype=float) / 100.0))[()]


@dataclass(frozen=True)
class Specification:
    """|wavelength - target| <= tolerance and |mismatch to the target's lattice constant| <= tolerance.

    Attributes:
        wavelength: target [nm].
        lattice: target [Angstrom]; that of InP, for a layer that is matched to it.
        wavelength_tolerance: [nm].
        mismatch_tolerance: [%].

    Raises:
        OutOfRange: a number that is not finite and above 0.
    """

    wavelength: float
    lattice: float = INP_LATTICE
    wavelength_tolerance: float = 10.0
    mismatch_tolerance: float = 0.05

    def __post_init__(self) -> None:
        for name in ("wavelength", "lattice", "wavelength_tolerance", "mismatch_tolerance"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise OutOfRange(f"{name} = {value}: give a finite number above 0")

    def met(self, wavelength: ArrayLike, lattice: ArrayLike) -> NDArray[np.bool_]:
        """Whether layers are in the specification, of the common shape; false for numbers that are not finite."""
        w = np.abs(np.asarray(wavelength, dtype=float) - self.wavelength)
        m = np.abs(np.asarray(mismatch(lattice, self.lattice)))
        return (w <= self.wavelength_tolerance * (1 + EDGE)) & (m <= self.mismatch_tolerance * (1 + EDGE))

    def met_by(self, alloy: Quaternary, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Whether compositions are in the specification, of the common shape; false outside the unit square."""
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        inside = (np.abs(x - 0.5) <= 0.5) & (np.abs(y - 0.5) <= 0.5)
        return inside & self.met(*alloy.properties(np.where(inside, x, 0.0), np.where(inside, y, 0.0)))

    def corners(self, alloy: Quaternary) -> Composition:
        """The corners of the specification as compositions, x [4] and y [4], in order round it.

        Raises:
            OutOfRange: a corner lies outside the alloy.
        """
        w = self.wavelength + self.wavelength_tolerance * np.array([-1.0, 1.0, 1.0, -1.0])
        return alloy.composition(
            w, lattice_of(self.mismatch_tolerance * np.array([-1.0, -1.0, 1.0, 1.0]), self.lattice)
        )
