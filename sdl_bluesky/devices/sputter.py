"""Sputter sources and the substrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.signal import Signal
from ophyd.status import Status

from sdl_bluesky.errors import DeviceError, PlasmaError

from .base import put_now
from .pausing import Pausing, SafeStep
from .positioner import Positioner
from .shutter import CLOSED, Shutter
from .spec import SourceSpec
from .status import until


class Source(Pausing):
    """One magnetron source: power, plasma, shutter and what they read back.

    Attributes:
        power: positioner, W; needs the interlock except for 0.
        voltage, current: V, A.
        plasma: 1 if the plasma burns.
        shutter: positioner, "Open" or "Closed".
        energy: energy on this target since it was new, kWh.
        target: element of the target, as the machine says.
        spec: name, place and limits.
    """

    power = Cpt(
        Positioner, "POWER", unit="W", atol=0.5, timeout_s=60.0, safe_target=0.0, needs_interlock=True, kind="hinted"
    )
    voltage = Cpt(EpicsSignalRO, "VOLTAGE", kind="normal", auto_monitor=True)
    current = Cpt(EpicsSignalRO, "CURRENT", kind="normal", auto_monitor=True)
    plasma = Cpt(EpicsSignalRO, "PLASMA", kind="normal", auto_monitor=True)
    shutter = Cpt(Shutter, "SHUTTER", timeout_s=10.0, kind="normal")
    energy = Cpt(EpicsSignalRO, "ENERGY", kind="normal", auto_monitor=True)
    target = Cpt(EpicsSignalRO, "TARGET", kind="config", string=True, auto_monitor=True)
    position_cm = Cpt(Signal, value=[0.0, 0.0, 0.0], kind="config")
    axis = Cpt(Signal, value=[0.0, 0.0, 1.0], kind="config")

    units: ClassVar[Mapping[str, str]] = {"voltage": "V", "current": "A", "energy": "kWh"}

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        spec: SourceSpec,
        power_timeout_s: float = 60.0,
        shutter_timeout_s: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.spec = spec
        self.power.own_limits = (0.0, spec.max_power_W)
        self.power.atol, self.power.timeout_s = spec.power_tolerance_W, power_timeout_s
        self.shutter.timeout_s = shutter_timeout_s
        self.position_cm.put(list(spec.position_cm))
        self.axis.put(list(spec.axis))

    def safe_steps(self) -> list[SafeStep]:
        """Close the shutter, power to zero."""
        return [
            (f"close {self.shutter.name}", lambda: put_now(self.shutter.setpoint, self.shutter.raw_of(CLOSED))),
            (f"{self.power.name} to 0 W", lambda: put_now(self.power.setpoint, 0.0)),
        ]

    def ignite(self, power_W: float, *, timeout_s: float) -> Status:
        """Ask for a power without waiting for it (there is none before the plasma burns); done when the plasma burns.

        Raises:
            OutOfRange, StaleReading, Disconnected, InterlockTripped: nothing was sent.
        """
        self.power.check_value(power_W)
        if self.liveness is not None:
            self.liveness.check(interlock=True)
        put_now(self.power.setpoint, float(power_W))
        return self.until_plasma(timeout_s=timeout_s)

    def until_plasma(self, on: bool = True, *, timeout_s: float) -> Status:
        """A status that is done when the plasma burns (or, with `on=False`, is out).

        It fails with PlasmaError after `timeout_s` real seconds, and when the IOC hangs or the interlock trips.
        """
        wanted = int(on)
        doing = "ignite" if on else "go out"
        return until(
            self.plasma,
            lambda value: int(value) == wanted,
            timeout_s=timeout_s,
            error=lambda _: PlasmaError(f"{self.name}: the plasma did not {doing} within {timeout_s:g} s"),
            liveness=self.liveness,
            interlock=on,
        )


class NumberedSource(Source):
    """A source whose machine counts its targets, so that a new one of the same element is noticed.

    Attributes:
        target_number: how many targets the source has had, this one included.
    """

    target_number = Cpt(EpicsSignalRO, "TARGET:NUMBER", kind="normal", auto_monitor=True)


class Substrate(Pausing):
    """The substrate: its shutter, its angle, and a fresh one on demand.

    Attributes:
        shutter: positioner, "Open" or "Closed".
        angle: positioner, stage rotation, deg.
        number: how many substrates have been loaded; 0 = none yet.
    """

    shutter = Cpt(Shutter, "SHUTTER", timeout_s=10.0, kind="normal")
    angle = Cpt(Positioner, "ANGLE", unit="deg", atol=0.1, timeout_s=120.0, kind="normal")
    number = Cpt(EpicsSignalRO, "NUMBER", kind="normal", auto_monitor=True)
    load_command = Cpt(EpicsSignal, "LOAD", kind="omitted", auto_monitor=True)

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        shutter_timeout_s: float = 10.0,
        angle_timeout_s: float = 120.0,
        angle_tolerance_deg: float = 0.1,
        load_timeout_s: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.shutter.timeout_s = shutter_timeout_s
        self.angle.timeout_s, self.angle.atol = angle_timeout_s, angle_tolerance_deg
        self.load_timeout_s = load_timeout_s

    def safe_steps(self) -> list[SafeStep]:
        """Close the shutter."""
        return [(f"close {self.shutter.name}", lambda: put_now(self.shutter.setpoint, self.shutter.raw_of(CLOSED)))]

    def load(self) -> Status:
        """Put a fresh substrate in; the status is done when the number has gone up.

        Raises:
            DeviceError: the substrate shutter is not closed; nothing was moved.
            StaleReading, Disconnected: nothing was moved.
        """
        self.check_fresh()
        if self.shutter.is_open:
            raise DeviceError(f"{self.name}: close {self.shutter.name} before loading; nothing was moved")
        before = int(self.number.get(use_monitor=False))
        put_now(self.load_command, 1)
        return until(
            self.number,
            lambda value: int(value) > before,
            timeout_s=self.load_timeout_s,
            error=lambda value: DeviceError(f"{self.name}: no fresh substrate came; it is still number {value}"),
            liveness=self.liveness,
            interlock=False,
        )
