"""The susceptor: a heater whose setpoint is ramped, a loop of second order, cooling that cannot be hurried."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ioc_sims.mocvd.settings import PhysicsSettings

MAX_STEP_S = 1.0


@dataclass
class Susceptor:
    """Temperatures in degC as the pyrometer shows them.

    Attributes:
        setpoint: where to go; 0 = heater off.
        ramp: how fast the setpoint of the loop moves [degC/s].
        working: the ramped setpoint.
        value, slope: temperature, and its change [degC/s].
    """

    settings: PhysicsSettings
    setpoint: float = 0.0
    ramp: float = 1.5
    working: float = 25.0
    value: float = 25.0
    slope: float = 0.0

    @property
    def heating(self) -> bool:
        """Whether the heater is on."""
        return self.setpoint > 0

    @property
    def power_percent(self) -> float:
        """Heater power: what radiation and gas take away, and what warms up; 0 when it is off."""
        if not self.heating:
            return 0.0
        s = self.settings
        loss = (self.value - s.ambient_degC) / s.cool_time_s
        return float(min(max(100 * (loss + self.slope) / (s.heat_limit_degC_s * 2), 0.0), 100.0))

    def step(self, dt_s: float) -> None:
        """Go on by dt (at most 1 s).

        T'' = w^2 (T_w - T) - 2 z w T', with T' between that of free cooling and the limit of the heater.
        """
        s = self.settings
        coldest = -(self.value - s.ambient_degC) / s.cool_time_s
        if not self.heating:
            kept = math.exp(-dt_s / s.cool_time_s)
            self.value = s.ambient_degC + (self.value - s.ambient_degC) * kept
            self.slope, self.working = coldest, self.value
            return
        gap = self.setpoint - self.working
        self.working += math.copysign(min(abs(gap), self.ramp * dt_s), gap)
        w = s.heat_frequency_per_s
        pull = w * w * (self.working - self.value) - 2 * s.heat_damping * w * self.slope
        self.slope = min(max(self.slope + pull * dt_s, coldest), s.heat_limit_degC_s)
        self.value += self.slope * dt_s
