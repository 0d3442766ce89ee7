"""Something that is started, takes its time, and ends Done or Stopped: a growth, a map, a scan."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import DeviceError, Disconnected, InterlockTripped, MoveTimeout

from ..base import is_no_answer, metadata_of, put_now
from ..pausing import Pausing, SafeStep
from ..status import ca_thread, fail, finish

IDLE, BUSY, DONE, STOPPED = range(4)
POLL_S = 0.03
SETTLE_S = 0.5
NOTICE_S = 1.5


class Procedure(Pausing):
    """Base: START tells by NUMBER that it was taken, STATE tells how it ended; see `docs/reference/pvs-mocvd.md`.

    A status that `_begin` gives fails with

    - DeviceError: the start was refused, or somebody stopped it;
    - InterlockTripped, StaleReading, Disconnected: what happened to the machine;
    - MoveTimeout: it did not end in time, and was stopped.

    Attributes:
        state: what is being done; number: how many so far. Both are asked from the IOC.
        conditions: says in a few words what a start depends on, for messages.
        guarded: whether a trip of the interlock fails it.
    """

    words: ClassVar[tuple[str, ...]] = ("Idle", "Busy", "Done", "Stopped")
    guarded: ClassVar[bool] = True

    state = Cpt(EpicsSignalRO, "STATE", kind="normal", auto_monitor=False)
    number = Cpt(EpicsSignalRO, "NUMBER", kind="normal", auto_monitor=False)
    stop_command = Cpt(EpicsSignal, "STOP", kind="omitted", auto_monitor=True)

    def __init__(self, prefix: str = "", *, name: str, start_timeout_s: float = 3.0, **kwargs: Any) -> None:
        self.start_timeout_s = start_timeout_s
        self.conditions: Callable[[], str] = lambda: "is everything as it must be?"
        self._status: Status | None = None
        super().__init__(prefix, name=name, **kwargs)

    @property
    def busy(self) -> bool:
        """Whether it goes on, asked from the IOC; raises as `read`."""
        self.check_fresh()
        with self.answering():
            return int(self.state.get()) == BUSY

    def _begin(
        self,
        what: str,
        command: EpicsSignal,
        timeout_s: float,
        *,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> Status:
        """Start, and follow it to its end from a thread.

        Args:
            what: is started, for messages.
            command: the record that starts it.
            timeout_s: real seconds in which it must end.
            before: done first, such as the put of a preset; what it raises fails the status.
            after: done when it has ended well; likewise.

        Raises:
            StaleReading, Disconnected, InterlockTripped: nothing was started.
        """
        if self.liveness is not None:
            self.liveness.check(interlock=self.guarded)
        superseded, self._status = self._status, Status(obj=self)
        if superseded is not None:  # its thread ends with it
            fail(superseded, DeviceError(f"{self.name}: another {what} was asked for"))
        status = self._status
        if self.liveness is not None:
            self.liveness.guard(status, interlock=self.guarded)

        def run() -> None:
            with self._telling(status):
                if int(self.state.get()) == BUSY:
                    raise DeviceError(f"{self.name} is {self.words[BUSY].lower()} already: stop it first")
                number = int(self.number.get())
                before()
                put_now(command, 1)
                if self._follow(status, what, number, timeout_s):
                    after()
                    finish(status)

        ca_thread(run, f"{what} {self.name}").start()
        return status

    def _follow(self, status: Status, what: str, before: int, timeout_s: float) -> bool:
        """Wait for the end; False if the status is over before."""
        over = threading.Event()
        status.add_callback(lambda _: over.set())
        began, taken = time.monotonic(), math.inf
        while not over.wait(POLL_S):
            number, state = int(self.number.get()), int(self.state.get())
            now = time.monotonic()
            if number == before:
                if now - began > self.start_timeout_s:
                    raise self._not_started(what)
                continue
            taken = min(taken, now)
            # the number may come a moment before the state, which is then still that of the one before
            believed = self.state.timestamp >= self.number.timestamp or now - taken > SETTLE_S
            if believed and state == DONE:
                return True
            if believed and state == STOPPED:
                raise self._stopped(what)
            if now - began > timeout_s:
                put_now(self.stop_command, 1)
                raise MoveTimeout(f"{self.name}: the {what} did not end within {timeout_s:g} s and was stopped")
        return False

    def _not_started(self, what: str) -> Exception:
        interlock = self.liveness.interlock if self.liveness is not None else None
        kind = InterlockTripped if self.guarded and interlock is not None and interlock.tripped else DeviceError
        return kind(f"{self.name}: the {what} was refused; {self.conditions()}")

    def _stopped(self, what: str) -> Exception:
        told = f"{self.name}: the {what} was stopped before its end"
        interlock = self.liveness.interlock if self.liveness is not None else None
        if self.guarded and interlock is not None:
            end = time.monotonic() + SETTLE_S
            while not interlock.tripped and time.monotonic() < end:  # what stopped it may be told a moment later
                time.sleep(POLL_S)
            interlock.wait_for_cause(SETTLE_S)
            if interlock.tripped:
                return InterlockTripped(f"{told}; {interlock.explain()}")
        return DeviceError(f"{told}; {self.conditions()}")

    @contextmanager
    def _telling(self, status: Status) -> Iterator[None]:
        """Any error fails the status; silence of the IOC as what liveness makes of it."""
        try:
            yield
        except Exception as exc:
            over = threading.Event()
            status.add_callback(lambda _: over.set())
            if not (is_no_answer(exc) or isinstance(exc, Disconnected)):
                fail(status, exc)
            elif not over.wait(NOTICE_S):  # liveness takes a moment to say what it is
                fail(status, Disconnected(f"{self.name}: the IOC does not answer ({exc}): is it running?"))

    def halt(self) -> Status:
        """Stop what somebody else, or an interrupted plan, has left going on; done when nothing does."""
        self.check_fresh()
        status = Status(obj=self)

        def run() -> None:
            with self._telling(status):
                if int(self.state.get()) == BUSY:
                    put_now(self.stop_command, 1)
                end = time.monotonic() + self.start_timeout_s
                while int(self.state.get()) == BUSY:
                    if time.monotonic() > end:
                        raise DeviceError(f"{self.name} does not stop")
                    time.sleep(POLL_S)
                finish(status)

        if self.liveness is not None:
            self.liveness.guard(status, interlock=False)
        ca_thread(run, f"halt {self.name}").start()
        return status

    def stop(self, *, success: bool = False) -> None:
        """End what was started from here; its status fails."""
        if self._status is not None and not self._status.done:
            put_now(self.stop_command, 1)

    def safe_steps(self) -> list[SafeStep]:
        """Stop it."""
        return [(f"close {self.name}", lambda: put_now(self.stop_command, 1))]

    def word(self, value: Any) -> str:
        """The state as a word."""
        words = tuple(metadata_of(self.state).get("enum_strs") or self.words)
        return value if isinstance(value, str) else str(words[int(value)])

    def read(self) -> dict[str, Any]:
        """The records as they are now; raises as `LabDevice.read`."""
        self.check_fresh()
        with self.answering():
            for signal in self._read_signals():  # some are not monitored: an alarm is known when the value is asked for
                if signal.connected:
                    signal.get()
        readings = super().read()
        readings[self.state.name]["value"] = self.word(readings[self.state.name]["value"])
        return readings

    def describe(self) -> dict[str, Any]:
        """The state is a word."""
        keys = super().describe()
        keys[self.state.name].update(dtype="string", enum_strs=self.words)
        return keys
