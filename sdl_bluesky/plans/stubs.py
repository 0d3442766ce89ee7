"""Small pieces that the plans are made of."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator, RunEngineControlException
from ophyd.status import Status, StatusBase

from sdl_bluesky.devices import Await, Chamber, QCMStream, cause_of, make_safe_now
from sdl_bluesky.errors import DeviceError

log = logging.getLogger(__name__)
T = TypeVar("T")

FLUSH_PERIOD_S = 0.5
"""Real seconds between two collections of a running stream: what a crash can cost."""


class Interrupted(DeviceError):
    """The machine was made safe in the middle of an experiment (pause, suspension): it must be done again."""


class Attempt:
    """One try of an experiment: it notes whether the machine was made safe meanwhile.

    A pause closes shutters and takes powers to zero, and nothing starts again by itself. So data from before and after a
    pause never belong together: each wait ends at once after an interruption, and `check` then ends the attempt.

    Args:
        chamber: the machine.
        sources: names of the sources that take part.
    """

    def __init__(self, chamber: Chamber, sources: Iterable[str]) -> None:
        self.chamber = chamber
        self.stream: QCMStream = chamber.stream(list(sources))
        self.streaming = False
        self.flow_per_pressure: float | None = None  # sccm/mTorr, once it was seen
        self._watched = [*(chamber.source(s) for s in sources), chamber.substrate]
        self._before = self._count()

    def _count(self) -> int:
        return sum(device.interruptions for device in self._watched)

    @property
    def interrupted(self) -> bool:
        """Whether the machine was made safe since the attempt began."""
        return self._count() != self._before

    def check(self) -> None:
        """End the attempt if it was interrupted.

        Raises:
            Interrupted: it was.
        """
        if self.interrupted:
            raise Interrupted(
                "the machine was made safe in the middle of the experiment; it is done again from the start"
            )

    def wait(self, name: str, make: Callable[[], StatusBase]) -> MsgGenerator[None]:
        """Wait for a status that is made when the wait begins; a running stream is collected now and then.

        A checkpoint stands right before, so that a pause repeats this wait and nothing else.

        Raises:
            Interrupted: the machine was made safe meanwhile.
            SDLError: whatever made the status fail.
        """
        yield from bps.checkpoint()
        group = f"{name}-{uuid.uuid4()}"
        waiter: Any = Await(lambda: _done() if self.interrupted else make(), name)
        try:
            yield from bps.trigger(waiter, group=group)
            done = False
            while not done:
                limits = {"timeout": FLUSH_PERIOD_S, "error_on_timeout": False} if self.streaming else {}
                done = yield from bps.wait(group=group, **limits)
                if self.streaming:
                    yield from self.collect()
                else:
                    done = True
        except FailedStatus as fault:
            self.check()
            raise cause_of(fault) or fault from fault
        self.check()

    def hold(self, duration_s: float) -> MsgGenerator[None]:
        """Let process time pass (simulated seconds on a twin)."""
        yield from self.wait(f"{duration_s:g} s", lambda: self.chamber.clock.after(duration_s))

    def move(self, *pairs: Any) -> MsgGenerator[None]:
        """Move devices and wait: device, value, device, value, ...

        Raises:
            Interrupted, SDLError: as `wait`.
        """
        for device, value in zip(pairs[::2], pairs[1::2], strict=True):
            yield from self.wait(device.name, lambda d=device, v=value: d.set(v))

    def collect(self) -> MsgGenerator[None]:
        """Put the rows of the stream so far into documents."""
        flyer: Any = self.stream
        yield from bps.collect(flyer)

    def kickoff(self) -> MsgGenerator[None]:
        """Begin to stream."""
        flyer: Any = self.stream
        yield from bps.kickoff(flyer, wait=True)
        self.streaming = True

    def finish(self) -> MsgGenerator[None]:
        """End the stream and put its last rows into documents."""
        flyer: Any = self.stream
        yield from bps.stop(flyer)
        yield from self.collect()
        self.streaming = False


def _done() -> StatusBase:
    status = Status()
    status.set_finished()
    return status


def keyed(plan: MsgGenerator[T], key: str | None) -> MsgGenerator[T]:
    """Send a plan's messages to the open run of this key."""
    return (yield from (plan if key is None else bpp.set_run_key_wrapper(plan, key)))


def recorded(
    plan: MsgGenerator[Any], start: Mapping[str, Any], opened: list[str], key: str | None = None
) -> MsgGenerator[None]:
    """Run a plan as one run; as `bluesky.preprocessors.run_wrapper`, and the uid is put into `opened` at once.

    With a key, the run is another one than those that the plan itself opens.
    """
    opened.append((yield from keyed(bps.open_run(dict(start)), key)))

    def fault(error: Exception) -> MsgGenerator[None]:
        status = getattr(error, "exit_status", "abort") if isinstance(error, RunEngineControlException) else "fail"
        yield from keyed(bps.close_run(exit_status=status, reason=str(error)), key)

    yield from bpp.contingency_wrapper(plan, except_plan=fault, else_plan=lambda: keyed(bps.close_run(), key))


def in_thread(function: Callable[[], T]) -> MsgGenerator[T]:
    """Run slow work beside the RunEngine, which can be paused meanwhile. The work is done once, also after a pause."""
    lock = threading.Lock()
    results: list[T] = []

    def once() -> T:
        with lock:
            if not results:
                results.append(function())
            return results[0]

    done = yield from bps.wait_for([lambda: asyncio.to_thread(once)])
    return next(iter(done)).result()


def make_safe(chamber: Chamber) -> MsgGenerator[None]:
    """Close every shutter and take every power to zero, each step on its own; for finalizers.

    What cannot be done (a lost connection) is logged and left to the interlocks of the IOC.
    """
    yield from in_thread(lambda: make_safe_now(chamber))


def clear_interlock(chamber: Chamber) -> MsgGenerator[None]:
    """Reset a latched interlock whose inputs are all good again.

    Raises:
        InterlockTripped: an input is still bad; nothing was moved.
        StaleReading, Disconnected: the IOC does not answer.
    """
    chamber.liveness.check()
    if not chamber.interlock.tripped:
        return
    log.warning("%s", chamber.interlock.explain())
    if set(chamber.interlock.bad_inputs) - {"HEARTBEAT"}:
        raise chamber.interlock.error()
    reset: Any = Await(chamber.interlock.reset, "interlock reset")
    try:
        yield from bps.trigger(reset, wait=True)
    except FailedStatus as fault:
        raise cause_of(fault) or fault from fault
