"""An instrument as its clients meet it: a plant on a real clock, behind interlocks, one lock round it all.

Requests may come from any thread (a Channel Access put runs on its client's thread). Each first brings simulated time
up to now, so that what it switches is switched at that moment and not at the next publication.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from ioc_sims.common.interlocks import Interlock, Watchdog

log = logging.getLogger(__name__)

SPEEDS = (1.0, 1000.0)
_STALE_PUTS_S = 1.0  # after a freeze, puts that had waited in the socket arrive within this time


class Guarded(Protocol):
    """What the guard needs to know of a plant."""

    time_s: float

    @property
    def energised(self) -> bool:
        """Whether anything is on that must not be left alone."""
        ...

    def make_safe(self) -> None:
        """Switch off whatever makes the plant energised."""
        ...


class Instrument(ABC):
    """A plant that lives in real time.

    Args:
        plant: the physics.
        interlocks: names of the interlock's inputs; "HEARTBEAT" is added as the last.
        faults: names of the faults that a person may simulate.
        speed: simulated seconds per real second.
        heartbeat_timeout_s: real seconds.
        clock: monotonic real time [s].

    Attributes:
        trips: how often the interlock has tripped.
    """

    def __init__(
        self,
        plant: Guarded,
        interlocks: Sequence[str],
        faults: Sequence[str],
        speed: float,
        heartbeat_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guarded = plant
        self.speed = speed
        self.interlock = Interlock((*interlocks, "HEARTBEAT"))
        self.watchdog = Watchdog(heartbeat_timeout_s)
        self.faults: dict[str, bool] = dict.fromkeys(faults, False)
        self.lock = threading.RLock()
        self.trips = 0
        self._clock = clock
        self._last_s = clock()
        self._stale_until_s = -math.inf

    @abstractmethod
    def _inputs(self) -> dict[str, bool]:
        """State of each interlock input but the heartbeat (True = bad)."""

    @abstractmethod
    def _advance(self, dt_s: float) -> None:
        """Let simulated time pass."""

    def catch_up(self) -> None:
        """Bring simulated time and interlocks up to the present.

        A gap longer than the heartbeat timeout means that this process was frozen: simulated time does not run through
        it, and an energised plant trips at once.
        """
        with self.lock:
            now = self._clock()
            gap = max(now - self._last_s, 0.0)
            self._last_s = now
            if gap > self.watchdog.timeout_s:
                log.warning("frozen for %.1f s", gap)
                self._stale_until_s = now + _STALE_PUTS_S
                if self._guarded.energised:
                    self.watchdog.trip()
                gap = 0.0
            self._check(now)
            if gap > 0:
                self._advance(gap * self.speed)
            self._check(now)

    # requests: each says whether it was accepted ---------------------------------------------------------------------

    def set_speed(self, speed: float) -> bool:
        """Change the speed of simulated time."""
        with self.lock:
            if not within(speed, *SPEEDS):
                return False
            self.catch_up()
            self.speed = speed
            return True

    def set_fault(self, name: str, is_bad: bool) -> bool:
        """Make an input bad, as the person would who opens the door."""
        with self.lock:
            self.faults[name] = is_bad
            self.catch_up()
            return True

    def heartbeat(self) -> bool:
        """A client lives."""
        with self.lock:
            self.catch_up()
            self.watchdog.beat(self._clock())
            self._check(self._clock())
            return True

    def reset(self) -> bool:
        """Acknowledge the interlock; refused while an input is bad."""
        with self.lock:
            self.catch_up()
            return self.interlock.reset()

    def accepts_reset(self) -> bool:
        """Whether a reset would work now."""
        with self.lock:
            self.catch_up()
            return not self.interlock.any_bad

    # -----------------------------------------------------------------------------------------------------------------

    @property
    def client_alive(self) -> bool:
        """Whether a heartbeat has come within the timeout."""
        return self.watchdog.alive(self._clock())

    def _may_switch_on(self) -> bool:
        with self.lock:
            self.catch_up()
            return self.interlock.ok and self._clock() >= self._stale_until_s

    def _check(self, now_s: float) -> None:
        tripped = self.interlock.update(**self._inputs(), HEARTBEAT=self.watchdog.check(now_s, self._guarded.energised))
        if tripped:
            log.warning("interlock tripped: %s", self.interlock.cause)
            self.trips += 1
        if not self.interlock.ok and self._guarded.energised:
            self._guarded.make_safe()


def within(value: float, low: float, high: float) -> bool:
    """Whether a value is finite and lies between two limits, themselves included."""
    return math.isfinite(value) and low <= value <= high
