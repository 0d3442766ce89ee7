"""One finished acquisition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import OutOfRange


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Counts and what they belong to.

    Attributes:
        counts: [channels], float64, whole numbers.
        charge_uC: charge that was collected, as the station measured it.
        live_s, real_s: live and real time of the detector.
        acquisitions: how many were added up.
    """

    counts: NDArray[np.float64]
    charge_uC: float
    live_s: float
    real_s: float
    acquisitions: int = 1

    @property
    def total(self) -> float:
        """Counts in all channels."""
        return float(self.counts.sum())

    def __add__(self, other: Spectrum) -> Spectrum:
        """Two acquisitions at one place as one; no count is lost.

        Raises:
            OutOfRange: they differ in their number of channels.
        """
        if self.counts.shape != other.counts.shape:
            raise OutOfRange(f"spectra of {self.counts.size} and {other.counts.size} channels cannot be added")
        return Spectrum(
            self.counts + other.counts,
            self.charge_uC + other.charge_uC,
            self.live_s + other.live_s,
            self.real_s + other.real_s,
            self.acquisitions + other.acquisitions,
        )
