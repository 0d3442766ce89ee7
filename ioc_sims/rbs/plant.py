"""The RBS end station as physics: no EPICS, no wall clock, no thread; `advance(dt)` moves simulated time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ioc_sims.common.seeds import stream
from ioc_sims.common.wander import Wander
from ioc_sims.rbs import seeds
from ioc_sims.rbs.acquisition import Acquisition, Floats
from ioc_sims.rbs.samples import Layers, Sample
from ioc_sims.rbs.settings import RBSConfig
from ioc_sims.rbs.spectra import with_gain

MAX_STEP_S = 10.0  # the current is taken as steady for so long
AXES = ("X", "Y", "TILT")


@dataclass
class Motion:
    """Something that goes to its setpoint at a finite speed (per simulated second)."""

    speed: float
    value: float = 0.0
    setpoint: float = 0.0

    @property
    def arrived(self) -> bool:
        """Whether it is where it should be."""
        return self.value == self.setpoint

    def step(self, dt_s: float) -> None:
        """Go on by dt."""
        gap, reach = self.setpoint - self.value, self.speed * dt_s
        self.value = self.setpoint if abs(gap) <= reach else self.value + math.copysign(reach, gap)


@dataclass(frozen=True)
class Exposure:
    """What the beam meets: enough to work out the expected spectrum."""

    layers: Layers
    energy_keV: float
    tilt_deg: float


class Plant:
    """State of one end station.

    Args:
        config: set-up, seed and settings.
        start: how many times this station has been started before; picks the noise stream.

    Attributes:
        number: acquisitions so far.
        truth: what was hidden in each acquisition, by number.
        beam_lost: the accelerator gives no current.
    """

    def __init__(self, config: RBSConfig, start: int = 0) -> None:
        self.config = config
        self.settings = s = config.physics
        self.starts = start
        self.noise = stream(config.seed, seeds.NOISE, start)
        first = stream(config.seed, seeds.START)
        self.gain_drift = Wander(s.gain_sd, s.gain_time_s, s.gain_sd * first.normal())
        self.current_drift = Wander(s.current_sd, s.current_time_s, s.current_sd * first.normal())
        self.energy = Motion(s.energy_speed_keV_per_s, s.energy_keV, s.energy_keV)
        self.axes = {
            "X": Motion(s.stage_speed_mm_per_s),
            "Y": Motion(s.stage_speed_mm_per_s),
            "TILT": Motion(s.tilt_speed_deg_per_s),
        }
        self.shutter_open = False
        self.beam_lost = False
        self.sample: Sample | None = None
        self.acquisition = Acquisition(config.setup.channels, s.dead_time_us)
        self.preset_uC = 0.0
        self.number = 0
        self.truth: dict[int, dict[str, Any]] = {}
        self.time_s = 0.0

    @property
    def current_nA(self) -> float:
        """True current on the sample."""
        if not self.shutter_open or self.beam_lost:
            return 0.0
        return self.settings.current_nA * max(1 + self.current_drift.value, 0.0)

    @property
    def gain(self) -> float:
        """True over nominal keV per channel, now."""
        return 1 + self.gain_drift.value

    @property
    def arrived(self) -> bool:
        """Whether stage and beam energy are where they should be."""
        return self.energy.arrived and all(axis.arrived for axis in self.axes.values())

    @property
    def energised(self) -> bool:
        """Whether there is beam on the sample or an acquisition runs: what a watchdog has to watch."""
        return self.shutter_open or self.acquisition.running

    def make_safe(self) -> None:
        """Close the beam shutter and stop the acquisition; what was counted is kept."""
        self.shutter_open = False
        self.acquisition.stop()

    def exposure(self) -> Exposure:
        """What the beam meets now.

        Raises:
            ValueError: no sample is loaded.
        """
        if self.sample is None:
            raise ValueError("no sample is loaded")
        layers = self.sample.layers_at(self.axes["X"].value, self.axes["Y"].value)
        return Exposure(layers, self.energy.value, self.axes["TILT"].value)

    def begin(self) -> Exposure:
        """Start an acquisition; its counts come when `expect` has been called with the spectrum of the exposure.

        Raises:
            ValueError: no sample is loaded.
        """
        exposure = self.exposure()
        self.number += 1
        draw = stream(self.config.seed, seeds.CHARGE, self.number)
        factor = math.exp(self.settings.charge_sd * draw.normal())
        self.acquisition.begin(factor)
        self.truth[self.number] = {
            "time_s": self.time_s,
            "sample": self.sample.number if self.sample else 0,
            "x_mm": self.axes["X"].value,
            "y_mm": self.axes["Y"].value,
            "tilt_deg": exposure.tilt_deg,
            "energy_keV": exposure.energy_keV,
            "charge_factor": factor,
            "gain": self.gain,
            "layers": [dict(layer) for layer in exposure.layers],
        }
        return exposure

    def expect(self, per_uC: Floats) -> None:
        """Take the expected spectrum of the exposure at the nominal calibration; it is counted with today's gain."""
        gain = float(self.truth[self.number]["gain"])
        self.acquisition.expect(with_gain(per_uC, gain, self.config.setup.channels))

    def advance(self, dt_s: float) -> None:
        """Let simulated time pass."""
        remaining = dt_s
        while remaining > 1e-9:
            step = min(remaining, MAX_STEP_S)
            self._step(step)
            remaining -= step

    def _step(self, dt_s: float) -> None:
        self.gain_drift.step(dt_s, self.noise.normal())
        self.current_drift.step(dt_s, self.noise.normal())
        self.energy.step(dt_s)
        for axis in self.axes.values():
            axis.step(dt_s)
        if self.acquisition.running:
            self.acquisition.run(dt_s, self.current_nA, self.preset_uC, self.noise)
        self.time_s += dt_s
