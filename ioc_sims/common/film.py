"""A film as the truth file of a sputter chamber describes it, at any place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

from ioc_sims.common.atoms import areal_densities

Floats = NDArray[np.float64]


class Film:
    """Mass and atomic fractions on a grid in mm.

    Args:
        truth: "x_mm", "y_mm", "elements", "fraction" {element: [y][x]}, "areal_ng_cm2" [y][x].

    Raises:
        KeyError, TypeError, ValueError: it is no such thing.
    """

    def __init__(self, truth: Mapping[str, Any]) -> None:
        self._x, self._y = (np.asarray(truth[axis], float) for axis in ("x_mm", "y_mm"))
        self.elements: list[str] = list(truth["elements"])
        self._mass = self._spline(truth["areal_ng_cm2"])
        self._fractions = {element: self._spline(truth["fraction"][element]) for element in self.elements}

    def contains(self, x_mm: ArrayLike, y_mm: ArrayLike) -> NDArray[np.bool_]:
        """Which points lie on the grid."""
        x, y = np.asarray(x_mm, float), np.asarray(y_mm, float)
        return (self._x[0] <= x) & (x <= self._x[-1]) & (self._y[0] <= y) & (y <= self._y[-1])

    def densities(self, x_mm: ArrayLike, y_mm: ArrayLike) -> dict[str, Floats]:
        """Areal density of each element [1e15 at/cm2], bicubic between grid points; 0 beside the grid.

        Args:
            x_mm: places, any shape.
            y_mm: of the same shape.
        """
        x, y = np.asarray(x_mm, float), np.asarray(y_mm, float)
        mass = np.where(self.contains(x, y), np.maximum(self._mass.ev(y, x), 0.0), 0.0)
        shares = {element: np.maximum(spline.ev(y, x), 0.0) for element, spline in self._fractions.items()}
        return areal_densities(mass, shares)

    def _spline(self, values: Any) -> RectBivariateSpline:
        grid = np.asarray(values, float)
        if not np.isfinite(grid).all():
            raise ValueError("values that are not finite")
        return RectBivariateSpline(self._y, self._x, grid)
