"""The part of the lab file about the RBS end station: its address, its set-up as the lab knows it, how it measures."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from sdl_bluesky.errors import SDLError
from sdl_bluesky.physics.quantity import Degrees, KiloElectronvolts, MicroCoulombs, MilliSteradians, Percent
from sdl_bluesky.session.part import EpicsPart, Part

Layer = Annotated[dict[str, float], Field(min_length=1)]
"""Areal density of each element, 1e15 at/cm2."""


class RBSMeasurementPart(Part):
    """How long a spectrum is counted."""

    charge: MicroCoulombs = 5.0
    longest: MicroCoulombs = 20.0
    precision: Percent = 0.5

    @model_validator(mode="after")
    def _possible(self) -> RBSMeasurementPart:
        if not 0 < self.charge <= self.longest:
            raise ValueError("charge must be above 0 uC and not above longest")
        if self.precision <= 0:
            raise ValueError("precision must be above 0 %")
        return self


class RBSPart(Part):
    """One RBS end station.

    Its IOC is another process than the sputter chamber's: `epics` says where it answers if not where the chamber's does
    (of a simulated one: on which port it is served).
    """

    pv: str = Field(default="RBS:", pattern=r"^[A-Za-z0-9_:-]+$")
    epics: EpicsPart | None = None
    ion: str = "4He"
    energy: KiloElectronvolts = 2000.0
    theta: Degrees = 165.0
    tilt: Degrees = 0.0
    slope: KiloElectronvolts = 2.0
    offset: KiloElectronvolts = 0.0
    resolution: KiloElectronvolts = 15.0
    solid_angle: MilliSteradians = 10.0
    channels: int = Field(default=1024, ge=16, le=4000)
    substrate: tuple[Layer, ...] = Field(default=({"O": 16000.0, "Si": 8000.0},), min_length=1)
    measurement: RBSMeasurementPart = RBSMeasurementPart()
    physics: dict[str, float] = Field(default_factory=dict, description="settings of the simulated station by name")

    @field_validator("substrate")
    @classmethod
    def _layers(cls, layers: tuple[dict[str, float], ...]) -> tuple[dict[str, float], ...]:
        for layer in layers:
            for element, density in layer.items():
                if not (math.isfinite(density) and density > 0):
                    raise ValueError(f"{element}: {density} is no areal density: give 1e15 at/cm2, above 0")
        return layers

    @model_validator(mode="after")
    def _physical(self) -> RBSPart:
        from sdl_bluesky.physics.rbs.setup import Setup

        if not 90.0 < self.theta < 180.0:
            raise ValueError("theta is the scattering angle: above 90 deg for backscattering, below 180 deg")
        if abs(self.tilt) > 60.0 or abs(180.0 - self.theta - self.tilt) >= 89.0:
            raise ValueError("tilt must be within -60 and 60 deg, and leave the detector in sight of the film")
        elements = tuple(dict.fromkeys(name for layer in self.substrate for name in layer))
        try:
            Setup(
                ion=self.ion,
                energy_keV=self.energy,
                theta_deg=self.theta,
                alpha_deg=self.tilt,
                slope_keV=self.slope,
                offset_keV=self.offset,
                resolution_fwhm_keV=self.resolution,
                solid_angle_msr=self.solid_angle,
                channels=self.channels,
                elements=elements,
            )
        except SDLError as fault:
            raise ValueError(str(fault)) from fault
        return self
