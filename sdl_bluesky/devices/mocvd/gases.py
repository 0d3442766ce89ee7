"""The toxic-gas interlock, and the gas system that trips it. Nobody can write either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO

from ..base import LabDevice
from ..interlock import AnyInterlock


class ReactorInterlock(AnyInterlock):
    """Of an MOCVD reactor: gas detectors, exhaust, scrubber, pressure and heartbeat; read-only, apart from its reset.

    A trip of the gas system is acknowledged by a person, `reset()`, and never by a plan.
    """

    door: Any = None  # there is none
    ash3 = Cpt(EpicsSignalRO, "ASH3", kind="normal", auto_monitor=True)
    ph3 = Cpt(EpicsSignalRO, "PH3", kind="normal", auto_monitor=True)
    hydrogen = Cpt(EpicsSignalRO, "HYDROGEN", kind="normal", auto_monitor=True)
    exhaust = Cpt(EpicsSignalRO, "EXHAUST", kind="normal", auto_monitor=True)
    scrubber = Cpt(EpicsSignalRO, "SCRUBBER", kind="normal", auto_monitor=True)
    pressure = Cpt(EpicsSignalRO, "PRESSURE", kind="normal", auto_monitor=True)

    inputs = ("ash3", "ph3", "hydrogen", "exhaust", "scrubber", "pressure", "heartbeat")

    @property
    def alarm(self) -> str:
        """What of the gas system has tripped it; "" if nothing, or only the heartbeat."""
        bad = [name for name in self.bad_inputs if name != "HEARTBEAT"]
        cause = str(self._last.get("cause") or "")
        if not self.tripped or (cause == "HEARTBEAT" and not bad):
            return ""
        return ", ".join(bad) or cause or "an unknown cause"


class GasSystem(LabDevice):
    """Detectors in the gas cabinet, its exhaust, and the scrubber.

    Attributes:
        ash3, ph3: ppb; hydrogen: % of the lower explosive limit.
        exhaust: m3/h; scrubber: capacity left, %.
    """

    ash3 = Cpt(EpicsSignalRO, "DETECTOR:ASH3", kind="normal", auto_monitor=True)
    ph3 = Cpt(EpicsSignalRO, "DETECTOR:PH3", kind="normal", auto_monitor=True)
    hydrogen = Cpt(EpicsSignalRO, "DETECTOR:HYDROGEN", kind="normal", auto_monitor=True)
    exhaust = Cpt(EpicsSignalRO, "EXHAUST:FLOW", kind="normal", auto_monitor=True)
    scrubber = Cpt(EpicsSignalRO, "SCRUBBER:CAPACITY", kind="normal", auto_monitor=True)

    units: ClassVar[Mapping[str, str]] = {
        "ash3": "ppb",
        "ph3": "ppb",
        "hydrogen": "%",
        "exhaust": "m3/h",
        "scrubber": "%",
    }
