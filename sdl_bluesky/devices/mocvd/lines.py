"""Gas lines: a flow controller and, for precursors, a valve that sends the flow into the reactor or past it."""

from __future__ import annotations

from typing import Any

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO

from ..base import put_now
from ..mfc import ReactiveGas
from ..pausing import SafeStep
from .protection import Protection
from .switch import NO, VENT, Arm, Valve


class Precursor(ReactiveGas):
    """A hydride line. Safe is: it goes past the reactor and is shut.

    Attributes:
        flow: positioner, sccm; needs the interlock except for 0.
        valve: positioner, "Vent" or "Run".
        precursor: what the line carries, as the machine says.
    """

    valve = Cpt(Valve, "VALVE", timeout_s=10.0, kind="normal")
    precursor = Cpt(EpicsSignalRO, "PRECURSOR", kind="config", string=True, auto_monitor=True)

    def __init__(self, prefix: str = "", *, name: str, valve_timeout_s: float = 10.0, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.valve.timeout_s = valve_timeout_s

    @property
    def idle(self) -> bool:
        """Whether it goes past the reactor and nothing is asked for."""
        return not self.valve.is_open and float(self.flow.setpoint.get()) == 0.0

    def shut(self) -> None:
        """Send it past the reactor and shut it, without waiting."""
        put_now(self.valve.setpoint, self.valve.raw_of(VENT))
        put_now(self.flow.setpoint, 0.0)

    def safe_steps(self) -> list[SafeStep]:
        """Vent it, shut it."""
        return [
            (f"close {self.valve.name}", lambda: put_now(self.valve.setpoint, self.valve.raw_of(VENT))),
            (f"{self.flow.name} to 0 sccm", lambda: put_now(self.flow.setpoint, 0.0)),
        ]


class Metal(Precursor):
    """A line of group III, which the growth clock switches when it is armed.

    Attributes:
        arm: positioner, "Yes" or "No".
    """

    arm = Cpt(Arm, "ARM", timeout_s=10.0, kind="normal")

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.arm.timeout_s = self.valve.timeout_s

    def safe_steps(self) -> list[SafeStep]:
        """Vent it, shut it, take its arm away."""
        return [*super().safe_steps(), (f"disarm {self.name}", lambda: put_now(self.arm.setpoint, self.arm.raw_of(NO)))]


class Phosphine(Precursor):
    """The line that protects a hot surface. Safe is: it stays as it is until the surface is cold, then it is shut.

    Attributes:
        protection: does that.
    """

    protection: Protection | None = None

    def safe_steps(self) -> list[SafeStep]:
        """Shut it, at once where nothing is to be protected."""
        if self.protection is None:
            return super().safe_steps()
        return [(f"{self.name} on until cold", self.protection.begin)]
