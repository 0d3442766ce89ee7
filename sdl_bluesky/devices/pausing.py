"""Devices that can be unsafe: they make themselves safe on a pause, and never start again by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .base import LabDevice, log

SafeStep = tuple[str, Callable[[], None]]


class Pausing(LabDevice):
    """A device that makes itself safe when the RunEngine pauses, and never starts again by itself.

    Attributes:
        interruptions: grows (by one or more) at every pause, suspension, abort or other reason to make the machine
            safe. A plan notes it before it takes data and compares afterwards: if it has grown, data from before and
            after must not be put together.
    """

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        self.interruptions = 0
        self._unsettled = 0
        self._settled = threading.Condition()
        super().__init__(prefix, name=name, **kwargs)

    def interrupt(self) -> None:
        """Count an interruption whose safe puts are about to be sent; `settle` must follow."""
        with self._settled:
            self.interruptions += 1
            self._unsettled += 1

    def settle(self) -> None:
        """The safe puts of an `interrupt` have been sent."""
        with self._settled:
            self._unsettled -= 1
            self._settled.notify_all()

    def wait_until_settled(self, timeout_s: float) -> bool:
        """Wait until no safe puts are on their way, which would undo what is done next; False if `timeout_s` came first."""
        with self._settled:
            return self._settled.wait_for(lambda: self._unsettled == 0, timeout_s)

    def safe_steps(self) -> list[SafeStep]:
        """What makes this device safe: (what, call) each independent of the others; a call sends and does not wait."""
        raise NotImplementedError

    def pause(self) -> None:
        """Make safe at once, without waiting; each step on its own. The RunEngine calls this on a pause."""
        self.interrupt()
        for what, step in self.safe_steps():
            try:
                step()
            except Exception as exc:
                log.error("pausing: %s failed: %s", what, exc)
        self.settle()

    def resume(self) -> None:
        """Does nothing on purpose: nothing re-ignites or opens by itself; the plan goes on from its checkpoint."""
