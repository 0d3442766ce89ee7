"""A machine: several devices behind one IOC, connected, checked, watched and made safe together."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar, Self

from ophyd import Device
from ophyd.signal import Signal

from sdl_bluesky.errors import LabFileError, ServiceMissing, UnitError

from .base import LabDevice
from .interlock import AnyInterlock
from .liveness import Liveness
from .making_safe import SafeStepResult, make_safe_now
from .pausing import Pausing


class Machine(ABC):
    """Base of the sputter chamber and of the RBS end station.

    Attributes:
        name: in messages.
        prefix: of every PV.
        interlock: its own.
        liveness: the watcher of its IOC: one machine's IOC may hang or die, and the others go on.
        kind: what it is, for messages.
        launched_by: command that serves a simulated one.
    """

    name: str
    prefix: str
    interlock: AnyInterlock
    liveness: Liveness
    kind: ClassVar[str] = "machine"
    launched_by: ClassVar[str] = "sdl up"

    @property
    @abstractmethod
    def devices(self) -> Mapping[str, LabDevice]:
        """Every readable device by its name (a namespace for an interactive session)."""

    @property
    @abstractmethod
    def safe_owners(self) -> Sequence[Pausing]:
        """Every device that can be unsafe."""

    @property
    def interruptions(self) -> int:
        """Grows whenever something of the machine was made safe."""
        return sum(owner.interruptions for owner in self.safe_owners)

    def signals(self) -> Iterator[Signal]:
        """Every signal of the machine."""
        parts: list[Device] = [*self.devices.values(), self.liveness]
        for device in parts:
            for walk in device.walk_signals():
                yield walk.item

    def connect(self, timeout: float = 10.0) -> Self:
        """Wait for every PV, check units and whatever else must agree, and begin to watch the IOC.

        Raises:
            ServiceMissing: names every PV that does not answer within `timeout` real seconds.
            UnitError: names every record whose unit is not the contract's.
            LabFileError: the machine is another than the lab file says.
        """
        missing = _wait_for(list(self.signals()), timeout)
        if missing:
            raise ServiceMissing(
                f"{self.kind} {self.name!r} ({self.prefix}): {len(missing)} PVs do not answer after {timeout:g} s: "
                f"{', '.join(missing)}. Is the IOC running (`{self.launched_by}`), is the prefix right, do "
                "EPICS_CA_ADDR_LIST and EPICS_CA_SERVER_PORT point to it?"
            )
        faults = [str(fault) for device in self.devices.values() for fault in device.unit_faults()]
        if faults:
            raise UnitError("; ".join(faults))
        wrong = self.identity_faults()
        if wrong:
            raise LabFileError(f"{self.kind} {self.name!r} is not that of the lab file: {'; '.join(wrong)}")
        self.liveness.start()
        return self

    def identity_faults(self) -> list[str]:
        """In what this machine, once connected, differs from the one that the lab file describes; for subclasses."""
        return []

    def wait_until_settled(self, timeout_s: float = 2.0) -> bool:
        """Wait until no safe puts are on their way any more; False if `timeout_s` came first."""
        return all(owner.wait_until_settled(timeout_s) for owner in self.safe_owners)

    def safe(self) -> list[SafeStepResult]:
        """Make safe now; see `make_safe_now`."""
        return make_safe_now(self)

    def close(self) -> None:
        """Stop watching and let go of all PVs; the machine cannot be used afterwards."""
        self.liveness.close()
        for device in [*self.devices.values(), self.liveness]:
            device.destroy()


def _wait_for(signals: Sequence[Signal], timeout: float) -> list[str]:
    """PV names that are not connected after a timeout that all share."""
    end = time.monotonic() + timeout
    for signal in signals:
        left = end - time.monotonic()
        if left > 0 and not signal.connected:
            with suppress(TimeoutError):
                signal.wait_for_connection(timeout=left)
    missing = [signal for signal in signals if not signal.connected]
    return [getattr(signal, "pvname", signal.name) for signal in missing]
