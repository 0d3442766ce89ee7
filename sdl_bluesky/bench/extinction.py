"""Extinction learned against a fixed cut: error of the rate where the plasma burns, and where it is said to burn.

Simulated magnetrons of this file's own: a smooth rate that collapses towards the boundary, boundaries of several shapes,
hysteresis (a plasma is lit high and brought down in steps of 4 % until it goes out), noisy readings and readbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdl_bluesky.agents import BALMAgent
from sdl_bluesky.agents.extinction import Setting
from sdl_bluesky.physics.geometry import Array

Row = dict[str, Any]
Tell = Callable[[str], None]
Shape = Callable[[Array], Array]

POWER_W, PRESSURE_MTORR = (10.0, 100.0), (2.0, 20.0)
EXPERIMENTS = 10
SEEDS = 12
CUT_MTORR = 4.0
GRID = 61
DESCENT = 0.96
LIT_AT_MTORR = 12.0
RELATIVE, ABSOLUTE = 0.015, 0.05

SHAPES: Mapping[str, Shape] = {
    "power law": lambda power: 2.2 * (power / 100.0) ** -0.25,
    "levels off": lambda power: 2.3 + 2.6 * np.exp(-power / 22.0),
    "flat": lambda power: np.full_like(power, 3.0),
    "steep": lambda power: 1.9 * (power / 100.0) ** -0.5,
    "kink": lambda power: np.where(power < 40.0, 4.6 - 0.045 * (power - 10.0), 3.25 - 0.004 * (power - 40.0)),
}


@dataclass(frozen=True)
class Magnetron:
    """A simulated source; noise from its own generator.

    Attributes:
        boundary: pressure of extinction [mTorr] over the power [W].
        rng: of the noise.
    """

    boundary: Shape
    rng: np.random.Generator

    def rate(self, power: Array, pressure: Array) -> Array:
        """Noise-free rate [ng cm^-2 s^-1] where the plasma burns: yield, scattering in the gas, loss near extinction."""
        scattered = 1.0 / (1.0 + (pressure / (14.0 * (1.0 + power / 150.0))) ** 1.6)
        above = np.maximum(pressure - self.boundary(power), 0.0)
        return 1.15 * power**0.96 * scattered * (1.0 - 0.35 * np.exp(-above / 1.8))

    def experiment(self, point: Mapping[str, float]) -> Row:
        """The row of an experiment: ignite high, come down in steps, measure; or the bracket in which it went out."""
        power, asked = float(point["power"]), float(point["pressure"])
        limit = float(self.boundary(np.array([power]))[0])
        at = max(LIT_AT_MTORR, asked)
        while at > asked:
            step = max(at * DESCENT, asked)
            if step < limit:
                lit, out = self._read(at), self._read(step)
                return {**point, "plasma": 0, "lit_pressure": lit, "out_pressure": out}
            at = step
        rate = float(self.rate(np.array([power]), np.array([asked]))[0])
        noisy = rate + float(np.hypot(RELATIVE * rate, ABSOLUTE)) * self.rng.standard_normal()
        return {**point, "plasma": 1, "power": self._read(power), "pressure": self._read(asked), "rate": noisy}

    def _read(self, value: float) -> float:
        return value * (1.0 + 0.002 * self.rng.standard_normal())


def campaign(shape: Shape, seed: int, extinction: Setting, **settings: Any) -> Row:
    """One campaign of an agent; figures over a grid of the whole box.

    Returns:
        e_rms_percent over the lit region, in percent of the mean rate there; class_percent right; extinctions.
    """
    source = Magnetron(shape, np.random.default_rng([seed, 71]))
    bounds = {"power": POWER_W, "pressure": PRESSURE_MTORR}
    agent = BALMAgent(bounds, budget=EXPERIMENTS, seed=seed, extinction=extinction, **settings)
    while not agent.should_stop()[0]:
        agent.ingest([source.experiment(point) for point in agent.suggest()])
    axes = [np.linspace(low, high, GRID) for low, high in (POWER_W, PRESSURE_MTORR)]
    x = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    burns = x[:, 1] >= shape(x[:, 0])
    truth = source.rate(*x[burns].T)
    error = agent.predict(x[burns])[0] - truth
    said = agent.lit_probability(x) > 0.5
    return {
        "e_rms_percent": 100.0 * float(np.sqrt(np.mean(error**2)) / truth.mean()),
        "class_percent": 100.0 * float(np.mean(said == burns)),
        "extinctions": len(agent.ledger.extinctions),
    }


METHODS: Mapping[str, Setting] = {"learned": "learn", "fixed cut": CUT_MTORR}


def rows(seeds: int | None, quick: bool, tell: Tell) -> Sequence[Row]:
    """The rows of the study, one for each boundary and method; `quick`: two seeds."""
    count = 2 if quick else (SEEDS if seeds is None else seeds)
    found: list[Row] = []
    for case, shape in SHAPES.items():
        for method, setting in METHODS.items():
            tell(f"extinction, {case}: {method}")
            begin = time.process_time()
            runs = [campaign(shape, seed, setting) for seed in range(count)]
            found.append({"method": method, "case": case, **_figures(runs), "cpu_s": time.process_time() - begin})
    return found


def _figures(runs: Sequence[Row]) -> Row:
    error, right, out = (np.array([run[k] for run in runs]) for k in ("e_rms_percent", "class_percent", "extinctions"))
    return {
        "seeds": len(runs),
        "experiments": EXPERIMENTS,
        "e_rms_percent": np.median(error),
        "e_rms_worst": error.max(),
        "class_percent": np.median(right),
        "class_worst": right.min(),
        "extinctions_mean": out.mean(),
        "extinctions_most": int(out.max()),
    }
