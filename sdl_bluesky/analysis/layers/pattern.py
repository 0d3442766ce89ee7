"""Expected counts of a theta-2theta scan: substrate, layer and cap, scattering together.

In the vector q = 4 pi sin(theta) / wavelength [1/nm], measured from the substrate's reflection (xi), a half-space, a layer
of thickness t and a cap of thickness c, which has the substrate's lattice, scatter (kinematical theory, e.g. Warren, X-ray
Diffraction, 1969; the planes are summed as an integral, as all is close to one reflection)

    A_s = -i S / (xi - i eps)
    f = S [r t E((xi + D) t) + g c exp(i (xi + D) t) E(xi c)],      E(u) = (exp(iu) - 1) / (iu)

with D the distance between the two reflections, r and g the strengths of the planes of layer and cap over those of the
substrate, eps the width of the substrate's own peak. The counts are

    |A_s|^2 + |f|^2 + 2 kappa Re(conj(A_s) f), folded with a Gaussian of width sigma, + background

with kappa = 1 for perfect interfaces and 0 where layer and substrate do not know of each other. The fold is exact for the
sharp parts, by the Faddeeva function; the smooth rest, from which the pole at xi = -i eps is taken out, is folded by a
Gauss-Hermite rule.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import wofz

from sdl_bluesky.physics.alloys import INP_LATTICE
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.xrd import CU_K_ALPHA1, ORDER_004

NAMES: Final = (
    "zero",
    "mismatch",
    "scale",
    "width",
    "resolution",
    "layer",
    "strength",
    "cap",
    "cap_strength",
    "kappa",
    "background",
)
"""Parameters: zero of the goniometer [deg], mismatch across the layer [%], ln S, ln eps, ln sigma [1/nm], ln t [nm], ln r,
ln c [nm], ln g, kappa, ln background [counts]."""
INDEX: Final = {name: k for k, name in enumerate(NAMES)}
Q_SUBSTRATE: Final = ORDER_004 * 2 * np.pi / (INP_LATTICE / 10)
"""Of InP (004) [1/nm]."""
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(7)
_WEIGHTS = _WEIGHTS / np.sqrt(np.pi)
_LAUE = 0.8859 * 2 * np.pi / 2.3548
"""Standard deviation in q, times the thickness, of a Gaussian as wide as the middle of (sin(u) / u)^2."""


def momentum(two_theta_deg: Array) -> Array:
    """q [1/nm] of angles 2 theta [deg]."""
    return 4 * np.pi * np.sin(np.radians(two_theta_deg) / 2) / (CU_K_ALPHA1 / 10)


def expected_counts(two_theta_deg: Array, p: Array) -> Array:
    """Expected counts [n] at the angles that the goniometer shows [n], for parameters in the order of `NAMES`."""
    zero, mismatch, scale, width, resolution, layer, strength, cap, cap_strength, kappa, background = p
    s, eps, sigma, t, r, c, g = np.exp([scale, width, resolution, layer, strength, cap, cap_strength])
    xi = momentum(two_theta_deg - zero) - Q_SUBSTRATE
    apart = Q_SUBSTRATE - Q_SUBSTRATE / (1 + mismatch / 100)

    def film(at: NDArray[np.complex128], wave: NDArray[np.complex128], cap_wave: NDArray[np.complex128]) -> Any:
        """f / S at xi, from exp(i t (xi + D)) and exp(i c xi)."""
        return r * t * _ratio(wave - 1, 1j * t * (at + apart)) + g * c * wave * _ratio(cap_wave - 1, 1j * c * at)

    z = (xi + 1j * eps) / (np.sqrt(2) * sigma)
    faddeeva = wofz(z)
    voigt = np.sqrt(np.pi / 2) / (sigma * eps) * faddeeva.real
    pole = np.array([-1j * eps])
    at_pole = film(pole, np.exp(1j * t * (pole + apart)), np.exp(1j * c * pole))[0]
    near = np.sqrt(np.pi / 2) / sigma * (at_pole * faddeeva).real
    shift = np.sqrt(2) * sigma * _NODES
    nodes = xi[:, None] + shift
    wave = film(
        nodes + 0j,
        np.exp(1j * t * (xi + apart))[:, None] * np.exp(1j * t * shift),
        np.exp(1j * c * xi)[:, None] * np.exp(1j * c * shift),
    )
    smooth = (wave.real**2 + wave.imag**2) - 2 * kappa * ((wave - at_pole) / (nodes + 1j * eps)).imag
    return s**2 * np.maximum(voigt + 2 * kappa * near + smooth @ _WEIGHTS, 0.0) + np.exp(background)


def two_peaks(two_theta_deg: Array, p: Array) -> Array:
    """The same with a layer that is a Gaussian peak beside the substrate's, without fringes and without cap [n].

    Its height and width are those of the fringeless middle of a layer's pattern: for layers too graded or too rough to have
    fringes, whose thickness this then does not tell.
    """
    zero, mismatch, scale, width, resolution, layer, strength, _, _, _, background = p
    s, eps, sigma, t, r = np.exp([scale, width, resolution, layer, strength])
    xi = momentum(two_theta_deg - zero) - Q_SUBSTRATE
    apart = Q_SUBSTRATE - Q_SUBSTRATE / (1 + mismatch / 100)
    substrate = np.sqrt(np.pi / 2) / (sigma * eps) * wofz((xi + 1j * eps) / (np.sqrt(2) * sigma)).real
    broad = np.hypot(_LAUE / t, sigma)
    peak = (r * t) ** 2 * _LAUE / t / broad * np.exp(-0.5 * ((xi + apart) / broad) ** 2)
    return s**2 * (substrate + peak) + np.exp(background)


def _ratio(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """a / b where b is not tiny, 1 where it is: (exp(b) - 1) / b."""
    tiny = np.abs(b) < 1e-8
    return np.where(tiny, 1.0, a / np.where(tiny, 1.0, b))
