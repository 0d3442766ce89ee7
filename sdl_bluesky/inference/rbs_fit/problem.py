"""The problem of a batch: counts, parameters and model give value, gradient and curvature of the likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sdl_bluesky.inference.rbs_fit.arrays import Indices
from sdl_bluesky.inference.rbs_fit.box import Function, Local
from sdl_bluesky.inference.rbs_fit.likelihood import Distance
from sdl_bluesky.inference.rbs_fit.parameters import Parameters
from sdl_bluesky.physics import rbs
from sdl_bluesky.physics.geometry import Array

BLOCK_BYTES = 2**24
"""Size of a Jacobian that is held at one time."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Spectra of a batch of samples.

    Attributes:
        parameters: what is fitted.
        held: densities of the layers that are not free [b, layer, element].
        channels: of each spectrum of a sample: those in its region of interest.
        counts: [b, channel], the regions of all spectra of a sample one after the other.
    """

    parameters: Parameters
    held: Array
    channels: tuple[Indices, ...]
    counts: Array

    def part(self, rows: slice) -> Problem:
        """The problem of some of the samples."""
        mean = self.parameters.mean
        parameters = self.parameters if mean.ndim == 1 else replace(self.parameters, mean=mean[rows])
        return Problem(parameters, self.held[rows], self.channels, self.counts[rows])

    def local(self, distance: Distance) -> Function:
        """Value, gradient and curvature of a distance plus the priors, as a function of theta [r, p] and rows [r]."""

        def function(theta: Array, rows: Indices) -> Local:
            r, p = theta.shape
            value, gradient, curvature = np.zeros(r), np.zeros((r, p)), np.zeros((r, p, p))
            mean = np.broadcast_to(self.parameters.mean, (len(self.held), p))[rows]
            precision = self.parameters.precision
            off = theta - mean
            for block in self._blocks(r):
                first = 0
                for i in range(len(self.channels)):
                    part = slice(first, first + len(self.channels[i]))
                    first = part.stop
                    mu, matrix, own = self._jacobian(theta[block], rows[block], i)
                    v, slope, weight = distance(self.counts[rows[block], part], mu)
                    value[block] += v.sum(axis=1)
                    gradient[block, own] += (matrix @ slope[:, :, None])[:, :, 0]
                    matrix *= np.sqrt(weight)[:, None, :]
                    at = np.ix_(np.arange(block.start, block.stop), own, own)
                    curvature[at] += matrix @ matrix.transpose(0, 2, 1)
            value += 0.5 * np.sum(precision * off * off, axis=1)
            gradient += precision * off
            curvature[:, np.arange(p), np.arange(p)] += precision
            return value, gradient, curvature

        return function

    def expected(self, theta: Array, rows: Indices) -> Array:
        """Counts of the model [r, channel]."""
        layers = self.parameters.layers(theta, self.held[rows])
        parts = [
            rbs.simulate(setup, layers, self.parameters.nuisance(theta, i))[:, self.channels[i]]
            for i, setup in enumerate(self.parameters.setups)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _jacobian(self, theta: Array, rows: Indices, spectrum: int) -> tuple[Array, Array, Indices]:
        """Model [r, channel], its derivatives [r, q, channel], and which parameters they are for [q]."""
        parameters, setup = self.parameters, self.parameters.setups[spectrum]
        own, columns = parameters.columns(spectrum)
        layers = parameters.layers(theta, self.held[rows])
        found = rbs.jacobian(setup, layers, parameters.nuisance(theta, spectrum))
        roi = self.channels[spectrum]
        whole = slice(int(roi[0]), int(roi[-1]) + 1) if roi[-1] - roi[0] + 1 == len(roi) else roi
        matrix = found.matrix[:, columns, whole] if isinstance(whole, slice) else found.matrix[:, columns][:, :, whole]
        return found.counts[:, whole], matrix, own

    def _blocks(self, size: int) -> Iterator[slice]:
        largest = max(
            setup.channels * (self.parameters.free.size + len(setup.nuisance_names)) for setup in self.parameters.setups
        )
        step = max(1, BLOCK_BYTES // (8 * largest))
        for first in range(0, size, step):
            yield slice(first, min(first + step, size))
