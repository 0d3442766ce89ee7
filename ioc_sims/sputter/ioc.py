"""The process: records, the 10 Hz loop, start and end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TextIO

from softioc import alarm, softioc

from ioc_sims.common.process import Lifetime, check_port_free
from ioc_sims.common.records import Records
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.readings import readings
from ioc_sims.sputter.settings import ChamberConfig
from ioc_sims.sputter.state import load_plant
from ioc_sims.sputter.store import Store

log = logging.getLogger(__name__)

PERIOD_S = 0.1
_SHUTTER = ("Closed", "Open")


def make_records(chamber: Chamber) -> Records:
    """Every record of the chamber, bound to it."""
    plant, config = chamber.plant, chamber.plant.config
    records = Records(config.prefix)
    for index, source in enumerate(config.sources):
        _source_records(records, chamber, index, source.pv, source.max_power_W)
    for sensor in config.sensors:
        records.analog(f"{sensor.pv}FREQUENCY", "Hz", 4)
        records.analog(f"{sensor.pv}LIFE", "%", 3, LOW=10, LSV="MINOR", LOLO=5, LLSV="MAJOR")
        records.analog(f"{sensor.pv}TEMPERATURE", "degC", 2)
    flow_limits = (0.0, plant.settings.maximum_flow_sccm)
    records.analog_setpoint("GAS:FLOW:SP", "sccm", 2, flow_limits, 0.0, chamber.accepts_flow, chamber.set_flow)
    records.analog("GAS:FLOW", "sccm", 3)
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
    for name in (*chamber.interlock.bad, "OK"):
        records.binary(f"INTERLOCK:{name}", "Tripped", "OK", ZSV="MAJOR")
    records.text("INTERLOCK:CAUSE")
    records.command("INTERLOCK:RESET", "Reset", chamber.accepts_reset, chamber.reset)
    records.counter("HEARTBEAT", lambda _value: chamber.heartbeat())
    records.analog("HEARTBEAT:TIMEOUT", "s", 1)
    records.integer("IOC:BEAT")
    records.binary("IOC:STORE", "Failed", "OK", ZSV="MINOR")
    records.analog_setpoint(
        "SIM:SPEED", "", 1, (1.0, 1000.0), chamber.speed, lambda value: 1.0 <= value <= 1000.0, chamber.set_speed
    )
    records.analog("SIM:TIME", "s", 3)
    if config.faults:
        for name in chamber.faults:
            records.binary_setpoint(f"SIM:FAULT:{name}", "No", "Fault", lambda _value: True, _fault(chamber, name))
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
    loop = Loop(chamber, records, store)
    loop.tick()
    records.serve("sputter.acf", pva="EPICS_PVAS_INTF_ADDR_LIST" in os.environ)
    loop.tick()
    store.start()
    ready.write(f"READY {config.prefix} {len(records)} PVs\n")
    ready.flush()
    due = time.monotonic()
    while not lifetime.over(max(due - time.monotonic(), 0.0)):
        loop.tick()
        due = max(due + PERIOD_S, time.monotonic())
    log.info("going down: state and truth are written")
    store.close()
    return 0


def leave(status: int) -> None:
    """End the process by way of EPICS (does not return)."""
    softioc.safeEpicsExit(status)


class Loop:
    """One publication after the other."""

    def __init__(self, chamber: Chamber, records: Records, store: Store) -> None:
        self._chamber, self._records, self._store = chamber, records, store
        self._beat = 0
        self._trips = 0

    def tick(self) -> None:
        """Bring the plant up to now and publish it."""
        chamber = self._chamber
        with chamber.lock:
            chamber.catch_up()
            now_s = time.time()
            values = readings(chamber)
            tripped, self._trips = chamber.trips != self._trips, chamber.trips
            grown = chamber.deposited and not chamber.plant.depositing
            if grown:
                chamber.deposited = False
            broken = [c.config.pv for c in chamber.plant.crystals if c.life_percent <= 0]
            gauge_fault = chamber.faults["GAUGE"]
        if grown:
            self._store.want_truth()
        if tripped:
            self._take_setpoints_back()
        self._beat += 1
        values["IOC:BEAT"] = self._beat
        values["IOC:STORE"] = int(self._store.healthy)
        invalid = {f"{pv}FREQUENCY": alarm.HW_LIMIT_ALARM for pv in broken}
        if gauge_fault:
            invalid["GAUGE:PROCESS:PRESSURE"] = alarm.READ_ALARM
        self._records.publish(values, now_s, invalid)

    def _take_setpoints_back(self) -> None:
        for source in self._chamber.plant.config.sources:
            self._records.put_back(f"{source.pv}POWER:SP", 0.0)
            self._records.put_back(f"{source.pv}SHUTTER:SP", 0)
        self._records.put_back("SUBSTRATE:SHUTTER:SP", 0)


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


def _fault(chamber: Chamber, name: str) -> Callable[[int], bool]:
    return lambda value: chamber.set_fault(name, bool(value))
