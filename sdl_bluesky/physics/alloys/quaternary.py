"""Alloys of two free fractions: wavelength and lattice constant from (x, y), and back.

The lattice constant is bilinear, so along a fixed one x follows from y exactly, and what is left is one root in y. It is
sought in the part of [0, 1] where 0 <= x <= 1 too. The Jacobian of (gap, lattice constant) has one sign on the whole unit
square (proved for each law when it is made), so the gap is monotone along that line: there is one composition or none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import OutOfRange, Unidentifiable, UnknownName
from sdl_bluesky.physics.alloys.laws import HC_EV_NM, QUATERNARY_GAPS, QUATERNARY_LATTICE
from sdl_bluesky.physics.alloys.polynomials import Polynomial, bounds, determinant, one_sign
from sdl_bluesky.physics.alloys.roots import bracketed_root
from sdl_bluesky.physics.geometry import Array

ROUNDING = 1e-12
"""Fractions that leave [0, 1] by rounding alone; relative distance to the end of a range that is no more than that."""


class Composition(NamedTuple):
    """Fractions x and y, numbers or arrays of one shape."""

    x: Array
    y: Array


class Properties(NamedTuple):
    """Wavelength [nm] and lattice constant [Angstrom], numbers or arrays of one shape."""

    wavelength: Array
    lattice: Array


@dataclass(frozen=True)
class Quaternary:
    """An alloy with two free fractions x and y in [0, 1].

    Attributes:
        name: for messages.
        gap: Eg(x, y) [eV].
        lattice_constant: bilinear in x and y [Angstrom].

    Raises:
        OutOfRange: a gap that is not positive, or a lattice constant that is not bilinear or turns round in x or y.
        Unidentifiable: two compositions may share wavelength and lattice constant.
    """

    name: str
    gap: Polynomial
    lattice_constant: Polynomial
    _slopes: tuple[Polynomial, Polynomial] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_slopes", (self.gap.slope_x(), self.gap.slope_y()))
        if self.lattice_constant.array.shape != (2, 2):
            raise OutOfRange(f"{self.name}: the lattice constant must have 2 x 2 coefficients (1, y; x, xy)")
        if not one_sign(self.gap) or float(self.gap(0.0, 0.0)) <= 0:
            raise OutOfRange(f"{self.name}: the gap is not positive everywhere: such an alloy gives no light")
        if not (one_sign(self.lattice_constant.slope_x()) and one_sign(self.lattice_constant.slope_y())):
            raise OutOfRange(f"{self.name}: the lattice constant must rise or fall with x, and with y, everywhere")
        jacobian = determinant(self.gap, self.lattice_constant)
        if not one_sign(jacobian):
            low, high = bounds(jacobian)
            raise Unidentifiable(
                f"{self.name}: two compositions may share wavelength and lattice constant "
                f"(Jacobian between {low:.3g} and {high:.3g}): this law cannot be inverted"
            )

    def properties(self, x: ArrayLike, y: ArrayLike) -> Properties:
        """Wavelength [nm] and lattice constant [Angstrom], of the common shape of x and y.

        Raises:
            OutOfRange: a fraction outside [0, 1] or not finite.
        """
        x, y = self._checked(x, y)
        return Properties((HC_EV_NM / self.gap(x, y))[()], self.lattice_constant(x, y)[()])

    def jacobian(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Derivatives [..., 2, 2] of (wavelength, lattice constant), rows, by (x, y), columns."""
        x, y = self._checked(x, y)
        gap = self.gap(x, y)
        factor = -HC_EV_NM / gap**2
        (_, a_y), (a_x, a_xy) = self.lattice_constant.c
        rows = [[factor * k(x, y) for k in self._slopes], [a_x + a_xy * y, a_y + a_xy * x]]
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def range_at(self, lattice: float) -> tuple[float, float]:
        """Shortest and longest wavelength [nm] that the alloy reaches at one lattice constant [Angstrom].

        Raises:
            OutOfRange: no composition has this lattice constant.
        """
        d = np.asarray(float(lattice))
        low, high = self._segment(d)
        if not low <= high:
            raise OutOfRange(self._no_lattice(float(lattice)))
        ends = [float(HC_EV_NM / self._gap_along(d, t)[0]) for t in (low, high)]
        return min(ends), max(ends)

    def reachable(self, wavelength: ArrayLike, lattice: ArrayLike) -> NDArray[np.bool_]:
        """Whether a composition has these properties; false for numbers that are not finite."""
        w, d = np.broadcast_arrays(np.asarray(wavelength, dtype=float), np.asarray(lattice, dtype=float))
        return self._bracket(w, d)[2]

    def composition(self, wavelength: ArrayLike, lattice: ArrayLike) -> Composition:
        """The one composition (x, y) of a wavelength [nm] and a lattice constant [Angstrom], of their common shape.

        Raises:
            OutOfRange: no composition has these properties; names the range at that lattice constant.
        """
        w, d = np.broadcast_arrays(np.asarray(wavelength, dtype=float), np.asarray(lattice, dtype=float))
        low, high, good = self._bracket(w, d)
        if not np.all(good):
            raise OutOfRange(self._refusal(w, d, good))
        with np.errstate(divide="ignore"):
            energy = HC_EV_NM / w

        def excess(y: Array) -> tuple[Array, Array]:
            value, slope = self._gap_along(d, y)
            return value - energy, slope

        y = np.clip(bracketed_root(excess, low, high), 0.0, 1.0)
        x = np.clip(self._x_along(d, y)[0], 0.0, 1.0)
        return Composition(x[()], y[()])

    def _checked(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        a, b = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        good = (np.abs(a - 0.5) <= 0.5 + ROUNDING) & (np.abs(b - 0.5) <= 0.5 + ROUNDING)
        if not np.all(good):
            k = np.argwhere(~good)[0]
            where = f" at index {tuple(map(int, k))}" if good.ndim else ""
            raise OutOfRange(
                f"{self.name}: composition ({a[tuple(k)]:g}, {b[tuple(k)]:g}){where}: x and y must lie in [0, 1]"
            )
        return a, b

    def _x_along(self, lattice: Array, y: Array) -> tuple[Array, Array]:
        """x and dx/dy along a fixed lattice constant: a = a0 + ax x + ay y + axy x y, solved for x."""
        (a_0, a_y), (a_x, a_xy) = self.lattice_constant.c
        below = a_x + a_xy * y
        x = (lattice - a_0 - a_y * y) / below
        return x, -(a_y + a_xy * x) / below

    def _gap_along(self, lattice: Array, y: Array) -> tuple[Array, Array]:
        """Gap [eV] and its whole derivative by y along a fixed lattice constant."""
        x, turn = self._x_along(lattice, y)
        return self.gap(x, y), self._slopes[0](x, y) * turn + self._slopes[1](x, y)

    def _segment(self, lattice: Array) -> tuple[Array, Array]:
        """The part of 0 <= y <= 1 where 0 <= x <= 1; low > high if there is none."""
        (a_0, a_y), (a_x, a_xy) = self.lattice_constant.c
        at = [(lattice - a_0) / a_y, (lattice - a_0 - a_x) / (a_y + a_xy)]
        low, high = np.maximum(np.minimum(*at), 0.0), np.minimum(np.maximum(*at), 1.0)
        middle = 0.5 * (low + high)
        touch = (low > high) & (low - high <= 1e3 * ROUNDING)
        return np.where(touch, middle, low), np.where(touch, middle, high)

    def _bracket(self, w: Array, d: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Bracket in y for each pair, and whether it holds a root."""
        with np.errstate(invalid="ignore"):
            low, high = self._segment(d)
            inside = np.isfinite(w) & (w > 0) & np.isfinite(d) & (low <= high)
            low, high = np.where(inside, low, 0.0), np.where(inside, high, 0.0)
            safe = np.where(inside, d, self.lattice_constant.c[0][0])
            ends = [HC_EV_NM / self._gap_along(safe, k)[0] for k in (low, high)]
            slack = 1 + np.array([-1.0, 1.0]) * 1e3 * ROUNDING
            good = inside & (w >= np.minimum(*ends) * slack[0]) & (w <= np.maximum(*ends) * slack[1])
        return low, high, good

    def _refusal(self, w: Array, d: Array, good: NDArray[np.bool_]) -> str:
        k = tuple(map(int, np.argwhere(~good)[0]))
        wavelength, lattice = float(w[k]), float(d[k])
        where = f" (index {k}, {int((~good).sum())} of {good.size} outside)" if good.ndim else ""
        try:
            low, high = self.range_at(lattice)
        except OutOfRange as fault:
            raise OutOfRange(f"{fault}{where}") from None
        return (
            f"{self.name} has no composition with {wavelength:g} nm at a lattice constant of {lattice:g} Angstrom{where}: "
            f"there it reaches {low:.1f} to {high:.1f} nm"
        )

    def _no_lattice(self, lattice: float) -> str:
        corners = self.lattice_constant(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
        return (
            f"{self.name} has no composition with a lattice constant of {lattice:g} Angstrom: "
            f"it reaches {corners.min():.4f} to {corners.max():.4f} Angstrom"
        )


class InGaAsP(Quaternary):
    """In(1-x)Ga(x)As(y)P(1-y) at 300 K; lattice-matched to InP (5.8688 Angstrom) it reaches 918 to 1654 nm.

    Args:
        gap: name of the law of its gap, see `laws`.

    Raises:
        UnknownName: there is no law of that name.
    """

    def __init__(self, gap: str = "standard") -> None:
        if gap not in QUATERNARY_GAPS:
            raise UnknownName("law of the gap of InGaAsP", gap, tuple(QUATERNARY_GAPS))
        name = "InGaAsP" if gap == "standard" else f"InGaAsP ({gap})"
        super().__init__(name, QUATERNARY_GAPS[gap], QUATERNARY_LATTICE)
