"""Ways from a spectrum to densities that the study of networks compares: their chi2 and their time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sdl_bluesky.bench.rbs_fit import BATCH
from sdl_bluesky.bench.rbs_mdn_rows import Row, profile_row
from sdl_bluesky.bench.rbs_sets import SETS, DataSet
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.inference.rbs_fit.autofit import PER_PARAMETER
from sdl_bluesky.inference.rbs_mdn import assess, route
from sdl_bluesky.inference.rbs_mdn.assess import Trials
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.physics.geometry import Array

AUTOFIT, HYBRID = "Nelder-Mead, mid-range, 200 D", "network, then LM, restarts, verdict"
QUARTER = 50
"""Evaluations a parameter of the paper's Autofit from a network."""


@dataclass(frozen=True, eq=False)
class Methods:
    """What came of the methods.

    Attributes:
        rows: a profile of chi2 for each.
        posterior: of the network.
        fitted: densities of the fit from it, with restarts [fits, d].
        ms: of a spectrum: "network", "hybrid", "autofit".
    """

    rows: list[Row]
    posterior: Posterior
    fitted: Array
    ms: dict[str, float]


def compare(model: Model, trials: Trials, fits: int, simplex: int, seed: int, tell: Callable[[str], None]) -> Methods:
    """Every method on test spectra: the network on all, LM on the first `fits`, Nelder-Mead on the first `simplex`."""
    name = trials.system.name
    data, counts, nu = SETS[name], trials.counts, len(trials.system.channels)
    few = trials.first(simplex)

    def row(method: str, chi2: Array, ms: float | None) -> Row:
        return profile_row(chi2, nu, ms, {"method": method, "case": name, "seed": seed})

    tell(f"{name}: network")
    model.predict(counts[:2])
    began = time.perf_counter()
    posterior = model.predict(counts)
    mean = posterior.mean
    asked = _ms(began, len(counts))
    rows = [row("truth", trials.true_chi2, None)]
    rows.append(row("network, mean", assess.back_chi2(mean, trials), asked))
    rows.append(row("network, most probable", assess.back_chi2(posterior.best, trials), asked))
    spent = {"network": asked}
    fitted = np.zeros(0)
    for method, fit in {
        "LM, mid-range, restarts": partial(_from_middle, data),
        "network, then LM, no restarts": partial(_from_network, model),
        HYBRID: partial(_answered, model),
    }.items():
        tell(f"{name}: {method}")
        chi2, values, ms = _batches(fit, counts[:fits], BATCH[name])
        rows.append(row(method, chi2, ms))
        if method == HYBRID:
            fitted, spent["hybrid"] = values, ms
    tell(f"{name}: Nelder-Mead, {simplex} spectra")
    begin = data.fill(posterior.best[:simplex, : trials.system.densities])
    for method, start, most in (
        (AUTOFIT, data.middle(simplex), PER_PARAMETER),
        ("network, then Nelder-Mead, 50 D", begin, QUARTER),
    ):
        began = time.perf_counter()
        found = rbs_fit.autofit(data.setup, few.counts, start, per_parameter=most, **_given(data))
        ms = _ms(began, simplex)
        rows.append(row(method, found.chi2, ms))
        if method == AUTOFIT:
            spent["autofit"] = ms
    return Methods(rows, posterior, fitted, spent)


def _batches(fit: Callable[[Array], rbs_fit.FitResult], counts: Array, size: int) -> tuple[Array, Array, float]:
    """Chi2 [n], values [n, p] and milliseconds a spectrum of fits of batches."""
    fit(counts[:1])  # compile, make tables
    began = time.perf_counter()
    found = [fit(counts[first : first + size]) for first in range(0, len(counts), size)]
    ms = _ms(began, len(counts))
    return np.concatenate([k.chi2 for k in found]), np.concatenate([k.values for k in found]), ms


def _from_network(model: Model, counts: Array) -> rbs_fit.FitResult:
    return route.fit_from(model, model.predict(counts), counts, restarts=0)


def _answered(model: Model, counts: Array) -> rbs_fit.FitResult:
    return route.answer(model, counts).fit


def _from_middle(data: DataSet, counts: Array) -> rbs_fit.FitResult:
    return rbs_fit.fit(data.setup, counts, data.middle(len(counts)), **_given(data))


def _given(data: DataSet) -> dict[str, Any]:
    return {"free": data.free, "bounds": data.system.bounds, "roi": list(data.system.roi)}


def _ms(began: float, count: int) -> float:
    return 1e3 * (time.perf_counter() - began) / count
