"""Kinematical diffraction by the planes of a stack, theta-2theta around (004).

I(theta) = |sum_k f_k exp(i phi_k)|^2 over the planes (bilayers of one group-III and one group-V plane, a/4 apart), each
slab as a geometric sum; the substrate is a half-space whose waves die over the coherent depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ioc_sims.mocvd.alloy import INP_ANGSTROM

Floats = NDArray[np.float64]

WAVELENGTH_ANGSTROM = 1.54060
_ELECTRONS = {"In": 49.0, "Ga": 31.0, "As": 33.0, "P": 15.0}
_FWHM_PER_SD = 2.3548200450309493
_FINE = 12  # points of the fine grid per FWHM of the resolution


@dataclass(frozen=True)
class Planes:
    """One slab: thickness, composition, spacing of its planes over that of InP."""

    nm: float
    x: float
    y: float
    spacing: float


def amplitude(stack: Sequence[Planes], two_theta_deg: Floats, depth_nm: float) -> NDArray[np.complex128]:
    """Scattered amplitude of substrate and stack (from the substrate up), 1 at the peak of a bare substrate."""
    q = 4 * np.pi * np.sin(np.radians(two_theta_deg) / 2) / WAVELENGTH_ANGSTROM
    d = INP_ANGSTROM / 4
    damping = d / (10 * depth_nm)
    wave = 1 / (1 - np.exp(-1j * q * d - damping)) * _strength(0.0, 0.0)
    phase = q * d - 2 * np.pi
    for slab in stack:
        spacing = d * slab.spacing
        number = 10 * slab.nm / spacing
        turn = q * spacing - 2 * np.pi  # from plane to plane; whole turns left out, so that a part of a plane may count
        edge = 1 - np.exp(1j * turn)
        flat = np.abs(edge) < 1e-9
        planes = np.where(flat, number, (1 - np.exp(1j * number * turn)) / np.where(flat, 1, edge))
        wave = wave + _strength(slab.x, slab.y) * np.exp(1j * phase) * planes
        phase = phase + number * turn
    return wave * (1 - np.exp(-damping)) / _strength(0.0, 0.0)


def pattern(stack: Sequence[Planes], two_theta_deg: Floats, depth_nm: float, fwhm_deg: float) -> Floats:
    """Intensity over that at the peak of a bare substrate with a perfect instrument.

    Args:
        stack: slabs, from the substrate up.
        two_theta_deg: where, increasing.
        depth_nm: of the substrate that scatters together.
        fwhm_deg: resolution in 2 theta (a Gaussian).
    """
    step = fwhm_deg / _FINE
    margin = 5 * fwhm_deg
    fine = np.arange(two_theta_deg[0] - margin, two_theta_deg[-1] + margin + step, step)
    intensity = np.abs(amplitude(stack, fine, depth_nm)) ** 2
    return np.interp(two_theta_deg, fine, gaussian_filter1d(intensity, _FINE / _FWHM_PER_SD))


def bragg_deg(spacing: float) -> float:
    """2 theta of (004) planes whose spacing is that of InP times this factor."""
    return float(np.degrees(2 * np.arcsin(2 * WAVELENGTH_ANGSTROM / (INP_ANGSTROM * spacing))))


def _strength(x: float, y: float) -> float:
    metals = x * _ELECTRONS["Ga"] + (1 - x) * _ELECTRONS["In"]
    return metals + y * _ELECTRONS["As"] + (1 - y) * _ELECTRONS["P"]
