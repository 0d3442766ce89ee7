"""Figures of grown layers, as PNG bytes: light and diffraction, runs against a target, what a model knows of the flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.figures import ACCENT, COLOURS, GREY, INK, VALUE_MAP, figure, png
from sdl_bluesky.physics.geometry import Array


def runs_figure(
    wavelength_nm: ArrayLike,
    wavelength_std: ArrayLike,
    mismatch_percent: ArrayLike,
    mismatch_std: ArrayLike,
    targets: Sequence[tuple[int, int, float, float, float]],
) -> bytes:
    """Wavelength and mismatch against the run [n], with the band of each target.

    Args:
        wavelength_nm, wavelength_std, mismatch_percent, mismatch_std: of each run; nan for a spoiled one.
        targets: (first run, last run, wavelength, its tolerance [nm], that of the mismatch [%]), runs from 1.
    """
    run = np.arange(1, np.size(wavelength_nm) + 1)
    fig = figure(9.0, 5.0)
    top, bottom = fig.subplots(2, 1, sharex=True)
    for first, last, nm, tolerance, percent in targets:
        for ax, middle, half in ((top, nm, tolerance), (bottom, 0.0, percent)):
            ax.fill_between([first - 0.45, last + 0.45], middle - half, middle + half, color="#dbeafe", lw=0)
    for ax, value, error, label in (
        (top, wavelength_nm, wavelength_std, "wavelength / nm"),
        (bottom, mismatch_percent, mismatch_std, "mismatch / %"),
    ):
        ax.errorbar(run, value, error, fmt="o-", color=COLOURS[0], lw=1.0, ms=4, capsize=2)
        _plain(ax, "", label)
    bottom.set_xlabel("run", color=INK)
    top.set_title("Runs, and what was wanted", loc="left", fontsize=10, color=INK)
    return png(fig)


def flows_figure(
    axes: tuple[ArrayLike, ArrayLike],
    panels: Mapping[str, ArrayLike],
    grown: ArrayLike,
    following: tuple[float, float] | None,
    title: str,
) -> bytes:
    """Maps over the flows of Ga and As side by side, with the layers that were grown and the next one.

    Args:
        axes: flows of Ga [i] and of As [j], sccm.
        panels: map [j, i] by its name.
        grown: flows [n, 2] of the layers.
        following: flows of the next layer, marked with a star.
        title: of the figure.
    """
    ga, as_ = (np.asarray(k, dtype=float) for k in axes)
    points = np.asarray(grown, dtype=float).reshape(-1, 2)
    fig = figure(4.3 * len(panels) + 0.4, 3.9)
    fig.suptitle(title, fontsize=10, color=INK)
    for ax, (name, values) in zip(np.atleast_1d(np.asarray(fig.subplots(1, len(panels), sharey=True))), panels.items()):
        mesh = ax.pcolormesh(
            ga, as_, np.asarray(values, dtype=float), cmap=VALUE_MAP, shading="gouraud", rasterized=True
        )
        fig.colorbar(mesh, ax=ax, shrink=0.9)
        ax.plot(*points.T, "o", ms=5, mfc="white", mec=INK, mew=0.8)
        if following is not None:
            ax.plot(*following, "*", ms=13, mfc=ACCENT, mec="white", mew=0.8)
        _plain(ax, "flow of Ga / sccm", "flow of As / sccm" if ax.get_subplotspec().is_first_col() else "")
        ax.set_title(name, loc="left", fontsize=9, color=INK)
    return png(fig)


def spectra_figure(spectra: Mapping[str, tuple[Array, Array]]) -> bytes:
    """PL spectra (wavelength [nm], counts) by name, each over its largest value."""
    fig = figure(8.0, 3.6)
    ax = fig.subplots()
    for (name, (nm, counts)), colour in zip(spectra.items(), COLOURS * (1 + len(spectra) // len(COLOURS))):
        ax.plot(nm, counts / max(float(np.max(counts)), 1e-300), lw=1.1, color=colour, label=name)
    _plain(ax, "wavelength / nm", "counts over the largest")
    ax.legend(frameon=False, fontsize=8)
    ax.set_title("Photoluminescence in the middle of the wafer", loc="left", fontsize=10, color=INK)
    return png(fig)


def scans_figure(scans: Mapping[str, tuple[Array, Array]]) -> bytes:
    """Theta-2theta scans (2 theta [deg], counts) by name, one above the other by factors of a hundred."""
    fig = figure(8.0, 4.6)
    ax = fig.subplots()
    for k, ((name, (angle, counts)), colour) in enumerate(
        zip(scans.items(), COLOURS * (1 + len(scans) // len(COLOURS)))
    ):
        ax.semilogy(angle, np.maximum(counts, 0.5) * 100.0**k, lw=0.8, color=colour, label=name)
    _plain(ax, "2 theta / deg", "counts, shifted")
    ax.legend(frameon=False, fontsize=8)
    ax.set_title("Diffraction round InP (004)", loc="left", fontsize=10, color=INK)
    return png(fig)


def maps_figure(maps: Mapping[str, tuple[Array, Array]]) -> bytes:
    """Wavelength over the wafer side by side: axis [k] in mm and map [y, x] in nm by name; nan, no reading, is empty."""
    fig = figure(3.9 * len(maps) + 0.4, 3.6)
    fig.suptitle("Photoluminescence over the wafer / nm", fontsize=10, color=INK)
    for ax, (name, (axis, values)) in zip(
        np.atleast_1d(np.asarray(fig.subplots(1, len(maps), sharey=True))), maps.items()
    ):
        shown = np.ma.masked_invalid(values)
        low, high = np.percentile(shown.compressed(), [2, 98]) if shown.count() else (0.0, 1.0)
        mesh = ax.pcolormesh(axis, axis, shown, cmap=VALUE_MAP, vmin=low, vmax=high, shading="nearest", rasterized=True)
        fig.colorbar(mesh, ax=ax, shrink=0.9)
        ax.set_aspect("equal")
        _plain(ax, "x / mm", "y / mm" if ax.get_subplotspec().is_first_col() else "")
        ax.set_title(name, loc="left", fontsize=9, color=INK)
    return png(fig)


def _plain(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x, color=INK)
    ax.set_ylabel(y, color=INK)
    ax.tick_params(colors=INK, labelsize=8)
    ax.spines[:].set_color(GREY)
