"""What the instruments show: the state of the plant with the noise and errors of each gauge."""

from __future__ import annotations

import math

from ioc_sims.common.readings import Reading, service_readings
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.light import WAVELENGTH_NM
from ioc_sims.sputter.plant import Plant


def readings(chamber: Chamber) -> dict[str, Reading]:
    """Values of all readbacks, by PV name without prefix (the counters of the IOC itself excepted).

    A crystal that has failed shows 0 Hz and a faulty gauge 0 mTorr; the caller publishes both as INVALID.
    """
    values = plant_readings(chamber.plant)
    if chamber.faults["GAUGE"]:
        values["GAUGE:PROCESS:PRESSURE"] = 0.0
    values["OES:WAVELENGTH"] = WAVELENGTH_NM
    values["OES:SPECTRUM"] = chamber.plant.spectrum()
    values.update(service_readings(chamber, chamber.plant))
    return values


def plant_readings(plant: Plant) -> dict[str, Reading]:
    """Values of the readbacks of the machine itself, as `readings` gives them."""
    values: dict[str, Reading] = {}
    values.update(_sources(plant))
    values.update(_gas(plant))
    for crystal in plant.crystals:
        frequency = crystal.frequency_Hz(plant.noise)
        pv = crystal.config.pv
        alive = math.isfinite(frequency) and crystal.life_percent > 0
        values[f"{pv}FREQUENCY"] = frequency if alive else 0.0
        values[f"{pv}LIFE"] = crystal.life_percent
        values[f"{pv}TEMPERATURE"] = crystal.temperature_degC(plant.noise)
    values["O2:FLOW"] = plant.oxygen.flow_reading_sccm()
    values["OES:INTEGRATION"] = plant.spectrometer.integration_s
    values["SUBSTRATE:SHUTTER"] = int(plant.substrate_shutter_open)
    values["SUBSTRATE:ANGLE"] = plant.angle_deg
    values["SUBSTRATE:NUMBER"] = plant.substrate_number
    return values


def _sources(plant: Plant) -> dict[str, Reading]:
    values: dict[str, Reading] = {}
    noise, relative = plant.noise, plant.settings.electrical_noise
    for source in plant.sources:
        pv = source.law.config.pv
        volts = source.voltage_V * (1 + relative * noise.normal())
        amperes = source.current_A * (1 + relative * noise.normal())
        values[f"{pv}POWER"] = volts * amperes  # as a supply forms it
        values[f"{pv}VOLTAGE"] = volts
        values[f"{pv}CURRENT"] = amperes
        values[f"{pv}PLASMA"] = int(source.burning)
        values[f"{pv}SHUTTER"] = int(source.shutter_open)
        values[f"{pv}ENERGY"] = source.energy_kWh
        values[f"{pv}TARGET"] = source.law.config.element
        values[f"{pv}TARGET:NUMBER"] = source.target_number
    return values


def _gas(plant: Plant) -> dict[str, Reading]:
    s, noise, pressure = plant.settings, plant.noise, plant.pressure_mTorr
    wide = pressure * plant.wide_gauge_factor * (1 + s.wide_gauge_noise * noise.normal())
    return {
        "GAS:FLOW": plant.gas.flow_sccm * (1 + s.flow_noise * noise.normal()),
        "GAUGE:PROCESS:PRESSURE": pressure * plant.gauge_factor * (1 + s.gauge_noise * noise.normal())
        + s.gauge_floor_mTorr * noise.normal(),
        "GAUGE:WIDE:PRESSURE": wide,
    }
