"""A mass flow controller: a loop of second order that overshoots, and a true flow that wanders a little."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ioc_sims.common.wander import Wander
from ioc_sims.mocvd.settings import PhysicsSettings

_SETTLED = 1e-4


@dataclass
class Controller:
    """One controller; flows in sccm as it shows them (its calibration error is the line's).

    Attributes:
        setpoint, flow: asked and controlled flow, without the wandering.
    """

    full_scale: float
    frequency: float
    damping: float
    wander: Wander
    setpoint: float = 0.0
    flow: float = 0.0
    slope: float = 0.0

    @classmethod
    def of(cls, full_scale: float, settings: PhysicsSettings) -> Controller:
        """A closed controller."""
        return cls(full_scale, settings.flow_frequency_per_s, settings.flow_damping, Wander(settings.flow_wander, 5.0))

    @property
    def settled(self) -> bool:
        """Whether the loop has come to rest at its setpoint."""
        near = _SETTLED * self.full_scale
        return abs(self.flow - self.setpoint) <= near and abs(self.slope) <= near * self.frequency

    @property
    def true_sccm(self) -> float:
        """The flow with its wandering."""
        return self.flow * (1 + self.wander.value)

    def step(self, dt_s: float, normal: float) -> None:
        """Go on by dt, exactly: q'' + 2 z w q' + w^2 (q - q_set) = 0, held between 0 and full scale."""
        self.wander.step(dt_s, normal)
        gap = self.flow - self.setpoint
        if gap == 0 and self.slope == 0:
            return
        decay = self.damping * self.frequency
        omega = self.frequency * math.sqrt(1 - self.damping**2)
        kept, cosine, sine = math.exp(-decay * dt_s), math.cos(omega * dt_s), math.sin(omega * dt_s)
        other = (self.slope + decay * gap) / omega
        flow = self.setpoint + kept * (gap * cosine + other * sine)
        self.slope = kept * (self.slope * cosine - (decay * other + omega * gap) * sine)
        self.flow = min(max(flow, 0.0), self.full_scale)
        if self.flow != flow:  # the valve is shut, or wide open
            self.slope = 0.0
        if self.settled:
            self.flow, self.slope = self.setpoint, 0.0
