"""A pressure gauge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO
from ophyd.signal import AttributeSignal

from .base import LabDevice, severity


class Gauge(LabDevice):
    """Pressure in mTorr, with the severity of its alarm beside it.

    `read()` raises AlarmError in INVALID alarm; MINOR and MAJOR are recorded in `severity` (0 none, 1 minor, 2 major).
    """

    pressure = Cpt(EpicsSignalRO, "PRESSURE", kind="hinted", auto_monitor=True)
    severity = Cpt(AttributeSignal, attr="pressure_severity", kind="normal", write_access=False)

    units: ClassVar[Mapping[str, str]] = {"pressure": "mTorr"}

    def read(self) -> dict[str, Any]:
        """Pressure and severity, both of the same moment; raises as `LabDevice.read`."""
        readings = super().read()
        readings[self.severity.name]["timestamp"] = readings[self.pressure.name]["timestamp"]
        return readings

    @property
    def pressure_severity(self) -> int:
        """Alarm severity of the last pressure."""
        return int(severity(self.pressure))
