"""A quantity that wanders slowly about zero."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Wander:
    """An Ornstein-Uhlenbeck process, stepped exactly.

    Attributes:
        sd: its standard deviation in the long run.
        time_s: correlation time.
        value: where it is.
    """

    sd: float
    time_s: float
    value: float = 0.0

    def step(self, dt_s: float, normal: float) -> None:
        """Go on by dt with a standard normal number."""
        kept = math.exp(-dt_s / self.time_s)
        self.value = kept * self.value + self.sd * math.sqrt(1 - kept * kept) * normal
