"""Pieces that growth and measurement have in common: tries, waits, events, a safe end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator
from ophyd.status import Status, StatusBase

from sdl_bluesky.devices import MOCVD, Await, Pausing, Positioner, cause_of
from sdl_bluesky.devices.status import ca_thread, fail, finish
from sdl_bluesky.errors import DeviceError, InterlockTripped, MoveTimeout
from sdl_bluesky.plans.mocvd.preflight import check_ready
from sdl_bluesky.plans.record import Record
from sdl_bluesky.plans.stubs import clear_interlock, in_thread, make_safe
from sdl_bluesky.plans.watch import Interrupted, Watch

log = logging.getLogger(__name__)
T = TypeVar("T")
ATTEMPTS = 3
SUSPENDERS_S = 0.5
"""Real seconds that a suspender has to act on a trip before it fails a growth."""


def tries(reactor: MOCVD, work: Callable[[], MsgGenerator[T]], *, growth: bool) -> MsgGenerator[T]:
    """Do a piece of work; after an interruption from its beginning, and after a trip that has been acknowledged meanwhile
    (a suspender had held the plan until then).

    Args:
        reactor: the machine.
        work: makes the plan of one try.
        growth: whether it needs the reactor in order: then a tripped heartbeat is reset, and nothing else is.

    Raises:
        Interrupted: it was interrupted too often.
        InterlockTripped: the gas system has tripped, see `check_ready`.
        SDLError: whatever ended it.
    """
    for left in reversed(range(ATTEMPTS)):
        yield from in_thread(reactor.wait_until_settled)
        if growth:
            yield from asked(lambda: check_ready(reactor))
            yield from clear_interlock(reactor)
        try:
            return (yield from work())
        except (Interrupted, InterlockTripped) as fault:
            if not left or (isinstance(fault, InterlockTripped) and reactor.interlock.tripped):
                raise
            log.warning("%s", fault)
    raise AssertionError("unreachable")


def asked(function: Callable[[], T]) -> MsgGenerator[T]:
    """Ask the machine something, from a thread that may use Channel Access, so that the RunEngine stays responsive.

    Raises:
        SDLError: what the function raises.
    """
    found: list[T] = []

    def make() -> Status:
        status = Status()

        def run() -> None:
            try:
                found.append(function())
            except Exception as fault:
                fail(status, fault)
            else:
                finish(status)

        ca_thread(run, "ask").start()
        return status

    waiter: Any = Await(make, "question")
    try:
        yield from bps.trigger(waiter, wait=True)
    except FailedStatus as fault:
        cause = cause_of(fault)
        if cause is None:
            raise
        raise cause from fault
    return found[-1]


def hold(reactor: MOCVD, watch: Watch, duration_s: float) -> MsgGenerator[None]:
    """Let process time pass (simulated seconds on a twin)."""
    if duration_s > 0:
        yield from watch.wait(f"{duration_s:g} s", lambda: reactor.clock.after(duration_s))


def steady(
    reactor: MOCVD, watch: Watch, wanted: Sequence[tuple[Positioner, float]], settle_s: float, tries_left: int
) -> MsgGenerator[None]:
    """Wait until readbacks are all within their tolerances at once, after overshoots.

    Args:
        reactor: the machine.
        watch: the try that it is part of.
        wanted: positioners and where they shall be.
        settle_s: wait before each look.
        tries_left: most looks.

    Raises:
        MoveTimeout: names everything that does not settle.
    """
    off: list[str] = []
    for _ in range(tries_left):
        yield from hold(reactor, watch, settle_s)
        off = [
            f"{one.name} is {one.position:g} {one.egu}, not {goal:g}"
            for one, goal in wanted
            if not abs(one.position - goal) <= one.atol + one.rtol * abs(goal)
        ]
        if not off:
            return
    raise MoveTimeout(f"not steady after {tries_left} times {settle_s:g} s: {'; '.join(off)}")


def save(record: Record, stream: str) -> MsgGenerator[None]:
    """Write an event once, also when the RunEngine is paused right here: these messages are not replayed."""
    readable: Any = record

    def event() -> MsgGenerator[None]:
        yield from bps.create(name=stream)
        yield from bps.read(readable)
        yield from bps.save()

    yield from bps.checkpoint()
    yield from bpp.rewindable_wrapper(event(), False)


def safe_end(reactor: MOCVD) -> MsgGenerator[None]:
    """For finalizers: group III and heater off at once, phosphine on until the surface is cold, then shut, then purge.

    What cannot be done (a lost connection, an alarm that has taken the phosphine) is logged and left to the IOC.
    """
    yield from make_safe(reactor)
    waiter: Any = Await(lambda: reactor.protection.done(reactor.spec.cool_timeout_s), "protection")
    try:
        yield from bps.trigger(waiter, wait=True)
    except FailedStatus as fault:
        log.error("%s: %s", reactor.name, cause_of(fault) or fault)


class GrowthWatch(Watch):
    """A try at growing, for which what is done to the instruments does not count.

    A trip fails what is waited for a moment later than it could: a suspender of the RunEngine, which is told of it at the
    same time, must have its say first. A failure that reaches a RunEngine while it suspends ends the suspension, and the
    plan would go on into a tripped machine. The machine itself does not wait.
    """

    def __init__(self, reactor: MOCVD) -> None:
        super().__init__(reactor, reactor.growers)

    def _held(self, name: str, make: Callable[[], StatusBase]) -> StatusBase:
        inner, outer = super()._held(name, make), Status()

        def over(_: StatusBase) -> None:
            error = inner.exception()
            if inner.success:
                finish(outer)
            elif isinstance(error, InterlockTripped):
                timer = threading.Timer(SUSPENDERS_S, lambda: self._decide(outer, error))
                timer.daemon = True
                timer.start()
            else:
                fail(outer, error if isinstance(error, Exception) else DeviceError(f"{name} failed: {inner}"))

        inner.add_callback(over)
        watch = getattr(inner, "watch", None)  # for progress bars
        if watch is not None:
            setattr(outer, "watch", watch)  # noqa: B010
        return outer

    def _decide(self, outer: Status, error: Exception) -> None:
        if self.interrupted:
            finish(outer)
        else:
            fail(outer, error)


def watch_growth(reactor: MOCVD) -> Watch:
    """A try at growing."""
    return GrowthWatch(reactor)


def watch_instrument(reactor: MOCVD, instrument: Pausing) -> Watch:
    """A try at measuring: what is done to the reactor does not count."""
    return Watch(reactor, [instrument])
