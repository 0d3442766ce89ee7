"""From the lab file to what devices and plans take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl_bluesky.devices.rbs.spec import RBSSpec
from sdl_bluesky.devices.spec import ChamberSpec, QCMSpec, ReactiveSpec, SourceSpec
from sdl_bluesky.session.lab import LabFile

if TYPE_CHECKING:
    from sdl_bluesky.plans.rbs_settings import RBSSettings
    from sdl_bluesky.plans.settings import SputterSettings


def chamber_spec(lab: LabFile) -> ChamberSpec:
    """The chamber of a lab file, as the devices take it."""
    part = lab.chamber
    return ChamberSpec(
        sources=tuple(
            SourceSpec(n, s.pv, s.element, s.position_cm, s.axis, s.max_power, s.power_tolerance)
            for n, s in part.sources.items()
        ),
        qcms=tuple(QCMSpec(n, q.pv, q.position_cm, (0.0, 0.0, 1.0), q.crystal) for n, q in part.sensors.items()),
        has_clock=part.clock,
        has_target_numbers=part.target_numbers,
        max_flow_sccm=part.gas.flow[1],
        reactive=reactive_spec(lab),
    )


def reactive_spec(lab: LabFile) -> ReactiveSpec | None:
    """Oxygen and spectrometer of a lab file, as the devices take them; None without them."""
    part = lab.chamber.reactive
    if part is None:
        return None
    return ReactiveSpec(
        lines_nm=lab.chamber.lines_nm,
        reference_nm=part.reference,
        resolution_nm=part.resolution,
        max_flow_sccm=part.flow[1],
        gas=part.gas_pv,
        spectrometer=part.spectrometer_pv,
    )


def sputter_settings(lab: LabFile) -> SputterSettings:
    """The process settings of a lab file, as the plans take them."""
    from sdl_bluesky.plans.settings import SputterSettings

    gas, plasma, measure = lab.chamber.gas, lab.chamber.plasma, lab.chamber.measurement
    part = lab.chamber.reactive
    reactive = {} if part is None else {"reactive_wait_s": part.wait, "reactive_measure_s": part.measure}
    return SputterSettings(
        settle_s=measure.settle,
        baseline_s=measure.baseline,
        transient_s=measure.transient,
        shortest_s=measure.shortest,
        longest_s=measure.longest,
        precision=measure.precision / 100.0,
        ignition_pressure_mTorr=plasma.ignition_pressure,
        ignition_power_W=plasma.ignition_power,
        ignition_timeout_s=plasma.timeout,
        flow_per_pressure=gas.flow_per_pressure,
        pressure_tolerance=gas.pressure_tolerance / 100.0,
        pump_s=gas.pump_time,
        **reactive,
    )


def station_spec(lab: LabFile) -> RBSSpec | None:
    """The RBS end station of a lab file, as the devices take it; None without one."""
    if lab.rbs is None:
        return None
    grid = lab.chamber.map
    return RBSSpec(channels=lab.rbs.channels, wafer_x_mm=grid.x, wafer_y_mm=grid.y)


def rbs_settings(lab: LabFile) -> RBSSettings | None:
    """How a lab file measures spectra, as the plans take it; None without an RBS end station."""
    from sdl_bluesky.plans.rbs_settings import RBSSettings

    part = lab.rbs
    if part is None:
        return None
    return RBSSettings(
        ion=part.ion,
        energy_keV=part.energy,
        theta_deg=part.theta,
        tilt_deg=part.tilt,
        slope_keV=part.slope,
        offset_keV=part.offset,
        resolution_fwhm_keV=part.resolution,
        solid_angle_msr=part.solid_angle,
        channels=part.channels,
        substrate=part.substrate,
        charge_uC=part.measurement.charge,
        longest_uC=part.measurement.longest,
        precision=part.measurement.precision / 100.0,
    )
