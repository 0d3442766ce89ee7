"""Light that a wafer gives back at 532 nm: a line with a thermal tail at the gap of the layer, and a weak one of InP."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr

from ioc_sims.mocvd import alloy
from ioc_sims.mocvd.settings import PhysicsSettings
from ioc_sims.mocvd.wafer import RADIUS_MM, Wafer

Floats = NDArray[np.float64]

WAVELENGTH_NM = np.linspace(850.0, 1650.0, 801)
AXIS_MM = np.linspace(-24.0, 24.0, 25)
PITCH_MM = 2.0
THERMAL_EV = 0.02585  # k T at 300 K
INP_SHARE = 0.06  # light of cap and substrate over that of a layer
_LIFE_S = 20.0  # hot and bare for so long, the surface gives e times less light
_NARROWEST_NM = 5.0  # a thinner well holds no carriers
_EDGE_MM = 1.5  # nothing is measured so near to the edge


def line(energy_eV: ArrayLike, gap_eV: float, broadening_eV: float) -> Floats:
    """An asymmetric line with its maximum 1 at the gap.

    A steep side of Gaussian disorder, a tail exp(-E / kT) to higher energies: an exponentially modified Gaussian,
    exp(s^2 / (2 t^2) - e / t) Phi(e / s - s / t) at e = E - E_0, moved so that its maximum lies at the gap.
    """
    grid = np.linspace(-5 * broadening_eV, 5 * broadening_eV + 5 * THERMAL_EV, 2001)
    shape = _modified(grid, broadening_eV)
    top = int(shape.argmax())
    return np.exp(_modified(np.asarray(energy_eV, float) - gap_eV + grid[top], broadening_eV) - shape[top])


def emission(wafer: Wafer, energy_eV: Floats, radius_mm: float, settings: PhysicsSettings) -> Floats:
    """Light at these photon energies from a place of a wafer, 1 in the peak of a good layer.

    Carriers gather where the gap is smallest: a graded layer gives a broader line, of each slab exp(-(E - E_min) / kT).
    """
    broad = settings.pl_broadening_meV / 1000
    light = INP_SHARE * line(energy_eV, float(alloy.gap_eV(0.0, 0.0)), broad)
    layer = wafer.quaternary
    if layer is not None and layer.nm >= _NARROWEST_NM:
        gaps = [float(alloy.gap_eV(*wafer.at(slab, radius_mm))) for slab in layer.slabs]
        weights = _weights(gaps, [slab.nm for slab in layer.slabs])
        bright = math.exp(-4 * wafer.relaxed(layer, settings.relaxation_rate))
        for gap, weight in zip(gaps, weights, strict=True):
            if weight > 1e-4:
                light = light + bright * weight * line(energy_eV, gap, broad)
    return light * math.exp(-wafer.decomposed_s / _LIFE_S)


def peak_map_nm(wafer: Wafer) -> Floats:
    """Peak wavelength [25 y, 25 x] of what shines brightest, without noise; NaN beside the wafer."""
    radius = np.hypot(*np.meshgrid(AXIS_MM, AXIS_MM))
    layer = wafer.quaternary
    if layer is None or layer.nm < _NARROWEST_NM:
        peak = np.full(radius.shape, float(alloy.wavelength_nm(0.0, 0.0)))
    else:
        gaps = np.array([alloy.gap_eV(*wafer.at(slab, radius)) for slab in layer.slabs])
        middle = [float(alloy.gap_eV(slab.x, slab.y)) for slab in layer.slabs]
        weights = np.array(_weights(middle, [slab.nm for slab in layer.slabs]))
        peak = alloy.HC_EV_NM / np.tensordot(weights, gaps, axes=1)
    return np.where(radius <= RADIUS_MM - _EDGE_MM, peak, np.nan)


def mean_nm(wafer: Wafer) -> float:
    """Mean of the map without noise."""
    return float(np.nanmean(peak_map_nm(wafer)))


def at_edge() -> NDArray[np.bool_]:
    """Which pixels of a map lie at the edge of the wafer."""
    radius = np.hypot(*np.meshgrid(AXIS_MM, AXIS_MM))
    return (radius > RADIUS_MM - _EDGE_MM - PITCH_MM) & (radius <= RADIUS_MM - _EDGE_MM)


def _weights(gaps: Sequence[float], thickness_nm: Sequence[float]) -> list[float]:
    least = min(gap for gap, nm in zip(gaps, thickness_nm, strict=True) if nm >= 0.02 * max(thickness_nm))
    raw = [nm * math.exp(-max(gap - least, 0.0) / THERMAL_EV) for gap, nm in zip(gaps, thickness_nm, strict=True)]
    total = math.fsum(raw)
    return [share / total for share in raw]


def _modified(energy_eV: Floats, s: float) -> Floats:
    t = THERMAL_EV
    return s * s / (2 * t * t) - energy_eV / t + log_ndtr(energy_eV / s - s / t)
