"""The configuration file of a reactor, and every number of it that a person may want to change."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from ioc_sims.common.config import STRICT, InstrumentConfig, read_config

GROUP_III: tuple[str, ...] = ("IN", "GA")
GROUP_V: tuple[str, ...] = ("AS", "P")
LINES: tuple[str, ...] = (*GROUP_III, *GROUP_V)
"""Lines with a run/vent valve."""
FLOWS: tuple[str, ...] = (*LINES, "H2")
"""Lines with a mass flow controller."""

FLOW_LIMITS_SCCM = {"IN": 50.0, "GA": 20.0, "AS": 50.0, "P": 500.0, "H2": 30000.0}
"""Full scale of each controller; the least is 0."""
TEMPERATURES_DEGC = (0.0, 750.0)
RAMPS_DEGC_S = (0.1, 2.5)
ROTATIONS_RPM = (0.0, 1500.0)
PRESSURES_MBAR = (20.0, 200.0)
DURATIONS_S = (0.0, 20000.0)
EXPOSURES_S = (0.01, 10.0)
PLACES_MM = (-25.0, 25.0)
ANGLES_DEG = (60.0, 67.0)
STEPS_DEG = (0.0005, 0.1)
STEP_TIMES_S = (0.05, 60.0)
MAX_POINTS = 2000
"""Of a scan; 2000 numbers of 64 bits fit what Channel Access carries without being asked."""


class PhysicsSettings(BaseModel):
    """Settings of the reactor and its instruments; written into the truth file."""

    model_config = STRICT

    # what is hidden of the reactor
    bad_run_fraction: float = Field(default=0.03, ge=0, le=1, description="wafers with a gross error (by seed)")
    bad_run_log_odds: tuple[float, float] = Field(default=(0.15, 0.5), description="size of that error, either sign")
    run_x_log_odds: float = Field(default=0.010, ge=0, description="sd of a shift of Ga, drawn per wafer")
    run_y_log_odds: float = Field(default=0.008, ge=0, description="sd of a shift of As, drawn per wafer")
    line_sd: float = Field(default=0.05, ge=0, description="sd of true over shown flow of a line, after maintenance")
    line_first_sd: float = Field(default=0.01, ge=0, description="the same, before the first maintenance")
    line_drift_sd: float = Field(default=0.004, ge=0, description="sd of its slow wandering (bubblers)")
    line_drift_time_s: float = Field(default=2e5, gt=0)
    offset_sd_degC: float = Field(default=4.0, ge=0, description="sd of true - shown temperature, after maintenance")
    offset_first_sd_degC: float = Field(default=0.5, ge=0, description="the same, before the first maintenance")
    rate_sd: float = Field(default=0.02, ge=0, description="relative spread of the growth rate, at each maintenance")
    wall_flow_sccm: tuple[float, float] = Field(default=(6.0, 20.0), description="range of the walls' half saturation")
    wall_share: tuple[float, float] = Field(default=(0.5, 0.96), description="range of the Ga lost at little flow")
    dimer_share: tuple[float, float] = Field(default=(0.1, 0.7), description="range of As that adsorbs as dimer")
    profile_x: float = Field(default=0.012, ge=0, description="spread of the log odds of x at the wafer's edge")
    profile_y: float = Field(default=0.03, ge=0, description="spread of the log odds of y at the wafer's edge")
    # the reference: here, with this flow of In and P, the paper's two pairs of flows and compositions hold
    indium_sccm: float = Field(default=25.0, gt=0)
    phosphine_sccm: float = Field(default=300.0, gt=0)
    hydrogen_sccm: float = Field(default=16000.0, gt=0)
    pressure_mbar: float = Field(default=100.0, gt=0)
    temperature_degC: float = Field(default=650.0, gt=0)
    rotation_rpm: float = Field(default=900.0, gt=0)
    rate_nm_s: float = Field(default=0.5, gt=0, description="of InP at the reference")
    # flow controllers and the reactor's gas
    flow_frequency_per_s: float = Field(default=2.5, gt=0, description="natural frequency of a controller's loop")
    flow_damping: float = Field(default=0.6, gt=0, lt=1, description="0.6 overshoots by 9 %")
    flow_wander: float = Field(default=0.001, ge=0, description="relative sd of the true flow about its mean")
    flow_noise: float = Field(default=0.001, ge=0, description="relative noise of a reading")
    residence_s: float = Field(default=0.5, gt=0, description="in which the gas over the wafer is exchanged")
    pressure_time_s: float = Field(default=3.0, gt=0)
    pressure_noise: float = Field(default=0.001, ge=0)
    # susceptor
    heat_frequency_per_s: float = Field(default=0.12, gt=0, description="natural frequency of the heater's loop")
    heat_damping: float = Field(default=0.8, gt=0)
    heat_limit_degC_s: float = Field(default=3.0, gt=0, description="the heater cannot do more")
    cool_time_s: float = Field(default=250.0, gt=0, description="time constant without heater")
    ambient_degC: float = Field(default=25.0)
    temperature_noise_degC: float = Field(default=0.15, ge=0)
    rotation_speed_rpm_s: float = Field(default=30.0, gt=0)
    # safety
    minimum_hydrogen_sccm: float = Field(default=2000.0, gt=0, description="less does not count as carrier")
    minimum_hydride_sccm: float = Field(default=3.0, gt=0, description="less does not count as group V")
    protect_degC: float = Field(default=400.0, gt=0, description="InP loses phosphorus above")
    cold_degC: float = Field(default=150.0, gt=0, description="a wafer may be touched below")
    pressure_tolerance: float = Field(default=0.1, gt=0, description="relative; further off is not in order")
    interlock_pressure_mbar: tuple[float, float] = Field(default=(10.0, 250.0), description="with hydrides in run")
    scrubber_capacity_scc: float = Field(default=2e7, gt=0, description="hydrides that a new scrubber binds")
    # layers
    relaxation_rate: float = Field(default=0.03, ge=0, description="R = 1 - exp(-rate (h / h_c - 1)) beyond h_c")
    # photoluminescence
    pl_calibration_nm: float = Field(default=1.5, ge=0, description="sd of the wavelength's error, per measurement")
    pl_pixel_nm: float = Field(default=0.3, ge=0, description="sd of a pixel of a map at 0.1 s")
    pl_dead_fraction: float = Field(default=0.3, ge=0, le=1, description="of the pixels at the edge")
    pl_broadening_meV: float = Field(default=9.0, gt=0)
    pl_counts_per_s: float = Field(default=2e5, gt=0, description="in the peak of a good layer")
    pl_dark_counts: float = Field(default=20.0, ge=0, description="of the detector, sd of each channel")
    # diffraction
    xrd_zero_deg: float = Field(default=0.01, ge=0, description="sd of the zero of 2 theta (by seed)")
    xrd_mount_deg: float = Field(default=0.002, ge=0, description="sd of its shift, per scan")
    xrd_scale: float = Field(default=2e-5, ge=0, description="relative sd of the angle scale, per scan")
    xrd_resolution_deg: float = Field(default=0.007, gt=0, description="FWHM in 2 theta")
    xrd_peak_cps: float = Field(default=1e6, gt=0, description="of a bare substrate, before it is resolved")
    xrd_background_cps: float = Field(default=1.0, ge=0)
    xrd_depth_nm: float = Field(default=1500.0, gt=0, description="of the substrate that scatters together")
    # studies
    sample_lattice_percent: float = Field(default=0.005, ge=0, description="sd of the lattice constant of a sample")


class ReactorConfig(InstrumentConfig):
    """What the launcher hands over: names, speed, seed, files."""

    gallium: str = Field(default="TEGa", pattern="^(TEGa|TMGa)$", description="precursor of the GA line (a name)")
    physics: PhysicsSettings = PhysicsSettings()

    @property
    def precursors(self) -> dict[str, str]:
        """Name of what each line carries."""
        return {"IN": "TMIn", "GA": self.gallium, "AS": "AsH3", "P": "PH3"}


def load_config(path: Path) -> ReactorConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: one line that names the file, the key and what is wrong with it.
    """
    return read_config(path, ReactorConfig)
