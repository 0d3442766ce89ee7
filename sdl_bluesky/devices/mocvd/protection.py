"""Phosphine over a hot surface that nobody looks after any more: on until it is cold, then shut.

A pause, an abort, a failure or `RE.halt()` switches group III and the heater off at once; phosphine must stay for the
minutes in which InP would lose phosphorus, and must not stay for ever. No plan can be trusted to do that, since a plan may
be what has just ended. So a thread of the client does it; if the client dies, the IOC's watchdog does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ophyd.status import Status

from sdl_bluesky.errors import DeviceError, Disconnected, MoveTimeout, SDLError

from ..base import is_no_answer, log
from ..liveness import Liveness
from ..status import ca_thread, deadline, fail, finish

POLL_S = 0.1
HEATED_S = 1.0
"""So long the heater must be asked for, for somebody else to be in charge."""


class Protection:
    """Shuts hydrides as soon as the surface is cold and nobody heats.

    Args:
        name: in messages and names of threads.
        cold: whether the surface needs no phosphine; asked for again and again.
        heating: whether somebody heats: then that one is in charge, and the watch ends.
        shut: what shuts group III, which must never flow without phosphine, then the hydrides and what goes with them.
        off: whether all of that is off.
        liveness: of the machine; a hung or dead IOC looks after itself.
    """

    def __init__(
        self,
        name: str,
        *,
        cold: Callable[[], bool],
        heating: Callable[[], bool],
        shut: Sequence[Callable[[], None]],
        off: Callable[[], bool],
        liveness: Liveness,
    ) -> None:
        self.name = name
        self._cold, self._heating, self._shut, self._off = cold, heating, shut, off
        self._liveness = liveness
        self._lock = threading.Lock()
        self._round = 0
        self._heated_since: float | None = None
        self._waiting: list[Status] = []

    def begin(self) -> None:
        """Begin to watch, from a thread; a watch that goes on already is replaced. Waits for no machine."""
        with self._lock:
            self._round += 1
            mine = self._round
        ca_thread(lambda: self._watch(mine), f"protection {self.name}").start()

    def done(self, timeout_s: float) -> Status:
        """A status that is done when the hydrides are off; it fails when the IOC hangs or is gone, or nobody watches."""
        status = Status()
        self._liveness.guard(status, interlock=False)
        with self._lock:
            self._waiting = [*(s for s in self._waiting if not s.done), status]
        deadline(status, timeout_s, lambda: MoveTimeout(f"{self.name}: the hydrides are not off after {timeout_s:g} s"))
        self.begin()
        return status

    def _watch(self, mine: int) -> None:
        pause = threading.Event()
        self._heated_since = None
        try:
            while self._round == mine:
                try:
                    if self._liveness.problem() is None and self._look(mine):
                        return
                except Exception as fault:
                    if not (is_no_answer(fault) or isinstance(fault, Disconnected)):
                        raise
                    log.debug("%s: %s", self.name, fault)  # it comes back, or its watchdog acts
                pause.wait(POLL_S)
        except Exception as fault:
            log.exception("%s: looking after the phosphine failed; the IOC's watchdog has to act", self.name)
            self._tell(fault if isinstance(fault, SDLError) else DeviceError(f"{self.name}: {fault}"))

    def _look(self, mine: int) -> bool:
        """Whether there is nothing left to do."""
        if self._off():
            self._tell(None)
            return True
        if not self._heating():
            self._heated_since = None
            if self._cold():
                self._all_off(mine)
            return False
        now = time.monotonic()
        if self._heated_since is None:  # the put that switches the heater off may be on its way
            self._heated_since = now
        if now - self._heated_since <= HEATED_S:
            return False
        self._tell(DeviceError(f"{self.name}: somebody heats: the hydrides are left on"))
        return True

    def _all_off(self, mine: int) -> None:
        for step in self._shut:
            with self._lock:  # a watch that is replaced sends nothing any more
                if self._round != mine:
                    return
                step()

    def _tell(self, error: Exception | None) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for status in waiting:
            if error is None:
                finish(status)
            else:
                fail(status, error)
