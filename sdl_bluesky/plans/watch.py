"""One try of a piece of work on a machine, which notes whether the machine was made safe meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator
from ophyd.status import Status, StatusBase

from sdl_bluesky.devices import Await, Machine, Pausing, all_of, cause_of
from sdl_bluesky.devices.status import fail, finish
from sdl_bluesky.errors import DeviceError

FLUSH_PERIOD_S = 0.5
"""Real seconds between two looks after what runs beside a wait: what a crash can cost of a stream."""


class Interrupted(DeviceError):
    """The machine was made safe in the middle of an experiment (pause, suspension): it must be done again."""


class Watch:
    """One try.

    A pause closes shutters and switches off, and nothing starts again by itself. So data from before and after a pause
    never belong together: each wait ends at once after an interruption, and `check` then ends the try.

    Args:
        machine: what is worked on.
        watched: the devices whose interruptions count; by default everything of the machine that can be unsafe.
    """

    def __init__(self, machine: Machine, watched: Iterable[Pausing] | None = None) -> None:
        self._watched = list(machine.safe_owners if watched is None else watched)
        self._before = self._count()

    def _count(self) -> int:
        return sum(device.interruptions for device in self._watched)

    @property
    def interrupted(self) -> bool:
        """Whether the machine was made safe since the try began."""
        return self._count() != self._before

    def check(self) -> None:
        """End the try if it was interrupted.

        Raises:
            Interrupted: it was.
        """
        if self.interrupted:
            raise Interrupted(
                "the machine was made safe in the middle of the experiment; it is done again from the start"
            )

    @property
    def beside(self) -> bool:
        """Whether something runs beside the waits that `look_after` must see to."""
        return False

    def look_after(self) -> MsgGenerator[None]:
        """See to what runs beside a wait."""
        yield from bps.null()

    def wait(self, name: str, make: Callable[[], StatusBase]) -> MsgGenerator[None]:
        """Wait for a status that is made when the wait begins.

        A checkpoint stands right before, so that a pause repeats this wait and nothing else.

        Raises:
            Interrupted: the machine was made safe meanwhile.
            SDLError: whatever made the status fail.
        """
        yield from bps.checkpoint()
        group = f"{name}-{uuid.uuid4()}"
        waiter: Any = Await(lambda: self._held(name, make), name)
        try:
            yield from bps.trigger(waiter, group=group)
            done = False
            while not done:
                limits = {"timeout": FLUSH_PERIOD_S, "error_on_timeout": False} if self.beside else {}
                done = yield from bps.wait(group=group, **limits)
                if self.beside:
                    yield from self.look_after()
                else:
                    done = True
        except FailedStatus as fault:
            self.check()
            cause = cause_of(fault)
            if cause is None:
                raise
            raise cause from fault
        self.check()

    def _held(self, name: str, make: Callable[[], StatusBase]) -> StatusBase:
        """The status that the RunEngine waits for. After an interruption it ends well, however the work ends then: a
        failure that comes late, when the plan has gone on, would be thrown into whatever is done at that time.
        """
        held = Status()
        if self.interrupted:
            finish(held)
            return held
        status = make()

        def over(_: StatusBase) -> None:
            error = status.exception()
            if status.success or self.interrupted:
                finish(held)
            else:
                fail(held, error if isinstance(error, Exception) else DeviceError(f"{name} failed: {status}"))

        status.add_callback(over)
        watch = getattr(status, "watch", None)  # for progress bars
        if watch is not None:
            setattr(held, "watch", watch)  # noqa: B010
        return held

    def move(self, *pairs: Any) -> MsgGenerator[None]:
        """Move devices one after the other: device, value, device, value, ...

        Raises:
            Interrupted, SDLError: as `wait`.
        """
        for device, value in zip(pairs[::2], pairs[1::2], strict=True):
            yield from self.wait(device.name, lambda d=device, v=value: d.set(v))

    def move_together(self, *pairs: Any) -> MsgGenerator[None]:
        """Move devices at the same time; as `move`."""
        chosen = list(zip(pairs[::2], pairs[1::2], strict=True))
        names = ", ".join(device.name for device, _ in chosen)
        yield from self.wait(names, lambda: all_of(*(device.set(value) for device, value in chosen)))
