"""A place that holds one of several numbered things: a film in a beam line, a wafer on an instrument."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO

from sdl_bluesky.errors import OutOfRange

from .mover import Mover
from .words import Word


class Holder(Mover):
    """Its position is the number of what it holds, 0 for none.

    What is elsewhere, or does not exist, is refused: the move fails with DeviceError and everything stays.

    Attributes:
        thing: what is held, in messages.
        least: smallest number that may be asked for: 0 where what is held can be taken away.
        doubt: what to look at when a number is refused.
    """

    thing: ClassVar[str] = "sample"
    least: ClassVar[int] = 0
    doubt: ClassVar[str] = "is there one of that number?"

    readback = Cpt(EpicsSignalRO, "", kind="normal", auto_monitor=True)
    setpoint = Cpt(EpicsSignal, ":SP", kind="omitted", auto_monitor=True)

    @property
    def egu(self) -> str:
        """A number has no unit."""
        return ""

    @property
    def limits(self) -> tuple[Word, Word]:  # type: ignore[override]
        """Any number from `least` on."""
        return Word(str(self.least)), Word("-")

    def _checked(self, position: Any) -> int:
        good = isinstance(position, int | np.integer) and not isinstance(position, bool)
        if not good and not (isinstance(position, float) and position.is_integer()):
            raise OutOfRange(f"{self.name}: {position!r} is not the number of a {self.thing}; nothing was moved")
        if position < self.least:
            raise OutOfRange(
                f"{self.name}: {position} is not the number of a {self.thing} (1, 2, ...); nothing was moved"
            )
        return int(position)

    def _is_accepted(self, raw: Any, target: int) -> bool:
        return int(raw) == target

    def _reached(self, position: Any, target: int) -> bool:
        return not (isinstance(position, float) and math.isnan(position)) and int(position) == target

    def _refusal(self, target: Any, raw: Any) -> Exception:
        error = super()._refusal(target, raw)
        return type(error)(f"{error}: {self.doubt}")
