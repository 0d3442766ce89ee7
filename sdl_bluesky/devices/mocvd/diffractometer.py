"""The diffractometer: theta-2theta scans round InP (004)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import AlarmError, DeviceError, OutOfRange

from ..positioner import Positioner
from .procedure import Procedure
from .spec import MOCVDSpec
from .wafers import WaferHolder

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScanRange:
    """What a scan shall cover.

    Attributes:
        first_deg, last_deg, step_deg: in 2 theta.
        time_s: per point.
    """

    first_deg: float = 62.4
    last_deg: float = 64.2
    step_deg: float = 0.003
    time_s: float = 1.0

    @property
    def points(self) -> int:
        """How many points it has; 0 if it is none."""
        numbers = (self.first_deg, self.last_deg, self.step_deg, self.time_s)
        if not all(math.isfinite(n) for n in numbers) or self.step_deg <= 0 or self.last_deg < self.first_deg:
            return 0
        return math.floor((self.last_deg - self.first_deg) / self.step_deg + 1e-6) + 1


@dataclass(frozen=True, eq=False)
class Scan:
    """One finished scan.

    Attributes:
        two_theta_deg: as the goniometer shows it [n], rising.
        counts: [n], whole numbers.
        time_s: per point.
    """

    two_theta_deg: Floats
    counts: Floats
    time_s: float


class Diffractometer(Procedure):
    """Cu K-alpha1 by a germanium monochromator. `trigger()` scans what is preset.

    The records of the result are not monitored: every reading is asked from the IOC. It measures also while the interlock
    of the reactor is tripped.

    Attributes:
        holder: positioner, number of the wafer on it.
        first, last_angle, step: positioners, of the next scan, deg in 2 theta; time: s per point.
        angle: 2 theta now, deg.
        two_theta, counts: the scan; points: how many are counted.
        last: the last scan that was completed from here; None before.
    """

    guarded = False

    holder = Cpt(WaferHolder, "WAFER", timeout_s=60.0, kind="normal")
    first = Cpt(Positioner, "FIRST", unit="deg", atol=1e-4, timeout_s=10.0, kind="normal")
    last_angle = Cpt(Positioner, "LAST", unit="deg", atol=1e-4, timeout_s=10.0, kind="normal")
    step = Cpt(Positioner, "STEP", unit="deg", atol=1e-5, timeout_s=10.0, kind="normal")
    time = Cpt(Positioner, "TIME", unit="s", atol=1e-3, rtol=1e-3, timeout_s=10.0, kind="normal")
    scan_command = Cpt(EpicsSignal, "SCAN:START", kind="omitted", auto_monitor=True)
    angle = Cpt(EpicsSignalRO, "ANGLE", kind="omitted", auto_monitor=True)
    two_theta = Cpt(EpicsSignalRO, "TWOTHETA", kind="normal", auto_monitor=False)
    counts = Cpt(EpicsSignalRO, "COUNTS", kind="normal", auto_monitor=False)
    points = Cpt(EpicsSignalRO, "POINTS", kind="normal", auto_monitor=False)

    units: ClassVar[Mapping[str, str]] = {"angle": "deg", "two_theta": "deg", "counts": "counts"}

    def __init__(self, prefix: str = "", *, name: str, spec: MOCVDSpec, **kwargs: Any) -> None:
        self.spec = spec
        self.last: Scan | None = None
        super().__init__(prefix, name=name, **kwargs)
        self.holder.timeout_s = spec.load_timeout_s

    @property
    def preset(self) -> ScanRange:
        """What the next scan covers."""
        return ScanRange(*(float(axis.position) for axis in (self.first, self.last_angle, self.step, self.time)))

    def check_range(self, wanted: ScanRange) -> None:
        """Check a scan against the limits; sends nothing.

        Raises:
            OutOfRange: names the number that is not possible.
        """
        self.first.check_value(wanted.first_deg)
        self.last_angle.check_value(wanted.last_deg)
        self.step.check_value(wanted.step_deg)
        self.time.check_value(wanted.time_s)
        if not 2 <= wanted.points <= self.spec.scan_points:
            raise OutOfRange(
                f"{self.name}: a scan from {wanted.first_deg:g} to {wanted.last_deg:g} deg by {wanted.step_deg:g} deg has "
                f"{wanted.points} points; 2 to {self.spec.scan_points} are possible; nothing was moved"
            )

    def scan(self) -> Status:
        """Scan the wafer on the holder as it is preset; the result is in `last`.

        Raises:
            OutOfRange, StaleReading, Disconnected: nothing was started.
        """
        self.check_fresh()
        wanted = self.preset
        self.check_range(wanted)

        def take() -> None:
            angle, counts = self._numbers(self.two_theta.get()), self._numbers(self.counts.get())
            counted = int(self.points.get())
            if not counted == angle.size == counts.size == wanted.points:
                raise DeviceError(f"{self.name}: {counted} of {wanted.points} points were counted")
            if np.any(np.diff(angle) <= 0) or np.any(counts < 0):
                raise AlarmError(f"{self.name}: angles that do not rise, or negative counts: look at the goniometer")
            self.last = Scan(angle, counts, wanted.time_s)

        return self._begin("scan", self.scan_command, 2.0 * wanted.points * wanted.time_s + 60.0, after=take)

    def trigger(self) -> Status:  # type: ignore[override]
        """The same as `scan`."""
        return self.scan()

    def _numbers(self, value: Any) -> Floats:
        found = np.array(value, dtype=np.float64).reshape(-1)
        if not np.all(np.isfinite(found)):
            raise AlarmError(f"{self.name} has angles or counts that are no numbers: look at the goniometer")
        return found

    def read(self) -> dict[str, Any]:
        """The records as they are now; raises as `LabDevice.read`, and AlarmError for what is no scan."""
        readings = super().read()
        for signal in (self.two_theta, self.counts):
            readings[signal.name]["value"] = self._numbers(readings[signal.name]["value"])
        return readings

    def describe(self) -> dict[str, Any]:
        """Angles and counts are as long as the scan that is there."""
        keys = super().describe()
        with self.answering():
            length = self._numbers(self.two_theta.get()).size
        for signal in (self.two_theta, self.counts):
            keys[signal.name].update(dtype="array", shape=[length], dtype_numpy="<f8")
        return keys
