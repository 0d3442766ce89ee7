"""What the instruments show: the state of the plant with the noise of each gauge."""

from __future__ import annotations

import numpy as np

from ioc_sims.common.readings import Reading, service_readings
from ioc_sims.mocvd import photoluminescence as pl
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.reactor import Reactor
from ioc_sims.mocvd.settings import FLOWS, GROUP_III, LINES

QUIET = {"ASH3": (0.4, 60.0), "PH3": (3.0, 400.0), "HYDROGEN": (0.6, 45.0)}
"""Of each gas detector: what it shows in clean air, and in an alarm."""
_EXHAUST_M3_H = (820.0, 90.0)


def readings(reactor: Reactor) -> dict[str, Reading]:
    """Values of all readbacks, by PV name without prefix (the counters of the IOC itself excepted).

    The state of a measurement comes after its result: who sees it Done has been sent all of it.
    """
    plant = reactor.plant
    values = {**reactor_readings(plant), **_gas_system(reactor), **_light(plant), **_diffraction(plant)}
    return {**values, **service_readings(reactor, plant)}


def reactor_readings(plant: Plant) -> dict[str, Reading]:
    """Values of the readbacks of the reactor itself."""
    s, noise, sequence = plant.settings, plant.noise, plant.sequence
    values: dict[str, Reading] = {}
    for name in FLOWS:
        shown = plant.controllers[name].true_sccm
        values[f"{name}:FLOW"] = shown * (1 + s.flow_noise * noise.normal())
    for name in LINES:
        values[f"{name}:VALVE"] = int(plant.run[name])
        values[f"{name}:PRECURSOR"] = plant.config.precursors[name]
    for name in GROUP_III:
        values[f"{name}:ARM"] = int(name in sequence.armed)
    values["TEMPERATURE"] = plant.susceptor.value + s.temperature_noise_degC * noise.normal()
    values["TEMPERATURE:RAMP"] = plant.susceptor.ramp
    values["HEATER:POWER"] = plant.susceptor.power_percent
    values["ROTATION"] = plant.rotation_rpm
    values["PRESSURE"] = plant.pressure_mbar * (1 + s.pressure_noise * noise.normal())
    values["GROWTH:DURATION"] = sequence.duration_s
    values["GROWTH:LAYER"] = sequence.layer_s
    values["GROWTH:CLOCK"] = sequence.clock_s
    values["GROWTH:NUMBER"] = sequence.number
    values["GROWTH:STATE"] = int(sequence.state)
    values["WAFER:NUMBER"] = plant.loaded.number if plant.loaded else 0
    values["WAFER:LAST"] = len(plant.wafers)
    values["MAINTENANCE:NUMBER"] = plant.maintenance
    return values


def _gas_system(reactor: Reactor) -> dict[str, Reading]:
    plant, noise = reactor.plant, reactor.plant.noise
    values: dict[str, Reading] = {}
    for name, (clean, alarm) in QUIET.items():
        values[f"DETECTOR:{name}"] = (alarm if reactor.faults[name] else clean) * (1 + 0.05 * noise.normal())
    good, bad = _EXHAUST_M3_H
    values["EXHAUST:FLOW"] = (bad if reactor.faults["EXHAUST"] else good) * (1 + 0.01 * noise.normal())
    left = 1 - plant.vented_scc / plant.settings.scrubber_capacity_scc
    values["SCRUBBER:CAPACITY"] = 0.0 if reactor.faults["SCRUBBER"] else max(100 * left, 0.0)
    return values


def _light(plant: Plant) -> dict[str, Reading]:
    mapper = plant.mapper
    return {
        "PL:WAFER": mapper.wafer.number if mapper.wafer else 0,
        "PL:EXPOSURE": mapper.exposure_s,
        "PL:X": mapper.place_mm["X"],
        "PL:Y": mapper.place_mm["Y"],
        "PL:AXIS": pl.AXIS_MM,
        "PL:MAP": mapper.map_nm.ravel(),
        "PL:INTENSITY": mapper.intensity.ravel(),
        "PL:WAVELENGTH": pl.WAVELENGTH_NM,
        "PL:SPECTRUM": mapper.counts.astype(np.int32),
        "PL:NUMBER": mapper.number,
        "PL:STATE": int(mapper.state),
    }


def _diffraction(plant: Plant) -> dict[str, Reading]:
    one = plant.diffractometer
    return {
        "XRD:WAFER": one.wafer.number if one.wafer else 0,
        "XRD:FIRST": one.first_deg,
        "XRD:LAST": one.last_deg,
        "XRD:STEP": one.step_deg,
        "XRD:TIME": one.time_s,
        "XRD:ANGLE": one.angle_deg,
        "XRD:TWOTHETA": one.two_theta_deg,
        "XRD:COUNTS": one.counts.astype(np.int32),
        "XRD:POINTS": one.points,
        "XRD:NUMBER": one.number,
        "XRD:STATE": int(one.state),
    }
