"""How good networks for backscattering spectra are: errors, calibration, chi2, times, beside the published ones.

For each of the sets A, B and C a network is trained by its recipe, and 2000 test spectra are given to it, to fits, and to
fits that begin where it points. Rows with percentiles are laid out as Tables 2 to 4 and 6 of Muzakka et al. (2024), whose
own rows stand beside them (its B has a second region of interest, see `rbs_sets`). `efficiency` is the error over what the
counting statistics allow (see `inference.rbs_mdn.assess`): of the posterior's mean, of its most probable values (`_best`),
of the fit from there (`_lm`). The test of the ranks is shown to see standard deviations that are wrong by a factor of 1.3.

Networks are kept in the folder that the environment variable SDL_BENCH_CACHE names, and are not trained again. The published
network itself is trained by the study `rbs-mdn-paper`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np

from sdl_bluesky.bench.rbs_mdn_methods import compare
from sdl_bluesky.bench.rbs_mdn_models import recipe_of, trained, trials_of
from sdl_bluesky.bench.rbs_mdn_rows import (
    Row,
    calibration_rows,
    paper_parameters,
    paper_profiles,
    paper_sizes,
    parameter_rows,
    size_row,
    time_rows,
)
from sdl_bluesky.bench.rbs_mdn_strange import strange_rows
from sdl_bluesky.bench.rbs_sets import SETS
from sdl_bluesky.inference.rbs_mdn import assess
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.training import Recipe
from sdl_bluesky.physics.geometry import Array

SEEDS = 1
TEST, TEST_QUICK = 2000, 60
FITS_QUICK = {"A": 60, "B": 60, "C": 15}
SIMPLEX = {"A": 100, "B": 100, "C": 20}
SIMPLEX_QUICK = {"A": 2, "B": 2, "C": 1}
SIZES, SIZES_QUICK = (10_000, 50_000), (1000,)
STRANGE, STRANGE_QUICK = 300, 20
SHOWN = 150
"""Spectra of a figure of ratios."""

Tell = Callable[[str], None]


def run(seeds: int | None, quick: bool, tell: Tell) -> list[Row]:
    """The study, see `sdl_bluesky.bench`."""
    count = 1 if quick else (SEEDS if seeds is None else seeds)
    rows: list[Row] = []
    for seed in range(count):
        for name in SETS:
            rows += _rows_of(name, seed, quick, tell)
        for name in SETS:
            rows += _size_rows(name, seed, quick, tell)
        tell("spectra that are not of the system")
        model = trained("A", recipe_of("A", quick, seed), tell)
        rows += strange_rows(model, trials_of("A", STRANGE_QUICK if quick else STRANGE, 1000 + seed), seed, tell)
    for name in SETS:
        rows += paper_profiles(name) + paper_sizes(name)
        rows += paper_parameters(name, next(row for row in rows if "efficiency" in row))
    return rows


def _rows_of(name: str, seed: int, quick: bool, tell: Tell) -> list[Row]:
    recipe = recipe_of(name, quick, seed)
    model = trained(name, recipe, tell)
    trials = trials_of(name, TEST_QUICK if quick else TEST, seed)
    fits = FITS_QUICK[name] if quick else TEST
    found = compare(model, trials, fits, (SIMPLEX_QUICK if quick else SIMPLEX)[name], seed, tell)
    about: dict[str, Any] = {"method": "network", "case": name, "seed": seed}
    rows = [*found.rows, *parameter_rows(found.posterior, trials, about, found.fitted)]
    rows += calibration_rows(lambda factor: assess.scaled(found.posterior, factor), trials, about)
    return rows + time_rows(name, {**model.card, "spectra": recipe.spectra}, found.ms, about)


def sized(recipe: Recipe, spectra: int) -> Recipe:
    """The same with fewer spectra, and steps by the root of their number: each is seen more often, with new noise."""
    return replace(recipe, spectra=spectra, steps=max(1, round(recipe.steps * sqrt(spectra / recipe.spectra))))


def _sizes(name: str, seed: int, quick: bool, tell: Tell) -> dict[int, Model]:
    recipe = recipe_of(name, quick, seed)
    sizes = [k for k in (SIZES_QUICK if quick else SIZES) if k < recipe.spectra]
    recipes = [*(sized(recipe, k) for k in sizes), recipe]
    return {k.spectra: trained(name, k, tell) for k in recipes}


def _size_rows(name: str, seed: int, quick: bool, tell: Tell) -> list[Row]:
    trials = trials_of(name, TEST_QUICK if quick else TEST, seed)
    rows, each = [], []
    for spectra, model in _sizes(name, seed, quick, tell).items():
        told = model.predict(trials.counts)
        about = {"method": "network", "case": name, "seed": seed}
        rows.append(size_row(told, trials, about, spectra, float(model.card["training_s"])))
        if spectra < recipe_of(name, quick).spectra:
            each += parameter_rows(told, trials, {**about, "method": f"network, {spectra / 1000:g}k"}, None)
    return rows + each


def draw(seeds: int | None, quick: bool, tell: Tell) -> dict[str, bytes]:
    """Figures of the first seed, by file name: spectra, errors against training, ratios to the truth, calibration."""
    from sdl_bluesky.bench import rbs_mdn_figures as figures

    trials = {name: trials_of(name, TEST_QUICK if quick else TEST, 0) for name in SETS}
    found: dict[str, bytes] = {
        "rbs-mdn-spectra.png": figures.spectra_figure({k: v.first(3) for k, v in trials.items()})
    }
    places: dict[str, Array] = {}
    for name in SETS:
        told = trained(name, recipe_of(name, quick), tell).predict(trials[name].counts)
        places[name] = told.distribution(trials[name].truth)
        rows = np.sort(np.random.default_rng(0).permutation(len(told))[:SHOWN])
        found[f"rbs-mdn-ratio-{name}.png"] = figures.ratio_figure(told.mean, told.std, trials[name], rows)
        error = {
            spectra: assess.relative_error(model.predict(trials[name].counts).mean, trials[name])
            for spectra, model in _sizes(name, 0, quick, tell).items()
        }
        found[f"rbs-mdn-training-size-{name}.png"] = figures.size_figure(error, trials[name])
    found["rbs-mdn-calibration.png"] = figures.calibration_figure(places)
    return found
