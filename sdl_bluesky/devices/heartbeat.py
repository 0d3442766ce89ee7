"""The heartbeat that a client in charge writes, so that the IOC knows that somebody looks after its machine."""

from __future__ import annotations

import logging
import threading
import time

from .base import put_now
from .liveness import Liveness
from .status import ca_thread

log = logging.getLogger(__name__)

HEARTBEAT_PERIOD_S = 0.5
RIVAL_BEATS = 3


class Heartbeat:
    """Writes the heartbeat of one IOC from a thread of its own, so that one IOC that hangs delays no other's.

    It beats as long as the process lives, also while the RunEngine's thread is busy; it ends with `stop()` and with the
    main thread.

    Attributes:
        beats: how many were sent.
    """

    def __init__(self, liveness: Liveness, *, period_s: float = HEARTBEAT_PERIOD_S) -> None:
        self.liveness = liveness
        self.period_s = period_s
        self.beats = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._sent: set[int] = set()
        self._foreign = 0
        self._token: int | None = None

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return self._thread is not None and self._thread.is_alive() and not self._over.is_set()

    def start(self) -> None:
        """Begin to beat. Harmless when it does already."""
        if self.running:
            return
        self._over = threading.Event()
        self._token = self.liveness.heartbeat.subscribe(self._heard, run=False)
        self._thread = ca_thread(lambda over=self._over: self._beat(over), f"heartbeat {self.liveness.prefix}")
        self._thread.start()

    def stop(self) -> None:
        """End beating."""
        self._over.set()
        if self._token is not None:
            self.liveness.heartbeat.unsubscribe(self._token)
            self._token = None

    def _beat(self, over: threading.Event) -> None:
        signal = self.liveness.heartbeat
        count = int(time.time() * 2) % 1_000_000_000
        failing = False
        while not over.is_set() and threading.main_thread().is_alive():
            count += 1
            self._sent.add(count)
            self._sent.discard(count - 50)
            try:
                put_now(signal, count)
                self.beats += 1
                failing = False
            except Exception as exc:
                if not failing:
                    log.warning("no heartbeat could be sent to %s: %s", self.liveness.prefix, exc)
                failing = True
            over.wait(self.period_s)

    def _heard(self, value: object = None, **_: object) -> None:
        # 0: the IOC has just been started
        if not isinstance(value, int | float) or int(value) in self._sent or int(value) == 0:
            return
        self._foreign += 1
        if self._foreign == RIVAL_BEATS:
            log.warning(
                "another client writes the heartbeat of %s as well: only one process should be in charge of a machine",
                self.liveness.prefix,
            )
