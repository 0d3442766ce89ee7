"""Scans by other ways than the analysis: planes one by one, once scattering weakly, once with all multiple reflections."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

WAVELENGTH, SUBSTRATE = 1.54060, 5.8688
PLANE = SUBSTRATE / 4
GRID = 8


def scan(amplitude, angle, *, zero=0.0, fwhm=0.012, peak=1e5, background=3.0, **stack):
    """Expected counts [n]: |amplitude|^2 with a Gaussian resolution, `peak` counts for an amplitude of 1."""
    fine = np.arange(angle[0] - 5 * fwhm, angle[-1] + 5 * fwhm, fwhm / GRID)
    intensity = np.abs(amplitude(np.radians(fine - zero) / 2, **stack)) ** 2
    return peak * np.interp(angle, fine, gaussian_filter1d(intensity, GRID / 2.3548)) + background


def stacked(mismatch, layer_nm, cap_nm, strength):
    """Planes of layer and cap, from the substrate up: spacing, strength."""
    spacing = PLANE * (1 + mismatch / 100)
    return [(spacing, strength)] * round(10 * layer_nm / spacing) + [(PLANE, 1.0)] * round(10 * cap_nm / PLANE)


def weak(theta, mismatch=0.0, layer_nm=200.0, cap_nm=65.0, strength=1.06, depth_nm=3000.0):
    """Kinematical sum over the planes, 1 at the peak of a bare substrate that dies out over a depth."""
    q = 4 * np.pi * np.sin(theta) / WAVELENGTH
    damping = PLANE / (10 * depth_nm)
    wave, height = 1 / (1 - np.exp(-1j * q * PLANE - damping)), 0.0
    for spacing, f in stacked(mismatch, layer_nm, cap_nm, strength):
        height += spacing
        wave = wave + f * np.exp(1j * q * height)
    return wave * (1 - np.exp(-damping))


def darwin(theta, mismatch=0.0, layer_nm=200.0, cap_nm=65.0, strength=1.06):
    """Dynamical theory as Darwin made it: every plane reflects and transmits, on top of all that lie below."""
    electrons, radius, absorption = 52.0, 2.818e-5, 2e-6
    one = -1j * radius * WAVELENGTH * electrons / (SUBSTRATE**2 / 2 * np.sin(theta))
    q = 4 * np.pi * np.sin(theta) / WAVELENGTH

    def through(r):
        return (1 - np.abs(r) ** 2) * np.exp(-2 * absorption)

    turn = np.exp(1j * q * PLANE)
    a, b = -one * turn, 1 + (one**2 - through(one)) * turn
    root = np.sqrt(b * b + 4 * a * one)
    below = np.where(np.abs(root - b) < np.abs(root + b), root - b, -root - b) / (2 * a)
    for spacing, f in stacked(mismatch, layer_nm, cap_nm, strength):
        r, turn = one * f, np.exp(1j * q * spacing)
        below = r + through(r) * turn * below / (1 - r * turn * below)
    return below
