"""When enough is enough. Each rule is a function of what is known, with no memory: (stop, reason)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from sdl_bluesky.errors import OutOfRange


@dataclass(frozen=True)
class Budget:
    """Stop after a number of experiments, failed ones included."""

    experiments: int

    def __post_init__(self) -> None:
        if isinstance(self.experiments, bool) or not isinstance(self.experiments, Integral) or self.experiments < 1:
            raise OutOfRange(f"budget = {self.experiments}: give a whole number of experiments, 1 or more")

    def check(self, measured: int, failed: int) -> tuple[bool, str]:
        """Whether the budget is used up."""
        if measured + failed < self.experiments:
            return False, ""
        return True, f"budget of {self.experiments} experiments used: {measured} measured, {failed} failed"


@dataclass(frozen=True)
class PredictedError:
    """Stop when the predicted error stays below a tolerance.

    Attributes:
        tolerance: predicted RMS error over the domain, as a fraction of the mean (0.03 = 3 %).
        in_a_row: how many times in a row it must be below.
    """

    tolerance: float
    in_a_row: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, Real) or not 0 < self.tolerance < 1:
            raise OutOfRange(f"tolerance = {self.tolerance}: give a fraction of the mean between 0 and 1, e.g. 0.03")

    def check(self, errors: Sequence[float]) -> tuple[bool, str]:
        """Whether the latest predicted errors (fractions, oldest first) are all below the tolerance."""
        latest = list(errors)[-self.in_a_row :]
        if len(latest) < self.in_a_row or not all(e < self.tolerance for e in latest):
            return False, ""
        text = ", ".join(f"{100 * e:.2f} %" for e in latest)
        return True, f"predicted error below {100 * self.tolerance:g} % {self.in_a_row} times in a row: {text}"
