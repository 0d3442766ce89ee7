"""The configuration file of an RBS end station, and every number of it that a person may want to change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from ioc_sims.common.config import STRICT, InstrumentConfig, read_config
from ioc_sims.common.errors import ConfigError
from ioc_sims.rbs.species import ion_of, target_of

Layer = dict[str, Annotated[float, Field(ge=0)]]
"""Areal density [1e15 at/cm2] by element."""

ENERGIES_KEV = (500.0, 3500.0)
PLACES_MM = (-30.0, 30.0)
TILTS_DEG = (-60.0, 60.0)
CHARGES_UC = (0.0, 10000.0)


class PhysicsSettings(BaseModel):
    """Settings of the station; written into the truth file, so that a result can be judged against what was done."""

    model_config = STRICT

    # what is hidden
    stopping_sd: float = Field(default=0.02, ge=0, description="sd of the factor on each element's stopping (by seed)")
    charge_sd: float = Field(default=0.005, ge=0, description="sd of true over shown charge, drawn per acquisition")
    gain_sd: float = Field(default=0.001, ge=0, description="sd of the wandering of true over nominal keV per channel")
    gain_time_s: float = Field(default=4 * 3600.0, gt=0, description="correlation time of that wandering")
    # beam
    energy_keV: float = Field(default=2000.0, ge=ENERGIES_KEV[0], le=ENERGIES_KEV[1], description="at the first start")
    energy_speed_keV_per_s: float = Field(default=50.0, gt=0)
    current_nA: float = Field(default=20.0, gt=0, description="mean current on the sample")
    current_sd: float = Field(default=0.03, ge=0, description="relative sd of its slow fluctuations")
    current_time_s: float = Field(default=60.0, gt=0, description="correlation time of these")
    current_noise: float = Field(default=0.002, ge=0, description="relative noise of the reading")
    # sample stage
    stage_speed_mm_per_s: float = Field(default=5.0, gt=0)
    tilt_speed_deg_per_s: float = Field(default=5.0, gt=0)
    # detector
    dead_time_us: float = Field(default=4.0, ge=0, description="after each event (not extended by the next)")
    # calculation
    slab: float = Field(default=300.0, ge=20, description="thickest slab of the spectrum's calculation [1e15 at/cm2]")


class SetupConfig(BaseModel):
    """Beam, geometry and detector as its user knows them."""

    model_config = STRICT

    ion: str = "4He"
    theta_deg: float = Field(default=165.0, gt=90, lt=180, description="scattering angle")
    geometry: Literal["IBM"] = "IBM"
    slope_keV: float = Field(default=2.0, ge=0.25, le=100)
    offset_keV: float = Field(default=0.0, ge=-1000, le=1000)
    resolution_fwhm_keV: float = Field(default=15.0, gt=0, le=200)
    solid_angle_msr: float = Field(default=10.0, gt=0, le=1000)
    channels: int = Field(default=1024, ge=16, le=4000)  # 4000 numbers of 32 bits fit what Channel Access carries

    @field_validator("ion")
    @classmethod
    def _known(cls, ion: str) -> str:
        ion_of(ion)
        return ion

    @model_validator(mode="after")
    def _fine_enough(self) -> Self:
        if self.resolution_fwhm_keV > 70 * self.slope_keV:
            raise ValueError(
                f"slope_keV {self.slope_keV:g} is too fine for a resolution of {self.resolution_fwhm_keV:g}"
            )
        return self


class SampleConfig(BaseModel):
    """A sample of one's own: all its layers from the surface on, substrate included; the same everywhere."""

    model_config = STRICT

    layers: tuple[Layer, ...] = Field(min_length=1)


class RBSConfig(InstrumentConfig):
    """What the launcher hands over: names, set-up, where films come from, speed, seed, files."""

    films_file: Path | None = None
    samples: dict[Annotated[int, Field(ge=1)], SampleConfig] = {}
    setup: SetupConfig = SetupConfig()
    substrate: tuple[Layer, ...] = Field(default=({"O": 16000.0, "Si": 8000.0},), min_length=1)
    physics: PhysicsSettings = PhysicsSettings()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_layers("substrate", self.substrate)
        for number, sample in self.samples.items():
            check_layers(f"samples.{number}", sample.layers)
        return self


def check_layers(what: str, layers: tuple[Layer, ...]) -> None:
    """Whether a spectrum of these layers can be made.

    Raises:
        ValueError: an unknown element, two isotopes of one element, or nothing at all.
    """
    labels = dict.fromkeys(label for layer in layers for label in layer)
    try:
        numbers = [target_of(label).z for label in labels]
    except ConfigError as err:
        raise ValueError(f"{what}: {err}") from err
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{what}: two isotopes of one element cannot be in one sample, got {', '.join(labels)}")
    if not any(density > 0 for layer in layers for density in layer.values()):
        raise ValueError(f"{what}: the layers hold no atoms")


def load_config(path: Path) -> RBSConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: one line that names the file, the key and what is wrong with it.
    """
    return read_config(path, RBSConfig)
