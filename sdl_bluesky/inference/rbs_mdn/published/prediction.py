"""What the published network says of a batch of spectra; names as those of `rbs_mdn.posterior.Posterior`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True, eq=False)
class Prediction:
    """Mixtures of Gaussians without correlation in min-max scaled densities.

    Attributes:
        system: whose densities they are.
        weight: pi [b, m].
        centre: mu [b, m, d].
        spread: sigma [b, m, d]; 0 if the network was trained for a point.
        low, high: densities of 0 and 1 [d].
    """

    system: MaterialSystem
    weight: Array
    centre: Array
    spread: Array
    low: Array
    high: Array

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the densities [d]."""
        return self.system.names

    @property
    def is_density(self) -> bool:
        """Whether there is an uncertainty."""
        return bool(np.all(self.spread > 0.0))

    @property
    def width(self) -> Array:
        """Range of each density [d]."""
        return self.high - self.low

    @cached_property
    def _middle(self) -> Array:
        return np.einsum("bm,bmd->bd", self.weight, self.centre)

    @cached_property
    def mean(self) -> Array:
        """Eq. 9 [b, d]."""
        return self.low + self.width * self._middle

    @cached_property
    def std(self) -> Array:
        """Root of eq. 14 [b, d]."""
        each = self.spread**2 + (self.centre - self._middle[:, None]) ** 2
        return self.width * np.sqrt(np.einsum("bm,bmd->bd", self.weight, each))

    @cached_property
    def cov(self) -> Array:
        """Eq. 10 [b, d, d]."""
        off = self.centre - self._middle[:, None]
        cov = np.einsum("bm,bmd,bme->bde", self.weight, off, off)
        d = range(off.shape[2])
        cov[:, d, d] += np.einsum("bm,bmd->bd", self.weight, self.spread**2)
        return cov * self.width[:, None] * self.width

    @property
    def best(self) -> Array:
        """Densities [b, d] at the middle of the component that is highest there; the paper takes the mean."""
        if not self.is_density:
            return self.mean
        height = np.log(self.weight + 1e-300) - np.log(self.spread).sum(axis=2)
        return self.low + self.width * self.centre[np.arange(len(self)), np.argmax(height, axis=1)]

    def distribution(self, values: Array) -> Array:
        """Distribution function of each density [b, d] at values [b, d]."""
        y = (values - self.low) / self.width
        return np.einsum("bm,bmd->bd", self.weight, ndtr((y[:, None] - self.centre) / self.spread))

    def samples(self, count: int, rng: np.random.Generator) -> Array:
        """Densities [count, b, d]."""
        rows = np.arange(len(self))
        pick = (rng.uniform(size=(count, len(self), 1)) > np.cumsum(self.weight, axis=1)[:, :-1]).sum(axis=2)
        normal = rng.standard_normal((count, len(self), len(self.low)))
        return self.low + self.width * (self.centre[rows, pick] + self.spread[rows, pick] * normal)

    def scaled(self, factor: float) -> Prediction:
        """The same with all standard deviations of the components times a factor."""
        return replace(self, spread=factor * self.spread)
