"""When enough is enough. Each rule is a function of what is known, with no memory: (stop, reason)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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


@dataclass(frozen=True)
class TargetLife:
    """Stop before the target has had more energy than it may.

    Attributes:
        energy_kWh: energy on the target at which it is used up.
    """

    energy_kWh: float

    def __post_init__(self) -> None:
        number = isinstance(self.energy_kWh, Real) and not isinstance(self.energy_kWh, bool)
        if not number or not 0 < self.energy_kWh < float("inf"):
            raise OutOfRange(f"target_life = {self.energy_kWh}: give an energy above 0 kWh")

    def check(self, energies: Sequence[float]) -> tuple[bool, str]:
        """Whether one more experiment could pass the limit.

        Args:
            energies: on the target [kWh], as read with each experiment, oldest first; the next one is taken to need as much
                as the thirstiest so far. A reading that falls is a new target, which begins anew.
        """
        last = list(energies)
        if not last:
            return False, ""
        steps = [b - a for a, b in pairwise(last) if b >= a]
        need = max(steps, default=0.0)
        if last[-1] < self.energy_kWh and last[-1] + need <= self.energy_kWh:
            return False, ""
        text = f"the target has had {last[-1]:.4g} of {self.energy_kWh:g} kWh"
        return True, f"{text}, and an experiment takes up to {need:.2g} kWh"
