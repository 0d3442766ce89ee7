"""Small pieces that the plans are made of."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator, RunEngineControlException

from sdl_bluesky.devices import Await, Chamber, Machine, QCMStream, cause_of, make_safe_now
from sdl_bluesky.errors import DeviceError, PlasmaError, SDLError
from sdl_bluesky.physics.qcm import LEAST_FREQUENCIES
from sdl_bluesky.plans.watch import Interrupted, Watch

log = logging.getLogger(__name__)
T = TypeVar("T")
LONGER = 60
"""How often a second more is waited for rows."""


class Attempt(Watch):
    """One try of an experiment on a sputter chamber, with the stream of its QCMs; see `Watch`.

    Args:
        chamber: the machine.
        sources: names of the sources that take part.
    """

    def __init__(self, chamber: Chamber, sources: Iterable[str]) -> None:
        names = list(sources)
        super().__init__(chamber, [*(chamber.source(s) for s in names), chamber.substrate])
        self.chamber = chamber
        self.stream: QCMStream = chamber.stream(names)
        self.streaming = False
        self.flow_per_pressure: float | None = None  # sccm/mTorr, once it was seen

    @property
    def beside(self) -> bool:
        """Whether the stream runs."""
        return self.streaming

    def look_after(self) -> MsgGenerator[None]:
        """Put the rows of the stream so far into documents."""
        flyer: Any = self.stream
        yield from bps.collect(flyer)

    def hold(self, duration_s: float) -> MsgGenerator[None]:
        """Let process time pass (simulated seconds on a twin)."""
        yield from self.wait(f"{duration_s:g} s", lambda: self.chamber.clock.after(duration_s))

    def zero_rate(self, duration_s: float) -> MsgGenerator[tuple[float, float]]:
        """Let process time pass while the stream runs with closed shutters; more of it if an instrument that stood still
        left too few rows for a slope.

        Returns:
            From when to when [s].

        Raises:
            DeviceError: the stream gives no rows though time passes.
        """
        begin = self.chamber.clock.now_s
        yield from self.hold(duration_s)
        for _ in range(LONGER):
            if (self.stream.data()["clock_time"] >= begin).sum() >= LEAST_FREQUENCIES:
                return begin, self.chamber.clock.now_s
            yield from self.hold(1.0)
        raise DeviceError(
            f"{self.stream.name}: fewer than {LEAST_FREQUENCIES} rows in {self.chamber.clock.now_s - begin:g} s with closed "
            "shutters: do the QCMs send frequencies?"
        )

    def kickoff(self) -> MsgGenerator[None]:
        """Begin to stream."""
        flyer: Any = self.stream
        yield from bps.kickoff(flyer, wait=True)
        self.streaming = True

    def finish(self) -> MsgGenerator[None]:
        """End the stream and put its last rows into documents."""
        flyer: Any = self.stream
        yield from bps.stop(flyer)
        yield from self.look_after()
        self.streaming = False


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


def make_safe(*machines: Machine) -> MsgGenerator[None]:
    """Close every shutter and switch off what can be unsafe, each step on its own; for finalizers.

    What cannot be done (a lost connection) is logged and left to the interlocks of the IOC.
    """
    for machine in machines:
        yield from in_thread(lambda m=machine: make_safe_now(m))


def again(machine: Machine, work: Callable[[], MsgGenerator[T]], attempts: int) -> MsgGenerator[T]:
    """Do a piece of work; after an interruption from its beginning, once the machine is safe and its interlock clear.

    Raises:
        Interrupted: it was interrupted too often.
        SDLError: whatever ended it, or keeps it from beginning.
    """
    for left in reversed(range(attempts)):
        yield from in_thread(machine.wait_until_settled)
        yield from clear_interlock(machine)
        try:
            return (yield from work())
        except Interrupted as fault:
            if not left:
                raise
            log.warning("%s", fault)
    raise AssertionError("unreachable")


def run_safely(
    machine: Machine, plan: MsgGenerator[Any], start: Mapping[str, Any], opened: list[str]
) -> MsgGenerator[None]:
    """Run a plan as one run that leaves the machine safe, however it ends.

    Args:
        machine: made safe at the end.
        plan: what happens inside of the run.
        start: metadata of the run.
        opened: gets the uid of the run at once.

    Raises:
        SDLError: what ended the plan; it carries the uid of the run as a note and as `run_uid`.
    """
    try:
        safe = bpp.finalize_wrapper(plan, lambda: make_safe(machine))
        yield from recorded(safe, {"purpose": "experiment", **start}, opened)
    except SDLError as fault:
        fault.add_note(f"run {opened[0]}" if opened else "no run was opened")
        if isinstance(fault, PlasmaError):
            fault.add_note(fault.seen)
        fault.run_uid = opened[0] if opened else ""  # type: ignore[attr-defined]
        raise


def clear_interlock(machine: Machine) -> MsgGenerator[None]:
    """Reset a latched interlock whose inputs are all good again.

    Raises:
        InterlockTripped: an input is still bad; nothing was moved.
        StaleReading, Disconnected: the IOC does not answer.
    """
    machine.liveness.check()
    if not machine.interlock.tripped:
        return
    log.warning("%s", machine.interlock.explain())
    if set(machine.interlock.bad_inputs) - {"HEARTBEAT"}:
        raise machine.interlock.error()
    reset: Any = Await(machine.interlock.reset, "interlock reset")
    try:
        yield from bps.trigger(reset, wait=True)
    except FailedStatus as fault:
        cause = cause_of(fault)
        if cause is None:
            raise
        raise cause from fault
