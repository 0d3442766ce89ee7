"""What composition is wanted, and where: a point, several points, or a gradient over the wafer.

Target.at({"Cu": 0.6}, tolerance=0.01)                                        # in the middle
Target.gradient({"Cu": 0.5}, {"Cu": (0.004, 0.0)}, tolerance=0.02)            # 0.4 at. % per mm along x
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.composition import atomic_mass
from sdl_bluesky.physics.geometry import Array

_SUM_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class Target:
    """Wanted atomic fractions at points of the wafer.

    Attributes:
        elements: those whose fraction is wanted [e]; what is left is free.
        points_mm: places [m, 2].
        fraction: wanted [e, m].
        tolerance: largest error allowed of each fraction at each point (absolute).
    """

    elements: tuple[str, ...]
    points_mm: Array
    fraction: Array
    tolerance: float

    def __post_init__(self) -> None:
        shape = (len(self.elements), len(self.points_mm))
        if not self.elements or self.points_mm.ndim != 2 or self.points_mm.shape[1] != 2 or not shape[1]:
            raise OutOfRange(
                f"a target needs elements and points [m, 2], not {self.elements} at {self.points_mm.shape}"
            )
        if len(set(self.elements)) < shape[0]:
            raise OutOfRange(f"an element is wanted twice: {', '.join(self.elements)}")
        for element in self.elements:
            atomic_mass(element)
        if self.fraction.shape != shape:
            raise OutOfRange(
                f"fractions {self.fraction.shape} do not belong to {shape[0]} elements at {shape[1]} points"
            )
        if not (np.all(np.isfinite(self.fraction)) and np.all(np.isfinite(self.points_mm))):
            raise OutOfRange("a wanted fraction, or its place, is not a finite number")
        if self.fraction.min() < 0.0 or self.fraction.sum(axis=0).max() > 1.0 + _SUM_SLACK:
            raise OutOfRange(
                f"the wanted fractions of {', '.join(self.elements)} go from {self.fraction.min():.4g} to "
                f"{self.fraction.max():.4g} and sum up to {self.fraction.sum(axis=0).max():.4g}: give parts of one"
            )
        if not np.isfinite(self.tolerance) or not 0.0 < self.tolerance < 1.0:
            raise OutOfRange(f"tolerance = {self.tolerance}: give an atomic fraction above 0, such as 0.01")

    @classmethod
    def at(cls, composition: Mapping[str, float], tolerance: float, at_mm: tuple[float, float] = (0.0, 0.0)) -> Target:
        """Fractions at one point [mm].

        Raises:
            OutOfRange: fractions are no parts of one. UnknownName: there is no such element.
        """
        points = np.array([at_mm], dtype=float)
        return cls(tuple(composition), points, np.array([[v] for v in composition.values()], dtype=float), tolerance)

    @classmethod
    def gradient(
        cls,
        composition: Mapping[str, float],
        per_mm: Mapping[str, tuple[float, float]],
        tolerance: float,
        *,
        at_mm: tuple[float, float] = (0.0, 0.0),
        points_mm: Sequence[tuple[float, float]] = ((0.0, 0.0), (20.0, 0.0), (-20.0, 0.0), (0.0, 20.0), (0.0, -20.0)),
    ) -> Target:
        """Fractions at a point that change linearly over the wafer, wanted at `points_mm`.

        x_e(r) = x_e(at) + g_e . (r - at)

        Args:
            composition: fractions at `at_mm`.
            per_mm: gradient of an element's fraction along x and y [1/mm]; 0 for those not named.
            tolerance: at each point.
            at_mm: where the composition is wanted.
            points_mm: where the target is compared with the film.

        Raises:
            OutOfRange: fractions are no parts of one somewhere. UnknownName: there is no such element.
        """
        strange = sorted(set(per_mm) - set(composition))
        if strange:
            raise OutOfRange(
                f"a gradient of {', '.join(strange)} is wanted, but no fraction: name it in the composition"
            )
        points = np.array(points_mm, dtype=float)
        middle = np.array(list(composition.values()), dtype=float)
        slope = np.array([per_mm.get(element, (0.0, 0.0)) for element in composition], dtype=float)
        fraction = middle[:, None] + slope @ (points - np.array(at_mm, dtype=float)).T
        return cls(tuple(composition), points, fraction, tolerance)

    def deviation(self, elements: Sequence[str], fraction: Array) -> Array:
        """Found less wanted [..., e, m], for fractions [..., elements, m] of a film of `elements`.

        An element that the film does not have counts with 0.
        """
        found = np.zeros((*fraction.shape[:-2], *self.fraction.shape))
        for i, element in enumerate(self.elements):
            if element in elements:
                found[..., i, :] = fraction[..., list(elements).index(element), :]
        return found - self.fraction

    def slack(self, elements: Sequence[str], fraction: Array) -> Array:
        """Tolerance less the largest error over elements and points [...]: above 0 within tolerance."""
        return self.tolerance - np.abs(self.deviation(elements, fraction)).max(axis=(-2, -1))

    def probability(self, elements: Sequence[str], samples: Array) -> float:
        """Part of joint samples [n, elements, m] of which every fraction lies within tolerance at every point."""
        return float(np.mean(self.slack(elements, samples) >= 0.0))
