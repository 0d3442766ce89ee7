"""What a network sees of a spectrum: merged channels, with noise of one size, on a common scale.

Merged counts x become 2 sqrt(x + 3/8), whose noise has the standard deviation 1 at all but the smallest counts (Anscombe,
Biometrika 35, 246, 1948). The known factor on the fluence is one more input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array

MERGED = 0.7
"""Width of a merged channel over the detector's resolution (full width at half maximum): it costs 3 % of a bound at most."""
LEAST_SPREAD = 1.0
"""Inputs that vary less than their noise are not blown up [standard deviations of the noise]."""


@dataclass(frozen=True, eq=False)
class Features:
    """From counts to inputs.

    Attributes:
        system: whose spectra they are.
        merge: channels taken together.
        mean, spread: of the roots over the prior [bin].
    """

    system: MaterialSystem
    merge: int
    mean: Array
    spread: Array

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.mean) + 1

    def inputs(self, merged: NDArray[Any], fluence: NDArray[Any]) -> NDArray[np.float32]:
        """Inputs [b, size], float32, of merged counts [b, bin] and factors on the fluence [b]."""
        roots = (2.0 * np.sqrt(merged + 0.375) - self.mean) / self.spread
        low, high = np.log(self.system.fluence)
        level = np.zeros(len(merged)) if high == low else (2.0 * np.log(fluence) - low - high) / (high - low)
        return np.concatenate([roots, level[:, None]], axis=1).astype(np.float32)

    def of(self, counts: Array, fluence: Array) -> NDArray[np.float32]:
        """Inputs of spectra [b, channel].

        Raises:
            OutOfRange: shapes differ from those of the system, a count is negative or not finite.
        """
        channels = self.system.setup.channels
        if counts.ndim != 2 or counts.shape[1] != channels:
            raise OutOfRange(
                f"spectra of shape {counts.shape}: {self.system.name} has [number of spectra, {channels} channels]"
            )
        if not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise OutOfRange("a spectrum holds a count that is negative or no number")
        return self.inputs(merged(self.system, counts, self.merge), fluence)


def merge_of(system: MaterialSystem) -> int:
    """How many channels are taken together."""
    return max(1, round(MERGED * system.setup.resolution_fwhm_keV / system.setup.slope_keV))


def merged(system: MaterialSystem, counts: Array, merge: int) -> Array:
    """Counts of the regions of interest [b, channel] in bins of `merge` channels [b, bin]; what is left over is dropped."""
    parts = []
    for first, last in system.roi:
        size = (last - first) // merge
        parts.append(counts[:, first : first + size * merge].reshape(len(counts), size, merge).sum(axis=2))
    return np.concatenate(parts, axis=1)


def features_of(system: MaterialSystem, mean_counts: NDArray[Any], merge: int) -> Features:
    """Features whose scale is that of noise-free merged counts [n, bin] drawn from the prior."""
    roots = 2.0 * np.sqrt(mean_counts.astype(float) + 0.375)
    return Features(system, merge, roots.mean(axis=0), np.maximum(roots.std(axis=0), LEAST_SPREAD))
