"""Growth to target on simulated reactors: runs to 1180 nm, then to 1100 nm, both matched to InP.

Six preliminary runs, then one after another until a measured layer is within 10 nm and .05 %; at most fifteen for each
target, and sixteen are counted where that fails, or where the agent gives up. `runs_1180`, `runs_1100`: means over the
seeds, `p50_*` and `p90_*` percentiles, `failed` the targets missed. `worse_*`: mean of the runs more than the default
needed on the same reactor, `worse_*_se` its standard error.

Rows "trend": d ln odds / d ln flow of the other flow (x with As, y with Ga) after all runs, half the width of its 90 %
interval, how often the sign was right, how often the whole interval had that sign, and how often it held the
truth (slopes of a plane fitted to the law over the flows of the runs).
`bench.pibo_worlds` and `bench.pibo_reactor` say what the reactors are, `bench.pibo_learners` who learns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np

from sdl_bluesky.bench.pibo_learners import LEARNERS, AgentLearner, Learner
from sdl_bluesky.bench.pibo_worlds import WORLDS, maintain, preliminary, reactor
from sdl_bluesky.inference.pibo.logodds import LogOddsPosterior
from sdl_bluesky.physics.alloys import Specification
from sdl_bluesky.physics.geometry import Array

SEEDS = 100
CAP = 15
TARGETS_NM = (1180.0, 1100.0)
SLOW = {"qlogei": 20, "gp (wl, d)": 40, "gp (x, y)": 40}
"""Seeds of the learners that are slow or fail mostly."""
_Z90 = 1.645


@dataclass(frozen=True)
class Task:
    """A reactor and who grows in it."""

    world: str
    learner: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a task gave.

    Attributes:
        runs: to each target; CAP + 1 where it was missed.
        seconds: of all suggestions.
        asked: number of suggestions.
        trend: slope of x with As and of y with Ga, standard deviations, truths [3, 2]; nan of learners without.
    """

    runs: tuple[int, ...]
    seconds: float
    asked: int
    trend: Array


def run(seeds: int | None, quick: bool, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """The study, see `sdl_bluesky.bench`."""
    count = 3 if quick else seeds or SEEDS
    learners = ("default", "published", "random", "oracle") if quick else tuple(LEARNERS)
    rows: list[dict[str, Any]] = []
    for world in WORLDS:
        tasks = [Task(world, name, seed) for name in learners for seed in range(min(count, SLOW.get(name, count)))]
        tell(f"{world}: {len(tasks)} reactors")
        found: dict[str, list[Outcome]] = {}
        for task, outcome in _outcomes(tasks):
            found.setdefault(task.learner, []).append(outcome)
        rows += [_row(world, name, outcomes, found["default"]) for name, outcomes in found.items()]
        rows.append(_trend_row(world, found["default"]))
    return rows


def _outcomes(tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
    workers = min(os.cpu_count() or 1, 8)
    if workers == 1:
        yield from ((task, grow(task)) for task in tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from zip(tasks, pool.map(grow, tasks, chunksize=2), strict=True)


def _one_thread() -> None:
    """Processes share the cores; threads of each would fight for them."""
    import torch

    torch.set_num_threads(1)


def grow(task: Task) -> Outcome:
    """Both targets in one reactor."""
    plant = reactor(task.world, task.seed)
    learner = LEARNERS[task.learner](task.seed, plant)
    for flows in preliminary(plant):
        learner.tell(flows, plant.grow(flows))
    runs, seconds = [], 0.0
    for k, wavelength in enumerate(TARGETS_NM):
        changed = k > 0 and task.world == "offset"
        if changed:
            maintain(plant)
        learner.aim_at(wavelength, "second" if changed else "first")
        specification, n = Specification(wavelength), 0
        met = False
        while n < CAP and not met and not learner.gives_up():
            begun = perf_counter()
            flows = learner.next()
            seconds += perf_counter() - begun
            measured, n = plant.grow(flows), n + 1
            learner.tell(flows, measured)
            met = bool(specification.met(*measured))
        runs.append(n if met else CAP + 1)
    return Outcome(tuple(runs), seconds, sum(min(n, CAP) for n in runs), _trend(learner, plant.law))


def _trend(learner: Learner, law: Callable[[Array], Array]) -> Array:
    posterior = learner.agent.posterior() if isinstance(learner, AgentLearner) else None
    if not isinstance(posterior, LogOddsPosterior):
        return np.full((3, 2), np.nan)
    mean, std = posterior.slopes()
    flows = posterior.data.flows
    u = np.log(flows)
    plane = np.linalg.lstsq(np.column_stack([np.ones(len(u)), u]), law(flows), rcond=None)[0][1:].T
    return np.array([[a[0, 1], a[1, 0]] for a in (mean, std, plane)])


def _row(world: str, name: str, outcomes: Sequence[Outcome], default: Sequence[Outcome]) -> dict[str, Any]:
    runs = np.array([o.runs for o in outcomes], dtype=float)
    more = runs - np.array([o.runs for o in default[: len(runs)]], dtype=float)
    row: dict[str, Any] = {"method": name, "case": world, "reactors": len(runs)}
    for k, wavelength in enumerate(TARGETS_NM):
        row[f"runs_{wavelength:.0f}"] = float(runs[:, k].mean())
        row |= {f"p{p}_{wavelength:.0f}": float(np.percentile(runs[:, k], p)) for p in (50, 90)}
        row[f"worse_{wavelength:.0f}"] = float(more[:, k].mean())
        row[f"worse_{wavelength:.0f}_se"] = float(more[:, k].std(ddof=1) / np.sqrt(len(more))) if len(more) > 1 else 0.0
    row["failed"] = int((runs > CAP).sum())
    row["suggestion_s"] = sum(o.seconds for o in outcomes) / sum(o.asked for o in outcomes)
    return row


def _trend_row(world: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found = np.array([o.trend for o in outcomes])
    row: dict[str, Any] = {"method": "trend", "case": world, "reactors": len(found)}
    for k, (name, sign) in enumerate((("x_with_as", -1.0), ("y_with_ga", 1.0))):
        mean, std, truth = found[:, :, k].T
        row[name] = float(mean.mean())
        row[f"{name}_half_width"] = float(_Z90 * std.mean())
        row[f"{name}_sign_right"] = float(np.mean(mean * truth > 0))
        row[f"{name}_sign_sure"] = float(np.mean(sign * mean > _Z90 * std))
        row[f"{name}_coverage_90"] = float(np.mean(np.abs(mean - truth) < _Z90 * std))
    return row


def better_than_default(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Learners that were better than the default by more than two standard errors, in words; empty is as it should be."""
    return [
        f"{row['method']} in {row['case']}, {wavelength:.0f} nm: {row[f'worse_{wavelength:.0f}']:+.2f} runs"
        for row in rows
        for wavelength in TARGETS_NM
        if row["method"] not in ("trend", "oracle", "default")
        and row[f"worse_{wavelength:.0f}"] < -2 * row[f"worse_{wavelength:.0f}_se"]
    ]
