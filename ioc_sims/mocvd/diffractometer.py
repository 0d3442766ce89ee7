"""The diffractometer: theta-2theta scans, one point after the other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ioc_sims.common.seeds import stream
from ioc_sims.mocvd import alloy, seeds
from ioc_sims.mocvd.measuring import Measuring
from ioc_sims.mocvd.settings import MAX_POINTS, PhysicsSettings
from ioc_sims.mocvd.wafer import Wafer
from ioc_sims.mocvd.xrd import Floats, Planes, pattern


class Diffractometer(Measuring):
    """Cu K-alpha1 by a germanium monochromator.

    Attributes:
        first_deg, last_deg, step_deg: of the next scan, in 2 theta.
        time_s: per point.
        two_theta_deg, counts: of the latest scan; counts are 0 where it has not been yet.
        points: how many of them have been counted.
    """

    def __init__(self, settings: PhysicsSettings, seed: int) -> None:
        super().__init__()
        self._settings, self._seed = settings, seed
        self.first_deg, self.last_deg, self.step_deg, self.time_s = 62.4, 64.2, 0.003, 1.0
        self.two_theta_deg: Floats = np.zeros(0)
        self.counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self.points = 0
        self._drawn: NDArray[np.int64] = self.counts
        self._point_s = 1.0
        self.zero_deg = settings.xrd_zero_deg * float(stream(seed, seeds.XRD, 0).normal())

    @property
    def length(self) -> int:
        """Points of the next scan; 0 if there is none to be done."""
        if self.last_deg < self.first_deg:
            return 0
        return math.floor((self.last_deg - self.first_deg) / self.step_deg + 1e-6) + 1

    @property
    def ready(self) -> bool:
        """Whether the next scan can be done."""
        return self.wafer is not None and 2 <= self.length <= MAX_POINTS

    @property
    def angle_deg(self) -> float:
        """2 theta now."""
        if not len(self.two_theta_deg):
            return self.first_deg
        return float(self.two_theta_deg[min(self.points, len(self.two_theta_deg) - 1)])

    def begin(self) -> None:
        """Start a scan of the wafer on the stage."""
        if self.wafer is None:
            raise ValueError("no wafer is on the diffractometer")
        s, n = self._settings, self.length
        self._begin(n * self.time_s)
        draw = stream(self._seed, seeds.XRD, self.number)
        shift = self.zero_deg + s.xrd_mount_deg * draw.normal()
        scale = 1 + s.xrd_scale * draw.normal()
        self.two_theta_deg = self.first_deg + self.step_deg * np.arange(n, dtype=np.float64)
        true = (self.two_theta_deg - shift) * scale
        relative = pattern(planes(self.wafer, s), true, s.xrd_depth_nm, s.xrd_resolution_deg)
        rate = s.xrd_peak_cps * relative + s.xrd_background_cps
        self._drawn = draw.poisson(rate * self.time_s)
        self._point_s = self.time_s
        self.counts, self.points = np.zeros(n, np.int64), 0

    def advance(self, dt_s: float) -> None:
        """Let simulated time pass."""
        was = self.busy
        self._pass(dt_s)
        if was:
            n = len(self._drawn)
            self.points = n - math.ceil(self.left_s / self._point_s - 1e-9)
            self.counts = np.where(np.arange(n) < self.points, self._drawn, 0)


def planes(wafer: Wafer, settings: PhysicsSettings) -> list[Planes]:
    """The stack of a wafer in its middle; each layer is as strained as its mean misfit and thickness leave it."""
    found = []
    for layer in wafer.layers:
        relaxed = wafer.relaxed(layer, settings.relaxation_rate)
        for slab in layer.slabs:
            factor = float(alloy.spacing_factor(alloy.mismatch(slab.x, slab.y), relaxed))
            found.append(Planes(slab.nm, slab.x, slab.y, factor))
    return found
