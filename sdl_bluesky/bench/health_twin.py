"""Runs on a simulated chamber that keeps its truth, reduced as real ones are: single sources, co-sputter shots, wear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdl_bluesky.analysis.health.additivity import Shot
from sdl_bluesky.analysis.health.ageing import TargetState
from sdl_bluesky.analysis.health.voltage import VoltageModel, fit_voltage
from sdl_bluesky.analysis.rates import Window, reduce_run
from sdl_bluesky.analysis.surface import SourceSurface, fit_surface
from sdl_bluesky.bench.health_lab import POWER_W, PRESSURE_MTORR, SENSOR_NAMES, Lab
from sdl_bluesky.bench.sputter_twin import SputterTwin
from sdl_bluesky.errors import PlasmaError
from sdl_bluesky.physics.geometry import Array

F0_HZ: dict[str, float] = dict.fromkeys(SENSOR_NAMES, 6e6)
_TRIES, _RAISE = 6, 1.1
GRID_POWER_W = np.linspace(*POWER_W, 13)
GRID_PRESSURE_MTORR = np.linspace(*PRESSURE_MTORR, 13)


@dataclass(frozen=True)
class Reading:
    """One run: mean readbacks, rates and standard errors [q], and the target afterwards."""

    setting: tuple[float, float]
    rate: Array
    std: Array
    voltage_V: float
    target: TargetState


@dataclass(frozen=True)
class Learned:
    """One source: its runs and what they tell."""

    readings: Sequence[Reading]
    surface: SourceSurface
    voltage: VoltageModel

    @property
    def target(self) -> TargetState:
        """At the middle of the runs."""
        states = [k.target for k in self.readings]
        energy, time = (float(np.mean([getattr(k, a) for k in states])) for a in ("energy_kWh", "process_s"))
        return TargetState(states[0].element, states[0].number, energy, time, 0.0)


def measure(twin: SputterTwin, source: str, power_W: float, pressure_mTorr: float) -> Reading:
    """The rate of one source.

    Raises:
        PlasmaError: it went out.
    """
    reply = twin.ask("measure", source=source, power=power_W, pressure=pressure_mTorr)
    _check(reply, power_W, pressure_mTorr)
    rate, std = _rates(reply)
    end = float(reply["window"]["measured"][1])
    target = TargetState(source.capitalize(), 1, float(reply["energy_kWh"]), end, 0.0)
    return Reading((float(reply["power"]), float(reply["pressure"])), rate, std, float(reply["voltage"]), target)


def learn(twin: SputterTwin, source: str, rng: np.random.Generator, count: int = 10) -> Learned:
    """A source from `count` runs: corners, centre and places drawn at random; where it goes out, at a higher pressure."""
    runs = [_measure_lit(twin, source, float(p), float(q)) for p, q in Lab.points(rng, count)]
    points = np.array([k.setting for k in runs])
    surface = fit_surface(
        points, np.stack([k.rate for k in runs]), np.stack([k.std for k in runs]), SENSOR_NAMES, POWER_W, PRESSURE_MTORR
    )
    return Learned(runs, surface, fit_voltage(points, [k.voltage_V for k in runs], POWER_W, PRESSURE_MTORR))


def _measure_lit(twin: SputterTwin, source: str, power_W: float, pressure_mTorr: float) -> Reading:
    for step in range(_TRIES):
        try:
            return measure(twin, source, power_W, pressure_mTorr * _RAISE**step)
        except PlasmaError:
            continue
    raise PlasmaError(f"{source} does not burn at {power_W:g} W from {pressure_mTorr:g} mTorr on")


def shoot(twin: SputterTwin, powers_W: Mapping[str, float], pressure_mTorr: float) -> Shot:
    """A co-sputter shot.

    Raises:
        PlasmaError: a plasma went out.
    """
    reply = twin.ask("film", powers=dict(powers_W), pressure=pressure_mTorr, duration_s=120.0)
    _check(reply, max(powers_W.values()), pressure_mTorr)
    rate, std = _rates(reply)
    volts = {k: float(v) for k, v in reply["voltage"].items()}
    powers = {k: float(v) for k, v in reply["powers"].items()}
    return Shot(powers, float(reply["pressure"]), SENSOR_NAMES, rate, std, volts)


def score(twin: SputterTwin, source: str, surface: SourceSurface) -> dict[str, float]:
    """Error of a surface over the whole range as the crystals show it, mean over the sensors, and its coverage."""
    rate, std = surface.grid(GRID_POWER_W, GRID_PRESSURE_MTORR)
    reply = twin.ask(
        "score_rate",
        source=source,
        power=GRID_POWER_W.tolist(),
        pressure=GRID_PRESSURE_MTORR.tolist(),
        mean={name: rate[k].tolist() for k, name in enumerate(surface.sensors)},
        std={name: std[k].tolist() for k, name in enumerate(surface.sensors)},
        tooling=True,
    )
    keys = ("e_rms_percent", "coverage_95")
    return {key: float(np.mean(list(reply[key].values()))) for key in keys} | {
        "worst_percent": max(reply["e_rms_percent"].values())
    }


def _check(reply: Mapping[str, Any], power_W: float, pressure_mTorr: float) -> None:
    if not reply["plasma"]:
        raise PlasmaError(f"the simulated plasma went out at {power_W:.3g} W and {pressure_mTorr:.3g} mTorr")


def _rates(reply: Mapping[str, Any]) -> tuple[Array, Array]:
    stream = {name: np.array([np.nan if v is None else v for v in c], float) for name, c in reply["rows"].items()}
    window = Window(tuple(reply["window"]["zero"]), tuple(reply["window"]["measured"]))
    return reduce_run(stream, window, F0_HZ).arrays(list(SENSOR_NAMES))
