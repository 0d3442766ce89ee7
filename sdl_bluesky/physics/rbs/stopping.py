"""Stopping cross sections and straggling: where the energy goes, [keV per 1e15 at/cm2] and [keV^2 per 1e15 at/cm2]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import E2_KEV_CM
from sdl_bluesky.physics.rbs.nuclides import Nuclide, Target

BOHR_KEV2 = 4.0 * np.pi * E2_KEV_CM**2 * 1e15
"""Bohr's straggling of Z1 = Z2 = 1: 4 pi e^4 [keV^2 per 1e15 at/cm2]."""
Straggling = Literal["bohr", "none"]


@runtime_checkable
class Stopping(Protocol):
    """A source of stopping cross sections. It must be hashable: tables made from it are kept."""

    def __call__(self, ion: Nuclide, target: Target, energy_keV: Array) -> Array:
        """Total stopping cross section [keV per 1e15 at/cm2] at energies [n] in keV."""
        ...


@lru_cache(maxsize=1)
def _ziegler() -> Any:
    from pyrump.atomic.tables import PeriodicTable
    from pyrump.stopping.ziegler import ZieglerStopping

    data = files("pyrump") / "data"
    table = PeriodicTable.load(str(data / "atom4.dat"), str(data / "pscoef.dat"))
    return ZieglerStopping(table.elements)


@dataclass(frozen=True)
class ZBL85:
    """Electronic stopping of Ziegler, Biersack and Littmark (1985) by energy per mass, and their universal nuclear stopping.

    The electronic part comes from `pyrump`; the nuclear part takes the exact masses of ion and target isotopes:
    S_n = 8.462 Z1 Z2 m1 s(eps) / ((m1 + m2)(Z1^.23 + Z2^.23)) eV/(1e15 at/cm2).
    """

    nuclear: bool = True

    def __call__(self, ion: Nuclide, target: Target, energy_keV: Array) -> Array:
        """See `Stopping`."""
        electronic, _ = _ziegler()(ion.z, ion.mass_u, target.z, energy_keV)
        total = np.array(electronic, dtype=float)
        if self.nuclear:
            for isotope, fraction in target.isotopes:
                total += fraction * _nuclear(ion, isotope, energy_keV)
        return total * 1e-3


def _nuclear(ion: Nuclide, target: Nuclide, energy_keV: Array) -> Array:
    """Universal ZBL nuclear stopping [eV per 1e15 at/cm2]."""
    mass = ion.mass_u + target.mass_u
    reach = ion.z**0.23 + target.z**0.23
    eps = 32.53 * target.mass_u * energy_keV / (ion.z * target.z * mass * reach)
    low = np.log1p(1.1383 * eps) / (2.0 * (eps + 0.01321 * eps**0.21226 + 0.19593 * np.sqrt(eps)))
    high = np.log(np.maximum(eps, 1.0)) / (2.0 * eps)
    return 8.462 * ion.z * target.z * ion.mass_u / (mass * reach) * np.where(eps <= 30.0, low, high)


@dataclass(frozen=True, eq=False)
class StoppingTable:
    """Stopping from tables (a SRIM export, one's own measurement); what is not tabulated comes from another source.

    Attributes:
        tables: {(ion symbol, element symbol): (energies [n] in keV, stopping [n] in eV per 1e15 at/cm2)}.
        otherwise: source for what is missing.
    """

    tables: Mapping[tuple[str, str], tuple[Array, Array]]
    otherwise: Stopping = field(default_factory=ZBL85)

    def __post_init__(self) -> None:
        for (ion, element), (energy, value) in self.tables.items():
            e, s = np.asarray(energy, dtype=float), np.asarray(value, dtype=float)
            nuclides.ion(ion)
            nuclides.target(element)
            rising = e.ndim == 1 and e.size > 1 and e.shape == s.shape and bool(np.all(np.diff(e) > 0)) and e[0] > 0
            if not rising or not np.all(np.isfinite(s)) or not np.all(s > 0):
                raise OutOfRange(f"stopping of {ion} in {element}: needs rising energies with one positive value each")

    def __call__(self, ion: Nuclide, target: Target, energy_keV: Array) -> Array:
        """See `Stopping`; interpolated in the logarithm of the energy.

        Raises:
            OutOfRange: an energy lies outside the table.
        """
        for (name, element), (energy, value) in self.tables.items():
            if nuclides.ion(name) == ion and element == target.name:
                known = np.asarray(energy, dtype=float)
                if energy_keV.min() < known[0] or energy_keV.max() > known[-1]:
                    raise OutOfRange(
                        f"stopping of {name} in {element} is tabulated from {known[0]:g} to {known[-1]:g} keV, "
                        f"needed is {energy_keV.min():g} to {energy_keV.max():g} keV"
                    )
                return np.interp(np.log(energy_keV), np.log(known), np.asarray(value, dtype=float)) * 1e-3
        return self.otherwise(ion, target, energy_keV)


def bohr(ion: Nuclide, target: Target, energy_keV: Array) -> Array:
    """Bohr's straggling, independent of the energy: 4 pi Z1^2 Z2 e^4 [keV^2 per 1e15 at/cm2]."""
    return np.full_like(energy_keV, BOHR_KEV2 * ion.z**2 * target.z)


def no_straggling(ion: Nuclide, target: Target, energy_keV: Array) -> Array:
    """Nothing, for comparison."""
    return np.zeros_like(energy_keV)
