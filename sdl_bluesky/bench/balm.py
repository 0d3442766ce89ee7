"""How many experiments a rate takes to learn: every acquisition with every model, on simulated landscapes.

`n_3_percent` (2, 1.5): median over the seeds of the experiments, initial ones included, after which the RMS error over the
whole grid stays under that part of the mean rate; a campaign that does not get there counts with one more than its length.
`e10_percent`: median error after ten. `coverage_95`: part of the grid whose noise-free rate lies within the 95 % interval,
mean over campaigns from the eighth experiment on. `predicted_over_actual`: error that the model claims over its error,
after ten. `enhancement`: error of random points over this one's after ten, same model. `acceleration_3`: the same of the
experiments to 3 %.

The published configuration is "standard, balm-published, corners"; its cases 2 and 1 begin with Sobol and random points. The
default of this program is "power-scaled, balm, ends". The joint model has two more sensors to learn from.

Further rows: the sampler beside botorch's NUTS (`bench.nuts`), and extinction (`bench.extinction`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np

from sdl_bluesky.agents import RateAgent, make_agent
from sdl_bluesky.bench import extinction, nuts
from sdl_bluesky.bench.landscapes import BOUNDS, HARDER, LANDSCAPES, SENSORS, at_sensors, read
from sdl_bluesky.inference.acquisition import ACQUISITIONS
from sdl_bluesky.inference.design import grid
from sdl_bluesky.physics.geometry import Array

SEEDS = 12
LENGTH = 25
FIRST_JUDGED = 5
"""Experiments before the model is judged: those of the initial design."""
LEVELS = {"n_3_percent": 3.0, "n_2_percent": 2.0, "n_1.5_percent": 1.5}
MODELS = ("power-scaled", "standard", "joint")
Learner = tuple[str, str, str]
"""Model, acquisition (or the name of an agent without one), initial design (or nothing)."""
DEFAULT: Learner = ("power-scaled", "balm", "ends")
PAPER: Learner = ("standard", "balm-published", "corners")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One campaign: a landscape, what learns it, and the seed of both."""

    landscape: str
    learner: Learner
    seed: int
    length: int

    @property
    def method(self) -> str:
        """As rows name it."""
        return ", ".join(k for k in self.learner if k)


def run(seeds: int | None, quick: bool, tell: Tell) -> list[dict[str, Any]]:
    """The study, see `sdl_bluesky.bench`."""
    count = 2 if quick else seeds or SEEDS
    rows = learning(count, 11 if quick else LENGTH, _methods(quick), quick, tell)
    tell("extinction")
    rows += extinction.rows(count, quick, tell)
    tell("botorch's NUTS")
    deviation = nuts.compare(long=(100, 100, 1) if quick else nuts.LONG)
    return [*rows, {"method": "importance sampling", "case": "30 readings", **deviation, **nuts.speed(quick=quick)}]


def learning(count: int, length: int, methods: Sequence[Learner], quick: bool, tell: Tell) -> list[dict[str, Any]]:
    """Rows of the learning curves."""
    landscapes = [*LANDSCAPES] if quick else [*LANDSCAPES, *HARDER]
    tasks = [
        Task(name, method, seed, length)
        for name, method, seed in product(landscapes, methods, range(count))
        if name in LANDSCAPES or method in (DEFAULT, PAPER, ("power-scaled", "nipv", "ends"))
    ]
    tell(f"{len(tasks)} campaigns of {length} experiments")
    curves: dict[tuple[str, str], list[Array]] = {}
    for k, (task, curve) in enumerate(_curves(tasks)):
        curves.setdefault((task.landscape, task.method), []).append(curve)
        if (k + 1) % 200 == 0:
            tell(f"{k + 1} of {len(tasks)}")
    return [_row(name, method, np.array(found), curves) for (name, method), found in curves.items()]


def draw(seeds: int | None, quick: bool, tell: Tell) -> dict[str, bytes]:
    """Figures of the strong landscape, by file name: learning curves, hyper-parameters of one campaign, parity."""
    from sdl_bluesky.bench.balm_figures import curves_figure, parity_figure, traces_figure

    count, length = (2, 8) if quick else (seeds or SEEDS, LENGTH)
    methods = [DEFAULT, ("power-scaled", "random", ""), PAPER, ("standard", "random", "")]
    tasks = [Task("strong", method, seed, length) for method in methods for seed in range(count)]
    tell(f"figures: {len(tasks)} campaigns")
    curves: dict[str, list[Array]] = {}
    for task, found in _curves(tasks):
        curves.setdefault(task.method, []).append(found)
    agent, traces = _learned(tasks[0])
    points = grid(list(BOUNDS.values()))
    return {
        "learning-curves.png": curves_figure({k: np.array(v) for k, v in curves.items()}, f"strong, {count} campaigns"),
        "hyperparameters.png": traces_figure(traces, tasks[0].method),
        "parity.png": parity_figure(LANDSCAPES["strong"](points), *agent.predict(points), tasks[0].method),
    }


