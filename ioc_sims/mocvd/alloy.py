"""In(1-x)Ga(x)As(y)P(1-y) as it is in this reactor: gap, lattice constant, strain and its relaxation."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

INP_ANGSTROM = 5.8688
HC_EV_NM = 1239.842
POISSON = 1 / 3
"""Of the layer in the formula of the critical thickness."""
STRETCH = 2.11
"""1 + 2 C12/C11: mismatch of a coherent layer along the normal, over its relaxed one."""


def gap_eV(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Band gap [eV] at 300 K with bowing in both sublattices."""
    g, v = np.asarray(x, float), np.asarray(y, float)
    linear = 1.35 + 0.672 * g - 1.091 * v
    return linear + 0.758 * g**2 + 0.101 * v**2 - 0.157 * g * v - 0.312 * g**2 * v + 0.109 * g * v**2


def wavelength_nm(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Wavelength of the gap."""
    return HC_EV_NM / gap_eV(x, y)


def lattice_angstrom(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Relaxed lattice constant (Adachi 1982)."""
    g, v = np.asarray(x, float), np.asarray(y, float)
    return INP_ANGSTROM - 0.4176 * g + 0.1896 * v + 0.0125 * g * v


def mismatch(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """(a - a_InP) / a_InP of the relaxed lattice."""
    return lattice_angstrom(x, y) / INP_ANGSTROM - 1


def critical_thickness_nm(misfit: float) -> float:
    """Thickness up to which a layer stays coherent; infinite without misfit, one Burgers vector for a huge one.

    h = b (1 - nu cos^2 a) / (8 pi f (1 + nu) cos l) (1 + ln(h / b)) with 60 degree dislocations, of its two solutions
    the larger (Matthews and Blakeslee, J. Cryst. Growth 27 (1974) 118).
    """
    f = abs(misfit)
    burgers = INP_ANGSTROM / 10 / math.sqrt(2)
    if f < 1e-9:
        return math.inf
    scale = (1 - POISSON / 4) / (8 * math.pi * f * (1 + POISSON) * 0.5)  # over b
    if scale <= 1:
        return burgers
    highest = 10 * scale * (2 + math.log(scale))
    root = brentq(lambda h: h - scale * (1 + math.log(h)), scale, highest, full_output=False)
    return burgers * cast(float, root)


def relaxation(misfit: float, thickness_nm: float, rate: float) -> float:
    """Part of the misfit that dislocations have taken up: 0 below the critical thickness, slowly more beyond.

    R = 1 - exp(-rate (h / h_c - 1)); an assumption, as relaxation is limited by kinetics.
    """
    beyond = thickness_nm / critical_thickness_nm(misfit) - 1
    return -math.expm1(-rate * beyond) if beyond > 0 else 0.0


def spacing_factor(misfit: ArrayLike, relaxed: float) -> NDArray[np.float64]:
    """Spacing of the (004) planes over that of InP: 1 + f (2.11 - 1.11 R)."""
    return 1 + np.asarray(misfit, float) * (STRETCH - (STRETCH - 1) * relaxed)
