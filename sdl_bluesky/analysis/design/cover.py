"""The fewest films whose composition spreads together cover a region: {"Cu": 0.2 to 0.8}, or a polygon of three elements.

    found = cover(prediction, Region.between({"Cu": 0.2, "Sn": 0.8}, {"Cu": 0.8, "Sn": 0.2}), box, resolution=0.02)
    [film.powers_W for film in found.films], found.coverage

Off-axis sources make a spread of compositions on one wafer. The region is cut into cells of the wanted resolution; a film
covers a cell if some place of its wafer is expected within half a cell of it. Which films are needed is a set cover:
greedy first (the film with most cells that are still missing), then improved by integer programming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.spatial import ConvexHull, Delaunay, QhullError

from sdl_bluesky.analysis.design.inverse import Box, Predicts
from sdl_bluesky.errors import OutOfRange, UnknownName, WeakSignal
from sdl_bluesky.physics.composition import atomic_mass
from sdl_bluesky.physics.geometry import Array

Flags: TypeAlias = NDArray[np.bool_]

PRESSURES = 3
PIXELS = 21
_SETTINGS = 400  # about so many settings are tried at each pressure, at most
_MOST_CELLS = 20000
_NODES = 2000  # of the search tree
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Region:
    """Convex region of compositions.

    Attributes:
        elements: [e].
        corners: atomic fractions [v, e], each summing to one.
    """

    elements: tuple[str, ...]
    corners: Array

    def __post_init__(self) -> None:
        if len(self.elements) < 2 or len(set(self.elements)) < len(self.elements):
            raise OutOfRange(f"a region needs two or more different elements, not {self.elements}")
        for element in self.elements:
            atomic_mass(element)
        if self.corners.shape != (len(self.corners), len(self.elements)) or len(self.corners) < len(self.elements):
            raise OutOfRange(
                f"{self.corners.shape} corners: give {len(self.elements)} or more, one fraction an element"
            )
        if not np.all(np.isfinite(self.corners)) or self.corners.min() < 0.0:
            raise OutOfRange("a corner has a fraction that is negative or not finite")
        if np.abs(self.corners.sum(axis=1) - 1.0).max() > 1e-6:
            raise OutOfRange("the fractions of a corner do not sum to one")

    @classmethod
    def between(cls, *corners: Mapping[str, float]) -> Region:
        """From its corners, each {element: fraction}; an element that a corner does not name is absent there.

        Raises:
            OutOfRange: too few corners, or fractions that do not sum to one. UnknownName: there is no such element.
        """
        elements = tuple(dict.fromkeys(k for corner in corners for k in corner))
        rows = [[float(corner.get(k, 0.0)) for k in elements] for corner in corners]
        return cls(elements, np.array(rows, dtype=float).reshape(len(rows), len(elements)))

    def cells(self, resolution: float) -> Array:
        """Compositions [c, e] on a lattice of this spacing inside of the region, its corners among them.

        Raises:
            OutOfRange: the resolution is no part of one, or makes too many cells; or the region has no inside.
        """
        if not np.isfinite(resolution) or not 0.0 < resolution < 1.0:
            raise OutOfRange(f"resolution = {resolution}: give an atomic fraction, such as 0.02")
        free = self.corners[:, :-1]
        low, high = free.min(axis=0), free.max(axis=0)
        axes = [np.arange(a, b + _SLACK, resolution) for a, b in zip(low, high)]
        if np.prod([float(len(axis)) for axis in axes]) > _MOST_CELLS:
            raise OutOfRange(f"resolution {resolution:g} makes more than {_MOST_CELLS} cells: give a coarser one")
        lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        if len(axes) > 1:
            try:
                hull = free[ConvexHull(free).vertices]
                lattice = lattice[Delaunay(hull).find_simplex(lattice, tol=1e-9) >= 0]
            except QhullError as fault:
                raise OutOfRange("the corners of the region lie on a line: it has no inside") from fault
        inside = np.unique(np.round(np.concatenate([lattice, free]), 9), axis=0)
        return np.column_stack([inside, 1.0 - inside.sum(axis=1)])


@dataclass(frozen=True, eq=False)
class Film:
    """One film of a cover: its setting, which cells it covers [c], and its expected mass rate in the middle."""

    powers_W: Mapping[str, float]
    pressure_mTorr: float
    covers: Flags
    rate: float


@dataclass(frozen=True, eq=False)
class Cover:
    """Films that cover a region together.

    Attributes:
        elements: of the region [e].
        cells: compositions [c, e].
        films: as few as were found; the one that adds most first.
        covered: which cells they cover [c].
    """

    elements: tuple[str, ...]
    cells: Array
    films: tuple[Film, ...]
    covered: Flags

    @property
    def coverage(self) -> float:
        """Part of the cells that is covered."""
        return float(np.mean(self.covered))

    def missing(self) -> Array:
        """Compositions of the cells that no setting of the box reaches [k, e]."""
        return self.cells[~self.covered]


def cover(
    prediction: Predicts,
    region: Region,
    box: Box,
    *,
    resolution: float = 0.02,
    x_mm: tuple[float, float] = (-25.0, 25.0),
    y_mm: tuple[float, float] = (-25.0, 25.0),
    films: int | None = None,
) -> Cover:
    """The fewest films that cover what can be covered of a region.

    Args:
        prediction: of fractions.
        region: wanted compositions.
        box: sources, powers and pressures to choose from; all its sources burn.
        resolution: spacing of the compositions.
        x_mm, y_mm: the wafer.
        films: at most so many; the ones that cover most.

    Raises:
        OutOfRange: nothing of the region can be covered, or an argument is no such thing.
        UnknownName: the region has an element that no source has, or the box one that the region does not have.
    """
    if films is not None and films < 1:
        raise OutOfRange(f"films = {films}: give one or more")
    made, wanted = set(box.elements.values()), set(region.elements)
    for strange, known in ((wanted - made, made), (made - wanted, wanted)):
        if strange:
            raise UnknownName("element of region and sources", min(strange), sorted(known))
    cells = region.cells(resolution)
    places = np.stack(np.meshgrid(np.linspace(*x_mm, PIXELS), np.linspace(*y_mm, PIXELS)), axis=-1).reshape(-1, 2)
    places = places[np.argsort(np.hypot(*(places - places.mean(axis=0)).T), kind="stable")]  # the middle first
    found = [one for one in _candidates(prediction, region, box, cells, places, resolution) if one.covers.any()]
    if not found:
        raise OutOfRange(
            f"no setting within what was learned makes a composition of the region ({', '.join(region.elements)}): "
            "change the region, choose other sources, or learn wider ranges"
        )
    table = np.stack([one.covers for one in found])
    chosen = _greedy(table, [one.rate for one in found], films)
    if films is None:
        chosen = _fewest(table, [one.rate for one in found], chosen)
    return Cover(region.elements, cells, tuple(found[k] for k in chosen), np.asarray(table[chosen].any(axis=0)))


def _candidates(
    prediction: Predicts, region: Region, box: Box, cells: Array, places: Array, resolution: float
) -> list[Film]:
    """What each setting covers; at least one source at its full power, for the ratios alone matter."""
    names = list(box.elements)
    steps = max(3, round((_SETTINGS / len(names)) ** (1.0 / max(len(names) - 1, 1))))
    steps = min(steps, 33)
    levels = [np.geomspace(*box.power_W[k], steps) for k in names]
    low, high = box.pressure_mTorr
    pressures = [low] if low == high else [float(p) for p in np.geomspace(low, high, PRESSURES)]
    films: list[Film] = []
    for pressure, pick in product(pressures, product(range(steps), repeat=len(names))):
        if max(pick) < steps - 1:
            continue
        powers = {k: float(np.clip(levels[i][n], *box.power_W[k])) for i, (k, n) in enumerate(zip(names, pick))}
        if box.burns is not None and not all(box.burns(k, p, pressure) for k, p in powers.items()):
            continue
        try:
            found = prediction.predict(powers, pressure, places)
        except WeakSignal:
            continue
        order = [list(found.elements).index(k) for k in region.elements]
        fraction = found.samples.mean(axis=0)[order]
        apart = np.abs(cells[:, :, None] - fraction[None]).max(axis=1).min(axis=1)
        rate = float(found.flux_samples.sum(axis=1).mean(axis=0)[0])
        films.append(Film(powers, pressure, apart <= resolution / 2.0 + _SLACK, rate))
    return films


def _greedy(table: Flags, rates: Sequence[float], most: int | None) -> list[int]:
    """Rows [n, c] taken one by one, each the one that adds most cells; of equal ones the fastest."""
    chosen: list[int] = []
    left: Flags = np.asarray(table.any(axis=0))
    while left.any() and (most is None or len(chosen) < most):
        gains = (table & left).sum(axis=1)
        best = max(range(len(table)), key=lambda k: (gains[k], rates[k]))
        chosen.append(best)
        left = left & ~table[best]
    return chosen


def _fewest(table: Flags, rates: Sequence[float], chosen: list[int]) -> list[int]:
    """As few rows as cover the same cells, by integer programming; `chosen` if that finds no fewer."""
    reachable = table[:, table.any(axis=0)].T.astype(float)
    slow = 1.0 - np.asarray(rates) / max(rates)
    done = milp(
        1.0 + 1e-3 * slow / len(chosen),
        integrality=np.ones(len(rates)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(np.unique(reachable, axis=0), lb=1.0),
        options={"node_limit": _NODES},
    )
    if done.x is None or round(float(done.x.sum())) >= len(chosen):
        return chosen
    fewer = [k for k, taken in enumerate(done.x) if taken > 0.5]
    return [fewer[k] for k in _greedy(table[fewer], [rates[k] for k in fewer], None)]
