"""The three published sets of backscattering spectra (A, B, C), as far as they are published.

Densities are uniform in [50, 5000] x 1e15 at/cm2 for each element of each layer; counts have Poisson noise. The paper (on
mixture density networks for ion-beam analysis) prints samples, ranges and regions of interest, not its experiment, which is
inferred: see the shipped files of the material systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.data.rbs.system_file import read_system
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import simulate
from sdl_bluesky.physics.rbs.setup import Setup

LOWEST, HIGHEST = 50.0, 5000.0
MIDDLE = 0.5 * (LOWEST + HIGHEST)


@dataclass(frozen=True, eq=False)
class DataSet:
    """One of the sets.

    Attributes:
        system: experiment and layers.
        components: of the mixture that the paper's network uses.
    """

    system: MaterialSystem
    components: int

    @property
    def name(self) -> str:
        """ "A", "B" or "C"."""
        return self.system.name

    @property
    def setup(self) -> Setup:
        """The experiment."""
        return self.system.setup

    @property
    def roi(self) -> tuple[int, int]:
        """Region of interest."""
        return self.system.roi[0]

    @property
    def free(self) -> NDArray[np.bool_]:
        """Unknown densities, bool [layer, element]."""
        return self.system.free

    @property
    def size(self) -> int:
        """Number of unknown densities."""
        return self.system.size

    @property
    def names(self) -> tuple[str, ...]:
        """ "W@2": tungsten of the second layer."""
        return self.system.names

    def fill(self, densities: Array) -> Array:
        """Layers [b, layer, element] of unknown densities [b, d]."""
        return self.system.fill(densities)

    def densities(self, layers: Array) -> Array:
        """Unknown densities [b, d] of layers."""
        return layers[:, self.free]

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Samples [count, layer, element]."""
        return self.fill(rng.uniform(LOWEST, HIGHEST, (count, self.size)))

    def measure(self, layers: Array, rng: np.random.Generator) -> Array:
        """Counts [b, channel] with Poisson noise."""
        return rng.poisson(simulate(self.setup, layers)).astype(float)

    def middle(self, count: int) -> Array:
        """Mid-range starts [count, layer, element]."""
        return self.fill(np.full((count, self.size), MIDDLE))

    def near(self, layers: Array, rng: np.random.Generator, off: float = 0.1) -> Array:
        """Starts that are off by a part of the truth, each density up or down by chance."""
        densities = self.densities(layers)
        return self.fill(np.clip(densities * (1.0 + off * rng.choice([-1.0, 1.0], densities.shape)), LOWEST, HIGHEST))


SETS: Mapping[str, DataSet] = {
    name: DataSet(read_system(name), components) for name, components in {"A": 1, "B": 8, "C": 10}.items()
}
