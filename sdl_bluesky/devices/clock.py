"""Process time: the time in which films grow. On a simulation it runs faster than the clock on the wall."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO
from ophyd.signal import AttributeSignal, Signal
from ophyd.status import Status

from sdl_bluesky.errors import DeviceError, OutOfRange

from .base import LabDevice
from .status import deadline, fail, finish, until


class Clock(LabDevice):
    """Base of the two clocks. `now_s` is process time in s; `time` is the signal that is read into data.

    In a plan, `yield from bps.mv(clock, 30.0)` sleeps for 30 s of process time.
    """

    time: Cpt[Any]

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        self._waits: set[Status] = set()
        self._waits_lock = threading.Lock()
        super().__init__(prefix, name=name, **kwargs)

    @property
    def signal(self) -> Signal | None:
        """The signal whose updates are the ticks of process time; None if time just passes."""
        raise NotImplementedError

    @property
    def now_s(self) -> float:
        """Process time at the last tick, s."""
        raise NotImplementedError

    def _wait(self, dt_s: float, interlock: bool) -> Status:
        raise NotImplementedError

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Raise OutOfRange if a time to wait is no finite number >= 0."""
        if isinstance(value, (bool, str)) or not math.isfinite(value) or value < 0:
            raise OutOfRange(f"{self.name}: cannot wait for {value!r} s")

    def after(self, dt_s: float, *, interlock: bool = True) -> Status:
        """A status that is done when at least `dt_s` of process time has passed from the next tick on.

        It fails if the IOC hangs or disconnects, if the clock stands still, and (unless `interlock=False`, for a
        finalizer) if the interlock trips.

        Raises:
            OutOfRange: `dt_s` is no finite number >= 0.
        """
        self.check_value(dt_s)
        self.check_fresh()
        status = self._wait(float(dt_s), interlock)
        with self._waits_lock:
            self._waits.add(status)
        status.add_callback(self._over)
        return status

    def _over(self, status: Any) -> None:
        with self._waits_lock:
            self._waits.discard(status)

    def set(self, dt_s: float, *, interlock: bool = True) -> Status:
        """The same as `after`, so that `bps.mv(clock, dt_s)` waits."""
        return self.after(dt_s, interlock=interlock)

    def stop(self, *, success: bool = False) -> None:
        """End every wait that is under way (the RunEngine calls it on a pause and at the end of a plan)."""
        with self._waits_lock:
            waits = list(self._waits)
        for status in waits:
            if success:
                finish(status)
            else:
                fail(status, DeviceError(f"{self.name}: waiting was stopped"))


class ProcessClock(Clock):
    """A clock that the IOC publishes.

    Attributes:
        time: process time [s]; keeps counting from the state file after a restart.
        speed: process seconds per real second; at least 1.
    """

    time = Cpt(EpicsSignalRO, "TIME", kind="normal", auto_monitor=True)
    speed = Cpt(EpicsSignalRO, "SPEED", kind="config", auto_monitor=True)

    units: ClassVar[Mapping[str, str]] = {"time": "s"}

    @property
    def signal(self) -> Signal:
        """The published time."""
        return self.time

    @property
    def now_s(self) -> float:
        """Process time at the last tick, s."""
        return float(self.time.get())

    def _wait(self, dt_s: float, interlock: bool) -> Status:
        start: list[float] = []
        old = self.time.timestamp

        def passed(value: Any) -> bool:
            if not start:
                if self.time.timestamp == old:
                    return False
                start.append(float(value))
            return float(value) - start[0] >= dt_s

        return until(
            self.time,
            passed,
            timeout_s=1.5 * dt_s + 10.0,
            error=lambda value: DeviceError(f"{self.name} stands still: {dt_s:g} s did not pass, it is at {value} s"),
            liveness=self.liveness,
            interlock=interlock,
        )


class WallClock(Clock):
    """Wall time, for a machine without a process clock."""

    time = Cpt(AttributeSignal, attr="now_s", kind="normal", write_access=False)

    units: ClassVar[Mapping[str, str]] = {"time": "s"}

    @property
    def signal(self) -> None:
        """Time just passes."""
        return None

    @property
    def now_s(self) -> float:
        """Seconds since 1970 (UTC)."""
        return time.time()

    def read(self) -> dict[str, Any]:
        """Wall time, stamped with itself; raises as `LabDevice.read`."""
        readings = super().read()
        for reading in readings.values():
            reading["timestamp"] = reading["value"]
        return readings

    def _wait(self, dt_s: float, interlock: bool) -> Status:
        status = Status(obj=self)
        timer = threading.Timer(dt_s, lambda: finish(status))
        timer.daemon = True
        status.add_callback(lambda _: timer.cancel())
        timer.start()
        deadline(status, 1.5 * dt_s + 10.0, lambda: DeviceError(f"{self.name}: {dt_s:g} s did not pass"))
        if self.liveness is not None:
            self.liveness.guard(status, interlock)
        return status
