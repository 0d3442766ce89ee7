"""Argon: a flow controller with a lag, and a chamber whose pressure follows the flow over the pump."""

from __future__ import annotations

import math

from ioc_sims.sputter.settings import PhysicsSettings

_SETTLED = 1e-5  # relative distance at which a lag counts as over


class Gas:
    """True flow [sccm] and pressure [mTorr]; noise and gauge errors are added where they are read."""

    def __init__(self, settings: PhysicsSettings) -> None:
        self._settings = settings
        self.setpoint_sccm = 0.0
        self.flow_sccm = 0.0
        self.pressure_mTorr = settings.base_pressure_mTorr

    def equilibrium_mTorr(self, flow_sccm: float) -> float:
        """Pressure that a steady flow ends at; the pump gains a little speed with the flow.

        p = p_base + q / (S (1 + q / q_2)).
        """
        s = self._settings
        return s.base_pressure_mTorr + flow_sccm / (s.pumping_sccm_per_mTorr * (1 + flow_sccm / s.pumping_flow_sccm))

    @property
    def settled(self) -> bool:
        """Whether flow and pressure have reached where the setpoint leads."""
        return self.flow_sccm == self.setpoint_sccm and self.pressure_mTorr == self.equilibrium_mTorr(self.flow_sccm)

    def settle(self) -> None:
        """Arrive at once where the setpoint leads."""
        self.flow_sccm = self.setpoint_sccm
        self.pressure_mTorr = self.equilibrium_mTorr(self.flow_sccm)

    def step(self, dt_s: float) -> None:
        """Go on by dt (two first-order lags in a row; snaps to the end value when it is near)."""
        s = self._settings
        self.flow_sccm = _lag(self.flow_sccm, self.setpoint_sccm, dt_s / s.flow_time_s, 1e-4)
        target = self.equilibrium_mTorr(self.flow_sccm)
        self.pressure_mTorr = _lag(self.pressure_mTorr, target, dt_s / s.chamber_time_s, s.base_pressure_mTorr)


def _lag(value: float, target: float, times: float, floor: float) -> float:
    value = target + (value - target) * math.exp(-times)
    return target if abs(value - target) <= _SETTLED * max(abs(target), floor) else value
