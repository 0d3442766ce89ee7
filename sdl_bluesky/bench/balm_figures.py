"""Figures of learning: curves with their repeats, traces of the hyper-parameters, parity of what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from sdl_bluesky.analysis.figures import COLOURS, GREY, INK, figure, png
from sdl_bluesky.physics.geometry import Array


def curves_figure(curves: Mapping[str, Array], title: str) -> bytes:
    """Error [% of the mean] over experiments, by method: curves [campaigns, points, >= 2] as `balm.curve` gives them.

    The line is the median of the campaigns, the band their quartiles, thin lines each campaign.
    """
    fig = figure(7.6, 3.8)
    ax = fig.subplots()
    for (name, found), colour in zip(curves.items(), COLOURS * (1 + len(curves) // len(COLOURS))):
        n, error = found[0, :, 0], found[:, :, 1]
        ax.plot(n, error.T, color=colour, lw=0.4, alpha=0.35)
        low, middle, high = np.percentile(error, [25, 50, 75], axis=0)
        ax.fill_between(n, low, high, color=colour, alpha=0.18, lw=0)
        ax.plot(n, middle, color=colour, lw=1.8, label=name)
    ax.axhline(3.0, color=GREY, lw=0.8, ls="--")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set_xlabel("experiments", color=INK)
    ax.set_ylabel("RMS error / % of the mean rate", color=INK)
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    return png(fig)


def traces_figure(traces: Sequence[tuple[int, Mapping[str, tuple[float, float]]]], title: str) -> bytes:
    """Median and 68 % interval of each hyper-parameter over experiments: (experiments, `Posterior.hyperparameters()`)."""
    names = list(traces[0][1])
    fig = figure(2.2 * len(names), 2.6)
    for ax, name in zip(np.atleast_1d(fig.subplots(1, len(names))), names):
        n = [k for k, _ in traces]
        median, spread = np.array([found[name] for _, found in traces]).T
        ax.fill_between(n, median * np.exp(-spread), median * np.exp(spread), color=COLOURS[0], alpha=0.2, lw=0)
        ax.plot(n, median, color=COLOURS[0], lw=1.6)
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_title(name.replace("_", " "), loc="left", fontsize=8, color=INK)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    fig.supxlabel("experiments", fontsize=9, color=INK)
    fig.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    return png(fig)


def parity_figure(truth: Array, mean: Array, std: Array, title: str) -> bytes:
    """Learned against true rate [n] with its 95 % interval, and the residual in standard deviations."""
    fig = figure(8.4, 3.8)
    left, right = fig.subplots(1, 2)
    left.errorbar(truth, mean, 1.96 * std, fmt=".", ms=2, lw=0.5, color=COLOURS[0], ecolor=GREY, alpha=0.7)
    ends = [min(truth.min(), mean.min()), max(truth.max(), mean.max())]
    left.plot(ends, ends, color=INK, lw=0.8)
    left.set_xlabel("true rate / ng cm$^{-2}$ s$^{-1}$", color=INK)
    left.set_ylabel("learned rate and 95 % interval", color=INK)
    z = (mean - truth) / std
    right.hist(z, bins=40, color=COLOURS[0], alpha=0.8)
    for edge in (-1.96, 1.96):
        right.axvline(edge, color=GREY, lw=0.8, ls="--")
    inside = 100.0 * float(np.mean(np.abs(z) <= 1.96))
    right.set_xlabel("residual / standard deviation", color=INK)
    right.set_title(f"{inside:.0f} % within the 95 % interval", loc="left", fontsize=9, color=INK)
    left.set_title(title, loc="left", fontsize=10, color=INK)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return png(fig)
