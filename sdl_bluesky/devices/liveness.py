"""Is the IOC alive? A beat that it counts up, watched from a thread of our own."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, TypeVar

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO
from ophyd.status import StatusBase

from sdl_bluesky.errors import DeviceError, Disconnected, StaleReading

from .interlock import AnyInterlock
from .status import ca_thread, fail

log = logging.getLogger(__name__)

POLL_S = 0.2
GRACE_S = 0.3
S = TypeVar("S", bound=StatusBase)


class Liveness(Device):
    """Watches the IOC of one machine and fails what waits for it.

    A hung IOC keeps its connections: monitored values stay what they were, puts are taken later. So a beat record that
    counts several times a second is watched; when it is older than `stale_after_s` the IOC is hung. A grace of 0.3 s
    more lets a backlog be worked off when it was this process that had stood still.

    Watching begins with `start()` (`Machine.connect` calls it) and ends with `close()`.

    Attributes:
        beat: the record that the IOC counts up.
        heartbeat: the record that the client in charge writes (`Guard` does it).
        heartbeat_timeout: seconds without heartbeat after which the IOC makes itself safe.
        stale_after_s: real seconds without a beat after which the IOC is taken as hung.
        interlock: the machine's interlock, if there is one.
    """

    beat = Cpt(EpicsSignalRO, "IOC:BEAT", kind="omitted", auto_monitor=True)
    heartbeat = Cpt(EpicsSignal, "HEARTBEAT", kind="omitted", auto_monitor=True)
    heartbeat_timeout = Cpt(EpicsSignalRO, "HEARTBEAT:TIMEOUT", kind="omitted", auto_monitor=True)

    def __init__(self, prefix: str = "", *, name: str, stale_after_s: float = 2.0, **kwargs: Any) -> None:
        self.stale_after_s = stale_after_s
        self.interlock: AnyInterlock | None = None
        self._beat_seen = time.monotonic()
        self._beats = 0
        self._news = threading.Condition()
        self._wake = threading.Event()
        self._running = False
        self._declared: DeviceError | None = None
        self._guarded: dict[StatusBase, bool] = {}
        self._lock = threading.Lock()
        super().__init__(prefix, name=name, **kwargs)
        self.beat.subscribe(self._beat_changed, run=False)
        self.beat.subscribe(self._connection_changed, event_type=self.beat.SUB_META, run=False)

    # what the IOC tells us
    def _beat_changed(self, **_: Any) -> None:
        with self._news:
            self._beat_seen = time.monotonic()
            self._beats += 1
            self._declared = None
            self._news.notify_all()

    def _connection_changed(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self._wake.set()

    def watch_interlock(self, interlock: AnyInterlock) -> None:
        """Fail guarded statuses also when this interlock trips."""
        self.interlock = interlock
        interlock.ok.subscribe(lambda **_: self._wake.set(), run=False)

    # what others ask
    @property
    def age_s(self) -> float:
        """Real seconds since the last beat."""
        return time.monotonic() - self._beat_seen

    @property
    def stale(self) -> bool:
        """True if the IOC has not beaten for `stale_after_s` (and `start()` was called)."""
        return self._running and self.age_s > self.stale_after_s

    def problem(self, interlock: bool = False) -> DeviceError | None:
        """What is wrong at this moment, or None. Does not wait."""
        if not self._running:
            return None
        if not self.beat.connected:
            return Disconnected(
                f"the IOC of {self.prefix!r} is disconnected: it died or the network is down; restart it"
            )
        if self.stale:
            return StaleReading(
                f"the IOC of {self.prefix!r} hangs: no beat for {self.age_s:.1f} s; "
                "its last values are not readings any more; restart it"
            )
        if interlock and self.interlock is not None and self.interlock.tripped:
            return self.interlock.error()
        return None

    def check(self, interlock: bool = False) -> None:
        """Raise what is wrong, if anything; may wait 0.3 s for a late beat.

        Raises:
            StaleReading, Disconnected, InterlockTripped (the last only if asked for).
        """
        problem = self.problem(interlock)
        if problem is None:
            return
        if isinstance(problem, StaleReading) and self._declared is None and self._late_beat():
            problem = self.problem(interlock)
        if problem is not None:
            raise problem

    def _late_beat(self) -> bool:
        before = self._beats
        with self._news:
            return self._news.wait_for(lambda: self._beats != before, GRACE_S)

    def guard(self, status: S, interlock: bool = True) -> S:
        """Make a status fail when the IOC hangs or disconnects or (if asked for) the interlock trips.

        Takes less than 3 s for a hung IOC, and a fraction of a second otherwise. Returns the same status.
        """
        with self._lock:
            self._guarded[status] = interlock
        status.add_callback(self._release)
        if self.problem(interlock) is not None:
            self._wake.set()
        return status

    def _release(self, status: Any) -> None:
        with self._lock:
            self._guarded.pop(status, None)

    # the watcher
    def start(self) -> None:
        """Begin to watch. Harmless when it is watching already."""
        if self._running:
            return
        self._beat_seen = time.monotonic()
        self._running = True
        ca_thread(self._run, f"liveness {self.prefix}").start()

    def close(self) -> None:
        """End watching; statuses are no longer guarded."""
        self._running = False
        self._wake.set()

    def _run(self) -> None:
        while self._running:
            self._wake.wait(POLL_S)
            self._wake.clear()
            try:
                self._look()
            except Exception:
                log.exception("liveness of %s: looking failed", self.prefix)

    def _look(self) -> None:
        problem = self.problem()
        if isinstance(problem, StaleReading) and self._declared is None:
            if self._late_beat():
                return
            problem = self.problem()
        if problem is not None and self._declared is None:
            log.error("%s", problem)
        self._declared = problem
        tripped = self.interlock is not None and self.interlock.tripped
        if problem is None and not tripped:
            return
        with self._lock:
            affected = [s for s, interlock in self._guarded.items() if problem is not None or interlock]
        if not affected:
            return
        if problem is None and self.interlock is not None:
            self.interlock.wait_for_cause(POLL_S)
            problem = self.interlock.error()
        if problem is not None:
            for status in affected:
                fail(status, type(problem)(*problem.args))
