"""Spectra to learn from as the paper makes them: mean counts rounded to integers, with Poisson noise that is drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_mdn.published.scaling import in_bins
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem

BLOCK = 2000
"""Spectra that are in memory with all their channels; a block depends on seed and number alone."""
Single = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Measured:
    """Spectra and the densities behind them.

    Attributes:
        densities: [n, d] in 1e15 at/cm2.
        counts: with noise, in merged bins [n, bin].
    """

    densities: Single
    counts: Single

    def __len__(self) -> int:
        return len(self.densities)

    def first(self, count: int) -> Measured:
        """Some of them."""
        return Measured(self.densities[:count], self.counts[:count])


def measure(system: MaterialSystem, count: int, seed: int = 0) -> Measured:
    """Spectra of densities drawn from the prior.

    Raises:
        OutOfRange: the system has nuisance parameters or a range of the fluence, of which the paper's network knows nothing.
    """
    if system.nuisance or system.fluence[0] != system.fluence[1]:
        raise OutOfRange(
            f"{system.name}: the published network knows one fluence and no nuisance parameters: take a system without them"
        )
    parts = []
    for number, first in enumerate(range(0, count, BLOCK)):
        rng = np.random.default_rng([seed, number, 11])
        z, fluence = system.draw(min(BLOCK, count - first), rng)
        counts = rng.poisson(np.rint(system.spectra(z, fluence)))
        parts.append((system.values(z).astype(np.float32), in_bins(system, counts).astype(np.float32)))
    densities, bins = zip(*parts, strict=True)
    return Measured(np.concatenate(densities), np.concatenate(bins))
