"""Predictions of (x, y): a normal distribution at each point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class Normal:
    """Normal distributions of a composition.

    Attributes:
        mean: [q, 2].
        cov: [q, 2, 2].
        noise: covariance [q, 2, 2] that a measured layer has beside it; zeros if the model does not tell.
    """

    mean: Array
    cov: Array
    noise: Array

    @classmethod
    def independent(cls, mean: Array, std: Array) -> Normal:
        """Of means [q, 2] and standard deviations [q, 2]."""
        cov = np.zeros((len(mean), 2, 2))
        cov[:, [0, 1], [0, 1]] = std**2
        return cls(mean, cov, np.zeros_like(cov))

    @property
    def std(self) -> Array:
        """Standard deviations [q, 2] of the noise-free composition."""
        return np.sqrt(np.diagonal(self.cov, axis1=1, axis2=2))

    @property
    def layer(self) -> Normal:
        """The same of the layer that is measured, noise and all."""
        return Normal(self.mean, self.cov + self.noise, np.zeros_like(self.noise))
