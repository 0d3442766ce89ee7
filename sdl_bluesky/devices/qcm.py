"""A quartz crystal microbalance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO
from ophyd.signal import Signal

from .base import LabDevice
from .spec import QCMSpec


class QCM(LabDevice):
    """Frequency, life and temperature of one crystal; its place is part of the configuration."""

    frequency = Cpt(EpicsSignalRO, "FREQUENCY", kind="hinted", auto_monitor=True)
    life = Cpt(EpicsSignalRO, "LIFE", kind="normal", auto_monitor=True)
    temperature = Cpt(EpicsSignalRO, "TEMPERATURE", kind="normal", auto_monitor=True)
    position_cm = Cpt(Signal, value=[0.0, 0.0, 0.0], kind="config")
    normal = Cpt(Signal, value=[0.0, 0.0, 1.0], kind="config")
    f0 = Cpt(Signal, value=6e6, kind="config")

    units: ClassVar[Mapping[str, str]] = {"frequency": "Hz", "life": "%", "temperature": "degC"}

    def __init__(self, prefix: str = "", *, name: str, spec: QCMSpec, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.spec = spec
        self.position_cm.put(list(spec.position_cm))
        self.normal.put(list(spec.normal))
        self.f0.put(float(spec.f0_Hz))
