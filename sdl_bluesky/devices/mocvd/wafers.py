"""Wafers: into the reactor and out of it, onto an instrument; and the maintenance of the reactor."""

from __future__ import annotations

from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import DeviceError, OutOfRange

from ..base import LabDevice, put_now
from ..holder import Holder
from ..status import until

REFUSED = "is the reactor below 150 degC, at rest, its heater off, its hydrides shut?"


class WaferHandler(LabDevice):
    """The robot between cassette and reactor.

    Attributes:
        number: of the wafer in the reactor, 0 for none.
        last: how many wafers there have been.
        maintenance: how many maintenances there have been.
        timeout_s: real seconds for a wafer to come or go.
    """

    number = Cpt(EpicsSignalRO, "WAFER:NUMBER", kind="normal", auto_monitor=True)
    last = Cpt(EpicsSignalRO, "WAFER:LAST", kind="normal", auto_monitor=True)
    maintenance = Cpt(EpicsSignalRO, "MAINTENANCE:NUMBER", kind="normal", auto_monitor=True)
    load_command = Cpt(EpicsSignal, "WAFER:LOAD", kind="omitted", auto_monitor=True)
    unload_command = Cpt(EpicsSignal, "WAFER:UNLOAD", kind="omitted", auto_monitor=True)
    maintenance_command = Cpt(EpicsSignal, "MAINTENANCE:START", kind="omitted", auto_monitor=True)

    def __init__(self, prefix: str = "", *, name: str, timeout_s: float = 120.0, **kwargs: Any) -> None:
        self.timeout_s = timeout_s
        super().__init__(prefix, name=name, **kwargs)

    def loaded(self) -> int:
        """Number of the wafer in the reactor, asked from the IOC; 0 for none."""
        return self._asked(self.number)

    def newest(self) -> int:
        """Number of the newest wafer, asked from the IOC; 0 before the first."""
        return self._asked(self.last)

    def maintained(self) -> int:
        """How many maintenances there have been, asked from the IOC."""
        return self._asked(self.maintenance)

    def _asked(self, signal: EpicsSignalRO) -> int:
        self.check_fresh()
        with self.answering():
            return int(signal.get(use_monitor=False))

    def load(self) -> Status:
        """Put a fresh wafer into the reactor; the status is done when it is there, and fails with DeviceError if not.

        Raises:
            StaleReading, Disconnected: nothing was moved.
        """
        if self.loaded():
            raise DeviceError(
                f"{self.name}: wafer {self.loaded()} is in the reactor: unload it first; nothing was moved"
            )
        wanted = self.newest() + 1
        told = f"{self.name}: no fresh wafer came: is the cassette empty? {REFUSED}"
        return self._send(self.load_command, self.number, wanted, told)

    def unload(self) -> Status:
        """Put the wafer into the cassette; as `load`."""
        self.check_fresh()
        return self._send(self.unload_command, self.number, 0, f"{self.name}: the wafer was not taken out: {REFUSED}")

    def maintain(self) -> Status:
        """Clean the reactor, new bubblers and scrubber; as `load`. What was learned of the flows has an offset then."""
        wanted = self.maintained() + 1
        told = f"{self.name}: no maintenance was done: is the reactor empty? {REFUSED}"
        return self._send(self.maintenance_command, self.maintenance, wanted, told)

    def _send(self, command: EpicsSignal, signal: EpicsSignalRO, wanted: int, told: str) -> Status:
        put_now(command, 1)
        return until(
            signal,
            lambda value: int(value) == wanted,
            timeout_s=self.timeout_s,
            error=lambda _: DeviceError(told),
            liveness=self.liveness,
            interlock=False,
        )


class WaferHolder(Holder):
    """Puts a wafer of the cassette onto an instrument; its position is the number of the wafer, 0 for none."""

    thing: ClassVar[str] = "wafer"
    doubt: ClassVar[str] = "is there a wafer of that number in the cassette, and does nothing measure here?"

    def check_number(self, wafer: Any) -> int:
        """Number of a wafer, checked: 1 or more; raises OutOfRange if it is none."""
        number = self._checked(wafer)
        if number < 1:
            raise OutOfRange(f"{self.name}: {wafer!r} is not the number of a wafer (1, 2, ...); nothing was moved")
        return number
