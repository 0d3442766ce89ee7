"""The reactor as a process: its records and what they publish."""

from __future__ import annotations

from typing import TextIO

from ioc_sims.common.process import Lifetime, check_port_free
from ioc_sims.common.readings import Reading
from ioc_sims.common.records import Records
from ioc_sims.common.serving import Loop, serve, service_records
from ioc_sims.mocvd import settings as limits
from ioc_sims.mocvd.measurement_records import measurement_records, within_limits
from ioc_sims.mocvd.reactor import Reactor
from ioc_sims.mocvd.readings import readings
from ioc_sims.mocvd.setpoints import EchoRecords, setpoints
from ioc_sims.mocvd.settings import FLOW_LIMITS_SCCM, FLOWS, GROUP_III, LINES, ReactorConfig
from ioc_sims.mocvd.state import load_plant
from ioc_sims.mocvd.store import Store


def make_records(reactor: Reactor) -> Records:
    """Every record of the reactor and its instruments, bound to them."""
    plant = reactor.plant
    records = EchoRecords(plant.config.prefix, plant)
    for name in FLOWS:
        _flow_records(records, reactor, name)
    for name in LINES:
        _valve_records(records, reactor, name)
    _reactor_records(records, reactor)
    _growth_records(records, reactor)
    records.command("WAFER:LOAD", "Load", reactor.accepts_load, reactor.load)
    records.command("WAFER:UNLOAD", "Unload", reactor.accepts_unload, reactor.unload)
    records.integer("WAFER:NUMBER")
    records.integer("WAFER:LAST")
    records.command("MAINTENANCE:START", "Start", reactor.accepts_load, reactor.maintain)
    records.integer("MAINTENANCE:NUMBER")
    measurement_records(records, reactor)
    service_records(records, reactor, plant.config.faults)
    return records


def run(config: ReactorConfig, lifetime: Lifetime, ready: TextIO) -> int:
    """Serve the reactor until the end of this process is asked for.

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
    reactor = Reactor(load_plant(config), config.speed, config.heartbeat_timeout_s)
    records = make_records(reactor)
    store = Store(reactor)
    return serve(config.prefix, records, ReactorLoop(reactor, records, store), store, lifetime, ready)


class ReactorLoop(Loop):
    """Publishes the reactor, writes back what it has switched by itself, and has the truth written when it changes."""

    def __init__(self, reactor: Reactor, records: Records, store: Store) -> None:
        super().__init__(reactor, records, store)
        self._reactor = reactor

    def _read(self) -> tuple[dict[str, Reading], dict[str, int]]:
        plant = self._reactor.plant
        if plant.news:
            plant.news = False
            self._store.want_truth()
        changed, plant.changed = plant.changed, set()
        if changed:
            now = setpoints(plant)
            for name in sorted(changed):
                self._records.put_back(name, now.get(name, 0))
        return readings(self._reactor), {}

    def _setpoints_after_trip(self) -> dict[str, float]:
        return {}  # the plant says itself what it has changed


def _flow_records(records: Records, reactor: Reactor, name: str) -> None:
    full = FLOW_LIMITS_SCCM[name]
    records.analog_setpoint(
        f"{name}:FLOW:SP",
        "sccm",
        3,
        (0.0, full),
        reactor.plant.controllers[name].setpoint,
        lambda value: reactor.accepts_flow(name, value),
        lambda value: reactor.set_flow(name, value),
    )
    records.analog(f"{name}:FLOW", "sccm", 4, HOPR=full, HIGH=1.02 * full, HSV="MINOR")


def _valve_records(records: Records, reactor: Reactor, name: str) -> None:
    records.binary_setpoint(
        f"{name}:VALVE:SP",
        "Vent",
        "Run",
        lambda value: reactor.accepts_valve(name, bool(value)),
        lambda value: reactor.set_valve(name, bool(value)),
    )
    records.binary(f"{name}:VALVE", "Vent", "Run")
    records.text(f"{name}:PRECURSOR")
    if name in GROUP_III:
        records.binary_setpoint(
            f"{name}:ARM:SP", "No", "Yes", lambda _value: True, lambda value: reactor.arm(name, bool(value))
        )
        records.binary(f"{name}:ARM", "No", "Yes")


def _reactor_records(records: Records, reactor: Reactor) -> None:
    plant = reactor.plant
    records.analog_setpoint(
        "TEMPERATURE:SP",
        "degC",
        1,
        limits.TEMPERATURES_DEGC,
        0.0,
        reactor.accepts_temperature,
        reactor.set_temperature,
    )
    records.analog("TEMPERATURE", "degC", 2, HIGH=720, HSV="MINOR", HIHI=760, HHSV="MAJOR")
    ramp = plant.susceptor.ramp
    records.analog_setpoint(
        "TEMPERATURE:RAMP:SP",
        "degC/s",
        2,
        limits.RAMPS_DEGC_S,
        ramp,
        within_limits(limits.RAMPS_DEGC_S),
        reactor.set_ramp,
    )
    records.analog("TEMPERATURE:RAMP", "degC/s", 2)
    records.analog("HEATER:POWER", "%", 1)
    records.analog_setpoint(
        "ROTATION:SP", "rpm", 1, limits.ROTATIONS_RPM, 0.0, within_limits(limits.ROTATIONS_RPM), reactor.set_rotation
    )
    records.analog("ROTATION", "rpm", 1)
    mbar = plant.pressure_setpoint
    records.analog_setpoint(
        "PRESSURE:SP",
        "mbar",
        2,
        limits.PRESSURES_MBAR,
        mbar,
        within_limits(limits.PRESSURES_MBAR),
        reactor.set_pressure,
    )
    records.analog("PRESSURE", "mbar", 3, HIGH=220, HSV="MINOR", HIHI=250, HHSV="MAJOR")
    records.analog("DETECTOR:ASH3", "ppb", 2, HIGH=2.5, HSV="MINOR", HIHI=5, HHSV="MAJOR")
    records.analog("DETECTOR:PH3", "ppb", 2, HIGH=25, HSV="MINOR", HIHI=50, HHSV="MAJOR")
    records.analog("DETECTOR:HYDROGEN", "%", 2, HIGH=10, HSV="MINOR", HIHI=20, HHSV="MAJOR")
    records.analog("EXHAUST:FLOW", "m3/h", 1, LOW=700, LSV="MINOR", LOLO=600, LLSV="MAJOR")
    records.analog("SCRUBBER:CAPACITY", "%", 2, LOW=10, LSV="MINOR", LOLO=2, LLSV="MAJOR")


def _growth_records(records: Records, reactor: Reactor) -> None:
    records.analog_setpoint(
        "GROWTH:DURATION:SP",
        "s",
        3,
        limits.DURATIONS_S,
        reactor.plant.sequence.duration_s,
        within_limits(limits.DURATIONS_S),
        reactor.set_duration,
    )
    records.analog("GROWTH:DURATION", "s", 3)
    records.command("GROWTH:START", "Start", reactor.accepts_growth, reactor.start_growth)
    records.command("GROWTH:STOP", "Stop", lambda: True, reactor.stop_growth)
    records.analog("GROWTH:LAYER", "s", 3)
    records.analog("GROWTH:CLOCK", "s", 3)
    records.integer("GROWTH:NUMBER")
    records.choice("GROWTH:STATE", "Idle", "Growing", "Done", "Stopped")
