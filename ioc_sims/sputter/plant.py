"""The sputter chamber as physics: no EPICS, no wall clock; `advance(dt)` moves simulated time.

Where nothing is on its way (gas, supplies and stage have arrived) the rates are constant and one step covers any time;
otherwise the plant goes in steps of at most 0.1 s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ioc_sims.sputter import seeds
from ioc_sims.sputter.elements import target_of
from ioc_sims.sputter.emission import coupling, node_weights
from ioc_sims.sputter.film import ANGLE_STEP_DEG, Film, Wafer
from ioc_sims.sputter.gas import Gas
from ioc_sims.sputter.light import Spectrometer
from ioc_sims.sputter.qcm import Crystal
from ioc_sims.sputter.reactive import OXIDE_Z_RATIO, Oxygen
from ioc_sims.sputter.settings import ChamberConfig
from ioc_sims.sputter.sources import Character, Magnetron, Source

MAX_STEP_S = 0.1
DAY_S = 86_400.0


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
        self.oxygen = Oxygen(config, start)
        self.spectrometer = Spectrometer(config, start)
        self._nearness = _nearness(config)
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

    def mount_target(self, index: int, element: str, number: int | None = None) -> None:
        """Put a new target into a source: no energy on it yet, a strength and an exponent of its own.

        Args:
            index: of the source.
            element: of the target.
            number: how many targets the source has had with this one; one more than before by default.

        Raises:
            ValueError: there is no such element.
        """
        source, s = self.sources[index], self.settings
        number = source.target_number + 1 if number is None else number
        character = source.law.character
        if number > 1:
            draw = seeds.stream(self.config.seed, seeds.TARGET, index, number)
            strength, n_offset = math.exp(s.source_strength_sd * draw.normal()), s.source_n_sd * draw.normal()
            character = Character(strength, n_offset, character.boundary)  # the boundary is the magnets'
        symbol = target_of(element).symbol
        config = self.config.sources[index].model_copy(update={"element": symbol})
        source.mount(Magnetron(config, s, character), number)
        self.oxygen.mount_target(index, symbol)
        self.spectrometer.mount_target(index, symbol)

    @property
    def elements(self) -> tuple[str, ...]:
        """Of the target in each source."""
        return tuple(source.law.config.element for source in self.sources)

    def make_safe(self) -> None:
        """Close every shutter and the oxygen, set every supply to zero (the supplies still have to ramp)."""
        self.substrate_shutter_open = False
        self.oxygen.setpoint_sccm = 0.0
        for index, source in enumerate(self.sources):
            self.open_source_shutter(index, False)
            source.setpoint_W = 0.0

    @property
    def energised(self) -> bool:
        """Whether any power is asked for or any shutter is open: what a watchdog has to watch."""
        on = any(source.setpoint_W > 0 or source.shutter_open for source in self.sources)
        return on or self.substrate_shutter_open or self.oxygen.setpoint_sccm > 0

    @property
    def pressure_mTorr(self) -> float:
        """True total pressure: argon and oxygen."""
        return self.gas.pressure_mTorr + self.oxygen.pressure_mTorr

    @property
    def gauge_factor(self) -> float:
        """What the process gauge shows of the true pressure, by the drift of its span."""
        return 1 + self.settings.gauge_drift_per_day * self.time_s / DAY_S

    def run_factor(self, index: int) -> NDArray[np.float64]:
        """What the sensors make of a source's rate since its shutter opened [sensor]; their tooling is not in it."""
        return self._factor[index]

    def spectrum(self) -> NDArray[np.int32]:
        """A reading of the spectrometer [pixel]."""
        return self.spectrometer.spectrum(self.sources, self.gas.pressure_mTorr, self.oxygen)

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
        return stage and self.gas.settled and self.oxygen.settled and all(source.settled for source in self.sources)

    def _step(self, dt_s: float, ramp_W_s: float) -> None:
        self.gas.step(dt_s)
        self.oxygen.step(dt_s)
        pressure = self.pressure_mTorr
        for source in self.sources:
            source.ramp(dt_s, ramp_W_s)
            source.update_plasma(pressure)
        self._turn_stage(dt_s)
        reach = self.settings.neighbour_power_W
        neighbours = self._nearness @ [math.tanh(source.power_W / reach) for source in self.sources]
        heat = 0.0
        for index, source in enumerate(self.sources):
            source.update_emission(pressure, float(neighbours[index]))
            self.oxygen.poison(index, source)
            source.erode(dt_s)
            if source.shutter_open and source.burning:
                heat += source.power_W
                self._deposit(index, source, dt_s)
        for crystal, rate in zip(self.crystals, self.oxygen.uptake(), strict=True):
            crystal.deposit(crystal.tooling * float(rate) * dt_s, OXIDE_Z_RATIO)
            crystal.heat(dt_s, heat)

    def _deposit(self, index: int, source: Source, dt_s: float) -> None:
        first, weights = node_weights(source.n)
        rows = self.sensor_coupling[index][first : first + 4]
        fluxes = source.emitted_ng_s * (np.asarray(weights) @ rows)
        rates = fluxes * self._factor[index] + self._offset[index]
        self.oxygen.arrive(index, fluxes * self._factor[index])
        for crystal, rate in zip(self.crystals, rates, strict=True):
            crystal.deposit(crystal.tooling * float(rate) * dt_s, source.law.target.z_ratio)
        if self.substrate_shutter_open and self.substrate_number:
            self.depositing = True
            angle = self.angle_deg
            if angle != self.angle_setpoint_deg:
                angle = ANGLE_STEP_DEG * round(angle / ANGLE_STEP_DEG)
            stays = source.emitted_ng_s * self.settings.sticking.get(source.name, 1.0)
            self.films[self.substrate_number].add(angle, self.elements, index, stays * dt_s, source.n)

    def _turn_stage(self, dt_s: float) -> None:
        change = self.settings.stage_speed_deg_per_s * dt_s
        gap = self.angle_setpoint_deg - self.angle_deg
        if abs(gap) <= change:
            self.angle_deg = self.angle_setpoint_deg
        else:
            self.angle_deg += math.copysign(change, gap)


def _nearness(config: ChamberConfig) -> NDArray[np.float64]:
    """What a neighbour counts by its distance d: exp(-(d - reference) / decay), 0 for itself [source, source]."""
    s = config.physics
    places = np.asarray([source.position_cm for source in config.sources])
    distance = np.linalg.norm(places[:, None] - places[None, :], axis=-1)
    nearness = np.exp(-(distance - s.neighbour_reference_cm) / s.neighbour_decay_cm)
    np.fill_diagonal(nearness, 0.0)
    return nearness
