"""When has a stream taken enough?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange

Rows = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StreamGoal:
    """When a stream has taken enough.

    Attributes:
        reached: gets the rows so far (as `QCMStream.data()` returns them) after every new row, in a thread of the
            stream; True ends the stream. An exception that it raises (PlasmaError, say) fails the stream's status with
            it. Called at most once per row; if it is slower than the rows come, it sees several new rows at once.
        duration_s: process time [s] after which the stream ends anyway; None = never.
        timeout_s: real time [s] after which the stream has failed; made from `duration_s` if None.
        min_rows: `reached` is not asked before there are so many rows.
    """

    reached: Callable[[Rows], bool] | None = None
    duration_s: float | None = None
    timeout_s: float | None = None
    min_rows: int = 2

    def __post_init__(self) -> None:
        for label, value in (("duration_s", self.duration_s), ("timeout_s", self.timeout_s)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OutOfRange(f"stream goal: {label} is {value}; it must be a positive number of seconds")
        if self.reached is not None and self.duration_s is None and self.timeout_s is None:
            raise OutOfRange("stream goal: give duration_s or timeout_s, or the stream might never end")

    @property
    def limit_s(self) -> float | None:
        """Real seconds after which the stream has failed; process time is never slower than real time."""
        if self.timeout_s is not None:
            return self.timeout_s
        return None if self.duration_s is None else 1.5 * self.duration_s + 10.0
