"""Films on the wafer: doses while they grow, mass per element on a 51 x 51 mm grid when somebody asks.

A film is the sum over stage angles, sources and nodes of n of a dose [ng] times a fixed flux factor [cm^-2]. Keeping
doses makes a step of the plant a handful of additions, and a saved film a handful of numbers.

A point (x, y) of the wafer lies at the chamber place R(angle) (x, y): the stage turns counter-clockwise seen from +z.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from ioc_sims.sputter.elements import target_of
from ioc_sims.sputter.emission import N_NODES, coupling, node_weights
from ioc_sims.sputter.settings import PhysicsSettings, SourceConfig

GRID_MM: NDArray[np.float64] = np.linspace(-25.0, 25.0, 51)
ANGLE_STEP_DEG = 2.0  # while the stage turns, doses are collected in steps of this size
_PLANE_MM: NDArray[np.float64] = np.linspace(-36.0, 36.0, 37)  # the corners of the grid reach to 35.4 mm

Doses = NDArray[np.float64]


class Film:
    """Doses of one film: {(stage angle [deg], element of each source's target): [source, node] in ng}."""

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self.doses: dict[tuple[float, tuple[str, ...]], Doses] = {}

    def add(self, angle_deg: float, elements: tuple[str, ...], source: int, emitted_ng: float, n: float) -> None:
        """Count what a source emitted towards the film, and what stays there.

        Args:
            angle_deg: of the stage.
            elements: of the targets, one per source.
            source: index of the source.
            emitted_ng: what it emitted, times the part that sticks.
            n: angular exponent.
        """
        place = round(angle_deg % 360.0, 3), elements
        if place not in self.doses:
            self.doses[place] = np.zeros((self._sources, len(N_NODES)))
        first, weights = node_weights(n)
        row = self.doses[place][source]
        for k, weight in enumerate(weights):
            row[first + k] += emitted_ng * weight


class Wafer:
    """Flux factors of all sources in the plane of the wafer, interpolated (bicubic) to the grid at any stage angle."""

    def __init__(self, sources: Sequence[SourceConfig], settings: PhysicsSettings) -> None:
        self._sources = tuple(sources)
        self._settings = settings

    def masses(self, film: Film) -> dict[str, NDArray[np.float64]]:
        """Mass per element of a film, {element: [y, x] in ng cm^-2}; only elements that were deposited."""
        total: dict[str, NDArray[np.float64]] = {}
        x, y = np.meshgrid(GRID_MM, GRID_MM)
        for (angle, elements), doses in film.doses.items():
            c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            for source, element in enumerate(elements):
                if doses[source].any():
                    plane = RectBivariateSpline(
                        _PLANE_MM, _PLANE_MM, np.tensordot(doses[source], self._factors[source], 1)
                    )
                    mass = plane.ev(s * x + c * y, c * x - s * y)
                    total[element] = total.get(element, 0.0) + mass
        return total

    @cached_property
    def _factors(self) -> NDArray[np.float64]:
        """[source, node, y, x] in cm^-2 at fixed places of the chamber."""
        x, y = np.meshgrid(_PLANE_MM / 10, _PLANE_MM / 10)
        points = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
        factors = [coupling(source, self._settings, points, (0.0, 0.0, 1.0)) for source in self._sources]
        return np.asarray(factors).reshape(len(self._sources), len(N_NODES), *x.shape)


def atomic_fractions(masses: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Atomic fraction of each element at each point; where there is no film every fraction is 0."""
    moles = {element: mass / target_of(element).mass_u for element, mass in masses.items()}
    total = sum(moles.values(), start=np.zeros((len(GRID_MM), len(GRID_MM))))
    return {element: np.divide(m, total, out=np.zeros_like(total), where=total > 0) for element, m in moles.items()}
