"""A MOCVD reactor for rehearsals: its limits are those of the lab file, its dynamics those of `Habits`."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from ophyd.status import Status

from sdl_bluesky.devices import LayerReadings
from sdl_bluesky.devices.mocvd.diffractometer import ScanRange
from sdl_bluesky.devices.mocvd.spec import FLOWS, GROUP_III, LINES, MOCVDSpec
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.plans.estimate.chamber import RehearsedClock
from sdl_bluesky.plans.estimate.course import Course, Knob, done
from sdl_bluesky.plans.estimate.habits import Habits

VALVE = 0.25
"""Ticks; its readback is often at hand before anybody asks."""
RAMPS_DEGC_S = (0.0, 100.0)


class RehearsedSusceptor:
    """Heats at its ramp; without heater it cools all the time."""

    def __init__(self, course: Course, spec: MOCVDSpec, habits: Habits) -> None:
        self._course, self._habits = course, habits
        self.interruptions = 0
        self._heated, self._degC, self._since_s = False, habits.ambient_degC, 0.0
        self.ramp = Knob(course, "susceptor_ramp", "degC/s", RAMPS_DEGC_S, position=1.0)
        self.temperature = _Heater(self, course, spec)

    @property
    def degC(self) -> float:
        """Now."""
        if self._heated:
            return self._degC
        ambient = self._habits.ambient_degC
        return ambient + (self._degC - ambient) * math.exp(-(self._course.now_s - self._since_s) / self._habits.cool_s)

    def heat(self, degC: float) -> Status:
        """Go there; zero switches the heater off."""
        now = self.degC
        self._heated, self._degC, self._since_s = degC > 0, degC if degC > 0 else now, self._course.now_s
        return self._course.ask(abs(degC - now) / self.ramp.position + self._habits.lag_s) if degC > 0 else done()

    def until_below(self, degC: float, **_: Any) -> Status:
        """Cool down."""
        now, ambient = self.degC, self._habits.ambient_degC
        return (
            done()
            if now < degC
            else self._course.ask(self._habits.cool_s * math.log((now - ambient) / (degC - ambient)))
        )

    def read(self) -> dict[str, Any]:
        """Nothing that a rehearsal needs."""
        return {}


class _Heater(Knob):
    def __init__(self, owner: RehearsedSusceptor, course: Course, spec: MOCVDSpec) -> None:
        self._owner = owner
        super().__init__(course, "susceptor_temperature", "degC", spec.temperature_degC, near=(1.0, 0.0))

    def set(self, value: Any) -> Status:
        """Heat, or switch off."""
        self.check_value(value)
        self.position = value
        return self._owner.heat(float(value))


class RehearsedReactor:
    """Stands for a `devices.MOCVD` in the plans of growths."""

    name = "reactor"
    baseline: tuple[Any, ...] = ()

    def __init__(self, spec: MOCVDSpec, habits: Habits) -> None:
        self.spec, self.habits = spec, habits
        self.course = course = Course(habits.tick_s, self._rates)

        def line(name: str) -> Any:
            near = (spec.flow_tolerance_sccm, spec.flow_tolerance)
            flow = Knob(course, f"{name}_flow", "sccm", spec.flow_sccm[name], lambda old, new: habits.line_s, near)
            return SimpleNamespace(
                name=name,
                flow=flow,
                valve=Knob(course, f"{name}_valve", position="Vent", turn=VALVE),
                arm=Knob(course, f"{name}_arm", position="No", turn=VALVE),
                interruptions=0,
                read=dict,
            )

        made = {name: line(name) for name in FLOWS}
        self.lines, self.carrier = {k: made[k] for k in LINES}, made["h2"]
        self.metals = {k: self.lines[k] for k in GROUP_III}
        self.flows = {k: v.flow for k, v in made.items()}
        self.carrier.flow.position = 0.0
        self.susceptor = RehearsedSusceptor(course, spec, habits)
        self.vessel = self._vessel()
        self.wafer, self.count = 0, 0
        self.wafers = SimpleNamespace(
            newest=lambda: self.count,
            maintained=lambda: 0,
            loaded=lambda: self.wafer,
            load=self._load,
            unload=self._unload,
        )
        self.growth = _Growth(self)
        self.mapper, self.diffractometer = _Mapper(self), _Diffractometer(self)
        self.gas_system = SimpleNamespace(read=dict)
        self.interlock = SimpleNamespace(tripped=False)
        self.liveness = SimpleNamespace(check=lambda **_: None, problem=lambda: None)
        self.clock = RehearsedClock(course)
        self.protection = SimpleNamespace(done=lambda timeout_s: self._shut())
        self.growers = [self.growth, *self.lines.values(), self.susceptor]
        owner = SimpleNamespace(interruptions=0, interrupt=lambda: None, settle=lambda: None, safe_steps=lambda: [])
        self.safe_owners = [owner]

    def _vessel(self) -> Any:
        spec, habits, course = self.spec, self.habits, self.course

        def turn(old: float, new: float) -> float:
            return abs(new - old) / habits.rotation_rpm_s

        rotation = Knob(course, "rotation", "rpm", spec.rotation_rpm, turn, (spec.rotation_tolerance_rpm, 0.0))
        near = (0.2, spec.pressure_tolerance)
        pressure = Knob(
            course, "pressure", "mbar", spec.pressure_mbar, lambda old, new: 3.0 * habits.line_s, near, 20.0
        )
        return SimpleNamespace(rotation=rotation, pressure=pressure, until_at_rest=done, read=dict)

    def wait_until_settled(self, timeout_s: float = 2.0) -> bool:
        """It always is."""
        return True

    def layer_log(self) -> Any:
        """Readings that are what was asked for."""
        named = {f"{k}_flow": v for k, v in self.flows.items()}
        named |= {"temperature": self.susceptor.temperature}
        named |= {"rotation": self.vessel.rotation, "pressure": self.vessel.pressure}

        def readings() -> LayerReadings:
            return LayerReadings({k: float(v.position) for k, v in named.items()}, dict.fromkeys(named, 0.0), 10)

        return SimpleNamespace(start=lambda: None, stop=lambda: None, readings=readings)

    def _rates(self) -> dict[str, float]:
        return {f"flow:{k}": float(v.position) / 60.0 for k, v in self.flows.items() if v.position}

    def _load(self) -> Status:
        self.count += 1
        self.wafer = self.count
        self.course.used["wafers"] = self.course.used.get("wafers", 0.0) + 1.0
        return self.course.ask(0.0)

    def _unload(self) -> Status:
        self.wafer = 0
        return self.course.ticks(VALVE)

    def _shut(self) -> Status:
        shut = all(v.valve.position == "Vent" and not v.flow.position for v in self.lines.values())
        for line in self.lines.values():
            line.valve.position, line.flow.position = "Vent", 0.0
        return done() if shut else self.course.ask(self.course.tick_s)


class _Procedure:
    """Something that takes its time."""

    interruptions = 0
    name = "procedure"

    def __init__(self, reactor: RehearsedReactor) -> None:
        self._course, self.spec = reactor.course, reactor.spec
        self.holder = Knob(reactor.course, "holder", position=0)
        self.busy = False

    def halt(self) -> Status:
        """It is idle."""
        return done()

    def read(self) -> dict[str, Any]:
        """Nothing that a rehearsal needs."""
        return {}


class _Growth(_Procedure):
    def __init__(self, reactor: RehearsedReactor) -> None:
        super().__init__(reactor)
        self._seconds = 0.0

    def check_value(self, value: float) -> None:
        low, high = self.spec.duration_s
        if not math.isfinite(value) or not max(low, 0.0) < value <= high:
            raise OutOfRange(
                f"a growth of {value:g} s is not possible (above {low:g}, to {high:g} s); nothing was started"
            )

    def grow(self, seconds: float) -> Status:
        self.check_value(seconds)
        self._seconds = seconds
        return self._course.ask(seconds)

    def grown(self) -> float:
        return self._seconds


class _Mapper(_Procedure):
    def __init__(self, reactor: RehearsedReactor) -> None:
        super().__init__(reactor)
        course = reactor.course
        self.exposure = Knob(course, "exposure", "s", (0.0, math.inf), near=(1e-3, 1e-3), position=0.1)
        self.x = Knob(course, "x", "mm", (-100.0, 100.0), near=(0.05, 0.0))
        self.y = Knob(course, "y", "mm", (-100.0, 100.0), near=(0.05, 0.0))
        side = self.spec.map_points
        square = np.zeros((side, side))
        self.last_map = SimpleNamespace(
            axis_mm=np.zeros(side), wavelength_nm=square, intensity=square, exposure_s=self.exposure.position
        )
        n = self.spec.spectrum_channels
        self.last_spectrum = SimpleNamespace(wavelength_nm=np.zeros(n), counts=np.zeros(n), x_mm=0.0, y_mm=0.0)

    def measure_map(self) -> Status:
        return self._course.ask(self.spec.map_points**2 * self.exposure.position)

    def measure_spectrum(self) -> Status:
        return self._course.ask(self.exposure.position)


class _Diffractometer(_Procedure):
    def __init__(self, reactor: RehearsedReactor) -> None:
        super().__init__(reactor)
        course, any_ = reactor.course, (0.0, math.inf)
        self.first = Knob(course, "first", "deg", any_, near=(1e-4, 0.0), position=62.4)
        self.last_angle = Knob(course, "last", "deg", any_, near=(1e-4, 0.0), position=64.2)
        self.step = Knob(course, "step", "deg", any_, near=(1e-5, 0.0), position=0.003)
        self.time = Knob(course, "time", "s", any_, near=(1e-3, 1e-3), position=1.0)
        self.last: Any = None

    def _range(self) -> ScanRange:
        return ScanRange(self.first.position, self.last_angle.position, self.step.position, self.time.position)

    def check_range(self, wanted: ScanRange) -> None:
        if not 2 <= wanted.points <= self.spec.scan_points:
            raise OutOfRange(f"a scan of {wanted.points} points; 2 to {self.spec.scan_points} are possible")

    def scan(self) -> Status:
        wanted = self._range()
        self.last = SimpleNamespace(
            two_theta_deg=np.zeros(wanted.points), counts=np.zeros(wanted.points), time_s=wanted.time_s
        )
        return self._course.ask(wanted.points * wanted.time_s)
