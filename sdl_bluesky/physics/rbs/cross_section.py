"""Differential cross sections in the laboratory frame [mb/sr]: Rutherford with screening, and tabulated ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.nuclides import Nuclide

E2_KEV_CM = 1.43996448e-10
"""Elementary charge squared (Gaussian units) [keV cm], from CODATA."""
CM2_PER_MB = 1e-27
Screening = Literal["andersen", "none"]


def rutherford(ion: Nuclide, target: Nuclide, energy_keV: ArrayLike, theta_deg: float) -> Array:
    """Rutherford cross section, laboratory frame [mb/sr], of any shape of energies; 0 where the angle is not reached.

    sigma = (Z1 Z2 e^2 / 2E)^2 (m2 cos t + r)^2 / (m2 sin^4 t r), r = sqrt(m2^2 - m1^2 sin^2 t).
    Source: Chu, Mayer, Nicolet (1978), eq. 2.22.
    """
    energy = np.asarray(energy_keV, dtype=float)
    sin, cos = math.sin(math.radians(theta_deg)), math.cos(math.radians(theta_deg))
    root = target.mass_u**2 - (ion.mass_u * sin) ** 2
    if root <= 0.0:
        return np.zeros_like(energy)
    r = math.sqrt(root)
    shape = (target.mass_u * cos + r) ** 2 / (target.mass_u * sin**4 * r)
    return (ion.z * target.z * E2_KEV_CM / (2.0 * energy)) ** 2 * shape / CM2_PER_MB


def rutherford_mb_sr(ion: str, target: str, energy_keV: ArrayLike, theta_deg: float) -> Array:
    """`rutherford` by name of ion and target nuclide ("4He", "16O"), unscreened.

    Raises:
        UnknownName: there is no such nuclide.
    """
    return rutherford(nuclides.nuclide(ion), nuclides.nuclide(target), energy_keV, theta_deg)


def andersen(ion: Nuclide, target: Nuclide, energy_keV: ArrayLike, theta_deg: float) -> Array:
    """Factor by which electrons screen the nuclei, F <= 1.

    F = (1 + V/2E)^2 / (1 + V/E + (V / (2 E sin(t/2)))^2)^2 with centre-of-mass E and t,
    V = 0.04873 keV Z1 Z2 sqrt(Z1^(2/3) + Z2^(2/3)). Source: Andersen et al., Phys. Rev. A 21 (1980) 1891.
    """
    energy = np.asarray(energy_keV, dtype=float) * target.mass_u / (ion.mass_u + target.mass_u)
    potential = 0.04873 * ion.z * target.z * math.sqrt(ion.z ** (2 / 3) + target.z ** (2 / 3))
    theta = math.radians(theta_deg)
    sin = min(1.0, ion.mass_u / target.mass_u * math.sin(theta))
    half = (theta + math.asin(sin)) / 2.0
    ratio = potential / energy
    return ((1.0 + ratio / 2.0) / (1.0 + ratio + (ratio / (2.0 * math.sin(half))) ** 2)) ** 2


@dataclass(frozen=True, eq=False)
class CrossSection:
    """A measured or evaluated cross section; it replaces Rutherford's between its first and its last energy.

    Attributes:
        ion: symbol of the beam ion, such as "p".
        target: symbol of the target nuclide ("7Li"), or of an element ("C") of which all isotopes are taken together.
        theta_deg: scattering angle at which it holds.
        energy_keV: [n], rising, laboratory frame.
        value_mb_sr: [n], laboratory frame.
        product: symbol of the ion that is detected; None for the scattered beam ion.
        q_keV: energy released by the reaction.
        source: where it is from.

    Raises:
        OutOfRange: shapes, order or signs; UnknownName for nuclides.
    """

    ion: str
    target: str
    theta_deg: float
    energy_keV: Array = field(repr=False)
    value_mb_sr: Array = field(repr=False)
    product: str | None = None
    q_keV: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        energy, value = np.array(self.energy_keV, dtype=float), np.array(self.value_mb_sr, dtype=float)
        where = f"cross section {self.target}({self.ion},{self.product or self.ion})"
        if energy.ndim != 1 or energy.size < 2 or energy.shape != value.shape:
            raise OutOfRange(
                f"{where}: needs at least two energies with one value each, not {energy.shape} and {value.shape}"
            )
        if not np.all(np.isfinite(energy)) or not np.all(np.isfinite(value)):
            raise OutOfRange(f"{where}: an energy or a value is not finite")
        if energy[0] <= 0 or np.any(np.diff(energy) <= 0):
            raise OutOfRange(f"{where}: energies must be positive and rise")
        if np.any(value < 0):
            raise OutOfRange(f"{where}: a value is negative")
        if not (math.isfinite(self.theta_deg) and 0.0 < self.theta_deg <= 180.0 and math.isfinite(self.q_keV)):
            raise OutOfRange(f"{where}: angle {self.theta_deg} deg or Q {self.q_keV} keV cannot be")
        energy.setflags(write=False)
        value.setflags(write=False)
        object.__setattr__(self, "energy_keV", energy)
        object.__setattr__(self, "value_mb_sr", value)
        nuclides.ion(self.ion)
        nuclides.target(self.target)
        if self.product is not None:
            nuclides.ion(self.product)

    @property
    def is_reaction(self) -> bool:
        """Whether the detected ion is not the scattered beam ion, or energy is released."""
        changed = self.product is not None and nuclides.ion(self.product) != nuclides.ion(self.ion)
        return changed or self.q_keV != 0.0


def non_rutherford_keV(ion: Nuclide, z2: int) -> float:
    """Energy [keV] above which backscattering from an element leaves Rutherford's law by more than about 4 %.

    Protons 0.12 Z2 - 0.5 MeV, helium 0.25 Z2 + 0.4 MeV. Source: Bozoian, Hubbard, Nastasi, Nucl. Instr. Meth. B 51
    (1990) 311, as in the Handbook of Modern Ion Beam Analysis. A rule of thumb: look for measured values near it.
    """
    return 1e3 * (max(0.12 * z2 - 0.5, 0.0) if ion.z == 1 else 0.25 * z2 + 0.4)
