"""The paper's preprocessing: merged bins, those that vary beyond noise, smoothed, on a standard scale; densities in [0, 1].

The paper does not print the window of the Savitzky-Golay filter: here a parabola through five merged bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array

MERGE = 4
FLUCTUATIONS = 3.0
"""A bin stays if its standard deviation is more than so many roots of its mean (eq. 15)."""
WINDOW, ORDER = 5, 2
Counts = NDArray[np.number]


@dataclass(frozen=True, eq=False)
class Scaling:
    """From counts to inputs, and from densities to targets.

    Attributes:
        kept: which merged bins stay, bool [merged].
        mean, spread: of the smoothed bins over the training [bin].
        low, high: least and largest density of the training [d].
    """

    kept: NDArray[np.bool_]
    mean: Array
    spread: Array
    low: Array
    high: Array

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.mean)

    def inputs(self, bins: Counts) -> NDArray[np.float32]:
        """Inputs [b, size] of merged bins [b, merged]."""
        return ((smoothed(bins[:, self.kept]) - self.mean) / self.spread).astype(np.float32)

    def targets(self, densities: Counts) -> NDArray[np.float32]:
        """Min-max scaled densities [b, d]."""
        return ((densities - self.low) / (self.high - self.low)).astype(np.float32)


def in_bins(system: MaterialSystem, counts: Counts) -> NDArray[np.float64]:
    """Counts [b, channel] of the regions of interest, one after the other, by fours [b, ceil(channels / 4)]."""
    inside = np.asarray(counts, dtype=float)[:, system.channels]
    missing = -inside.shape[1] % MERGE
    padded = np.pad(inside, ((0, 0), (0, missing)))
    return padded.reshape(len(inside), -1, MERGE).sum(axis=2)


def smoothed(bins: Counts) -> NDArray[np.float64]:
    """Savitzky-Golay along the bins [b, bin]."""
    return np.asarray(savgol_filter(np.asarray(bins, dtype=float), WINDOW, ORDER, axis=1))


def scaling_of(bins: Counts, densities: Counts) -> Scaling:
    """The scale of a training set.

    Args:
        bins: merged counts with noise [n, merged].
        densities: [n, d].

    Raises:
        OutOfRange: fewer bins are left than the filter is wide.
    """
    counts = np.asarray(bins, dtype=float)
    kept = counts.std(axis=0) > FLUCTUATIONS * np.sqrt(counts.mean(axis=0))
    if kept.sum() < WINDOW:
        raise OutOfRange(
            f"{int(kept.sum())} of {len(kept)} bins vary by more than counting noise: a network needs {WINDOW} at least; "
            "take a larger fluence or a wider range of densities"
        )
    smooth = smoothed(counts[:, kept])
    low, high = (np.asarray(k, dtype=float) for k in (densities.min(axis=0), densities.max(axis=0)))
    return Scaling(kept, smooth.mean(axis=0), np.maximum(smooth.std(axis=0), 1e-12), low, high)
