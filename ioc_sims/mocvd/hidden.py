"""What a maintenance, a wafer and time change in a reactor, each by the seed and its own number alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ioc_sims.common.seeds import stream
from ioc_sims.common.wander import Wander
from ioc_sims.mocvd import seeds
from ioc_sims.mocvd.growth import Shift
from ioc_sims.mocvd.settings import LINES, PhysicsSettings


@dataclass(frozen=True)
class Condition:
    """The reactor between two maintenances.

    Attributes:
        line: true over shown flow of each line with a valve.
        offset_degC: true minus shown temperature.
        rate: factor on the growth rate.
        edge: what is different at the edge of the wafer, growing with the square of the radius.
    """

    line: dict[str, float]
    offset_degC: float
    rate: float
    edge: Shift


@dataclass(frozen=True)
class Run:
    """What is different for one wafer.

    Attributes:
        shift: of the log odds.
        bad: whether it is a gross error.
    """

    shift: Shift
    bad: bool


def condition(settings: PhysicsSettings, seed: int, maintenance: int) -> Condition:
    """The reactor after so many maintenances; before the first the spread is small."""
    s, draw = settings, stream(seed, seeds.MAINTENANCE, maintenance)
    line_sd, offset_sd = (s.line_sd, s.offset_sd_degC) if maintenance else (s.line_first_sd, s.offset_first_sd_degC)
    line = {name: math.exp(line_sd * draw.normal()) for name in LINES}
    offset = offset_sd * draw.normal()
    rate = math.exp(s.rate_sd * draw.normal())
    return Condition(line, offset, rate, Shift(s.profile_x * draw.normal(), s.profile_y * draw.normal()))


def run(settings: PhysicsSettings, seed: int, wafer: int) -> Run:
    """How the run of a wafer differs from the reactor's usual way."""
    s, draw = settings, stream(seed, seeds.RUN, wafer)
    x, y = s.run_x_log_odds * draw.normal(), s.run_y_log_odds * draw.normal()
    bad = bool(draw.random() < s.bad_run_fraction)
    size = draw.uniform(*s.bad_run_log_odds, 2) * draw.choice([-1.0, 1.0], 2)
    return Run(Shift(x + bad * size[0], y + bad * size[1]), bad)


class Drifts:
    """Slow wandering of the lines' concentrations, relative."""

    def __init__(self, settings: PhysicsSettings) -> None:
        self.line = {name: Wander(settings.line_drift_sd, settings.line_drift_time_s) for name in LINES}

    def step(self, dt_s: float, noise: np.random.Generator) -> None:
        """Go on by dt."""
        for wander, normal in zip(self.line.values(), noise.standard_normal(len(self.line)), strict=True):
            wander.step(dt_s, float(normal))
