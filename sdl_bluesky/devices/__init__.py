"""Instruments of the laboratory as ophyd devices.

Nothing here is an instance: `make_chamber`, `make_station` and `make_reactor`, each of (prefix, spec), build one sputter
chamber, one RBS end station and one MOCVD reactor from a frozen description. The names below are loaded on first use, so
`ChamberSpec` (which needs no control system) can be imported, and the EPICS_* environment be set, before ophyd starts
Channel Access.

Order in a process: set EPICS_*, `configure_ophyd()`, `chamber = make_chamber(...)`, `chamber.connect()`,
`Guard(chamber, station, reactor)`.
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
    from .mocvd.diffractometer import Diffractometer, Scan, ScanRange
    from .mocvd.growth import GrowthClock
    from .mocvd.layer_log import LayerLog, LayerReadings
    from .mocvd.mapper import PLMap, PLMapper, PLSpectrum
    from .mocvd.reactor import MOCVD, make_reactor
    from .mocvd.spec import MOCVDSpec
    from .mocvd.wafers import WaferHandler
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
    "Diffractometer": "mocvd.diffractometer",
    "Gauge": "gauge",
    "GrowthClock": "mocvd.growth",
    "Guard": "guard",
    "Interlock": "interlock",
    "LabDevice": "base",
    "LayerLog": "mocvd.layer_log",
    "LayerReadings": "mocvd.layer_log",
    "Liveness": "liveness",
    "Loader": "rbs.sample",
    "Machine": "machine",
    "MassFlowController": "mfc",
    "MOCVD": "mocvd.reactor",
    "MOCVDSpec": "mocvd.spec",
    "Mover": "mover",
    "NumberedSource": "sputter",
    "Pausing": "pausing",
    "PLMap": "mocvd.mapper",
    "PLMapper": "mocvd.mapper",
    "PLSpectrum": "mocvd.mapper",
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
    "Scan": "mocvd.diffractometer",
    "ScanRange": "mocvd.diffractometer",
    "Severity": "base",
    "Shutter": "shutter",
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
    "WaferHandler": "mocvd.wafers",
    "WallClock": "clock",
    "all_of": "status",
    "cause_of": "status",
    "check_all": "positioner",
    "configure_ophyd": "setup",
    "make_chamber": "chamber",
    "make_reactor": "mocvd.reactor",
    "make_safe_now": "making_safe",
    "make_station": "rbs.station",
    "until": "status",
}

__all__ = [
    "MOCVD",
    "QCM",
    "Acquisition",
    "AnyInterlock",
    "Await",
    "Beam",
    "Chamber",
    "ChamberSpec",
    "Clock",
    "Diffractometer",
    "Gauge",
    "GrowthClock",
    "Guard",
    "Interlock",
    "LabDevice",
    "LayerLog",
    "LayerReadings",
    "Liveness",
    "Loader",
    "MOCVDSpec",
    "Machine",
    "MassFlowController",
    "Mover",
    "NumberedSource",
    "PLMap",
    "PLMapper",
    "PLSpectrum",
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
    "Scan",
    "ScanRange",
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
    "WaferHandler",
    "WallClock",
    "all_of",
    "cause_of",
    "check_all",
    "configure_ophyd",
    "make_chamber",
    "make_reactor",
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
