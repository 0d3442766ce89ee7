"""Instruments of the laboratory as ophyd devices.

Nothing here is an instance: `make_chamber(prefix, spec)` builds one chamber from a frozen description. The names below
are loaded on first use, so `ChamberSpec` (which needs no control system) can be imported, and the EPICS_* environment
be set, before ophyd starts Channel Access.

Order in a process: set EPICS_*, `configure_ophyd()`, `chamber = make_chamber(...)`, `chamber.connect()`,
`Guard(chamber)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ == "devices":
    raise ImportError("this folder is sdl_bluesky.devices: import it by that name")

if TYPE_CHECKING:
    from .base import LabDevice, Severity
    from .chamber import Chamber, make_chamber
    from .clock import Clock, ProcessClock, WallClock
    from .gauge import Gauge
    from .goal import StreamGoal
    from .guard import Guard, SafeStepResult, make_safe_now
    from .interlock import Interlock
    from .liveness import Liveness
    from .mfc import MassFlowController
    from .mover import Mover
    from .positioner import Positioner, check_all
    from .qcm import QCM
    from .setup import configure_ophyd
    from .shutter import Shutter
    from .spec import ChamberSpec, QCMSpec, SourceSpec
    from .sputter import Source, Substrate
    from .status import Await, cause_of, until
    from .stream import QCMStream
    from .suspenders import SuspendOnAlarm, SuspendOnInterlock

_HOME = {
    "Await": "status",
    "Chamber": "chamber",
    "ChamberSpec": "spec",
    "Clock": "clock",
    "Gauge": "gauge",
    "Guard": "guard",
    "Interlock": "interlock",
    "LabDevice": "base",
    "Liveness": "liveness",
    "MassFlowController": "mfc",
    "Mover": "mover",
    "Positioner": "positioner",
    "ProcessClock": "clock",
    "QCM": "qcm",
    "QCMSpec": "spec",
    "QCMStream": "stream",
    "SafeStepResult": "guard",
    "Severity": "base",
    "Shutter": "shutter",
    "Source": "sputter",
    "SourceSpec": "spec",
    "StreamGoal": "goal",
    "Substrate": "sputter",
    "SuspendOnAlarm": "suspenders",
    "SuspendOnInterlock": "suspenders",
    "WallClock": "clock",
    "cause_of": "status",
    "check_all": "positioner",
    "configure_ophyd": "setup",
    "make_chamber": "chamber",
    "make_safe_now": "guard",
    "until": "status",
}

__all__ = [
    "QCM",
    "Await",
    "Chamber",
    "ChamberSpec",
    "Clock",
    "Gauge",
    "Guard",
    "Interlock",
    "LabDevice",
    "Liveness",
    "MassFlowController",
    "Mover",
    "Positioner",
    "ProcessClock",
    "QCMSpec",
    "QCMStream",
    "SafeStepResult",
    "Severity",
    "Shutter",
    "Source",
    "SourceSpec",
    "StreamGoal",
    "Substrate",
    "SuspendOnAlarm",
    "SuspendOnInterlock",
    "WallClock",
    "cause_of",
    "check_all",
    "configure_ophyd",
    "make_chamber",
    "make_safe_now",
    "until",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
