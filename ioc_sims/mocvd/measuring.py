"""What both instruments have in common: a wafer on the stage, a measurement that takes its time."""

from __future__ import annotations

from enum import IntEnum

from ioc_sims.mocvd.wafer import Wafer


class State(IntEnum):
    """What an instrument does; the states of the record."""

    IDLE, BUSY, DONE, STOPPED = range(4)


class Measuring:
    """One measurement after the other.

    Attributes:
        wafer: on the stage.
        number: measurements so far.
        state: of the latest.
        left_s: simulated seconds until it is done.
    """

    def __init__(self) -> None:
        self.wafer: Wafer | None = None
        self.number = 0
        self.state = State.IDLE
        self.left_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether it measures."""
        return self.state is State.BUSY

    def stop(self) -> None:
        """End early; what was measured is kept."""
        if self.busy:
            self.state, self.left_s = State.STOPPED, 0.0

    def _begin(self, seconds: float) -> None:
        self.number += 1
        self.state, self.left_s = State.BUSY, seconds

    def _pass(self, dt_s: float) -> bool:
        """Let time pass; whether the measurement has just ended."""
        if not self.busy:
            return False
        self.left_s = max(self.left_s - dt_s, 0.0)
        if self.left_s > 1e-9:
            return False
        self.state, self.left_s = State.DONE, 0.0
        return True
