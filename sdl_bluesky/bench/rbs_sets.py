"""The three published sets of backscattering spectra (A, B, C), as far as they are published.

Densities are uniform in [50, 5000] x 1e15 at/cm2 for each element of each layer; counts have Poisson noise. The paper (on
mixture density networks for ion-beam analysis) prints samples, ranges and regions of interest, not its experiment: beam,
geometry, calibration and fluence are inferred from its figures.

* A: 3 MeV 4He; D and W in two layers on thick W; 4 densities.
* B: 2.974 MeV protons; Li, C, O, F, Ni in three layers; 15 densities. The paper's second region, channels 2420 to 2850 (6.4
  to 7.5 MeV), holds the alpha particles of 7Li(p,a): it needs that reaction's cross section as a table (R33) and is left
  out. The cross sections here are Rutherford's, which those of real protons on Li, C, O and F are not.
* C: 3 MeV 4He; H, Li, C, O, Co, Zr, La, Ta in five layers; 30 densities, of which a spectrum shows about a third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import simulate
from sdl_bluesky.physics.rbs.setup import Setup

LOWEST, HIGHEST = 50.0, 5000.0
MIDDLE = 0.5 * (LOWEST + HIGHEST)
THICK_W = 60000.0
"""Tungsten in which 3 MeV 4He stops [1e15 at/cm2]."""
_MSR = 10.0


@dataclass(frozen=True)
class DataSet:
    """One of the sets.

    Attributes:
        name: "A", "B" or "C".
        setup: the experiment.
        layers: which elements each layer has unknown densities of.
        held: known densities of the sample's layers {layer: {element: density}}.
        roi: region of interest.
        components: of the mixture that the paper's network uses.
    """

    name: str
    setup: Setup
    layers: tuple[tuple[str, ...], ...]
    held: Mapping[int, Mapping[str, float]]
    roi: tuple[int, int]
    components: int

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """Unknown densities, bool [layer, element]."""
        return np.array([[element in layer for element in self.setup.elements] for layer in self.layers])

    @property
    def size(self) -> int:
        """Number of unknown densities."""
        return int(self.free.sum())

    @property
    def names(self) -> tuple[str, ...]:
        """ "W@2": tungsten of the second layer."""
        return tuple(f"{self.setup.elements[e]}@{layer + 1}" for layer, e in np.argwhere(self.free))

    def fill(self, densities: Array) -> Array:
        """Layers [b, layer, element] of unknown densities [b, d]."""
        layers = np.zeros((len(densities), *self.free.shape))
        for layer, held in self.held.items():
            for element, density in held.items():
                layers[:, layer, self.setup.elements.index(element)] = density
        layers[:, self.free] = densities
        return layers

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


def _setup(elements: Sequence[str], particles_sr: float, **fields: object) -> Setup:
    ions = particles_sr / (1e-3 * _MSR)
    return Setup(theta_deg=165.0, fluence_ions=ions, solid_angle_msr=_MSR, elements=tuple(elements), **fields)  # type: ignore[arg-type]


_DEEP = ("Li", "C", "O", "Zr", "La", "Ta")

SETS: Mapping[str, DataSet] = {
    "A": DataSet(
        name="A",
        setup=_setup(
            ("D", "W"), 8e10, ion="4He", energy_keV=3000.0, slope_keV=3.5, resolution_fwhm_keV=15.0, channels=820
        ),
        layers=(("D", "W"), ("D", "W"), ()),
        held={2: {"W": THICK_W}},
        roi=(100, 800),
        components=1,
    ),
    "B": DataSet(
        name="B",
        setup=_setup(
            ("Li", "C", "O", "F", "Ni"),
            8e10,
            ion="p",
            energy_keV=2974.0,
            slope_keV=2.637,
            resolution_fwhm_keV=20.0,
            channels=1220,
        ),
        layers=(("Li", "C", "O", "F", "Ni"),) * 3,
        held={},
        roi=(320, 1200),
        components=8,
    ),
    "C": DataSet(
        name="C",
        setup=_setup(
            ("H", "Li", "C", "O", "Co", "Zr", "La", "Ta"),
            5e11,
            ion="4He",
            energy_keV=3000.0,
            slope_keV=1.233,
            resolution_fwhm_keV=15.0,
            channels=2320,
        ),
        layers=(
            ("H", "Li", "C", "O", "Co", "Zr", "La", "Ta"),
            _DEEP,
            _DEEP,
            ("Li", "O", "Zr", "La", "Ta"),
            ("Li", "O", "Zr", "La", "Ta"),
        ),
        held={},
        roi=(100, 2300),
        components=10,
    ),
}
