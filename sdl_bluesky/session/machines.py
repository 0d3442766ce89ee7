"""From the lab file to what devices and plans take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl_bluesky.devices.mocvd.spec import MOCVDSpec
from sdl_bluesky.devices.rbs.spec import RBSSpec
from sdl_bluesky.devices.spec import ChamberSpec, QCMSpec, ReactiveSpec, SourceSpec
from sdl_bluesky.session.lab import LabFile

if TYPE_CHECKING:
    from sdl_bluesky.plans.mocvd.settings import GrowthSettings
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


def reactor_spec(lab: LabFile) -> MOCVDSpec | None:
    """The MOCVD reactor of a lab file, as the devices take it; None without one."""
    part = lab.mocvd
    if part is None:
        return None
    flows, limits, tolerances = part.flows, part.limits, part.tolerances
    return MOCVDSpec(
        flow_sccm={
            "in": flows.indium,
            "ga": flows.gallium,
            "as": flows.arsine,
            "p": flows.phosphine,
            "h2": flows.hydrogen,
        },
        flow_tolerance=tolerances.flow / 100.0,
        temperature_degC=limits.temperature,
        temperature_tolerance_degC=tolerances.temperature,
        rotation_rpm=limits.rotation,
        rotation_tolerance_rpm=tolerances.rotation,
        pressure_mbar=limits.pressure,
        pressure_tolerance=tolerances.pressure / 100.0,
        protect_degC=part.protect,
        cold_degC=part.cold,
        map_points=part.pl.points,
        spectrum_channels=part.pl.channels,
        has_clock=part.clock,
    )


def growth_settings(lab: LabFile) -> GrowthSettings | None:
    """How a lab file grows and measures layers, as the plans take it; None without an MOCVD reactor."""
    from sdl_bluesky.devices.mocvd.diffractometer import ScanRange
    from sdl_bluesky.plans.mocvd.recipe import Rates, Recipe
    from sdl_bluesky.plans.mocvd.settings import GrowthSettings

    part = lab.mocvd
    if part is None:
        return None
    given, rate, scan = part.recipe, part.rate, part.xrd
    rates = Rates(rate.indium, rate.gallium)
    if rate.measured is not None and rate.asked is not None:
        rates = rates.corrected(rate.measured, rate.asked)
    return GrowthSettings(
        recipe=Recipe(
            f_ga=0.0,
            f_as=0.0,
            f_in=given.indium,
            f_p=given.phosphine,
            f_h2=given.hydrogen,
            temperature=given.temperature,
            ramp=given.ramp,
            rotation=given.rotation,
            pressure=given.pressure,
            buffer=given.buffer,
            layer=given.layer,
            cap=given.cap,
        ),
        rates=rates,
        settle_s=given.settle,
        soak_s=given.soak,
        pause_s=given.pause,
        purge_s=given.purge,
        least_v_iii=given.least_v_iii,
        scan=ScanRange(scan.first, scan.last, scan.step, scan.time),
        exposure_s=part.pl.exposure,
        strain=part.strain,
        pl_systematic_nm=part.pl.systematic,
    )
