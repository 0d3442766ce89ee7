"""Polynomials in the two fractions of an alloy: values, slopes, and a proof of their sign on the unit square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.polynomial import polynomial as power
from numpy.typing import ArrayLike
from scipy.special import comb

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

Coefficients: TypeAlias = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Polynomial:
    """p(x, y) = sum_ij c[i][j] x^i y^j.

    Attributes:
        c: coefficients, one row for each power of x.
    """

    c: Coefficients

    def __post_init__(self) -> None:
        if len({len(row) for row in self.c}) != 1 or not self.c[0]:
            raise OutOfRange(f"coefficients {self.c} are no table: give rows of one length, a row for each power of x")
        if not np.all(np.isfinite(self.array)):
            raise OutOfRange(f"coefficients {self.c} hold a number that is not finite")

    @property
    def array(self) -> Array:
        """Coefficients as an array [powers of x, powers of y]."""
        return np.asarray(self.c, dtype=float)

    def __call__(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Values, of the common shape of x and y."""
        return np.asarray(_value(self.c, np.asarray(x, dtype=float), np.asarray(y, dtype=float)))

    def slope_x(self) -> Polynomial:
        """The derivative by x."""
        return _of(np.asarray(power.polyder(self.array, axis=0), dtype=float))

    def slope_y(self) -> Polynomial:
        """The derivative by y."""
        return _of(np.asarray(power.polyder(self.array, axis=1), dtype=float))


def _value(c: Coefficients, x: Array, y: Array) -> Array:
    """Horner's scheme in both; plain arithmetic, which is fast for numbers and arrays alike."""
    zero = 0.0 * (x + y)
    total = zero
    for row in reversed(c):
        inner = zero
        for k in reversed(row):
            inner = inner * y + k
        total = total * x + inner
    return total


def _of(array: Array) -> Polynomial:
    return Polynomial(tuple(tuple(map(float, row)) for row in np.atleast_2d(array)))


def determinant(p: Polynomial, q: Polynomial) -> Polynomial:
    """p_x q_y - p_y q_x: where it has one sign, (p, q) is one to one nearby."""
    terms = [
        _product(p.slope_x().array, q.slope_y().array),
        -_product(p.slope_y().array, q.slope_x().array),
    ]
    shape = np.max([k.shape for k in terms], axis=0)
    total = np.zeros(shape)
    for k in terms:
        total[: k.shape[0], : k.shape[1]] += k
    return _of(total)


def _product(a: Array, b: Array) -> Array:
    out = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))
    for (i, j), value in np.ndenumerate(a):
        out[i : i + b.shape[0], j : j + b.shape[1]] += value * b
    return out


def bounds(p: Polynomial, pieces: int = 8) -> tuple[float, float]:
    """Numbers between which p lies on the unit square, exact to the second order of 1 / pieces.

    A polynomial lies within its Bernstein coefficients (Farouki, Comput. Aided Geom. Des. 29, 379, 2012). The square is
    cut into pieces x pieces squares; the bounds are rigorous for every number of pieces.
    """
    c = p.array
    low, high = np.inf, -np.inf
    to_x, to_y = _bernstein(c.shape[0] - 1), _bernstein(c.shape[1] - 1)
    for u in np.arange(pieces) / pieces:
        rows = _shift(c.shape[0] - 1, u, 1.0 / pieces) @ c
        for v in np.arange(pieces) / pieces:
            b = to_x @ rows @ _shift(c.shape[1] - 1, v, 1.0 / pieces).T @ to_y.T
            low, high = min(low, float(b.min())), max(high, float(b.max()))
    return low, high


def one_sign(p: Polynomial, most_pieces: int = 16) -> bool:
    """Whether p is proved to have one sign, and no zero, on the unit square; false where that takes finer pieces."""
    pieces = 1
    while pieces <= most_pieces:
        low, high = bounds(p, pieces)
        if low > 0 or high < 0:
            return True
        pieces *= 2
    return False


def _shift(degree: int, start: float, step: float) -> Array:
    """Matrix that turns coefficients in t into those in s, t = start + step s."""
    k = np.arange(degree + 1)
    return np.array([[comb(n, i) * start ** max(n - i, 0) * step**i if n >= i else 0.0 for n in k] for i in k])


def _bernstein(degree: int) -> Array:
    """Matrix from powers to Bernstein coefficients on [0, 1]."""
    k = np.arange(degree + 1)
    return np.array([[comb(i, j) / comb(degree, j) for j in k] for i in k])
