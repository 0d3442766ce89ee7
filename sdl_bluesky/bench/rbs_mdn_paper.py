"""The published network, trained here: hours on a processor, minutes on a GPU.

Its own default is 50,000 spectra. On A it is trained with 10,000, too, and beside that its ablations with as many: without
the GRU, with five components, as a regression to a point (which has no uncertainty). Rows are those of `rbs-mdn`: chi2 of
spectra simulated from the mean, errors and calibration of each density, errors against the number of spectra.

Networks are kept in the folder that the environment variable SDL_BENCH_CACHE names; a training that was interrupted goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sdl_bluesky.bench.rbs_mdn_models import TINY_SCHEDULE, trained_published, trials_of
from sdl_bluesky.bench.rbs_mdn_rows import (
    Row,
    calibration_rows,
    paper_parameters,
    paper_profiles,
    paper_sizes,
    parameter_rows,
    profile_row,
    size_row,
)
from sdl_bluesky.bench.rbs_sets import SETS
from sdl_bluesky.inference.rbs_mdn import assess
from sdl_bluesky.inference.rbs_mdn.published import Layout, Schedule, layout_of

SEEDS = 1
TEST, TEST_QUICK = 2000, 40
SMALL = 10_000
SIMPLE = layout_of("A")
ABLATIONS = {
    "CNN, no GRU": replace(SIMPLE, recurrent=False),
    "5 components": replace(SIMPLE, components=5),
    "regression to a point": replace(SIMPLE, density=False),
}

Tell = Callable[[str], None]
Task = tuple[str, str, Layout, Schedule]
"""Set, what the rows call it, network, training."""


def run(seeds: int | None, quick: bool, tell: Tell) -> list[Row]:
    """The study, see `sdl_bluesky.bench`."""
    rows: list[Row] = []
    for seed in range(1 if quick else (SEEDS if seeds is None else seeds)):
        for task in _tasks(quick, seed):
            rows += _rows_of(task, quick, seed, tell)
    for name in SETS:
        rows += paper_profiles(name) + paper_sizes(name)
        rows += paper_parameters(name, next(row for row in rows if "efficiency" in row))
    return rows


def _tasks(quick: bool, seed: int) -> Iterator[Task]:
    full = replace(TINY_SCHEDULE if quick else Schedule(), seed=seed)
    small = replace(full, spectra=min(full.spectra // 2, SMALL))
    yield "A", "published network", layout_of("A"), small
    for name, layout in ABLATIONS.items():
        yield "A", f"published network, {name}", layout, small
    for name in SETS:
        yield name, "published network", layout_of(name), full


def _rows_of(task: Task, quick: bool, seed: int, tell: Tell) -> list[Row]:
    name, what, layout, schedule = task
    published = trained_published(name, layout, schedule, tell)
    trials = trials_of(name, TEST_QUICK if quick else TEST, seed)
    began = time.perf_counter()
    told = published.predict(trials.counts)
    ms = 1e3 * (time.perf_counter() - began) / len(trials)
    about: dict[str, Any] = {"method": f"{what}, {schedule.spectra / 1000:g}k", "case": name, "seed": seed}
    chi2 = assess.back_chi2(told.mean, trials)
    rows = [profile_row(chi2, len(trials.system.channels), ms, about)]
    rows.append(size_row(told, trials, about, schedule.spectra, float(published.card["training_s"])))
    if told.is_density:
        rows += parameter_rows(told, trials, about, None)
        rows += calibration_rows(told.scaled, trials, about)
    return rows