def _learned(task: Task) -> tuple[RateAgent, list[tuple[int, dict[str, tuple[float, float]]]]]:
    """The agent after a campaign, and its hyper-parameters on the way."""
    traces = []
    agent = None
    for k, agent in _campaign(task):
        if k >= FIRST_JUDGED:
            traces.append((k, agent.posterior().hyperparameters()))
    assert agent is not None
    return agent, traces


def _methods(quick: bool) -> list[Learner]:
    if quick:
        return [DEFAULT, PAPER, ("power-scaled", "random", ""), ("standard", "random", "")]
    found = [
        (model, name, "corners" if model == "standard" else "ends") for model, name in product(MODELS, ACQUISITIONS)
    ]
    found += [(model, name, "") for model, name in product(MODELS, ("random", "sobol"))]
    others = [
        (*DEFAULT[:2], "corners"),
        *((*learner[:2], k) for learner in (DEFAULT, PAPER) for k in ("sobol", "random")),
    ]
    return [*found, *others]


def _curves(tasks: Sequence[Task]) -> Iterator[tuple[Task, Array]]:
    workers = min(os.cpu_count() or 1, 8)
    if workers == 1 or len(tasks) < 2 * workers:
        yield from ((task, curve(task)) for task in tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from zip(tasks, pool.map(curve, tasks, chunksize=4))


def curve(task: Task) -> Array:
    """Learning curve [experiments from the fifth on, 4]: their number, error and predicted error (%), coverage."""
    points = grid(list(BOUNDS.values()))
    truth = {**LANDSCAPES, **HARDER}[task.landscape](points)
    mean = float(truth.mean())
    found = []
    for k, agent in _campaign(task):
        if k >= FIRST_JUDGED:
            rate, std = agent.predict(points)
            error, claimed = (100 * float(np.sqrt(np.mean(e**2))) / mean for e in (rate - truth, std))
            found.append((k, error, claimed, float(np.mean(np.abs(rate - truth) <= 1.96 * std))))
    return np.array(found)


def _campaign(task: Task) -> Iterator[tuple[int, RateAgent]]:
    """The agent after each experiment, and their number."""
    law = {**LANDSCAPES, **HARDER}[task.landscape]
    model, acquisition, initial = task.learner
    settings: dict[str, Any] = {"bounds": BOUNDS, "model": model, "budget": 10 * task.length, "seed": task.seed}
    if model == "joint":
        settings["sensors"] = SENSORS
    if initial:
        settings |= {"acquisition": acquisition, "initial": initial}
    agent = make_agent("balm" if initial else acquisition, **settings)
    rng = np.random.default_rng([task.seed, 77])
    for k in range(1, task.length + 1):
        [point] = agent.suggest()
        x = np.array([[point[name] for name in BOUNDS]])
        read_at = {name: float(read(rate, rng)[0]) for name, rate in at_sensors(law, x).items()}
        agent.ingest([{**point, **_outcomes(read_at, model)}])
        yield k, agent


def _outcomes(read_at: Mapping[str, float], model: str) -> dict[str, float]:
    """What an agent is told: the first sensor, or all of them."""
    if model != "joint":
        return {"rate": read_at["rate"]}
    return {name if name == "rate" else f"{name}_rate": value for name, value in read_at.items()}


def experiments_to(curves: Array, percent: float) -> Array:
    """Experiments [campaigns] after which the error of curves [campaigns, points, 4] stays under `percent`."""
    above = curves[:, :, 1] >= percent
    last = np.where(above.any(axis=1), above.shape[1] - np.argmax(above[:, ::-1], axis=1), 0)
    counts = np.append(curves[0, :, 0], curves[0, -1, 0] + 1)
    return np.asarray(counts[last])


def _row(name: str, method: str, found: Array, curves: Mapping[tuple[str, str], Sequence[Array]]) -> dict[str, Any]:
    ten = min(10 - FIRST_JUDGED, found.shape[1] - 1)
    row: dict[str, Any] = {"method": method, "case": name, "campaigns": len(found)}
    row |= {key: float(np.median(experiments_to(found, level))) for key, level in LEVELS.items()}
    row["reached_2_percent"] = int(np.sum(experiments_to(found, 2.0) <= found[0, -1, 0]))
    row["e10_percent"] = float(np.median(found[:, ten, 1]))
    row["coverage_95"] = float(found[:, min(3, ten) :, 3].mean())
    row["predicted_over_actual"] = float(np.median(found[:, ten, 2] / found[:, ten, 1]))
    random = curves.get((name, f"{method.split(', ')[0]}, random"))
    if random is not None:
        other = np.array(random)
        row["enhancement"] = float(np.median(other[:, ten, 1])) / row["e10_percent"]
        row["acceleration_3"] = float(np.median(experiments_to(other, 3.0))) / row["n_3_percent"]
    else:
        row |= {"enhancement": float("nan"), "acceleration_3": float("nan")}
    return row
