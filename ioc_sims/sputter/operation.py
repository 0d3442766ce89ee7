"""Working a plant as a laboratory does: by its readbacks alone, but without waiting for a clock on the wall.

Pressures are those that the process gauge shows. The seconds in which gas flows settle are left out: the gas is put
where its flow leads, and `pump_s` passes there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ioc_sims.common.errors import RequestError
from ioc_sims.common.instrument import within
from ioc_sims.common.readings import Reading
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.readings import plant_readings
from ioc_sims.sputter.requests import Process

PUMP_S = 10.0
PRESSURE_TOLERANCE = 0.02
PRESSURE_CORRECTIONS = 8
IGNITION_TRIES = 3
IGNITION_FACTOR = 1.3  # from one try to the next

Rows = dict[str, list[float | None]]


@dataclass(frozen=True)
class Course:
    """What became of the plasmas on the way to a setting.

    Attributes:
        dark: sources without plasma; empty when all burn.
        lit_mTorr: last pressure read at which all burnt; None if they never did.
        seen_mTorr: last pressure read.
    """

    dark: tuple[str, ...]
    lit_mTorr: float | None
    seen_mTorr: float


@dataclass
class Operator:
    """Turns the knobs of a plant and reads its instruments.

    Args:
        plant: the plant.
    """

    plant: Plant
    _flow_per_mTorr: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self._flow_per_mTorr = self.plant.settings.pumping_sccm_per_mTorr

    def index(self, source: str) -> int:
        """Number of a source.

        Raises:
            RequestError: there is none of that name.
        """
        names = [s.name for s in self.plant.sources]
        if source not in names:
            raise RequestError(f"the chamber has no source {source!r}, only {', '.join(names)}")
        return names.index(source)

    def check_power(self, source: str, power_W: float) -> None:
        """Raise if a source may not have this power.

        Raises:
            RequestError: names the limit.
        """
        limit = self.plant.sources[self.index(source)].law.config.max_power_W
        if not within(power_W, 0.0, limit):
            raise RequestError(f"power {power_W:g} W of {source}: beyond 0 .. {limit:g} W")

    def read(self) -> dict[str, float | None]:
        """Every reading by the name of its column; None where an instrument shows none (a used-up crystal)."""
        config, seen = self.plant.config, plant_readings(self.plant)
        row: dict[str, float | None] = {"clock_time": self.plant.time_s}
        for sensor in config.sensors:
            alive = _number(seen[f"{sensor.pv}LIFE"]) > 0
            row[f"{sensor.name}_frequency"] = _number(seen[f"{sensor.pv}FREQUENCY"]) if alive else None
            row[f"{sensor.name}_life"] = _number(seen[f"{sensor.pv}LIFE"])
        row["gauge_pressure"] = _number(seen["GAUGE:PROCESS:PRESSURE"])
        for source in config.sources:
            for what in ("power", "plasma", "shutter", "voltage", "current", "energy"):
                row[f"{source.name}_{what}"] = _number(seen[f"{source.pv}{what.upper()}"])
        return row

    def light(self, powers: Mapping[str, float], process: Process) -> Course:
        """Bring sources to their powers [W] and the chamber to its pressure, behind closed shutters.

        Args:
            powers: by source.
            process: how.

        Raises:
            RequestError: unknown source, or a power or a gas flow beyond its limits.
        """
        for name, power in powers.items():
            self.check_power(name, power)
        if not process.approach:
            self._reach(process.pressure)
            for name, power in powers.items():
                self._set_power(name, power)
            return self._settle(powers, process.settle_s)
        pressure = process.ignition_mTorr
        self._reach(pressure)
        for name, power in powers.items():
            limit = self.plant.sources[self.index(name)].law.config.max_power_W
            self._set_power(name, min(max(power, process.ignition_W), limit))
            for _ in range(IGNITION_TRIES - 1):
                if self._dark([name]):
                    pressure *= IGNITION_FACTOR
                    self._reach(pressure)
            self._set_power(name, power)
        course = self._lower(powers, process)
        return course if course.dark else self._settle(powers, process.settle_s, course.lit_mTorr)

    def record(self, rows: Rows, duration_s: float, every_s: float) -> tuple[float, float]:
        """Let time pass and read every so often, at both ends too; adds to rows and returns begin and end [s]."""
        begin = self.plant.time_s
        if not rows or rows["clock_time"][-1] != begin:
            self._append(rows)
        for step in range(math.ceil(duration_s / every_s - 1e-9)):
            self.plant.advance(begin + min((step + 1) * every_s, duration_s) - self.plant.time_s)
            self._append(rows)
        return begin, self.plant.time_s

    def _append(self, rows: Rows) -> None:
        for column, value in self.read().items():
            rows.setdefault(column, []).append(value)

    def finish(self) -> None:
        """Close every shutter and take every power to zero."""
        self.plant.make_safe()
        longest = max(s.supply_W for s in self.plant.sources) / self.plant.settings.power_ramp_W_per_s
        self.plant.advance(longest + 0.1)

    def _lower(self, powers: Mapping[str, float], process: Process) -> Course:
        """From the pressure of ignition to the wanted one, in steps when downwards."""
        seen, lit = self._pressure(), None
        dark = self._dark(powers)
        while not dark:
            lit = seen
            next_mTorr = seen * (1 - process.step)
            if next_mTorr <= process.pressure:
                break
            seen = self._flow(next_mTorr)
            dark = self._dark(powers)
        if not dark:
            seen = self._reach(process.pressure)
            dark = self._dark(powers)
        return Course(dark, lit if dark else seen, seen)

    def _settle(self, powers: Mapping[str, float], settle_s: float, lit_mTorr: float | None = None) -> Course:
        self.plant.advance(settle_s)
        dark, seen = self._dark(powers), self._pressure()
        return Course(dark, lit_mTorr if dark else seen, seen)

    def _set_power(self, source: str, power_W: float) -> None:
        unit = self.plant.sources[self.index(source)]
        unit.setpoint_W = power_W
        self.plant.advance(abs(power_W - unit.supply_W) / self.plant.settings.power_ramp_W_per_s + 0.1)

    def _dark(self, names: Sequence[str] | Mapping[str, float]) -> tuple[str, ...]:
        return tuple(name for name in names if not self.plant.sources[self.index(name)].burning)

    def _pressure(self) -> float:
        return _number(plant_readings(self.plant)["GAUGE:PROCESS:PRESSURE"])

    def _reach(self, pressure_mTorr: float) -> float:
        """Correct the flow until the gauge shows the pressure; returns what it shows."""
        seen = math.nan
        for _ in range(PRESSURE_CORRECTIONS):
            seen = self._flow(pressure_mTorr)
            if abs(seen - pressure_mTorr) <= PRESSURE_TOLERANCE * pressure_mTorr:
                return seen
        raise RequestError(f"the pressure does not come to {pressure_mTorr:g} mTorr: the gauge shows {seen:g} mTorr")

    def _flow(self, pressure_mTorr: float) -> float:
        """Set the flow that should give this pressure; returns what the gauge shows after it."""
        gas, flow = self.plant.gas, pressure_mTorr * self._flow_per_mTorr
        limit = self.plant.settings.maximum_flow_sccm
        if flow > limit:
            raise RequestError(f"{pressure_mTorr:g} mTorr takes {flow:.0f} sccm: beyond 0 .. {limit:g} sccm")
        gas.setpoint_sccm = flow
        gas.settle()
        self.plant.advance(PUMP_S)
        seen = self._pressure()
        if seen <= 0:
            raise RequestError(f"{pressure_mTorr:g} mTorr cannot be told from an empty chamber")
        self._flow_per_mTorr = flow / seen
        return seen


def _number(value: Reading) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
