"""Beam, stage and sample of an RBS end station."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO

from ..base import LabDevice, put_now
from ..holder import Holder
from ..pausing import Pausing, SafeStep
from ..positioner import Positioner
from ..shutter import CLOSED, Shutter
from .spec import RBSSpec


class Beam(Pausing):
    """The ion beam.

    Attributes:
        energy: positioner, keV.
        current: nA on the sample; 0 while the shutter is closed.
        shutter: positioner, "Open" or "Closed".
    """

    energy = Cpt(Positioner, "ENERGY", unit="keV", atol=1.0, timeout_s=120.0, kind="normal")
    current = Cpt(EpicsSignalRO, "CURRENT", kind="normal", auto_monitor=True)
    shutter = Cpt(Shutter, "SHUTTER", timeout_s=10.0, kind="normal")

    units: ClassVar[Mapping[str, str]] = {"current": "nA"}

    def __init__(self, prefix: str = "", *, name: str, spec: RBSSpec, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.energy.own_limits, self.energy.atol = spec.energy_keV, spec.energy_tolerance_keV
        self.energy.timeout_s, self.shutter.timeout_s = spec.energy_timeout_s, spec.shutter_timeout_s

    def safe_steps(self) -> list[SafeStep]:
        """Close the shutter."""
        return [(f"close {self.shutter.name}", lambda: put_now(self.shutter.setpoint, self.shutter.raw_of(CLOSED)))]


class Stage(LabDevice):
    """Where the beam meets the wafer.

    Attributes:
        x, y: positioners, mm from the middle of the wafer, in the frame of the sputter chamber's maps.
        tilt: positioner, deg between beam and surface normal.
    """

    x = Cpt(Positioner, "X", unit="mm", atol=0.05, timeout_s=60.0, kind="hinted")
    y = Cpt(Positioner, "Y", unit="mm", atol=0.05, timeout_s=60.0, kind="hinted")
    tilt = Cpt(Positioner, "TILT", unit="deg", atol=0.1, timeout_s=60.0, kind="normal")

    def __init__(self, prefix: str = "", *, name: str, spec: RBSSpec, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        for axis, limits, atol in (
            (self.x, spec.stage_mm, spec.stage_tolerance_mm),
            (self.y, spec.stage_mm, spec.stage_tolerance_mm),
            (self.tilt, spec.tilt_deg, spec.tilt_tolerance_deg),
        ):
            axis.own_limits, axis.atol, axis.timeout_s = limits, atol, spec.stage_timeout_s


class Loader(Holder):
    """Puts a film into the beam line; its position is the number of the film, 0 for none.

    The number is that of the film's substrate in the sputter chamber. A film that the station does not have is refused:
    the move fails with DeviceError and the sample stays.
    """

    thing: ClassVar[str] = "film"
    least: ClassVar[int] = 1
    doubt: ClassVar[str] = "is there a film of that number, and is the beam shutter closed?"

    readback = Cpt(EpicsSignalRO, "NUMBER", kind="normal", auto_monitor=True)
    setpoint = Cpt(EpicsSignal, "LOAD", kind="omitted", auto_monitor=True)
