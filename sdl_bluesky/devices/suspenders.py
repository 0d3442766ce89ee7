"""Suspenders that know alarms and interlocks (bluesky's own look at values only).

    RE.install_suspender(SuspendOnAlarm(chamber.gauge.pressure, Severity.INVALID, sleep=2.0))
    RE.install_suspender(SuspendOnInterlock(chamber.interlock))

A suspended plan is rewound to its last checkpoint: `stop()` and `pause()` of its devices are called, which close
shutters and take powers to zero, and when the reason is gone the messages since the checkpoint are sent again. Without
a checkpoint the plan is aborted instead.
"""

from __future__ import annotations

from typing import Any

from bluesky.suspenders import SuspenderBase
from ophyd.signal import Signal
from ophyd.utils.epics_pvs import AlarmSeverity

from .base import severity
from .interlock import AnyInterlock

TRIES = 50
"""Each as long as bluesky waits."""


class Suspender(SuspenderBase):
    """A suspender that does not give up: the RunEngine's thread, which must take note, may be reading devices just now.

    bluesky waits 0.1 s for it; then the suspension would be lost until the signal's next update.
    """

    def __call__(self, value: Any = None, **kwargs: Any) -> None:
        """Called by ophyd at every update."""
        for left in reversed(range(TRIES)):
            try:
                super().__call__(value, **kwargs)
                return
            except RuntimeError:
                if not left:
                    raise


class SuspendOnAlarm(Suspender):
    """Suspend while a signal's alarm is at least as severe as a limit.

    Args:
        signal: what is watched.
        limit: the least severity that suspends (MINOR, MAJOR or INVALID).
        sleep: seconds to wait after the alarm has gone, before the plan goes on.
    """

    def __init__(self, signal: Signal, limit: AlarmSeverity = AlarmSeverity.INVALID, **kwargs: Any) -> None:
        self.limit = AlarmSeverity(limit)
        kwargs.setdefault("tripped_message", f"{signal.name} is in alarm, {self.limit.name} or worse")
        super().__init__(signal, **kwargs)

    def __call__(self, value: Any = None, **kwargs: Any) -> None:
        """Called by ophyd at every update, also when only the alarm has changed."""
        found = kwargs.get("severity")
        super().__call__(severity(self._sig) if found is None else AlarmSeverity(int(found)), **kwargs)

    def _should_suspend(self, value: Any) -> bool:
        return bool(value >= self.limit)

    def _should_resume(self, value: Any) -> bool:
        return bool(value < self.limit)


class SuspendOnInterlock(Suspender):
    """Suspend while the interlock is tripped; goes on after a reset.

    Note that statuses under way fail with InterlockTripped at the same time, and that a plan that does not handle that
    ends: this suspender is for what comes next (the next step of a campaign does not start into a tripped machine).
    """

    def __init__(self, interlock: AnyInterlock, **kwargs: Any) -> None:
        self.interlock = interlock
        super().__init__(interlock.ok, **kwargs)

    def _should_suspend(self, value: Any) -> bool:
        return int(value) == 0

    def _should_resume(self, value: Any) -> bool:
        return int(value) == 1

    def _get_justification(self) -> str:
        return self.interlock.explain() if self.tripped else ""
