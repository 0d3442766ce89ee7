"""How well and how fast spectra are fitted: pass rates, times, chi2 profiles, errors against the Cramer-Rao bound.

Rows of the sets A, B and C are laid out as Tables 2 to 4 and 6 of the paper on mixture density networks, whose own rows
stand beside them. Its B has a second region of interest (see `rbs_sets`), so that its chi2 there is one of 1310 channels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdl_bluesky.bench.rbs_coverage import coverage_rows
from sdl_bluesky.bench.rbs_paper import PAPER, PERCENTILES
from sdl_bluesky.bench.rbs_sets import HIGHEST, LOWEST, SETS, DataSet
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.physics import rbs
from sdl_bluesky.physics.geometry import Array

SEEDS = 3
COUNTS = {"A": 2000, "B": 2000, "C": 500}
QUICK = {"A": 200, "B": 200, "C": 40}
SIMPLEX = {"A": 100, "B": 100, "C": 20}
SIMPLEX_QUICK = {"A": 20, "B": 10, "C": 2}
BATCH = {"A": 100, "B": 100, "C": 25}
"""Spectra in one call: the time of a call over its spectra is the time of a spectrum."""
MEDIAN_OF_NORMAL = 0.6744897501960817

Row = dict[str, Any]
Tell = Callable[[str], None]


def run(seeds: int | None, quick: bool, tell: Tell) -> Sequence[Row]:
    """The rows of the study; `quick`: one seed, a tenth of the spectra."""
    count = 1 if quick else (SEEDS if seeds is None else seeds)
    rows: list[Row] = []
    for name, data in SETS.items():
        rows += _rows_of(
            data, count, (QUICK if quick else COUNTS)[name], (SIMPLEX_QUICK if quick else SIMPLEX)[name], tell
        )
    tell("intervals with nuisance parameters")
    return rows + coverage_rows(40 if quick else 200)


def _rows_of(data: DataSet, seeds: int, count: int, simplex: int, tell: Tell) -> list[Row]:
    truth, fitted, biased = [], {}, []
    layers, counts = [], []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, ord(data.name)])
        layers.append(data.draw(count, rng))
        counts.append(data.measure(layers[-1], rng))
        truth.append(rbs_fit.paper_chi2(*_in_roi(data, counts[-1], rbs.simulate(data.setup, layers[-1]))))
        starts = {"mid-range": data.middle(count), "10 % off": data.near(layers[-1], rng)}
        for method, start, options in _METHODS:
            tell(f"{data.name}, seed {seed}: {method}")
            fitted.setdefault(method, []).append(_timed(data, counts[-1], starts[start], options))
        if data.name == "B":
            biased.append(_timed(data, counts[-1], starts["10 % off"], {"likelihood": "chi2", "restarts": 0})[0])
    nu = data.roi[1] - data.roi[0]
    common = {"case": data.name, "seeds": seeds, "spectra": count, "nu": nu}
    rows = [{"method": "truth", **common, **_profile(np.concatenate(truth), nu)}]
    for method, parts in fitted.items():
        times = np.concatenate([t for _, t in parts])
        chi2 = np.concatenate([r.chi2 for result, _ in parts for r in result])
        spent = {"ms": times.mean(), "ms_median": np.median(times), "ms_p90": np.percentile(times, 90)}
        rows.append({"method": method, **common, **spent, **_profile(chi2, nu)})
    tell(f"{data.name}: Nelder-Mead, {simplex} spectra")
    rows.append(
        {**_simplex_row(data, counts[0][:simplex], nu), "case": data.name, "seeds": 1, "spectra": simplex, "nu": nu}
    )
    rows += [{"case": data.name, **row} for row in PAPER[data.name]]
    if data.name == "B":
        rows += _bound_rows(data, np.concatenate(layers), fitted[_BEST], biased)
    return rows


_BEST = "LM, mid-range, restarts"
_METHODS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("LM, mid-range, no coarse start, no restarts", "mid-range", {"coarse": False, "restarts": 0}),
    ("LM, mid-range, no restarts", "mid-range", {"restarts": 0}),
    (_BEST, "mid-range", {}),
    ("LM, 10 % off, restarts", "10 % off", {}),
)

Timed = tuple[list[rbs_fit.FitResult], Array]


def _timed(data: DataSet, counts: Array, start: Array, options: Mapping[str, Any]) -> Timed:
    """Results of batches, and the time of each batch over its spectra [ms]."""
    given: dict[str, Any] = {"free": data.free, "bounds": (LOWEST, HIGHEST), "roi": [data.roi], **options}
    size = BATCH[data.name]
    rbs_fit.fit(data.setup, counts[:1], start[:1], **given)  # compile, make tables
    results, times = [], []
    for first in range(0, len(counts), size):
        part = slice(first, first + size)
        begin = time.perf_counter()
        results.append(rbs_fit.fit(data.setup, counts[part], start[part], **given))
        times.append(1e3 * (time.perf_counter() - begin) / len(counts[part]))
    return results, np.array(times)


def _simplex_row(data: DataSet, counts: Array, nu: int) -> Row:
    begin = time.perf_counter()
    found = rbs_fit.autofit(
        data.setup, counts, data.middle(len(counts)), free=data.free, bounds=(LOWEST, HIGHEST), roi=[data.roi]
    )
    spent = 1e3 * (time.perf_counter() - begin) / len(counts)
    return {"method": "Nelder-Mead, mid-range, 200 D", "ms": spent, **_profile(found.chi2, nu)}


def _in_roi(data: DataSet, *arrays: Array) -> tuple[Array, ...]:
    return tuple(array[:, slice(*data.roi)] for array in arrays)


def _profile(chi2: Array, nu: int) -> Row:
    """Pass rate, percentiles, mean and standard deviation of chi2."""
    values = np.percentile(chi2, PERCENTILES)
    found = {f"p{k}": value for k, value in zip(PERCENTILES, values, strict=True)}
    return {"pass": np.mean(chi2 < rbs_fit.chi2_limit(nu)), **found, "mean": chi2.mean(), "sd": chi2.std()}


def _bound_rows(
    data: DataSet, layers: Array, poisson: Sequence[Timed], chi2: Sequence[Sequence[rbs_fit.FitResult]]
) -> list[Row]:
    """Median error of each density over its Cramer-Rao bound, and mean bias over it, for both likelihoods."""
    bound = rbs_fit.cramer_rao(data.setup, layers, free=data.free, roi=[data.roi])
    truth = data.densities(layers)
    values = {
        "poisson": np.concatenate([r.values for results, _ in poisson for r in results]),
        "chi2": np.concatenate([r.values for results in chi2 for r in results]),
    }
    z = {name: (found - truth) / bound for name, found in values.items()}
    rows: list[Row] = []
    for k, name in enumerate(data.names):
        row: Row = {"method": "error over Cramer-Rao bound", "case": f"{data.name} {name}", "spectra": len(truth)}
        row["bound"] = np.median(bound[:, k] / truth[:, k]) * MEDIAN_OF_NORMAL
        for likelihood, off in z.items():
            row[f"error_{likelihood}"] = np.median(np.abs(off[:, k])) / MEDIAN_OF_NORMAL
            row[f"bias_{likelihood}"] = np.median(off[:, k])
        rows.append(row)
    worst: Row = {"method": "error over Cramer-Rao bound", "case": f"{data.name} worst", "spectra": len(truth)}
    for key in ("error_poisson", "error_chi2"):
        worst[key] = max(row[key] for row in rows)
    return [*rows, worst]
