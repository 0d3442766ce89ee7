"""The time of a rehearsal: it passes only when somebody waits, in the ticks in which the machine tells its readings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ophyd.status import Status

from sdl_bluesky.errors import OutOfRange

NEARLY_WHOLE = 0.02
"""A wait of a whole number of ticks is sometimes missed by one tick, for ticks are not quite even."""

Rates = Callable[[], dict[str, float]]


@dataclass
class Course:
    """Process time, and what is used while it passes.

    Attributes:
        tick_s: between two readings.
        now_s: process time.
        used: integrals of the rates since the beginning, by name.
        rates: what is used each second now.
        rows: called after every tick; for a stream.
    """

    tick_s: float
    rates: Rates = field(default=lambda: {})
    now_s: float = 0.0
    used: dict[str, float] = field(default_factory=dict)
    rows: Callable[[], None] | None = None
    _pending: float = 0.0

    def ask(self, seconds: float) -> Status:
        """Something takes so long to be seen: one tick at least. Times asked for together pass together."""
        return self.ticks(max(1, math.ceil(seconds / self.tick_s - 1e-9)))

    def ticks(self, count: float) -> Status:
        """Something is seen after so many ticks, in the mean."""
        self._pending = max(self._pending, self.tick_s * count)
        return done()

    def hold(self, seconds: float) -> Status:
        """Wait, from the next tick on, for so long."""
        ticks = seconds / self.tick_s
        whole = abs(ticks - round(ticks)) < NEARLY_WHOLE and self.tick_s > 0.5
        self._pending = max(self._pending, self.tick_s * (1 + (round(ticks) + 0.5 if whole else math.ceil(ticks))))
        return done()

    def settle(self) -> None:
        """Let what was asked for happen."""
        seconds, self._pending = self._pending, 0.0
        self.run(seconds)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        if seconds <= 0:
            return
        steps = max(1, round(seconds / self.tick_s)) if self.rows is not None else 1
        for _ in range(steps):
            for name, rate in self.rates().items():
                self.used[name] = self.used.get(name, 0.0) + rate * seconds / steps
            self.now_s += seconds / steps
            if self.rows is not None:
                self.rows()


def done() -> Status:
    """A status that is over, and well."""
    status = Status()
    status.set_finished()
    return status


class Knob:
    """Something that can be set, between limits; its readback is there at once, or after its travel.

    Args:
        course: whose time it takes.
        name, unit: for messages.
        limits: lowest and highest value; None for words.
        travel: seconds from one value to another.
        near: how close is there, as (absolute, relative).
        turn: of words: ticks until another one is seen, in the mean.
    """

    parent = None

    def __init__(
        self,
        course: Course,
        name: str,
        unit: str = "",
        limits: tuple[float, float] | None = None,
        travel: Callable[[float, float], float] = lambda old, new: 0.0,
        near: tuple[float, float] = (0.0, 0.0),
        position: Any = 0.0,
        turn: float = 1.0,
    ) -> None:
        self.name, self.egu, self.own_limits, self.position = name, unit, limits, position
        self.atol, self.rtol = near
        self._course, self._travel, self._turn = course, travel, turn

    def check_value(self, value: Any, **_: Any) -> None:
        """Raise OutOfRange if it is no number, or beyond the limits."""
        if self.own_limits is None:
            return
        low, high = self.own_limits
        if isinstance(value, bool | str) or not math.isfinite(value) or not low <= value <= high:
            raise OutOfRange(
                f"{self.name}: {value:g} {self.egu} is outside {low:g} to {high:g} {self.egu}: choose a value within; "
                "nothing was moved"
            )

    def set(self, value: Any) -> Status:
        """Move there."""
        self.check_value(value)
        old, self.position = self.position, value
        if isinstance(value, str) or isinstance(old, str):
            return done() if value == old else self._course.ticks(self._turn)
        if abs(old - value) <= self.atol + self.rtol * abs(value):
            return done()
        return self._course.ask(self._travel(old, value))

    def get(self) -> Any:
        """What it reads."""
        return self.position

    def read(self) -> dict[str, Any]:
        """As a device reads."""
        return {self.name: {"value": self.position, "timestamp": self._course.now_s}}

    @property
    def hints(self) -> dict[str, list[str]]:
        """Its one value."""
        return {"fields": [self.name]}

    @property
    def is_open(self) -> bool:
        """Of shutters."""
        return self.position == "Open"


class Reading(Knob):
    """A value that follows from others."""

    def __init__(self, course: Course, name: str, value: Callable[[], Any]) -> None:
        self._value = value
        super().__init__(course, name)

    def get(self) -> Any:
        """As it is now."""
        return self._value()

    def read(self) -> dict[str, Any]:
        """As a device reads."""
        return {self.name: {"value": self._value(), "timestamp": self._course.now_s}}
