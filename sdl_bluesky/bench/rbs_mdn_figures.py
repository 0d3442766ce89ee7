"""Figures of the study of networks: spectra, errors against training, ratios to the truth, calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import binom

from sdl_bluesky.analysis.figures import ACCENT, COLOURS, GREY, INK, figure, png
from sdl_bluesky.bench.rbs_paper import LEARNING
from sdl_bluesky.inference.rbs_mdn.assess import Trials, relative_bound, relative_error
from sdl_bluesky.physics.geometry import Array

BAND = 0.99
"""Of the curve of a calibrated network."""
MARKERS = "os^Dv"
"""Of layers."""
NAMED = 16
"""Curves that are named one below the other."""


def spectra_figure(trials: Mapping[str, Trials]) -> bytes:
    """A few spectra of each set in its region of interest, on a scale of roots."""
    fig = figure(8.4, 2.6 * len(trials))
    for ax, (name, found) in zip(np.atleast_1d(fig.subplots(len(trials), 1)), trials.items(), strict=True):
        first, last = found.system.roi[0]
        for counts, colour in zip(found.counts, COLOURS):
            ax.step(np.arange(first, last), counts[first:last], where="mid", lw=0.7, color=colour)
        _plain(ax, f"{name}: {found.system.densities} densities", "channel", "counts")
        ax.set_yscale("function", functions=(_root, np.square))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.set_ylim(0.0, 1.05 * float(found.counts[: len(COLOURS), first:last].max()))
    return png(fig)


def size_figure(error: Mapping[int, Array], trials: Trials) -> bytes:
    """Median relative error [d] against the number of spectra to learn from; what the counts allow; the paper's text."""
    columns = -(-trials.system.densities // NAMED)
    fig = figure(6.0 + 1.2 * columns, 4.4)
    ax = fig.subplots()
    names = [name.split("@") for name in trials.system.names[: trials.system.densities]]
    elements = list(dict.fromkeys(element for element, _ in names))
    for k, ((element, layer), bound) in enumerate(zip(names, relative_bound(trials), strict=True)):
        colour, marker = COLOURS[elements.index(element) % len(COLOURS)], MARKERS[(int(layer) - 1) % len(MARKERS)]
        line = [100.0 * v[k] for v in error.values()]
        ax.plot(list(error), line, f"{marker}-", ms=4, lw=1.2, color=colour, label=f"{element}@{layer}")
        ax.axhline(100.0 * bound, color=colour, lw=0.8, ls=":")
    printed = LEARNING.get(trials.system.name, {})
    if printed:
        ax.plot(list(printed), [100.0 * k for k in printed.values()], "x", color=GREY, label="published, about")
    _plain(
        ax,
        f"{trials.system.name} (dotted: what the counts allow)",
        "spectra to learn from",
        "median relative error / %",
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(frameon=False, fontsize=9, ncols=columns, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png(fig)


def ratio_figure(mean: Array, std: Array, trials: Trials, rows: NDArray[np.intp]) -> bytes:
    """Prediction over target (eq. 21) of the densities with the least and the largest error, sorted by target.

    Args:
        mean, std: of the network [n, p].
        trials: test spectra [n].
        rows: those that are shown.
    """
    error = relative_error(mean, trials)
    fig = figure(8.4, 5.2)
    chosen = {"best": int(np.argmin(error)), "worst": int(np.argmax(error))}
    for ax, (which, k) in zip(fig.subplots(2, 1), chosen.items(), strict=True):
        order = rows[np.argsort(trials.truth[rows, k])]
        truth = trials.truth[order, k]
        ratio, bar = mean[order, k] / truth, std[order, k] / truth
        ax.errorbar(np.arange(len(order)), ratio, bar, fmt="o", ms=2.2, lw=0.8, color=COLOURS[0], ecolor=GREY)
        ax.axhline(1.0, color=ACCENT, lw=0.9)
        least, most = np.percentile(np.concatenate([ratio - bar, ratio + bar]), [2, 98])
        ax.set_ylim(min(0.98, least), max(1.02, most))
        name = trials.system.names[k]
        _plain(ax, f"{trials.system.name}, {which}: {name}", f"spectra, by {name}", "prediction / target")
    return png(fig)


def calibration_figure(places: Mapping[str, Array]) -> bytes:
    """Share of truths below a quantile, less its probability, for each unknown; places of truths [n, p] by set."""
    fig = figure(4.0 * len(places), 3.4)
    level = np.linspace(0.0, 1.0, 201)
    for ax, (name, place) in zip(np.atleast_1d(fig.subplots(1, len(places), sharey=True)), places.items(), strict=True):
        n = len(place)
        low, high = (binom.ppf(q, n, level) / n for q in (0.5 - BAND / 2, 0.5 + BAND / 2))
        ax.fill_between(level, low - level, high - level, color=GREY, alpha=0.25, lw=0)
        for k, values in enumerate(place.T):
            share = np.searchsorted(np.sort(values), level, side="right") / n
            ax.plot(level, share - level, lw=0.8, color=COLOURS[k % len(COLOURS)])
        ax.axhline(0.0, color=INK, lw=0.8)
        _plain(ax, f"{name} (band: {BAND:.0%} at a level)", "probability told", "share below, less it")
    return png(fig)


def _root(counts: Array) -> Array:
    """Counting noise has the same size at all heights."""
    return np.sqrt(np.maximum(counts, 0.0))


def _plain(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.set_xlabel(x, color=INK)
    ax.set_ylabel(y, color=INK)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
