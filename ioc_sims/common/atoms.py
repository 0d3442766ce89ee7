"""From mass to atoms: areal densities of a film whose mass and atomic fractions are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import periodictable
from numpy.typing import ArrayLike, NDArray

AVOGADRO_PER_MOL = 6.02214076e23
_UNIT = 1e15  # areal densities are in 1e15 at/cm2
_G_PER_NG = 1e-9


def areal_densities(mass_ng_cm2: ArrayLike, fractions: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Areal density of each element [1e15 at/cm2].

    N_i = f_i m N_A / sum_j f_j M_j; 0 where there is no film (every fraction 0).

    Args:
        mass_ng_cm2: mass per area of all elements together, any shape.
        fractions: atomic fractions by element, of that shape.

    Raises:
        ValueError: there is no such element.
    """
    shares = {element: np.asarray(share, float) for element, share in fractions.items()}
    mass = np.asarray(mass_ng_cm2, float)
    molar = sum((share * _molar_mass(element) for element, share in shares.items()), start=np.zeros_like(mass))
    atoms = np.divide(mass * _G_PER_NG * AVOGADRO_PER_MOL / _UNIT, molar, out=np.zeros_like(mass), where=molar > 0)
    return {element: share * atoms for element, share in shares.items()}


def _molar_mass(element: str) -> float:
    return float(periodictable.elements.symbol(element).mass)
