"""Wafers and what has grown on them: slabs of one composition, layers of one setting of the valves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ioc_sims.mocvd import alloy
from ioc_sims.mocvd.growth import Grown, Shift

RADIUS_MM = 25.4  # 2 inches
_SAME = 0.002  # compositions that differ by less go on in one slab
_THIN_NM = 0.1


@dataclass
class Slab:
    """A piece of a layer with one composition (a mean, weighted by thickness)."""

    nm: float
    x: float
    y: float

    def takes(self, grown: Grown) -> bool:
        """Whether this growth goes on in this slab."""
        return self.nm < _THIN_NM or max(abs(grown.x - self.x), abs(grown.y - self.y)) <= _SAME

    def add(self, nm: float, x: float, y: float) -> None:
        """Grow by so much."""
        whole = self.nm + nm
        self.x += (x - self.x) * nm / whole
        self.y += (y - self.y) * nm / whole
        self.nm = whole


@dataclass
class Layer:
    """What grew in one go with the same lines in run.

    Attributes:
        lines: which lines were in run.
        seconds: for how long they were.
        slabs: what grew, upwards.
    """

    lines: tuple[str, ...]
    slabs: list[Slab] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, dt_s: float, grown: Grown) -> None:
        """Grow for so long."""
        nm = grown.rate_nm_s * dt_s
        if nm <= 0:
            return
        if not self.slabs or not self.slabs[-1].takes(grown):
            self.slabs.append(Slab(0.0, grown.x, grown.y))
        self.slabs[-1].add(nm, grown.x, grown.y)

    @property
    def nm(self) -> float:
        """Thickness."""
        return math.fsum(slab.nm for slab in self.slabs)

    @property
    def composition(self) -> tuple[float, float]:
        """Mean (x, y), weighted by thickness; 0 where nothing grew."""
        whole = self.nm or 1.0
        return sum(s.nm * s.x for s in self.slabs) / whole, sum(s.nm * s.y for s in self.slabs) / whole

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviations of x and y over the thickness: a graded layer has more."""
        x, y = self.composition
        whole = self.nm or 1.0
        squares = (
            sum(s.nm * (s.x - x) ** 2 for s in self.slabs),
            sum(s.nm * (s.y - y) ** 2 for s in self.slabs),
        )
        return math.sqrt(squares[0] / whole), math.sqrt(squares[1] / whole)


@dataclass
class Wafer:
    """A 2-inch InP wafer.

    Attributes:
        number: from 1 on.
        maintenance: how many there had been when it was loaded.
        bad: whether its run has a gross error.
        edge: what is different at its edge, in log odds.
        decomposed_s: seconds that its surface was hot without group V.
    """

    number: int
    maintenance: int = 0
    bad: bool = False
    edge: Shift = field(default_factory=Shift)
    layers: list[Layer] = field(default_factory=list)
    decomposed_s: float = 0.0

    def grow(self, dt_s: float, lines: tuple[str, ...], fresh: bool, grown: Grown) -> None:
        """Grow for so long.

        Args:
            dt_s: for how long.
            lines: which are in run; none (the gas that is left over the wafer) goes on with the last layer.
            fresh: a new layer begins in any case.
            grown: what grows.
        """
        if fresh or not self.layers or (lines and lines != self.layers[-1].lines):
            self.layers.append(Layer(lines))
        self.layers[-1].add(dt_s, grown)
        if lines:
            self.layers[-1].seconds += dt_s

    @property
    def quaternary(self) -> Layer | None:
        """The thickest layer that is not InP; None without one."""
        found = [layer for layer in self.layers if sum(layer.composition) > 0.01]
        return max(found, key=lambda layer: layer.nm, default=None)

    @property
    def slabs(self) -> list[Slab]:
        """All slabs from the substrate up."""
        return [slab for layer in self.layers for slab in layer.slabs]

    def at(self, slab: Slab, radius_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Composition (x, y) of a slab at these radii, any shape."""
        part = (np.asarray(radius_mm, float) / RADIUS_MM) ** 2
        return _shifted(slab.x, self.edge.x * part), _shifted(slab.y, self.edge.y * part)

    def relaxed(self, layer: Layer, rate: float) -> float:
        """Part of a layer's misfit that dislocations have taken up."""
        return alloy.relaxation(float(alloy.mismatch(*layer.composition)), layer.nm, rate)


def as_json(wafer: Wafer) -> dict[str, Any]:
    """A wafer for the state file."""
    return {
        "number": wafer.number,
        "maintenance": wafer.maintenance,
        "bad": wafer.bad,
        "edge": [wafer.edge.x, wafer.edge.y],
        "decomposed_s": wafer.decomposed_s,
        "layers": [
            {
                "lines": list(layer.lines),
                "seconds": layer.seconds,
                "slabs": [[slab.nm, slab.x, slab.y] for slab in layer.slabs],
            }
            for layer in wafer.layers
        ],
    }


def from_json(saved: dict[str, Any]) -> Wafer:
    """The wafer of a state file.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    layers = [
        Layer(
            tuple(str(line) for line in layer["lines"]),
            [Slab(float(nm), float(x), float(y)) for nm, x, y in layer["slabs"]],
            float(layer["seconds"]),
        )
        for layer in saved["layers"]
    ]
    x, y = saved["edge"]
    edge = Shift(float(x), float(y))
    decomposed_s = float(saved["decomposed_s"])
    return Wafer(int(saved["number"]), int(saved["maintenance"]), bool(saved["bad"]), edge, layers, decomposed_s)


def _shifted(share: float, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    if share <= 0 or share >= 1:
        return np.full(log_odds.shape, share)
    grown = share / (1 - share) * np.exp(log_odds)
    return grown / (1 + grown)
