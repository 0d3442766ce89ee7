"""Instruments of the laboratory as ophyd devices.

Nothing here is an instance: `make_chamber(prefix, spec)` and `make_station(prefix, spec)` build one sputter chamber and one
RBS end station from a frozen description. The names below are loaded on first use, so `ChamberSpec` (which needs no
control system) can be imported, and the EPICS_* environment be set, before ophyd starts Channel Access.

Order in a process: set EPICS_*, `configure_ophyd()`, `chamber = make_chamber(...)`, `chamber.connect()`,
`Guard(chamber, station)`.
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
    from .guard import Guard
    from .interlock import AnyInterlock, Interlock
    from .liveness import Liveness
    from .machine import Machine
    from .making_safe import SafeStepResult, make_safe_now
    from .mfc import MassFlowController, ReactiveGas
    from .mover import Mover
    from .pausing import Pausing
    from .positioner import Positioner, check_all
    from .qcm import QCM
    from .rbs.acquisition import Acquisition
    from .rbs.sample import Beam, Loader, Stage
    from .rbs.spec import RBSSpec
    from .rbs.spectrum import Spectrum
    from .rbs.station import RBSStation, StationInterlock, make_station
    from .setup import configure_ophyd
    from .shutter import Shutter
    from .spec import ChamberSpec, QCMSpec, ReactiveSpec, SourceSpec
    from .spectrometer import Spectrometer
    from .sputter import NumberedSource, Source, Substrate
    from .status import Await, all_of, cause_of, until
    from .stream import QCMStream
    from .suspenders import SuspendOnAlarm, SuspendOnInterlock

_HOME = {
    "Acquisition": "rbs.acquisition",
    "AnyInterlock": "interlock",
    "Await": "status",
    "Beam": "rbs.sample",
    "Chamber": "chamber",
    "ChamberSpec": "spec",
    "Clock": "clock",
    "Gauge": "gauge",
    "Guard": "guard",
    "Interlock": "interlock",
    "LabDevice": "base",
    "Liveness": "liveness",
    "Loader": "rbs.sample",
    "Machine": "machine",
    "MassFlowController": "mfc",
    "Mover": "mover",
    "Pausing": "pausing",
    "Positioner": "positioner",
    "ProcessClock": "clock",
    "QCM": "qcm",
    "QCMSpec": "spec",
    "QCMStream": "stream",
    "RBSSpec": "rbs.spec",
    "RBSStation": "rbs.station",
    "ReactiveGas": "mfc",
    "ReactiveSpec": "spec",
    "SafeStepResult": "making_safe",
    "Severity": "base",
    "Shutter": "shutter",
    "NumberedSource": "sputter",
    "Source": "sputter",
    "SourceSpec": "spec",
    "Spectrometer": "spectrometer",
    "Spectrum": "rbs.spectrum",
    "Stage": "rbs.sample",
    "StationInterlock": "rbs.station",
    "StreamGoal": "goal",
    "Substrate": "sputter",
    "SuspendOnAlarm": "suspenders",
    "SuspendOnInterlock": "suspenders",
    "WallClock": "clock",
    "all_of": "status",
    "cause_of": "status",
    "check_all": "positioner",
    "configure_ophyd": "setup",
    "make_chamber": "chamber",
    "make_safe_now": "making_safe",
    "make_station": "rbs.station",
    "until": "status",
}

__all__ = [
    "QCM",
    "Acquisition",
    "AnyInterlock",
    "Await",
    "Beam",
    "Chamber",
    "ChamberSpec",
    "Clock",
    "Gauge",
    "Guard",
    "Interlock",
    "LabDevice",
    "Liveness",
    "Loader",
    "Machine",
    "MassFlowController",
    "Mover",
    "NumberedSource",
    "Pausing",
    "Positioner",
    "ProcessClock",
    "QCMSpec",
    "QCMStream",
    "RBSSpec",
    "RBSStation",
    "ReactiveGas",
    "ReactiveSpec",
    "SafeStepResult",
    "Severity",
    "Shutter",
    "Source",
    "SourceSpec",
    "Spectrometer",
    "Spectrum",
    "Stage",
    "StationInterlock",
    "StreamGoal",
    "Substrate",
    "SuspendOnAlarm",
    "SuspendOnInterlock",
    "WallClock",
    "all_of",
    "cause_of",
    "check_all",
    "configure_ophyd",
    "make_chamber",
    "make_safe_now",
    "make_station",
    "until",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
