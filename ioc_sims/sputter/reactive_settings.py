"""Settings of oxygen in the chamber and of the spectrometer; part of the settings of the plant."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ReactiveSettings(BaseModel):
    """Oxygen, the targets that it covers, and the light of the plasmas."""

    # oxygen
    oxygen_flow_time_s: float = Field(default=1.0, gt=0)
    oxygen_maximum_sccm: float = Field(default=20.0, gt=0)
    oxygen_flow_noise_sccm: float = Field(default=0.002, ge=0)
    oxygen_pumping_sccm_per_mTorr: float = Field(default=5.0, gt=0)
    oxygen_sticking_target: float = Field(default=0.9, gt=0, le=1, description="on the bare part of a target")
    oxygen_sticking_sd: float = Field(default=0.15, ge=0, description="relative spread of sticking between chambers")
    target_area_cm2: float = Field(default=10.0, gt=0, description="of the racetrack")
    target_sites_per_cm2: float = Field(default=1e16, gt=0, description="metal atoms of the layer that oxygen converts")
    collecting_area_cm2: float = Field(default=1500.0, gt=0, description="on which the metal of a source lands")
    # spectrometer
    oes_counts_per_s: float = Field(default=4e4, gt=0, description="argon line at 50 W and 5 mTorr, all pixels")
    oes_continuum_per_s: float = Field(default=60.0, ge=0, description="per pixel at 50 W")
    oes_dark_per_s: float = Field(default=40.0, ge=0, description="per pixel")
    oes_resolution_nm: float = Field(default=1.2, gt=0, description="full width at half maximum")
    oes_self_absorption: float = Field(default=0.15, ge=0, description="of a metal line at 50 W of copper")
    oes_voltage_sd: float = Field(default=0.1, ge=0, description="spread of the power of the voltage in a line ratio")
    oes_quenching: float = Field(default=0.1, ge=0, description="argon light lost in pure oxygen, relative")
