"""What a rehearsal assumes of a machine beyond its lab file, and where each number comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TICK_S = 0.1
"""Real seconds between two publications of an IOC (10 Hz)."""


@dataclass(frozen=True)
class Learned:
    """A factor on what is assumed, and its relative standard deviation.

    Attributes:
        factor: learned over assumed.
        spread: relative standard deviation.
        runs: earlier runs that it comes from; 0: it is assumed.
    """

    factor: float = 1.0
    spread: float = 0.0
    runs: int = 0


YIELDS: Mapping[str, float] = {
    **{"Al": 1.05, "Si": 0.50, "Ti": 0.51, "V": 0.65, "Cr": 1.18, "Fe": 1.10, "Co": 1.22, "Ni": 1.45, "Cu": 2.35},
    **{"Ge": 1.1, "Zr": 0.65, "Nb": 0.60, "Mo": 0.80, "Pd": 2.08, "Ag": 3.12, "Hf": 0.70, "Ta": 0.57, "W": 0.57},
    **{"Re": 0.87, "Os": 0.87, "Ir": 1.01, "Pt": 1.40, "Au": 2.40},
}
"""Atoms for each argon ion of 500 eV (N. Laegreid and G. K. Wehner, J. Appl. Phys. 32 (1961) 365)."""
USUAL_YIELD = 1.2
"""Of an element that is not in the table."""

RATE_UNKNOWN = Learned(1.0, 1.0, 0)
"""Nothing is known of a source: its rate may be half or twice what is assumed."""
TIME_UNKNOWN = Learned(1.0, 0.07, 0)


@dataclass(frozen=True)
class Habits:
    """How a machine behaves. The defaults are assumptions, of the usual order of size; `session.estimates` learns what
    earlier runs tell.

    Attributes:
        tick_s: process time between two readings [s]; on a simulation its speed times 0.1 s.
        speed: process seconds per real second.
        power_ramp_W_s: how fast supplies go.
        flow_s: until a flow of gas is within its tolerance [s].
        pump_sccm: gas flow at which the pump is twice as fast as with little flow.
        flow_per_pressure: gas flow over pressure with little flow [sccm/mTorr]; None: the lab file's first guess.
        emitted_ng_J: mass that a source of copper emits for each joule [ng/J], others by `YIELDS` and their atomic mass; the
            factors of `rates` correct it.
        exponent: angular exponent n of the sources.
        noise_Hz: of a frequency reading.
        life_Hz: frequency shift at which a crystal is used up.
        beam_nA: of the RBS end station.
        cool_s: time constant of a susceptor without heater; ambient_degC: where it ends.
        rotation_rpm_s: how fast a susceptor starts and stops.
        line_s: until flow and pressure of a reactor are within their tolerances [s].
        lag_s: by which a susceptor is behind its ramp.
        rates: by source; times: of all experiments; films: films that a target took; layers: runs that a target took.
        energy_kWh: on each target already.
        life_percent: left of each crystal.
    """

    tick_s: float = TICK_S
    speed: float = 1.0
    power_ramp_W_s: float = 50.0
    flow_s: float = 5.0
    pump_sccm: float = 1000.0
    flow_per_pressure: float | None = None
    emitted_ng_J: float = 400.0
    exponent: float = 1.8
    noise_Hz: float = 0.03
    life_Hz: float = 1.0e6
    beam_nA: float = 20.0
    cool_s: float = 250.0
    ambient_degC: float = 25.0
    rotation_rpm_s: float = 30.0
    line_s: float = 3.0
    lag_s: float = 15.0
    rates: Mapping[str, Learned] = field(default_factory=dict)
    times: Learned = TIME_UNKNOWN
    growth_times: Learned = TIME_UNKNOWN
    films: Learned = Learned()
    layers: Learned = Learned()
    energy_kWh: Mapping[str, float] = field(default_factory=dict)
    life_percent: Mapping[str, float] = field(default_factory=dict)
    known: tuple[str, ...] = ()

    def rate(self, source: str) -> Learned:
        """Of one source."""
        return self.rates.get(source, RATE_UNKNOWN)

    def basis(self, sources: list[str]) -> list[str]:
        """Where the numbers for these sources come from, in words."""
        told = []
        for name in sources:
            found = self.rate(name)
            if found.runs:
                told.append(f"rate of {name}: from {found.runs} earlier run(s), within {100 * found.spread:.0f} %")
            else:
                told.append(f"rate of {name}: assumed, within a factor of two; no earlier run tells it")
        return [*told, *self.known]
