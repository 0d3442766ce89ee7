"""The growth clock: it sends armed lines of group III into the reactor together, for a time that the IOC keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import DeviceError, OutOfRange

from ..base import put_now
from .procedure import Procedure

SHORTFALL_S = 0.5


class GrowthClock(Procedure):
    """Grows for a time.

    `grow(seconds)` gives a status that is done when the armed lines have been in run for so long and are in the vent again.

    Attributes:
        duration: preset of the next growth, s.
        layer: seconds with group III in run, of this growth; clock: of this wafer.
        conditions: says in a few words what a growth depends on, for messages.
    """

    words = ("Idle", "Growing", "Done", "Stopped")

    duration = Cpt(EpicsSignal, "DURATION:SP", kind="config", auto_monitor=True)
    start_command = Cpt(EpicsSignal, "START", kind="omitted", auto_monitor=True)
    layer = Cpt(EpicsSignalRO, "LAYER", kind="hinted", auto_monitor=True)
    clock = Cpt(EpicsSignalRO, "CLOCK", kind="normal", auto_monitor=True)

    units: ClassVar[Mapping[str, str]] = {"duration": "s", "layer": "s", "clock": "s"}

    def __init__(
        self, prefix: str = "", *, name: str, limits_s: tuple[float, float] = (0.0, math.inf), **kwargs: Any
    ) -> None:
        self.limits_s = limits_s
        super().__init__(prefix, name=name, **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Raise OutOfRange if a time of growth is no finite number above 0, or beyond the longest."""
        good = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        low, high = self.limits_s
        if not good or not math.isfinite(value) or not max(low, 0.0) <= value <= high or value <= 0:
            raise OutOfRange(
                f"{self.name}: a growth of {value!r} s is not possible (above {low:g}, to {high:g} s); nothing was started"
            )

    def grow(self, seconds: float) -> Status:
        """Send the armed lines into the reactor for so long (process time).

        Raises:
            OutOfRange, StaleReading, Disconnected, InterlockTripped: nothing was started.
        """
        self.check_value(seconds)
        wanted = float(seconds)

        def preset() -> None:
            put_now(self.duration, wanted)
            accepted = float(self.duration.get(use_monitor=False))
            if not math.isclose(accepted, wanted, rel_tol=1e-6, abs_tol=1e-3):
                raise DeviceError(f"{self.name}: the IOC refused {wanted:g} s and keeps {accepted:g} s")

        def whole() -> None:
            grown = self.grown()
            if abs(grown - wanted) > SHORTFALL_S + 1e-3 * wanted:
                raise DeviceError(f"{self.name}: {grown:g} s were grown and not {wanted:g} s")

        return self._begin("growth", self.start_command, 1.5 * wanted + 60.0, before=preset, after=whole)

    def grown(self) -> float:
        """Seconds with group III in run, of this growth: asked of the machine, not what it sent last."""
        return float(self.layer.get(use_monitor=False))

    def set(self, seconds: float) -> Status:
        """The same as `grow`, so that `bps.mv(growth, seconds)` grows."""
        return self.grow(seconds)
