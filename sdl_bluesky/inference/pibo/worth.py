"""What runs are worth, on arrays: a door to the laws of `distance` and `inspec`, which are torch; less is better.

distance      p-quantile of (x - x*)^2 + (y - y*)^2, exact
published     the same with both errors taken as their root mean square
probability   1 - probability of a layer in specification, its noise included
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.pibo.normal import Normal
from sdl_bluesky.physics.alloys import Quaternary, Specification
from sdl_bluesky.physics.geometry import Array

if TYPE_CHECKING:
    from sdl_bluesky.inference.pibo.inspec import Box

ACQUISITIONS = ("distance", "published", "probability")
UNITS = {
    "distance": "squared distance of (x, y)",
    "published": "squared distance of (x, y)",
    "probability": "probability of missing the specification",
}
_HOPELESS = 1e-6
_LEAST_STD = 1e-9


@dataclass(frozen=True)
class Aim:
    """What is wanted, and of what alloy.

    Attributes:
        specification: target and tolerances.
        alloy: between properties and composition.

    Raises:
        OutOfRange: the target lies outside the alloy.
    """

    specification: Specification
    alloy: Quaternary

    def __post_init__(self) -> None:
        _ = self.target

    @cached_property
    def target(self) -> Array:
        """(x*, y*) [2]."""
        at = self.alloy.composition(self.specification.wavelength, self.specification.lattice)
        return np.array(at, dtype=float)

    @cached_property
    def box(self) -> Box:
        """The specification as seen from the composition."""
        from sdl_bluesky.inference.pibo.inspec import Box

        return Box.of(self.specification, self.alloy)

    def probability(self, normal: Normal) -> Array:
        """Probability [q] that measured layers are in specification."""
        import torch

        layer = normal.layer
        with torch.no_grad():
            return self.box.probability(torch.tensor(layer.mean), torch.tensor(layer.cov)).numpy()

    def surprise(self, normal: Normal) -> Array:
        """Squared distance [q] of the target from what measured layers are expected to be, in their own covariance."""
        away = (self.target - normal.mean)[:, :, None]
        cov = normal.layer.cov + _LEAST_STD**2 * np.eye(2)
        return (away * np.linalg.solve(cov, away)).sum(axis=(1, 2))

    def cost(self, name: str, normal: Normal, p: float) -> Array:
        """What makes points [q] worth less, see the top of this file.

        Where no point has a chance of being in specification, "probability" goes by the distance, plus one.

        Raises:
            UnknownName: there is no acquisition of that name.
        """
        import torch

        from sdl_bluesky.inference.pibo.distance import distance_quantile, published_quantile

        if name not in ACQUISITIONS:
            raise UnknownName("acquisition", name, ACQUISITIONS)
        if name == "probability":
            chance = self.probability(normal)
            if chance.max() > _HOPELESS:
                return 1.0 - chance
            return 1.0 + self.cost("distance", normal, p)
        law = published_quantile if name == "published" else distance_quantile
        std = np.maximum(normal.std, _LEAST_STD)
        with torch.no_grad():
            return law(p, torch.tensor(normal.mean - self.target), torch.tensor(std)).numpy()


def check_p(p: float | tuple[float, ...]) -> tuple[float, ...]:
    """A fixed p, or one for each run after another, the last one for all further ones.

    Raises:
        OutOfRange: no probability above 0 and below 1, or a p that grows.
    """
    values = tuple(float(v) for v in np.atleast_1d(np.asarray(p, dtype=float)))
    if not values or not all(0.0 < v < 1.0 for v in values) or any(b > a for a, b in pairwise(values)):
        raise OutOfRange(f"p = {p}: give a probability above 0 and below 1, or several that do not grow")
    return values
