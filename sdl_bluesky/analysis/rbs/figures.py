"""Figures of backscattering results, as PNG bytes: a spectrum with its fit, and measured points against a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.figures import ACCENT, COLOURS, GREY, INK, figure, png


def spectrum_figure(
    energy_keV: ArrayLike,
    counts: ArrayLike,
    fit: ArrayLike,
    title: str,
    *,
    region: tuple[int, int] | None = None,
    edges_keV: Mapping[str, float] | None = None,
) -> bytes:
    """Counts and fit [channel] over the energy, below them the residuals in standard deviations.

    Args:
        energy_keV: middle of each channel.
        counts, fit: counted and expected.
        title: above the figure.
        region: channels that were fitted, the first and one after the last; the rest is grey.
        edges_keV: surface edges to mark, by element.
    """
    energy, x, mu = (np.asarray(k, dtype=float) for k in (energy_keV, counts, fit))
    first, last = region if region is not None else (0, x.size)
    used = np.zeros(x.size, dtype=bool)
    used[first:last] = True
    fig = figure(10.0, 4.8)
    top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=[3.0, 1.0])
    top.plot(energy, x, ".", ms=2.2, color=GREY, label="counted")
    top.plot(energy[used], mu[used], "-", lw=1.4, color=ACCENT, label="fit")
    top.set_ylim(0.0, 1.12 * float(np.max(x[used], initial=1.0)))
    for name, edge in (edges_keV or {}).items():
        if not energy[0] <= edge <= energy[-1]:
            continue
        top.axvline(edge, color=INK, lw=0.7, ls=":")
        top.annotate(
            name, (edge, 0.97), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=8, color=INK
        )
    top.legend(frameon=False, fontsize=9, loc="upper right")
    top.set_ylabel("counts per channel", color=INK)
    top.set_title(title, loc="left", fontsize=10, color=INK)
    pulls = (x - mu) / np.sqrt(np.maximum(mu, 1.0))
    bottom.axhline(0.0, color=ACCENT, lw=1.0)
    bottom.plot(energy[used], pulls[used], ".", ms=2.2, color=GREY)
    reach = max(4.0, 1.05 * float(np.max(np.abs(pulls[used]), initial=0.0)))
    bottom.set(ylim=(-reach, reach), xlim=(float(energy[0]), float(energy[-1])))
    bottom.set_ylabel("residual / σ", color=INK)
    bottom.set_xlabel("energy / keV", color=INK)
    for ax in (top, bottom):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(colors=INK, labelsize=8)
    return png(fig)


def points_figure(
    elements: Sequence[str],
    measured: ArrayLike,
    measured_std: ArrayLike,
    mapped: ArrayLike,
    mapped_std: ArrayLike,
    title: str,
) -> bytes:
    """Atomic percent [point, element] measured and in the map, and the difference with the errors of both."""
    x, e, y, f = (100.0 * np.asarray(k, dtype=float) for k in (mapped, mapped_std, measured, measured_std))
    shown = range(len(elements) if len(elements) > 2 else 1)
    number = np.arange(1, len(x) + 1)
    fig = figure(9.0, 3.1 * len(shown))
    axes = fig.subplots(len(shown), 2, sharex=True, squeeze=False)
    for (left, right), k in zip(axes, shown):
        colour = COLOURS[k % len(COLOURS)]
        style = {"fmt": "o", "ms": 5, "lw": 1.4, "capsize": 2.5}
        left.errorbar(number - 0.1, x[:, k], yerr=e[:, k], color=GREY, label="map", mfc="white", **style)
        left.errorbar(number + 0.1, y[:, k], yerr=f[:, k], color=colour, label="measured", **style)
        left.legend(frameon=False, fontsize=9)
        left.set_ylabel(f"{elements[k]} / at. %", color=INK)
        right.bar(number, 2.0 * e[:, k], bottom=-e[:, k], width=0.7, color="#e4e7eb", label="error of the map")
        right.axhline(0.0, color=GREY, lw=1.0)
        right.errorbar(number, (y - x)[:, k], yerr=f[:, k], color=colour, label="measured less map", **style)
        reach = 1.5 * float(max(np.max(e[:, k]), np.max(np.abs(y - x)[:, k] + f[:, k]), 1e-3))
        right.set_ylim(-reach, reach)  # with room for the legend
        right.legend(frameon=False, fontsize=9, loc="upper right")
        left.set_title(f"{title}: {elements[k]}", loc="left", fontsize=10, color=INK)
        right.set_title("difference, one standard deviation each", loc="left", fontsize=10, color=INK)
        for ax in (left, right):
            ax.set_xticks(number)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(colors=INK, labelsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("point", color=INK)
    return png(fig)
