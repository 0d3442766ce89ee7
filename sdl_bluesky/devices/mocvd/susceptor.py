"""Susceptor and vessel: temperature, rotation, pressure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import MoveTimeout

from ..base import LabDevice, put_now
from ..pausing import Pausing, SafeStep
from ..positioner import Positioner
from ..status import until
from .spec import MOCVDSpec

AT_REST_RPM = 0.5


class Temperature(Positioner):
    """Temperature of the susceptor. A move to 0 switches the heater off, and is done when that is taken: cooling takes its
    time, see `Susceptor.until_below`."""

    def _reached(self, position: float, target: float) -> bool:
        return target == 0.0 or super()._reached(position, target)


class Susceptor(Pausing):
    """What the wafer lies on.

    Attributes:
        temperature: positioner, degC; 0 = heater off; heating needs the interlock.
        ramp: positioner, degC/s.
        power: of the heater, %.
    """

    temperature = Cpt(
        Temperature,
        "TEMPERATURE",
        unit="degC",
        atol=1.0,
        timeout_s=1800.0,
        safe_target=0.0,
        needs_interlock=True,
        kind="hinted",
    )
    ramp = Cpt(Positioner, "TEMPERATURE:RAMP", unit="degC/s", atol=0.01, timeout_s=10.0, kind="normal")
    power = Cpt(EpicsSignalRO, "HEATER:POWER", kind="normal", auto_monitor=True)

    units: ClassVar[Mapping[str, str]] = {"power": "%"}

    def __init__(self, prefix: str = "", *, name: str, spec: MOCVDSpec, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.spec = spec
        self.temperature.own_limits = spec.temperature_degC
        self.temperature.atol, self.temperature.timeout_s = spec.temperature_tolerance_degC, spec.heat_timeout_s

    @property
    def heating(self) -> bool:
        """Whether the heater is asked to heat."""
        return float(self.temperature.setpoint.get()) > 0.0

    @property
    def protected_until_cold(self) -> bool:
        """Whether the surface still needs phosphine: unless a trusted reading lies below the limit."""
        found = self.temperature.position
        return not found < self.spec.protect_degC

    def until_below(self, degC: float, *, interlock: bool = True) -> Status:
        """A status that is done when the susceptor is colder than that.

        It fails with MoveTimeout after the longest time of cooling, and when the IOC hangs or the interlock trips.
        """
        limit_s = self.spec.cool_timeout_s
        return until(
            self.temperature.readback,
            lambda value: float(value) < degC,
            timeout_s=limit_s,
            error=lambda value: MoveTimeout(
                f"{self.name} did not cool below {degC:g} degC within {limit_s:g} s: it has {value} degC; is the heater off?"
            ),
            liveness=self.liveness,
            interlock=interlock,
        )

    def safe_steps(self) -> list[SafeStep]:
        """Heater off."""
        return [(f"{self.temperature.name} off", lambda: put_now(self.temperature.setpoint, 0.0))]


class Vessel(LabDevice):
    """The reactor as a vessel.

    Attributes:
        rotation: positioner, rpm.
        pressure: positioner, mbar; it is there only while carrier flows.
    """

    rotation = Cpt(Positioner, "ROTATION", unit="rpm", atol=5.0, timeout_s=180.0, kind="hinted")
    pressure = Cpt(Positioner, "PRESSURE", unit="mbar", atol=0.2, rtol=0.02, timeout_s=180.0, kind="hinted")

    def __init__(self, prefix: str = "", *, name: str, spec: MOCVDSpec, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.rotation.own_limits, self.pressure.own_limits = spec.rotation_rpm, spec.pressure_mbar
        self.rotation.atol, self.rotation.timeout_s = spec.rotation_tolerance_rpm, spec.rotation_timeout_s
        self.pressure.rtol, self.pressure.timeout_s = spec.pressure_tolerance, spec.pressure_timeout_s

    def until_at_rest(self) -> Status:
        """A status that is done when nothing turns; it fails with MoveTimeout if it turns on."""
        limit_s = self.rotation.timeout_s
        return until(
            self.rotation.readback,
            lambda value: abs(float(value)) < AT_REST_RPM,
            timeout_s=limit_s,
            error=lambda value: MoveTimeout(f"{self.rotation.name} is not at rest after {limit_s:g} s: {value} rpm"),
            liveness=self.liveness,
            interlock=False,
        )
