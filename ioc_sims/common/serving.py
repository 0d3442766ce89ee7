"""The process of an instrument: the records that all have, the 10 Hz loop, start and end."""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TextIO

from softioc import softioc

from ioc_sims.common.instrument import SPEEDS, Instrument, within
from ioc_sims.common.process import Lifetime
from ioc_sims.common.readings import Reading
from ioc_sims.common.records import Records
from ioc_sims.common.store import Store

log = logging.getLogger(__name__)

PERIOD_S = 0.1
ACCESS_FILE = "clients.acf"


def service_records(records: Records, instrument: Instrument, faults: bool) -> None:
    """The interlock, the heartbeat, the process itself and simulated time.

    Args:
        records: where they are added.
        instrument: what they are bound to.
        faults: whether clients may simulate faults.
    """
    for name in (*instrument.interlock.bad, "OK"):
        records.binary(f"INTERLOCK:{name}", "Tripped", "OK", ZSV="MAJOR")
    records.text("INTERLOCK:CAUSE")
    records.command("INTERLOCK:RESET", "Reset", instrument.accepts_reset, instrument.reset)
    records.counter("HEARTBEAT", lambda _value: instrument.heartbeat())
    records.analog("HEARTBEAT:TIMEOUT", "s", 1)
    records.integer("IOC:BEAT")
    records.binary("IOC:STORE", "Failed", "OK", ZSV="MINOR")
    records.analog_setpoint(
        "SIM:SPEED", "", 1, SPEEDS, instrument.speed, lambda value: within(value, *SPEEDS), instrument.set_speed
    )
    records.analog("SIM:TIME", "s", 3)
    if faults:
        for name in instrument.faults:
            records.binary_setpoint(f"SIM:FAULT:{name}", "No", "Fault", lambda _value: True, _fault(instrument, name))


class Loop(ABC):
    """One publication after the other."""

    def __init__(self, instrument: Instrument, records: Records, store: Store) -> None:
        self._instrument, self._records, self._store = instrument, records, store
        self._beat = 0
        self._trips = 0

    @abstractmethod
    def _read(self) -> tuple[dict[str, Reading], dict[str, int]]:
        """Readbacks by name, and the alarm status of those that are no readings (called under the lock)."""

    @abstractmethod
    def _setpoints_after_trip(self) -> Mapping[str, float]:
        """What the setpoints are when the interlock has tripped."""

    def tick(self) -> None:
        """Bring the plant up to now and publish it."""
        instrument = self._instrument
        with instrument.lock:
            instrument.catch_up()
            now_s = time.time()
            values, invalid = self._read()
            tripped, self._trips = instrument.trips != self._trips, instrument.trips
        if tripped:
            for name, value in self._setpoints_after_trip().items():
                self._records.put_back(name, value)
        self._beat += 1
        values["IOC:BEAT"] = self._beat
        values["IOC:STORE"] = int(self._store.healthy)
        self._records.publish(values, now_s, invalid)


def serve(prefix: str, records: Records, loop: Loop, store: Store, lifetime: Lifetime, ready: TextIO) -> int:
    """Serve an instrument until the end of this process is asked for.

    Args:
        prefix: of all records.
        records: all of them.
        loop: publishes them.
        store: keeps state and truth.
        lifetime: says when to end.
        ready: where the line "READY <prefix> <n> PVs" goes.

    Returns:
        Exit status.
    """
    loop.tick()
    records.serve(ACCESS_FILE, pva="EPICS_PVAS_INTF_ADDR_LIST" in os.environ)
    loop.tick()
    store.start()
    ready.write(f"READY {prefix} {len(records)} PVs\n")
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


def _fault(instrument: Instrument, name: str) -> Callable[[int], bool]:
    return lambda value: instrument.set_fault(name, bool(value))
