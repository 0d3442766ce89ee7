"""Every number of the plant that a person may want to change, and the configuration file of one chamber."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from ioc_sims.common.config import STRICT, InstrumentConfig, read_config
from ioc_sims.sputter.elements import target_of
from ioc_sims.sputter.reactive_settings import ReactiveSettings

Vector = tuple[float, float, float]
Fraction = Annotated[float, Field(ge=0, le=1)]
PVStub = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+:$", max_length=16)]


class PhysicsSettings(ReactiveSettings):
    """Settings of the plant; written into the truth file, so that a result can be judged against what was simulated."""

    model_config = STRICT

    # what a sensor reports
    rate_noise_relative: float = Field(
        default=0.015, ge=0, description="sd of the factor drawn when a source shutter opens"
    )
    rate_noise_absolute: float = Field(default=0.05, ge=0, description="sd of the offset drawn then [ng cm^-2 s^-1]")
    tooling_sd: float = Field(default=0.01, ge=0, description="sd of the tooling factor of each QCM")
    zero_drift_sd: float = Field(default=0.05, ge=0, description="sd of the wandering apparent rate [ng cm^-2 s^-1]")
    zero_drift_time_s: float = Field(default=7200.0, gt=0, description="correlation time of that wandering")
    frequency_noise_Hz: float = Field(default=0.02, ge=0)
    thermal_shift_Hz: float = Field(default=3.0, ge=0, description="warm crystal behind an open shutter at 50 W")
    thermal_time_s: float = Field(default=8.0, gt=0)
    crystal_life_Hz: float = Field(default=1.0e6, gt=0, description="frequency shift at which a crystal is used up")
    # emission
    racetrack_radius_cm: float = Field(default=1.8, ge=0)
    racetrack_elements: int = Field(default=48, ge=4)
    diffuse_fraction: float = Field(default=0.05, ge=0, lt=1, description="part of the atoms that the gas scatters")
    diffuse_distance_cm: float = Field(default=4.0, ge=0, description="where on the axis the scattered atoms come from")
    sticking: dict[str, Fraction] = Field(
        default={}, description="by source: part of the atoms that stays on the substrate (cooled crystals keep all)"
    )
    # sources
    throughput: float = Field(default=0.155, gt=0, description="part of the sputtered atoms that leaves the source")
    voltage_exponent: float = Field(default=7.0, gt=0, description="m of I = k V^m")
    voltage_pressure_exponent: float = Field(default=-0.12, description="V falls as p to this power")
    scattering_pressure_mTorr: float = Field(default=17.0, gt=0, description="half of a copper flux is lost here")
    scattering_exponent: float = Field(default=1.4, gt=0)
    rarefaction_power_W: float = Field(
        default=150.0, gt=0, description="power that halves the gas density at the target"
    )
    confinement_loss: float = Field(default=0.3, ge=0, lt=1, description="loss of efficiency right at extinction")
    confinement_pressure_mTorr: float = Field(default=2.0, gt=0, description="pressure over which it recovers")
    neighbour_interaction: float = Field(
        default=0.01, ge=0, description="change of rate and voltage by a burning neighbour at the reference distance"
    )
    neighbour_power_W: float = Field(default=30.0, gt=0)
    neighbour_reference_cm: float = Field(default=10.0, gt=0, description="between the middles of two targets")
    neighbour_decay_cm: float = Field(default=5.0, gt=0, description="over which a neighbour counts e times less")
    mode_jump: float = Field(default=0.0, gt=-1, description="relative change of the rate above the pressure of a mode")
    mode_pressure_mTorr: float = Field(default=9.0, gt=0)
    mode_width_mTorr: float = Field(default=0.3, ge=0, description="over which it changes; 0 = at once")
    erosion_rate_per_kWh: float = Field(default=-0.03)
    erosion_n_per_kWh: float = Field(default=0.1)
    erosion_voltage_per_kWh: float = Field(default=-0.02)
    source_strength_sd: float = Field(default=0.03, ge=0, description="relative spread between targets (by seed)")
    source_n_sd: float = Field(default=0.05, ge=0, description="spread of n between targets (by seed)")
    # plasma and power supply
    extinction_100W_mTorr: float = Field(default=2.2, gt=0)
    extinction_10W_mTorr: float = Field(default=3.9, gt=0)
    extinction_shape: Literal["power", "knee"] = Field(default="power", description="through these two points")
    extinction_knee_W: float = Field(default=20.0, gt=0, description="power over which a knee levels off")
    ignition_ratio: float = Field(default=1.8, ge=1)
    plasma_sd: float = Field(
        default=0.03, ge=0, description="relative spread of the boundaries between chambers (by seed)"
    )
    plasma_minimum_power_W: float = Field(default=2.0, gt=0)
    power_ramp_W_per_s: float = Field(default=100.0, gt=0)
    open_circuit_voltage_V: float = Field(default=800.0, gt=0)
    electrical_noise: float = Field(
        default=0.002, ge=0, description="relative noise of power, voltage and current readings"
    )
    # gas
    base_pressure_mTorr: float = Field(default=1e-4, gt=0)
    flow_time_s: float = Field(default=1.0, gt=0)
    chamber_time_s: float = Field(default=2.0, gt=0)
    pumping_sccm_per_mTorr: float = Field(default=5.0, gt=0)
    pumping_flow_sccm: float = Field(default=800.0, gt=0, description="flow at which the pumping speed has doubled")
    maximum_flow_sccm: float = Field(default=200.0, gt=0)
    flow_noise: float = Field(default=0.002, ge=0)
    gauge_noise: float = Field(default=0.002, ge=0)
    gauge_floor_mTorr: float = Field(default=0.002, ge=0, description="noise floor of the capacitance manometer")
    gauge_drift_per_day: float = Field(default=0.0, gt=-1, description="relative drift of the manometer's span")
    wide_gauge_factor_sd: float = Field(default=0.05, ge=0)
    wide_gauge_noise: float = Field(default=0.01, ge=0)
    # stage and interlock
    stage_speed_deg_per_s: float = Field(default=20.0, gt=0)
    interlock_pressure_mTorr: tuple[float, float] = (0.5, 50.0)


class SourceConfig(BaseModel):
    """One magnetron: where it sits (cm, substrate centre = origin), where it looks, what target it holds."""

    model_config = STRICT

    name: str = Field(min_length=1)
    element: str
    pv: PVStub
    position_cm: Vector
    axis: Vector
    max_power_W: float = Field(default=100.0, gt=0, le=5000)

    @field_validator("element")
    @classmethod
    def _known(cls, element: str) -> str:
        return target_of(element).symbol

    @field_validator("axis")
    @classmethod
    def _unit(cls, axis: Vector) -> Vector:
        return _normalised(axis)


class SensorConfig(BaseModel):
    """One quartz crystal: position [cm], unit normal, frequency when new [Hz]."""

    model_config = STRICT

    name: str = Field(min_length=1)
    pv: PVStub
    position_cm: Vector
    normal: Vector = (0.0, 0.0, 1.0)
    f0_Hz: float = Field(default=6e6, ge=1e6, le=2e7)

    @field_validator("normal")
    @classmethod
    def _unit(cls, normal: Vector) -> Vector:
        return _normalised(normal)


class GridConfig(BaseModel):
    """Range of the truth grid (31 x 31 points)."""

    model_config = STRICT

    power_W: tuple[float, float] = (10.0, 100.0)
    pressure_mTorr: tuple[float, float] = (2.0, 20.0)

    @field_validator("power_W", "pressure_mTorr")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < value[1]:
            raise ValueError("must be [low, high] with 0 < low < high")
        return value


class ChamberConfig(InstrumentConfig):
    """What the launcher hands over: names, geometry, speed, seed, files."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    sensors: tuple[SensorConfig, ...] = Field(min_length=1)
    grid: GridConfig = GridConfig()
    physics: PhysicsSettings = PhysicsSettings()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, values in (
            ("source names", [s.name for s in self.sources]),
            ("sensor names", [s.name for s in self.sensors]),
            ("pv stubs", [s.pv for s in (*self.sources, *self.sensors)]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must differ from each other, got {values}")
        strangers = sorted(set(self.physics.sticking) - {s.name for s in self.sources})
        if strangers:
            raise ValueError(f"physics.sticking names what is no source: {', '.join(strangers)}")
        return self


def load_config(path: Path) -> ChamberConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: one line that names the file, the key and what is wrong with it.
    """
    return read_config(path, ChamberConfig)


def _normalised(vector: Vector) -> Vector:
    length = math.hypot(*vector)
    if abs(length - 1.0) > 1e-3:
        raise ValueError(f"must be a unit vector, its length is {length:.4g}")
    return (vector[0] / length, vector[1] / length, vector[2] / length)
