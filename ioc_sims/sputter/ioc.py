"""The chamber as a process: its records and what they publish."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

import numpy as np
from softioc import alarm

from ioc_sims.common.process import Lifetime, check_port_free
from ioc_sims.common.readings import Reading
from ioc_sims.common.records import Records
from ioc_sims.common.serving import Loop, serve, service_records
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.light import INTEGRATION_LIMITS_S, WAVELENGTH_NM
from ioc_sims.sputter.readings import readings
from ioc_sims.sputter.settings import ChamberConfig
from ioc_sims.sputter.state import load_plant
from ioc_sims.sputter.store import Store

_SHUTTER = ("Closed", "Open")


def make_records(chamber: Chamber) -> Records:
    """Every record of the chamber, bound to it."""
    plant, config = chamber.plant, chamber.plant.config
    records = Records(config.prefix)
    for index, source in enumerate(config.sources):
        _source_records(records, chamber, index, source.pv, source.max_power_W)
    for index, sensor in enumerate(config.sensors):
        records.analog(f"{sensor.pv}FREQUENCY", "Hz", 4)
        records.analog(f"{sensor.pv}LIFE", "%", 3, LOW=10, LSV="MINOR", LOLO=5, LLSV="MAJOR")
        records.analog(f"{sensor.pv}TEMPERATURE", "degC", 2)
        records.command(f"{sensor.pv}REPLACE", "Replace", chamber.accepts_crystal, _replace(chamber, index))
    flow_limits = (0.0, plant.settings.maximum_flow_sccm)
    records.analog_setpoint("GAS:FLOW:SP", "sccm", 2, flow_limits, 0.0, chamber.accepts_flow, chamber.set_flow)
    records.analog("GAS:FLOW", "sccm", 3)
    oxygen_limits = (0.0, plant.settings.oxygen_maximum_sccm)
    records.analog_setpoint("O2:FLOW:SP", "sccm", 3, oxygen_limits, 0.0, chamber.accepts_oxygen, chamber.set_oxygen)
    records.analog("O2:FLOW", "sccm", 4)
    records.analog("GAUGE:PROCESS:PRESSURE", "mTorr", 4)
    records.analog("GAUGE:WIDE:PRESSURE", "mTorr", 6)
    records.binary_setpoint(
        "SUBSTRATE:SHUTTER:SP",
        *_SHUTTER,
        lambda value: chamber.accepts_shutter(bool(value)),
        lambda value: chamber.set_substrate_shutter(bool(value)),
    )
    records.binary("SUBSTRATE:SHUTTER", *_SHUTTER)
    angles = (-360.0, 360.0)
    records.analog_setpoint(
        "SUBSTRATE:ANGLE:SP", "deg", 2, angles, plant.angle_setpoint_deg, chamber.accepts_angle, chamber.set_angle
    )
    records.analog("SUBSTRATE:ANGLE", "deg", 2)
    records.command("SUBSTRATE:LOAD", "Load", chamber.accepts_load, chamber.load_substrate)
    records.integer("SUBSTRATE:NUMBER")
    integration = plant.spectrometer.integration_s
    records.analog_setpoint(
        "OES:INTEGRATION:SP",
        "s",
        3,
        INTEGRATION_LIMITS_S,
        integration,
        chamber.accepts_integration,
        chamber.set_integration,
    )
    records.analog("OES:INTEGRATION", "s", 3)
    records.waveform("OES:WAVELENGTH", len(WAVELENGTH_NM), "nm", np.float64)
    records.waveform("OES:SPECTRUM", len(WAVELENGTH_NM), "counts")
    service_records(records, chamber, config.faults)
    return records


def run(config: ChamberConfig, lifetime: Lifetime, ready: TextIO) -> int:
    """Serve the chamber until the end of this process is asked for.

    Args:
        config: checked configuration.
        lifetime: says when to end.
        ready: where the line "READY <prefix> <n> PVs" goes.

    Returns:
        Exit status.

    Raises:
        PortBusy: another server has the port.
        StateError: the state file cannot be resumed.
    """
    check_port_free()
    chamber = Chamber(load_plant(config), config.speed, config.heartbeat_timeout_s)
    records = make_records(chamber)
    store = Store(chamber)
    return serve(config.prefix, records, ChamberLoop(chamber, records, store), store, lifetime, ready)


class ChamberLoop(Loop):
    """Publishes the chamber, and has a film written when it has grown."""

    def __init__(self, chamber: Chamber, records: Records, store: Store) -> None:
        super().__init__(chamber, records, store)
        self._chamber = chamber

    def _read(self) -> tuple[dict[str, Reading], dict[str, int]]:
        chamber = self._chamber
        if chamber.deposited and not chamber.plant.depositing:
            chamber.deposited = False
            self._store.want_truth()
        if chamber.exchanged:
            chamber.exchanged = False
            self._store.want_truth()
        invalid = {
            f"{crystal.config.pv}FREQUENCY": alarm.HW_LIMIT_ALARM
            for crystal in chamber.plant.crystals
            if crystal.life_percent <= 0
        }
        if chamber.faults["GAUGE"]:
            invalid["GAUGE:PROCESS:PRESSURE"] = alarm.READ_ALARM
        return readings(chamber), invalid

    def _setpoints_after_trip(self) -> dict[str, float]:
        sources = [source.pv for source in self._chamber.plant.config.sources]
        off = {f"{pv}{what}:SP": 0 for pv in sources for what in ("POWER", "SHUTTER")}
        return {**off, "SUBSTRATE:SHUTTER:SP": 0, "O2:FLOW:SP": 0}


def _source_records(records: Records, chamber: Chamber, index: int, pv: str, max_power_W: float) -> None:
    records.analog_setpoint(
        f"{pv}POWER:SP",
        "W",
        2,
        (0.0, max_power_W),
        0.0,
        lambda value: chamber.accepts_power(index, value),
        lambda value: chamber.set_power(index, value),
    )
    records.analog(f"{pv}POWER", "W", 3)
    records.analog(f"{pv}VOLTAGE", "V", 2)
    records.analog(f"{pv}CURRENT", "A", 5)
    records.binary(f"{pv}PLASMA", "Off", "On")
    records.binary_setpoint(
        f"{pv}SHUTTER:SP",
        *_SHUTTER,
        lambda value: chamber.accepts_shutter(bool(value)),
        lambda value: chamber.set_source_shutter(index, bool(value)),
    )
    records.binary(f"{pv}SHUTTER", *_SHUTTER)
    records.analog(f"{pv}ENERGY", "kWh", 6)
    records.text(f"{pv}TARGET")
    records.integer(f"{pv}TARGET:NUMBER")
    records.text_setpoint(
        f"{pv}TARGET:SP",
        lambda: chamber.plant.elements[index],
        lambda element: chamber.accepts_target(index, element),
        lambda element: chamber.exchange_target(index, element),
    )


def _replace(chamber: Chamber, index: int) -> Callable[[], bool]:
    return lambda: chamber.replace_crystal(index)
