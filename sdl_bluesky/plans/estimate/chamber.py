"""A sputter chamber for rehearsals: its limits are those of the lab file, its dynamics those of `Habits`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd.status import Status

from sdl_bluesky.devices import StreamGoal
from sdl_bluesky.devices.spec import ChamberSpec, SourceSpec
from sdl_bluesky.errors import UnknownName
from sdl_bluesky.physics.composition import atomic_masses
from sdl_bluesky.physics.flux import deposition_flux
from sdl_bluesky.physics.qcm import mass_sensitivity
from sdl_bluesky.plans.estimate.course import Course, Knob, Reading, done
from sdl_bluesky.plans.estimate.habits import USUAL_YIELD, YIELDS, Habits

LEAST_ROW_S = 2.0
"""Rows of a rehearsed stream are not closer than this; their noise is less by so much."""
MOST_ROWS = 5000
SCATTERED_MTORR = 25.0
"""A flux falls e times over this pressure."""


class RehearsedClock:
    """Process time."""

    def __init__(self, course: Course) -> None:
        self._course = course

    @property
    def now_s(self) -> float:
        """Now [s]."""
        return self._course.now_s

    def after(self, dt_s: float, **_: Any) -> Status:
        """Wait."""
        return self._course.hold(dt_s)


class RehearsedSource:
    """One source."""

    interruptions = 0

    def __init__(self, course: Course, spec: SourceSpec, habits: Habits) -> None:
        def ramp(old: float, new: float) -> float:
            return abs(new - old) / habits.power_ramp_W_s

        name = spec.name
        self.name, self.spec, self._course = name, spec, course
        self.burns, self.energy_kWh = False, float(habits.energy_kWh.get(name, 0.0))
        self.power = Knob(course, f"{name}_power", "W", (0.0, spec.max_power_W), ramp, (spec.power_tolerance_W, 0.0))
        self.shutter = Knob(course, f"{name}_shutter", position="Closed")
        self.plasma = Reading(course, f"{name}_plasma", lambda: int(self.burns))
        self.voltage = Reading(course, f"{name}_voltage", lambda: 400.0 * (max(self.watts, 1.0) / 50.0) ** 0.12)
        self.current = Reading(course, f"{name}_current", lambda: self.watts / self.voltage.get())
        self.energy = Reading(course, f"{name}_energy", self._energy)
        self.target = Reading(course, f"{name}_target", lambda: spec.element)

    def _energy(self) -> float:
        return self.energy_kWh + self._course.used.get(f"energy:{self.name}", 0.0)

    @property
    def watts(self) -> float:
        """Power of the plasma."""
        return float(self.power.position) if self.burns else 0.0

    def ignite(self, power_W: float, *, timeout_s: float) -> Status:
        """It burns."""
        self.power.set(power_W)
        self.burns = True
        return done()

    def off(self) -> None:
        """Shutter closed, power off."""
        self.burns, self.power.position, self.shutter.position = False, 0.0, "Closed"


class RehearsedChamber:
    """Stands for a `devices.Chamber` in the plans of rate measurements and films.

    Args:
        spec: as the lab file has it.
        habits: what is assumed besides.
        flow_per_pressure: first guess of the lab file [sccm/mTorr].
        seed: of the noise.
    """

    name = "chamber"
    baseline: tuple[Any, ...] = ()

    def __init__(self, spec: ChamberSpec, habits: Habits, flow_per_pressure: float, seed: int = 0) -> None:
        self.spec, self.habits = spec, habits
        self.course = course = Course(habits.tick_s, self._rates)
        self.rng = np.random.default_rng(seed)
        self._slope = habits.flow_per_pressure or flow_per_pressure
        self.sources = {s.name: RehearsedSource(course, s, habits) for s in spec.sources}
        self.places = np.array([q.position_cm for q in spec.qcms], dtype=float)
        self.normals = np.array([q.normal for q in spec.qcms], dtype=float)
        self.per_Hz = np.array([mass_sensitivity(q.f0_Hz) for q in spec.qcms])
        self.qcms = {q.name: SimpleNamespace(name=q.name, spec=q, life=self._life(q.name)) for q in spec.qcms}
        limits = (0.0, float(spec.max_flow_sccm))
        near = (spec.flow_tolerance_sccm, spec.flow_tolerance_relative)
        flow = Knob(course, "gas_flow", "sccm", limits, lambda old, new: habits.flow_s, near)
        self.gas = SimpleNamespace(name="gas", flow=flow)
        self.gauge = SimpleNamespace(pressure=Reading(course, "gauge_pressure", lambda: self.pressure_mTorr))
        self._substrates = 0
        shutter = Knob(course, "substrate_shutter", position="Closed")
        number = Reading(course, "substrate_number", lambda: self._substrates)
        self.substrate = SimpleNamespace(name="substrate", shutter=shutter, number=number, load=self._load)
        self.substrate.interruptions = 0
        self.clock = RehearsedClock(course)
        self.interlock = SimpleNamespace(tripped=False)
        self.liveness = SimpleNamespace(check=lambda **_: None, problem=lambda: None)
        owner = SimpleNamespace(interruptions=0, interrupt=self._safe, settle=lambda: None, safe_steps=lambda: [])
        self.safe_owners = [owner]
        self._view = {s.name: self._seen(s) for s in spec.sources}

    def source(self, name: str) -> RehearsedSource:
        """The source of that name; UnknownName if there is none."""
        if name not in self.sources:
            raise UnknownName("source", name, list(self.sources))
        return self.sources[name]

    def qcm(self, name: str) -> Any:
        """The QCM of that name; UnknownName if there is none."""
        if name not in self.qcms:
            raise UnknownName("QCM", name, list(self.qcms))
        return self.qcms[name]

    def stream(self, sources: Sequence[str] | None = None) -> RehearsedStream:
        """A new stream."""
        return RehearsedStream(self, list(self.sources) if sources is None else list(sources))

    def wait_until_settled(self, timeout_s: float = 2.0) -> bool:
        """It always is."""
        return True

    @property
    def pressure_mTorr(self) -> float:
        """Of the gas, with a pump that is a little faster the more flows."""
        flow = float(self.gas.flow.position)
        return flow / (self._slope * (1.0 + flow / self.habits.pump_sccm))

    def rates(self, name: str) -> NDArray[np.float64]:
        """Of one source at all QCMs, its shutter open [ng cm^-2 s^-1]."""
        source = self.sources[name]
        return source.watts * np.exp(-self.pressure_mTorr / SCATTERED_MTORR) * self._view[name]

    def _seen(self, spec: SourceSpec) -> NDArray[np.float64]:
        mass, copper = atomic_masses([spec.element, "Cu"])
        heavy = float(mass * YIELDS.get(spec.element, USUAL_YIELD) / (copper * YIELDS["Cu"]))
        emitted = self.habits.emitted_ng_J * heavy * self.habits.rate(spec.name).factor
        flux = deposition_flux(emitted, self.habits.exponent, spec.position_cm, spec.axis, self.places, self.normals)
        return np.asarray(flux, dtype=float)

    @property
    def deposition(self) -> NDArray[np.float64]:
        """What the QCMs get now [ng cm^-2 s^-1]."""
        found = np.zeros(len(self.qcms))
        for name, source in self.sources.items():
            if source.burns and source.shutter.is_open:
                found += self.rates(name)
        return found

    def mass(self) -> NDArray[np.float64]:
        """On the QCMs since the beginning [ng cm^-2]."""
        return np.array([self.course.used.get(f"mass:{name}", 0.0) for name in self.qcms])

    def _rates(self) -> dict[str, float]:
        found = {f"energy:{k}": s.watts / 3.6e6 for k, s in self.sources.items() if s.burns}
        found["gas"] = float(self.gas.flow.position) / 60.0
        for name, rate, per_Hz in zip(self.qcms, self.deposition, self.per_Hz, strict=True):
            if rate:
                found |= {f"mass:{name}": rate, f"life:{name}": 100.0 * rate / per_Hz / self.habits.life_Hz}
        return found

    def _life(self, name: str) -> Reading:
        start = float(self.habits.life_percent.get(name, 100.0))
        return Reading(self.course, f"{name}_life", lambda: max(1.0, start - self.course.used.get(f"life:{name}", 0.0)))

    def _load(self) -> Status:
        self._substrates += 1
        self.course.used["substrates"] = self.course.used.get("substrates", 0.0) + 1.0
        return self.course.ask(0.0)

    def _safe(self) -> None:
        for source in self.sources.values():
            source.off()
        self.substrate.shutter.position = "Closed"


class RehearsedStream:
    """Rows of the QCMs of a rehearsed chamber."""

    name = "qcm_stream"

    def __init__(self, chamber: RehearsedChamber, sources: list[str]) -> None:
        self._chamber, self._sources = chamber, sources
        self._goal = StreamGoal()
        self._table: list[list[float]] = []
        tick = chamber.habits.tick_s
        self._every = max(1, round(LEAST_ROW_S / tick)) if tick < LEAST_ROW_S else 1
        self._skipped = 0
        self._columns = ["clock_time", *(f"{q}_frequency" for q in chamber.qcms), "gauge_pressure"]
        self._columns += [f"{s}_{what}" for s in sources for what in ("power", "plasma")]

    def prepare(self, goal: StreamGoal) -> Status:
        """Set the goal of the next kickoff."""
        self._goal = goal
        return done()

    def kickoff(self) -> Status:
        """Begin."""
        self._table = []
        self._chamber.course.rows = self._row
        return done()

    def complete(self) -> Status:
        """Go on until the goal is reached."""
        reached: Callable[[Any], bool] | None = self._goal.reached
        while reached is not None and len(self._table) < MOST_ROWS:
            before = len(self._table)
            while len(self._table) == before:
                self._chamber.course.run(self._chamber.course.tick_s)
            if len(self._table) >= self._goal.min_rows and reached(self.data()):
                break
        self._chamber.course.run(self._chamber.course.tick_s)  # a row is complete when the next one comes
        return done()

    def stop(self) -> None:
        """End."""
        self._chamber.course.rows = None

    def data(self) -> dict[str, NDArray[np.float64]]:
        """Columns so far."""
        table = np.array(self._table, dtype=float).reshape(-1, len(self._columns))
        found = dict(zip(self._columns, table.T, strict=True))
        return {**found, "timestamp": found["clock_time"]}

    def _row(self) -> None:
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        chamber = self._chamber
        f0 = np.array([q.spec.f0_Hz for q in chamber.qcms.values()])
        noise = chamber.habits.noise_Hz / self._every**0.5 * chamber.rng.standard_normal(len(f0))
        frequency = f0 - chamber.mass() / chamber.per_Hz + noise
        row = [chamber.course.now_s, *frequency, chamber.pressure_mTorr * (1 + 0.002 * chamber.rng.standard_normal())]
        for name in self._sources:
            source = chamber.source(name)
            row += [source.watts, float(source.burns)]
        self._table.append([float(k) for k in row])
