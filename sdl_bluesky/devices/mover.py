"""Setpoint and readback as one movable thing that either arrives or says why not."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.positioner import PositionerBase

from sdl_bluesky.errors import DeviceError, InterlockTripped, MoveTimeout, OutOfRange

from .base import LabDevice, log, put_now
from .move_status import Move
from .status import ca_thread, fail, finish
from .words import NoOffset


class Mover(LabDevice, PositionerBase):  # type: ignore[misc]
    """Base of everything with a setpoint and a readback.

    A move fails, with a typed error, when the value is not allowed (OutOfRange, before anything is sent), the IOC
    refuses it (DeviceError, or InterlockTripped), the readback does not arrive in time (MoveTimeout), the IOC hangs
    (StaleReading) or goes away (Disconnected), or an interlock trips (InterlockTripped).

    `stop()` only ends the move's status. It never writes: the RunEngine calls it at the end of every plan, and a
    setpoint written there could undo a ramp to zero that a finalizer has just begun.

    Attributes:
        timeout_s: real seconds within which a move must be done.
        safe_target: the position that makes the machine safe; allowed, and not failed by, a tripped interlock.
        needs_interlock: a move to any other position needs the interlock.
        unknown: what `position` is when no readback can be trusted.
    """

    unknown: Any = math.nan
    readback: Cpt[EpicsSignalRO]
    setpoint: Cpt[EpicsSignal]
    user_offset = NoOffset()

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        timeout_s: float,
        safe_target: Any = None,
        needs_interlock: bool = False,
        **kwargs: Any,
    ) -> None:
        self._target: tuple[Move, Any] | None = None
        self._accepted = False
        self._move_lock = threading.RLock()
        self.safe_target = safe_target
        self.needs_interlock = needs_interlock
        self.timeout_s = timeout_s
        super().__init__(prefix, name=name, timeout=timeout_s, **kwargs)
        self.readback.name = self.name
        self.readback.subscribe(self._readback_changed)

    # what a subclass says about its values
    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Raise OutOfRange if a position is not allowed; sends nothing."""
        self._checked(value)

    def _checked(self, position: Any) -> Any:
        raise NotImplementedError

    def _raw(self, target: Any) -> Any:
        """What is written to the setpoint record."""
        return target

    def _is_accepted(self, raw: Any, target: Any) -> bool:
        return bool(raw == self._raw(target))

    def _reached(self, position: Any, target: Any) -> bool:
        raise NotImplementedError

    # moving
    def set(  # type: ignore[override]
        self, new_position: Any, *, timeout: float | None = None, moved_cb: Callable[..., None] | None = None
    ) -> Move:
        """Start a move; see `move`."""
        return self.move(new_position, wait=False, timeout=timeout, moved_cb=moved_cb)

    def move(  # type: ignore[override]
        self,
        position: Any,
        wait: bool = True,
        timeout: float | None = None,
        moved_cb: Callable[..., None] | None = None,
    ) -> Move:
        """Move, and wait if asked to.

        Raises:
            OutOfRange, InterlockTripped, StaleReading, Disconnected: nothing was sent.
        """
        target = self._checked(position)
        limit_s = self.timeout_s if timeout is None else float(timeout)
        if not (math.isfinite(limit_s) and limit_s > 0):
            raise OutOfRange(f"{self.name}: the timeout must be a positive number of seconds, not {limit_s}")
        safe = self.safe_target is not None and target == self.safe_target
        needs_interlock = self.needs_interlock and not safe
        if self.liveness is not None and not safe:
            self.liveness.check(interlock=needs_interlock)
        status = Move(self, target, self._position)
        with self._move_lock:
            put_now(self.setpoint, self._raw(target))
            superseded, self._target, self._accepted = self._target, (status, target), False
        if superseded is not None:
            superseded[0].superseded = True
            finish(superseded[0])
        status.add_callback(self._forget)
        if moved_cb is not None:
            status.add_callback(functools.partial(moved_cb, obj=self))
        if self.liveness is not None:
            self.liveness.guard(status, interlock=needs_interlock)
        ca_thread(lambda: self._follow(status, target, limit_s), f"move {self.name}").start()
        if wait:
            status.wait()
        return status

    def _follow(self, status: Move, target: Any, limit_s: float) -> None:
        """Ask the IOC whether it took the setpoint, then wait for the readback; ends with the move."""
        over = threading.Event()
        status.add_callback(lambda _: over.set())
        end = time.monotonic() + limit_s
        try:
            while not over.is_set() and time.monotonic() < end:
                try:
                    raw = self.setpoint.get(use_monitor=False, timeout=1.0, connection_timeout=0.5)
                except Exception as exc:  # a timeout, or the connection broke: liveness or the timeout will tell
                    log.debug("%s: the setpoint could not be asked for: %s", self.name, exc)
                    over.wait(0.1)
                    continue
                if not self._is_accepted(raw, target):
                    with self._move_lock:  # a newer move may just have been sent: then its setpoint was read
                        superseded = self._target is None or self._target[0] is not status
                    if not superseded:
                        fail(status, self._refusal(target, raw))
                    return
                break
            with self._move_lock:
                if self._target is None or self._target[0] is not status:
                    return
                self._accepted = True
            self._evaluate(self._position)
            if not over.wait(max(0.0, end - time.monotonic())):
                fail(
                    status,
                    MoveTimeout(
                        f"{self.name} did not reach {target} {self.egu} within {limit_s:g} s: "
                        f"the readback is {self._position} {self.egu}"
                    ),
                )
        except Exception as exc:
            log.exception("%s: following a move failed", self.name)
            fail(status, exc)

    def _refusal(self, target: Any, raw: Any) -> Exception:
        text = f"{self.name}: the IOC refused {target} {self.egu} and keeps {raw}"
        interlock = self.liveness.interlock if self.liveness is not None else None
        if interlock is not None and interlock.tripped:
            return InterlockTripped(f"{text}; {interlock.explain()}")
        return DeviceError(f"{text} (or another client changed it at the same moment)")

    def _readback_changed(self, value: Any = None, timestamp: float | None = None, **_: Any) -> None:
        self._set_position(value, timestamp=timestamp)
        underway = self._target
        if underway is None:
            return
        try:
            underway[0].progress(value)
            self._evaluate(value)
        except Exception as exc:  # ophyd would only log it
            fail(underway[0], exc)

    def _forget(self, status: Any) -> None:
        """A move is over, however it ended."""
        with self._move_lock:
            if self._target is not None and self._target[0] is status:
                self._target = None

    def _evaluate(self, position: Any) -> None:
        with self._move_lock:
            if self._target is None or not self._accepted or position is None:
                return
            status, target = self._target
            if not self._reached(position, target):
                return
            self._target = None
        finish(status)

    def stop(self, *, success: bool = False) -> None:
        """End the status of a move that is under way; the machine goes on to its setpoint. Writes nothing."""
        with self._move_lock:
            ended, self._target = self._target, None
        if ended is None:
            return
        if success:
            finish(ended[0])
        else:
            fail(ended[0], DeviceError(f"the move of {self.name} to {ended[1]} {self.egu} was stopped"))

    # pausing: the RunEngine only tells objects that it has seen in messages, so a part tells its owner
    def pause(self) -> None:
        """Called by the RunEngine: hands on to the device that this is a part of."""
        if isinstance(self.parent, LabDevice) and hasattr(self.parent, "pause"):
            self.parent.pause()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Called by the RunEngine: nothing moves by itself; the plan goes on from its checkpoint."""

    @property
    def position(self) -> Any:
        """The last readback, or `unknown` when there is none that can be trusted (the IOC hangs or is gone).

        It does not raise, because `%wa` could not bear that; `read()` does.
        """
        problem = self.liveness.problem() if self.liveness is not None else None
        if problem is not None or self._position is None or not self.readback.connected:
            return self.unknown
        return self._position

    @property
    def precision(self) -> int:
        """Digits after the point that make sense to show."""
        return 0

    @property
    def moving(self) -> bool:
        """True from the put until the readback is there."""
        return self._target is not None

    @property
    def hints(self) -> dict[str, list[str]]:
        """The readback is what a plot shows."""
        return {"fields": [self.name]}
