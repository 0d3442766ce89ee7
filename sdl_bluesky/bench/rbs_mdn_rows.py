"""Rows of the study of networks: what each unknown is known to, how well uncertainties are calibrated, profiles of chi2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sdl_bluesky.bench.rbs_paper import LEARNING, PAPER, PERCENTILES, TABLE_1, TABLE_5
from sdl_bluesky.inference.rbs_fit import chi2_limit
from sdl_bluesky.inference.rbs_mdn import assess
from sdl_bluesky.inference.rbs_mdn.assess import Trials
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.published import Prediction
from sdl_bluesky.physics.geometry import Array

Row = dict[str, Any]
SCALES = {"network": 1.0, "network, sd x 1.3": 1.3, "network, sd x 0.77": 0.77}
PAPER_SPECTRA = 2000


Told = Posterior | Prediction
"""What a network says of a batch of spectra: ours or the published one."""


def profile_row(chi2: Array, nu: int, ms: float | None, about: Mapping[str, Any]) -> Row:
    """Pass rate, percentiles, mean and standard deviation of chi2, after "method", "case" and "seed"."""
    values = np.percentile(chi2, PERCENTILES)
    found = {f"p{k}": value for k, value in zip(PERCENTILES, values, strict=True)}
    passed = float(np.mean(chi2 < chi2_limit(nu)))
    return {
        **about, "spectra": len(chi2), "nu": nu, "ms": ms, "pass": passed, **found, "mean": chi2.mean(), "sd": chi2.std()
    }  # fmt: skip


def paper_profiles(name: str) -> list[Row]:
    """The printed profiles of a set as such rows, with the time of a spectrum where it is printed."""
    hours = {"paper: Autofit": "autofit_h", "paper: MDN, 50k, then Autofit": "hybrid_h"}
    rows = []
    for row in PAPER[name]:
        method = row["method"]
        ms = 3.6e6 * TABLE_1[name][hours[method]] / PAPER_SPECTRA if method in hours else None
        first = {"method": method, "case": name, "seed": None, "spectra": row["spectra"], "nu": row["nu"], "ms": ms}
        rows.append({**first, **row})
    return rows


def parameter_rows(told: Told, trials: Trials, about: Mapping[str, Any], fitted: Array | None) -> list[Row]:
    """A row for each unknown; `fitted` [k, d or p]: what fits from the network found of the first k."""
    system, d = trials.system, trials.system.densities
    shares = assess.coverage(told, trials)  # type: ignore[arg-type]
    some = trials if fitted is None else trials.first(len(fitted))
    columns: dict[str, Array] = {
        "relative_error": assess.relative_error(told.mean, trials),
        "relative_bound": assess.relative_bound(trials),
        "efficiency": assess.efficiency(told.mean, trials),
        "efficiency_best": assess.efficiency(told.best, trials),
        "relative_error_lm": np.zeros(0) if fitted is None else assess.relative_error(fitted, some),
        "efficiency_lm": np.zeros(0) if fitted is None else assess.efficiency(fitted[:, :d], some),
        **{f"coverage_{round(100 * k)}": share for k, share in zip(assess.LEVELS, shares, strict=True)},
        "coverage_score": assess.coverage_score(told, trials),  # type: ignore[arg-type]
        "rank_chance": assess.rank_chance(told.distribution(trials.truth)),
        "sd_over_prior": np.median(told.std, axis=0) / system.prior_sd,
        "bound_over_prior": np.median(trials.bound, axis=0) / system.prior_sd,
    }
    rows = []
    for k, name in enumerate(system.names):
        values = {key: float(column[k]) if k < len(column) else None for key, column in columns.items()}
        rows.append({**about, "case": f"{system.name} {name}", "spectra": len(trials), **values})
    return rows


def paper_parameters(name: str, like: Row) -> list[Row]:
    """What Table 5 prints of a set, in rows like another one."""
    nothing = dict.fromkeys(like)
    return [
        {**nothing, "method": "paper: MDN, 50k", "case": f"{name} {unknown}", "spectra": PAPER_SPECTRA,
         "relative_error": error, "coverage_score": score}
        for unknown, (score, error) in TABLE_5[name].items()
    ]  # fmt: skip


def calibration_rows(stretched: Callable[[float], Told], trials: Trials, about: Mapping[str, Any]) -> list[Row]:
    """Coverage over all unknowns, tests of the ranks, and the same with standard deviations that are wrong.

    `rank_chance_least` is the least p-value of an unknown times their number (Bonferroni); `rank_chance_pooled` that of one
    unknown of each spectrum, in turn, for ranks of the same spectrum depend on each other; `rejected_1_percent` the number
    of unknowns whose own p-value is below 0.01; `coverage_off_most` is the largest distance of an unknown's coverage from a
    level, in binomial standard deviations.

    Args:
        stretched: what the network says with standard deviations times a factor.
        trials: test spectra.
        about: first columns.
    """
    rows = []
    for method, factor in SCALES.items():
        told = stretched(factor)
        place = told.distribution(trials.truth)
        n, p = place.shape
        each = assess.rank_chance(place)
        turns = np.arange(n)
        pooled = assess.rank_chance(place[turns, turns % p][:, None])[0]
        off = np.abs(place - 0.5)
        shares = {f"coverage_{round(100 * k)}": float(np.mean(off < 0.5 * k)) for k in assess.LEVELS}
        apart = [np.max(np.abs(np.mean(off < 0.5 * k, axis=0) - k)) / np.sqrt(k * (1.0 - k) / n) for k in assess.LEVELS]
        rows.append(
            {
                "method": method.replace("network", str(about["method"])),
                "case": trials.system.name,
                "seed": about["seed"],
                "spectra": n,
                **shares,
                "coverage_off_most": float(max(apart)),
                "coverage_score": float(np.mean(assess.coverage_score(told, trials))),  # type: ignore[arg-type]
                "rank_chance_pooled": float(pooled),
                "rank_chance_least": min(1.0, p * float(each.min())),
                "rejected_1_percent": int(np.sum(each < 0.01)),
                "unknowns": p,
            }
        )
    return rows


def size_row(told: Told, trials: Trials, about: Mapping[str, Any], spectra: int, training_s: float) -> Row:
    """A row of errors against the number of spectra to learn from."""
    error = assess.relative_error(told.mean, trials)
    return {
        **about,
        "training_spectra": spectra,
        "training_s": training_s,
        "relative_error_least": float(error.min()),
        "relative_error_median": float(np.median(error)),
        "relative_error_most": float(error.max()),
        "efficiency_median": float(np.median(assess.efficiency(told.mean, trials))),
        "pass": assess.passed(assess.back_chi2(told.mean, trials), trials.system),
    }


def paper_sizes(name: str) -> list[Row]:
    """What the text says of the error against the number of spectra to learn from."""
    none = dict.fromkeys(("relative_error_least", "relative_error_median"))
    return [
        {"method": "paper: MDN", "case": name, "seed": None, "training_spectra": spectra, "training_s": None, **none,
         "relative_error_most": error, "efficiency_median": None, "pass": None}
        for spectra, error in LEARNING.get(name, {}).items()
    ]  # fmt: skip


def time_rows(name: str, card: Mapping[str, Any], ms: Mapping[str, float], about: Mapping[str, Any]) -> list[Row]:
    """Seconds of drawing and training, milliseconds of a spectrum, beside Table 1."""
    hours = TABLE_1[name]
    ours = {
        **about,
        "case": name,
        "drawn": card["spectra"],
        "drawing_s": card["spectra_s"],
        "training_s": card["training_s"],
        **{f"{key}_ms": value for key, value in ms.items()},
    }
    theirs = {
        "method": "paper: Table 1",
        "case": name,
        "seed": None,
        "drawn": 103_000,
        "drawing_s": 3600.0 * hours["drawing_h"],
        "training_s": 3600.0 * hours["training_h"],
        "autofit_ms": 3.6e6 * hours["autofit_h"] / PAPER_SPECTRA,
        "hybrid_ms": 3.6e6 * hours["hybrid_h"] / PAPER_SPECTRA,
        "network_ms": None,
    }
    return [{key: row.get(key) for key in ours} for row in (ours, theirs)]
