"""Alloys of one free fraction: the wavelength alone gives the composition, the lattice constant follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial as power
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, Unidentifiable, UnknownName
from sdl_bluesky.physics.alloys.laws import HC_EV_NM, TERNARY
from sdl_bluesky.physics.alloys.quaternary import ROUNDING, Properties
from sdl_bluesky.physics.alloys.roots import bracketed_root
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class Ternary:
    """An alloy with one free fraction x from 0 to `direct_to`.

    Attributes:
        name: for messages.
        gap: coefficients of Eg(x) [eV], the constant first.
        lattice_constant: coefficients of a(x) [Angstrom], the constant first.
        direct_to: largest x at which the gap is direct and the alloy gives light.

    Raises:
        OutOfRange: coefficients or limit have no meaning, or the gap is not positive.
        Unidentifiable: the gap turns round: two compositions share a wavelength.
    """

    name: str
    gap: tuple[float, ...]
    lattice_constant: tuple[float, ...]
    direct_to: float = 1.0

    def __post_init__(self) -> None:
        if not self.gap or not self.lattice_constant or not np.all(np.isfinite([*self.gap, *self.lattice_constant])):
            raise OutOfRange(f"{self.name}: give finite coefficients of the gap and of the lattice constant")
        if not 0 < self.direct_to <= 1:
            raise OutOfRange(f"{self.name}: direct_to = {self.direct_to} must lie in (0, 1]")
        turns = [complex(k) for k in power.polyroots(power.polyder(self.gap))]
        if any(abs(k.imag) < ROUNDING and 0 < k.real < self.direct_to for k in turns) or not any(self.gap[1:]):
            raise Unidentifiable(
                f"{self.name}: the gap does not rise or fall with x all the way: it cannot be inverted"
            )
        if self._gap(np.array([0.0, self.direct_to])).min() <= 0:
            raise OutOfRange(f"{self.name}: the gap is not positive everywhere: such an alloy gives no light")

    def range(self) -> tuple[float, float]:
        """Shortest and longest wavelength [nm]."""
        ends = HC_EV_NM / self._gap(np.array([0.0, self.direct_to]))
        return float(ends.min()), float(ends.max())

    def properties(self, x: ArrayLike) -> Properties:
        """Wavelength [nm] and lattice constant [Angstrom], of the shape of x.

        Raises:
            OutOfRange: a fraction outside 0 to `direct_to`, or not finite.
        """
        x = np.asarray(x, dtype=float)
        if not np.all((x >= -ROUNDING) & (x <= self.direct_to + ROUNDING)):
            raise OutOfRange(f"{self.name}: x must lie in [0, {self.direct_to:g}], where the gap is direct")
        return Properties((HC_EV_NM / self._gap(x))[()], _polynomial(self.lattice_constant, x)[()])

    def composition(self, wavelength: ArrayLike) -> Array:
        """The fraction x of a wavelength [nm], of its shape.

        Raises:
            OutOfRange: a wavelength that the alloy does not reach; names its range.
        """
        w = np.asarray(wavelength, dtype=float)
        low, high = self.range()
        with np.errstate(invalid="ignore"):
            good = np.isfinite(w) & (w >= low * (1 - 1e3 * ROUNDING)) & (w <= high * (1 + 1e3 * ROUNDING))
        if not np.all(good):
            wrong = float(w[~good].ravel()[0])
            raise OutOfRange(f"{self.name} has no composition with {wrong:g} nm: it reaches {low:.1f} to {high:.1f} nm")
        slope = tuple(map(float, power.polyder(self.gap)))
        energy = HC_EV_NM / w
        low_x = np.zeros_like(w)
        x = bracketed_root(lambda t: (self._gap(t) - energy, _polynomial(slope, t)), low_x, low_x + self.direct_to)
        return x[()]

    def _gap(self, x: Array) -> Array:
        return _polynomial(self.gap, x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    return np.asarray(power.polyval(x, coefficients), dtype=float)


def ternary(name: str) -> Ternary:
    """An alloy of the table, for instance "AlGaAs".

    Raises:
        UnknownName: the table has no such alloy.
    """
    if name not in TERNARY:
        raise UnknownName("ternary alloy", name, tuple(TERNARY))
    return Ternary(name, *TERNARY[name])
