"""The light of the plasmas as a spectrometer shows it.

Of each burning source (I current, p pressure, d density of its metal before the target, all against 50 W of copper):

    argon line      I p_Ar / (1 + P/P_r) * (1 - k p_O2/p)                  excited by the electrons of the current
    metal line      s I d / (1 + a d) * (V / V0)^x                         thick plasmas absorb their own light
    oxygen line     I p_O2

s, x and the sensitivity over the wavelength differ from chamber to chamber (by seed). Lines are Gaussians on a continuum
and a dark level; a reading is drawn from Poisson's law for the integration time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ioc_sims.sputter import seeds
from ioc_sims.sputter.reactive import Oxygen
from ioc_sims.sputter.settings import ChamberConfig
from ioc_sims.sputter.sources import Source

Floats = NDArray[np.float64]

WAVELENGTH_NM: Floats = np.arange(300.0, 830.0, 0.5)
INTEGRATION_LIMITS_S = (0.01, 100.0)
FULL_SCALE = 2**31 - 1
ARGON_LINES = {811.5: 1.0, 763.5: 0.8, 750.4: 0.7, 738.4: 0.2, 706.7: 0.2, 696.5: 0.3, 420.1: 0.05, 415.9: 0.06}
OXYGEN_LINES = {777.4: 1.0}
METAL_LINES: dict[str, dict[float, float]] = {
    "Al": {396.2: 1.0, 394.4: 0.5, 309.3: 0.3},
    "Si": {390.6: 0.4},
    "Ti": {453.3: 0.8, 498.2: 0.9, 365.4: 0.6},
    "Cr": {425.4: 1.0, 520.8: 0.5, 357.9: 0.7},
    "Fe": {372.0: 0.8, 385.9: 0.5},
    "Ni": {352.5: 0.9, 341.5: 0.8, 361.9: 0.4},
    "Cu": {324.8: 1.0, 327.4: 0.5, 510.6: 0.2, 521.8: 0.3},
    "Zn": {481.1: 0.8, 472.2: 0.6, 468.0: 0.3},
    "Nb": {405.9: 0.7, 408.0: 0.5},
    "Mo": {386.4: 0.8, 379.8: 0.8},
    "Ag": {328.1: 1.0, 338.3: 0.6, 546.5: 0.2},
    "Sn": {452.5: 0.5, 317.5: 0.7, 326.2: 0.5},
    "Ta": {481.3: 0.3},
    "W": {429.5: 0.4, 400.9: 0.6},
}
GENERIC_LINES = {400.0: 0.6}
_REFERENCE_ATOMS_S = 1.8e18  # sputtered from copper at 50 W
_REFERENCE_CURRENT_A = 50.0 / 360.0
_REFERENCE_VOLTAGE_V = 350.0
_OXYGEN_STRENGTH = 0.3


class Spectrometer:
    """Looks at all plasmas at once.

    Attributes:
        integration_s: simulated seconds that a spectrum is exposed.
    """

    def __init__(self, config: ChamberConfig, start: int) -> None:
        self._s = s = config.physics
        draw = seeds.stream(config.seed, seeds.LIGHT)
        self._noise = seeds.stream(config.seed, seeds.LIGHT, start + 1)
        slope, strengths = 0.3 * draw.normal(), np.exp(0.2 * draw.normal(size=len(config.sources)))
        self._strengths = [float(v) for v in strengths]
        self._voltage_powers = [float(v) for v in s.oes_voltage_sd * draw.normal(size=len(config.sources))]
        self._sensitivity = np.exp(slope * (WAVELENGTH_NM - 550.0) / 250.0)
        self._argon = self._shape(ARGON_LINES)
        self._oxygen = self._shape(OXYGEN_LINES)
        self._metals = [self._shape(METAL_LINES.get(c.element, GENERIC_LINES)) for c in config.sources]
        self.integration_s = 1.0

    def mount_target(self, index: int, element: str) -> None:
        """A source gets a target of this element."""
        self._metals[index] = self._shape(METAL_LINES.get(element, GENERIC_LINES))

    def expected(self, sources: list[Source], argon_mTorr: float, oxygen: Oxygen) -> Floats:
        """Counts per second and pixel without noise."""
        s = self._s
        total = np.full(len(WAVELENGTH_NM), s.oes_dark_per_s)
        pressure = argon_mTorr + oxygen.pressure_mTorr
        for k, source in enumerate(sources):
            if not source.burning or pressure <= 0:
                continue
            current = source.current_A / _REFERENCE_CURRENT_A
            thin = 1 + source.power_W / s.rarefaction_power_W
            density = oxygen.sputtered_atoms_s(k) / _REFERENCE_ATOMS_S
            quenched = 1 - s.oes_quenching * oxygen.pressure_mTorr / pressure
            argon = current * argon_mTorr / 5.0 / thin * quenched
            absorbed = 1 + s.oes_self_absorption * density
            hotter = (source.voltage_V / _REFERENCE_VOLTAGE_V) ** self._voltage_powers[k]
            metal = self._strengths[k] * current * density / absorbed * hotter
            light = argon * self._argon + metal * self._metals[k]
            light += _OXYGEN_STRENGTH * current * oxygen.pressure_mTorr / 5.0 * self._oxygen
            total += s.oes_counts_per_s * light * self._sensitivity + s.oes_continuum_per_s * current
        return total

    def spectrum(self, sources: list[Source], argon_mTorr: float, oxygen: Oxygen) -> NDArray[np.int32]:
        """One reading [pixel]."""
        mean = self.expected(sources, argon_mTorr, oxygen) * self.integration_s
        drawn = self._noise.poisson(np.minimum(mean, FULL_SCALE))
        return np.minimum(drawn, FULL_SCALE).astype(np.int32)

    def _shape(self, lines: dict[float, float]) -> Floats:
        """Sum of Gaussians whose pixels add up to the strength of each line."""
        sigma = self._s.oes_resolution_nm / math.sqrt(8 * math.log(2))
        step = float(WAVELENGTH_NM[1] - WAVELENGTH_NM[0])
        shape = np.zeros(len(WAVELENGTH_NM))
        for place, strength in lines.items():
            shape += strength * np.exp(-0.5 * ((WAVELENGTH_NM - place) / sigma) ** 2)
        return shape * step / (sigma * math.sqrt(2 * math.pi))
