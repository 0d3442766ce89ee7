"""Interlocks that latch, and the watchdog of the client's heartbeat; real seconds, handed in by the caller."""

from __future__ import annotations

from collections.abc import Sequence


class Interlock:
    """A chain of inputs with a latched summary.

    Args:
        inputs: their names; of two that turn bad together the first is the cause.

    Attributes:
        bad: live state of each input.
        ok: the summary; once an input was bad it stays False until `reset`.
        cause: the first bad input since the last reset.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.bad: dict[str, bool] = dict.fromkeys(inputs, False)
        self.ok = True
        self.cause = ""

    def update(self, **inputs: bool) -> bool:
        """Take in new states (True = bad).

        Returns:
            True when the chain has tripped just now.
        """
        self.bad.update(inputs)
        if self.ok and self.any_bad:
            self.ok = False
            self.cause = next(name for name, bad in self.bad.items() if bad)
            return True
        return False

    @property
    def any_bad(self) -> bool:
        """Whether an input is bad now."""
        return any(self.bad.values())

    def reset(self) -> bool:
        """Acknowledge; refused (False) while an input is bad."""
        if self.any_bad:
            return False
        self.ok, self.cause = True, ""
        return True


class Watchdog:
    """Bad when the instrument is energised and no heartbeat came for `timeout_s`; good again with the next heartbeat.

    The time counts from the later of the last heartbeat and the moment when the instrument became energised, so that a
    client has one full timeout to begin.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._seen_s: float | None = None
        self._energised_since_s: float | None = None
        self.bad = False

    def beat(self, now_s: float) -> None:
        """A client has written the heartbeat."""
        self._seen_s = now_s
        self.bad = False

    def alive(self, now_s: float) -> bool:
        """Whether a client has written the heartbeat within the timeout."""
        return self._seen_s is not None and not self.bad and now_s - self._seen_s <= self.timeout_s

    def check(self, now_s: float, energised: bool) -> bool:
        """Whether the input is bad at this time."""
        if not energised:
            self._energised_since_s = None
            return self.bad
        if self._energised_since_s is None:
            self._energised_since_s = now_s
        since = self._energised_since_s if self._seen_s is None else max(self._seen_s, self._energised_since_s)
        if now_s - since > self.timeout_s:
            self.bad = True
        return self.bad

    def trip(self) -> None:
        """Declare the client lost (the simulator itself was frozen and does not know)."""
        self.bad = True
