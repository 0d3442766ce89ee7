"""Statuses that cannot hang: helpers around `ophyd.status`, used by every device of the lab.

An exception inside an ophyd callback is only logged, so everything here catches it and fails the status instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ophyd import get_cl
from ophyd.signal import Signal
from ophyd.status import Status, StatusBase
from ophyd.utils import InvalidState

from sdl_bluesky.errors import DeviceError, SDLError

if TYPE_CHECKING:
    from .liveness import Liveness

log = logging.getLogger(__name__)


def finish(status: StatusBase) -> bool:
    """Mark a status as successful; False (and nothing happens) when it was over already."""
    try:
        status.set_finished()
    except InvalidState:
        return False
    return True


def fail(status: StatusBase, error: Exception) -> bool:
    """Mark a status as failed; False (and nothing happens) when it was over already."""
    try:
        status.set_exception(error)
    except InvalidState:
        return False
    return True


def ca_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """A daemon thread that may use Channel Access (it joins the context of the process). Not started yet."""
    thread: threading.Thread = get_cl().thread_class(target=target, name=name)
    thread.daemon = True
    return thread


def deadline(status: StatusBase, timeout_s: float, error: Callable[[], Exception]) -> None:
    """Fail a status with `error()` if it is not over after `timeout_s` real seconds."""

    def expire() -> None:
        if status.done:
            return
        try:
            problem = error()
        except Exception as exc:
            log.exception("the message of a timeout could not be made")
            problem = exc
        fail(status, problem)

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    status.add_callback(lambda _: timer.cancel())
    timer.start()


def until(
    signal: Signal,
    condition: Callable[[Any], bool],
    *,
    timeout_s: float,
    error: Callable[[Any], Exception] | None = None,
    liveness: Liveness | None = None,
    interlock: bool = True,
) -> Status:
    """A status that is done when `condition(value)` holds for a signal, now or at a later update.

    Args:
        signal: what is watched, by subscription.
        condition: gets the value; an exception that it raises fails the status with that exception.
        timeout_s: real seconds after which the status fails.
        error: makes the exception of a timeout from the last value; a DeviceError that names signal and value if None.
        liveness: fails the status when the IOC hangs or disconnects.
        interlock: with `liveness`, also when the interlock trips.
    """
    status = Status(obj=signal)
    seen: dict[str, Any] = {"value": None}

    def watch(value: Any = None, **_: Any) -> None:
        seen["value"] = value
        if status.done:
            return
        try:
            if condition(value):
                finish(status)
        except Exception as exc:
            fail(status, exc)

    def expired() -> Exception:
        if error is not None:
            return error(seen["value"])
        return DeviceError(f"{signal.name} is {seen['value']!r} after {timeout_s:g} s and never was as awaited")

    token = signal.subscribe(watch, run=True)
    status.add_callback(lambda _: signal.unsubscribe(token))
    deadline(status, timeout_s, expired)
    if liveness is not None:
        liveness.guard(status, interlock=interlock)
    return status


def all_of(*statuses: StatusBase) -> Status:
    """A status that is done when all of these are; it fails at once, with its error, when one of them fails.

    (ophyd's own ``a & b`` loses the error.)
    """
    whole = Status()
    left = len(statuses)
    lock = threading.Lock()

    def over(status: StatusBase) -> None:
        nonlocal left
        if not status.success:
            error = status.exception()
            fail(whole, error if isinstance(error, Exception) else DeviceError(f"{status} failed"))
            return
        with lock:
            left -= 1
            last = left == 0
        if last:
            finish(whole)

    for status in statuses:
        status.add_callback(over)
    if not statuses:
        finish(whole)
    return whole


class Await:
    """Lets a plan wait for a status that a call makes: `yield from bps.trigger(Await(call, "name"), wait=True)`.

    The call is made when the RunEngine processes the message, and again if the message is replayed after a pause.
    """

    parent = None

    def __init__(self, call: Callable[[], StatusBase], name: str) -> None:
        self.name = name
        self._call = call

    def __repr__(self) -> str:
        return f"Await({self.name!r})"

    def trigger(self) -> StatusBase:
        """Make the status."""
        return self._call()


def cause_of(error: BaseException) -> SDLError | None:
    """The typed error behind what a plan caught.

    The RunEngine throws `bluesky.utils.FailedStatus` into a plan when a status fails; the device's own error is its
    cause. Returns that, or the error itself if it is typed, or None.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, SDLError):
            return found
        found = found.__cause__
    return None
