"""The PL mapper: a map of peak wavelengths over the wafer, or the spectrum of one place."""

from __future__ import annotations

import math

import numpy as np

from ioc_sims.common.seeds import stream
from ioc_sims.mocvd import photoluminescence as pl
from ioc_sims.mocvd import seeds
from ioc_sims.mocvd.alloy import HC_EV_NM
from ioc_sims.mocvd.measuring import Measuring
from ioc_sims.mocvd.settings import PhysicsSettings

_USUAL_S = 0.1  # exposure to which the noise of the settings belongs
_DIM = 0.02  # a pixel with less light has no peak


class Mapper(Measuring):
    """A mapper with 532 nm excitation.

    Attributes:
        exposure_s: of each pixel, or of the spectrum.
        place_mm: where spectra are taken.
        map_nm: latest map [25 y, 25 x], NaN where there is no reading.
        intensity: its light [counts].
        counts: latest spectrum.
    """

    def __init__(self, settings: PhysicsSettings, seed: int) -> None:
        super().__init__()
        self._settings, self._seed = settings, seed
        self.exposure_s = _USUAL_S
        self.place_mm = {"X": 0.0, "Y": 0.0}
        side = len(pl.AXIS_MM)
        self.map_nm: pl.Floats = np.full((side, side), np.nan)
        self.intensity: pl.Floats = np.zeros((side, side))
        self.counts = np.zeros(len(pl.WAVELENGTH_NM), np.int64)
        self._mapping = False

    def begin(self, mapping: bool) -> None:
        """Start a map, or a spectrum."""
        self._mapping = mapping
        self._begin(self.exposure_s * (self.map_nm.size if mapping else 1))

    def advance(self, dt_s: float) -> None:
        """Let simulated time pass; the result is there when the measurement is done."""
        if self._pass(dt_s):
            self._measure()

    def _measure(self) -> None:
        wafer, s = self.wafer, self._settings
        if wafer is None:
            return
        draw = stream(self._seed, seeds.PL, self.number)
        error_nm = s.pl_calibration_nm * draw.normal()
        scale = s.pl_counts_per_s * self.exposure_s
        if not self._mapping:
            energy = HC_EV_NM / (pl.WAVELENGTH_NM - error_nm)
            light = scale * pl.emission(wafer, energy, math.hypot(*self.place_mm.values()), s)
            dark = s.pl_dark_counts * draw.normal(size=len(light))
            self.counts = np.rint(draw.poisson(light) + dark).astype(np.int64)
            return
        truth = pl.peak_map_nm(wafer)
        middle = truth[tuple(side // 2 for side in truth.shape)]
        bright = float(pl.emission(wafer, np.array([HC_EV_NM / middle]), 0.0, s)[0])
        noise = s.pl_pixel_nm * np.sqrt(_USUAL_S / self.exposure_s / max(bright, 1e-6))
        found = truth + error_nm + noise * draw.normal(size=truth.shape)
        dead = pl.at_edge() & (draw.random(truth.shape) < s.pl_dead_fraction)
        dark = dead | (bright < _DIM)
        self.map_nm = np.where(dark, np.nan, found)
        light = scale * bright * np.exp(0.02 * draw.normal(size=truth.shape))
        self.intensity = np.where(dark | np.isnan(truth), 0.0, np.rint(light))
