"""The status of a move, with progress for bars."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ophyd.status import DeviceStatus

if TYPE_CHECKING:
    from .positioner import Mover


class Move(DeviceStatus):
    """One move of one positioner.

    Attributes:
        target: where it goes.
        superseded: a newer move of the same positioner ended this one; it counts as done, because whoever started the
            newer one gave up the older.
    """

    def __init__(self, mover: Mover, target: Any, initial: Any) -> None:
        self.target = target
        self.superseded = False
        self._initial = initial
        self._started = time.monotonic()
        super().__init__(mover, call_stop_on_failure=False)

    def watch(self, func: Callable[..., None]) -> None:
        """Have `func` called at every readback with the keywords that bluesky's progress bars take."""
        self._watchers.append(func)

    def progress(self, position: Any) -> None:
        """Tell the watchers where the positioner is."""
        if not self._watchers or self.done:
            return
        elapsed = time.monotonic() - self._started
        remaining = None
        if isinstance(position, float) and isinstance(self._initial, float) and self._initial != self.target:
            remaining = min(1.0, abs(self.target - position) / abs(self.target - self._initial))
        for watcher in self._watchers:
            watcher(
                name=self.device.name,
                current=position,
                initial=self._initial,
                target=self.target,
                unit=self.device.egu,
                precision=self.device.precision,
                fraction=remaining,
                time_elapsed=elapsed,
                time_remaining=None,
            )

    def __repr__(self) -> str:
        return f"Move({self.device.name} to {self.target} {self.device.egu}, done={self.done}, success={self.success})"

    __str__ = __repr__
