"""The sputter chamber as physics: no EPICS, no wall clock; `advance(dt)` moves simulated time.

Where nothing is on its way (gas, supplies and stage have arrived) the rates are constant and one step covers any time;
otherwise the plant goes in steps of at most 0.1 s.
"""

from __future__ import annotations

import math

import numpy as np

from ioc_sims.sputter import seeds
from ioc_sims.sputter.emission import coupling, node_weights
from ioc_sims.sputter.film import ANGLE_STEP_DEG, Film, Wafer
from ioc_sims.sputter.gas import Gas
from ioc_sims.sputter.qcm import Crystal
from ioc_sims.sputter.settings import ChamberConfig
from ioc_sims.sputter.sources import Character, Magnetron, Source

MAX_STEP_S = 0.1


class Plant:
    """State and laws of one chamber.

    Args:
        config: geometry, seed and settings.
        start: how many times this chamber has been started before; picks the noise stream.
    """

    def __init__(self, config: ChamberConfig, start: int = 0) -> None:
        self.config = config
        self.settings = s = config.physics
        self.noise = seeds.stream(config.seed, seeds.NOISE, start)
        self.starts = start
        draw = seeds.stream(config.seed, seeds.CHAMBER)
        characters = [
            Character(
                strength=math.exp(s.source_strength_sd * draw.normal()),
                n_offset=s.source_n_sd * draw.normal(),
                boundary=1 + s.plasma_sd * float(np.clip(draw.normal(), -2.0, 2.0)),
            )
            for _ in config.sources
        ]
        self.sources = [Source(Magnetron(c, s, char)) for c, char in zip(config.sources, characters, strict=True)]
        self.crystals = [
            Crystal(c, s, tooling=1 + s.tooling_sd * draw.normal(), warmth=1 + 0.15 * draw.normal())
            for c in config.sensors
        ]
        self.wide_gauge_factor = 1 + s.wide_gauge_factor_sd * draw.normal()
        for crystal in self.crystals:
            crystal.drift_rate = s.zero_drift_sd * draw.normal()
        self.gas = Gas(s)
        self.wafer = Wafer(config.sources, s)
        self.films: dict[int, Film] = {}
        self.substrate_number = 0
        self.substrate_shutter_open = False
        self.angle_deg = self.angle_setpoint_deg = 0.0
        self.time_s = 0.0
        self.depositing = False
        points = [c.position_cm for c in config.sensors]
        normals = [c.normal for c in config.sensors]
        self.sensor_coupling = [coupling(c, s, points, normals) for c in config.sources]  # per source [node, sensor]
        self._factor = np.ones((len(self.sources), len(self.crystals)))
        self._offset = np.zeros_like(self._factor)

    # what clients ask for -------------------------------------------------------------------------------------------

    def open_source_shutter(self, index: int, is_open: bool) -> None:
        """Move the shutter of a source; opening it draws the run-to-run noise of its sensors."""
        source = self.sources[index]
        if is_open and not source.shutter_open:
            source.openings += 1
            draw = seeds.stream(self.config.seed, seeds.OPENING, index, source.openings)
            sensors = len(self.crystals)
            self._factor[index] = 1 + self.settings.rate_noise_relative * draw.normal(size=sensors)
            self._offset[index] = self.settings.rate_noise_absolute * draw.normal(size=sensors)
        source.shutter_open = is_open

    def load_substrate(self) -> int:
        """Put a fresh substrate on the stage; returns its number."""
        self.substrate_number += 1
        self.films[self.substrate_number] = Film(len(self.sources))
        return self.substrate_number

    def make_safe(self) -> None:
        """Close every shutter and set every supply to zero (the supplies still have to ramp)."""
        self.substrate_shutter_open = False
        for index, source in enumerate(self.sources):
            self.open_source_shutter(index, False)
            source.setpoint_W = 0.0

    @property
    def energised(self) -> bool:
        """Whether any power is asked for or any shutter is open: what a watchdog has to watch."""
        on = any(source.setpoint_W > 0 or source.shutter_open for source in self.sources)
        return on or self.substrate_shutter_open

    # time -----------------------------------------------------------------------------------------------------------

    def advance(self, dt_s: float, ramp_W_s: float | None = None) -> None:
        """Let simulated time pass.

        Args:
            dt_s: simulated seconds.
            ramp_W_s: speed of the power supplies where it is not that of the settings.
        """
        ramp = self.settings.power_ramp_W_per_s if ramp_W_s is None else ramp_W_s
        self.depositing = False
        remaining = dt_s
        while remaining > 1e-9:
            step = remaining if self._settled() else min(remaining, MAX_STEP_S)
            self._step(step, ramp)
            remaining -= step
        for crystal in self.crystals:
            crystal.drift(dt_s, self.noise.normal())
        self.time_s += dt_s

    def _settled(self) -> bool:
        stage = self.angle_deg == self.angle_setpoint_deg
        return stage and self.gas.settled and all(source.settled for source in self.sources)

    def _step(self, dt_s: float, ramp_W_s: float) -> None:
        self.gas.step(dt_s)
        for source in self.sources:
            source.ramp(dt_s, ramp_W_s)
            source.update_plasma(self.gas.pressure_mTorr)
        self._turn_stage(dt_s)
        reach = self.settings.neighbour_power_W
        weights = [math.tanh(source.power_W / reach) for source in self.sources]
        total = sum(weights)
        heat = 0.0
        for index, source in enumerate(self.sources):
            source.update_emission(self.gas.pressure_mTorr, total - weights[index])
            source.erode(dt_s)
            if source.shutter_open and source.burning:
                heat += source.power_W
                self._deposit(index, source, dt_s)
        for crystal in self.crystals:
            crystal.heat(dt_s, heat)

    def _deposit(self, index: int, source: Source, dt_s: float) -> None:
        first, weights = node_weights(source.n)
        rows = self.sensor_coupling[index][first : first + 4]
        fluxes = source.emitted_ng_s * (np.asarray(weights) @ rows)
        rates = fluxes * self._factor[index] + self._offset[index]
        for crystal, rate in zip(self.crystals, rates, strict=True):
            crystal.deposit(crystal.tooling * float(rate) * dt_s, source.law.target.z_ratio)
        if self.substrate_shutter_open and self.substrate_number:
            self.depositing = True
            angle = self.angle_deg
            if angle != self.angle_setpoint_deg:
                angle = ANGLE_STEP_DEG * round(angle / ANGLE_STEP_DEG)
            self.films[self.substrate_number].add(angle, index, source.emitted_ng_s * dt_s, source.n)

    def _turn_stage(self, dt_s: float) -> None:
        change = self.settings.stage_speed_deg_per_s * dt_s
        gap = self.angle_setpoint_deg - self.angle_deg
        if abs(gap) <= change:
            self.angle_deg = self.angle_setpoint_deg
        else:
            self.angle_deg += math.copysign(change, gap)
