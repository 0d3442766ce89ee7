"""The growth clock: how long group III has been in run, and when it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """What the growth does; the states of the record."""

    IDLE, GROWING, DONE, STOPPED = range(4)


@dataclass
class Sequence:
    """One growth after the other.

    Attributes:
        state: of the latest.
        number: growths so far.
        layer_s: seconds of the latest with group III in run.
        clock_s: seconds since the wafer was loaded.
        left_s: until it ends; infinite when nobody has said how long, or nothing grows.
        duration_s: of the next that is started by command.
        armed: which lines of group III take part in it.
    """

    state: State = State.IDLE
    number: int = 0
    layer_s: float = 0.0
    clock_s: float = 0.0
    left_s: float = math.inf
    duration_s: float = 0.0
    armed: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether it is time to end."""
        return self.state is State.GROWING and self.left_s <= 1e-9

    def begin(self, duration_s: float) -> None:
        """Group III goes into the reactor."""
        self.state, self.layer_s, self.left_s = State.GROWING, 0.0, duration_s
        self.number += 1

    def end(self, state: State) -> None:
        """Group III has gone into the vent."""
        if self.state is State.GROWING:
            self.state, self.left_s = state, math.inf

    def step(self, dt_s: float) -> None:
        """Go on by dt."""
        if self.state is State.GROWING:
            self.layer_s += dt_s
            self.clock_s += dt_s
            self.left_s -= dt_s
