"""What every device of the lab does the same way: no stale, disconnected or invalid value ever gets into data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from ophyd import Device
from ophyd.signal import Signal
from ophyd.utils import DisconnectedError
from ophyd.utils.epics_pvs import AlarmSeverity

from sdl_bluesky.errors import AlarmError, Disconnected, SDLError, UnitError

if TYPE_CHECKING:
    from .liveness import Liveness

log = logging.getLogger(__name__)

Severity = AlarmSeverity


def is_no_answer(error: Exception) -> bool:
    """Whether this is what ophyd or pyepics raise when an IOC that has just died is asked."""
    from epics.ca import ChannelAccessException, ChannelAccessGetFailure  # not before ophyd, which chooses the library

    kinds = (DisconnectedError, TimeoutError, ChannelAccessException, ChannelAccessGetFailure)
    return isinstance(error, kinds) and not isinstance(error, SDLError)


def severity(signal: Signal) -> AlarmSeverity:
    """Alarm severity of the last update of a signal; NO_ALARM where the signal knows none."""
    return AlarmSeverity(int(metadata_of(signal).get("severity") or 0))


def metadata_of(signal: Signal) -> dict[str, Any]:
    """What the record says about itself: units, enum_strs, precision, limits, severity (None where unknown)."""
    return dict(signal.metadata)


def put_now(signal: Signal, value: Any) -> None:
    """Send a value without checking and without waiting: for puts that make the machine safe.

    Raises:
        Disconnected: the signal is not connected, so nothing was sent.
    """
    if not signal.connected:
        raise Disconnected(f"{signal.name} is not connected: nothing was sent; the IOC's own watchdog has to act")
    signal.put(value, force=True)


def _known(key: Mapping[str, Any]) -> dict[str, Any]:
    """A data key without what the record left open: no unit, or limits that are both 0."""
    open_limits = not (key.get("lower_ctrl_limit") or key.get("upper_ctrl_limit"))
    left_out = {"lower_ctrl_limit", "upper_ctrl_limit"} if open_limits else set()
    return {k: v for k, v in key.items() if v is not None and k not in left_out and not (k == "units" and v == "")}


class LabDevice(Device):
    """A device whose reading is fresh and valid, or an error.

    Attributes:
        units: unit that the contract fixes for an attribute; it is what `describe()` says where the record has none,
            and `unit_faults()` compares it with the record's own (EGU).
    """

    units: ClassVar[Mapping[str, str]] = {}
    _liveness: Liveness | None = None

    @property
    def liveness(self) -> Liveness | None:
        """The watcher of the IOC that serves this device, if it has been given one."""
        root = self.root
        return root._liveness if isinstance(root, LabDevice) else None

    def use_liveness(self, liveness: Liveness) -> None:
        """Hand over the watcher of this device's IOC; holds for every part of the device."""
        self._liveness = liveness

    def check_fresh(self) -> None:
        """Make sure that the IOC is alive.

        Raises:
            StaleReading: the IOC stopped updating.
            Disconnected: the IOC is gone.
        """
        if self.liveness is not None:
            self.liveness.check()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Make an IOC that does not answer a typed error.

        Raises:
            StaleReading, Disconnected: it hangs or is gone.
        """
        try:
            yield
        except Exception as exc:
            if not is_no_answer(exc):
                raise
            self.check_fresh()
            raise Disconnected(f"{self.name}: the IOC does not answer ({exc}): is it running?") from exc

    def _read_signals(self) -> Iterator[Signal]:
        for name in self.read_attrs:
            part = getattr(self, name)
            if isinstance(part, Signal):
                yield part

    def read(self) -> dict[str, Any]:  # type: ignore[override]
        """Read all parts of kind normal and hinted.

        Raises:
            StaleReading, Disconnected: the IOC hangs or is gone; no value is returned.
            AlarmError: a value is in INVALID alarm.
        """
        self.check_fresh()
        for signal in self._read_signals():
            if not signal.connected:
                raise Disconnected(f"{signal.name} is not connected: is its IOC running and its cable in?")
            if severity(signal) >= AlarmSeverity.INVALID:
                raise AlarmError(f"{signal.name} is in INVALID alarm: its value means nothing; look at the instrument")
        with self.answering():
            readings: Any = super().read()
            return dict(readings)

    def describe(self) -> dict[str, Any]:  # type: ignore[override]
        """Data keys with units and limits (only those that are known).

        Raises:
            StaleReading, Disconnected: as `read`.
        """
        self.check_fresh()
        with self.answering():
            keys: Any = super().describe()
        for attr, unit in self.units.items():
            signal = getattr(self, attr)
            if signal.name in keys and not keys[signal.name].get("units"):
                keys[signal.name]["units"] = unit
        return {name: _known(key) for name, key in keys.items()}

    def unit_faults(self) -> list[UnitError]:
        """Every record whose unit (EGU) differs from the contract's; empty if all is well."""
        faults = []
        for attr, unit in self.units.items():
            signal = getattr(self, attr)
            found = metadata_of(signal).get("units")
            if found and found != unit:
                faults.append(UnitError(f"{signal.name}: the record is in {found!r}, the contract says {unit!r}"))
        for _, part in self.walk_subdevices():
            if isinstance(part, LabDevice):
                faults.extend(part.unit_faults())
        return faults
