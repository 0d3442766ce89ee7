"""Figures of results, as PNG bytes. No window, no global state of matplotlib.

Uncertainty is always beside the value. One hue for a magnitude, light to dark; points are numbered in the order chosen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from sdl_bluesky.physics.geometry import Array

DPI = 110
INK, GREY, ACCENT = "#1f2933", "#7b8794", "#c2410c"
COLOURS = ("#1f6f9f", "#c2410c", "#3f7d3a", "#7b4fa3", "#8a6d1b", "#0f766e")
VALUE_MAP, ERROR_MAP = "viridis", "magma_r"


def figure(width: float, height: float) -> Figure:
    """An empty figure [inches] with its own Agg canvas."""
    fig = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def png(fig: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _panel(
    fig: Figure, ax: Axes, x: Array, y: Array, z: Array, colours: str, label: str, title: str, most: float | None = None
) -> None:
    """A map of z [y, x]; what is above `most` has the last colour."""
    beyond = most is not None and most < float(z.max())
    mesh = ax.pcolormesh(x, y, z, cmap=colours, shading="gouraud", rasterized=True, vmax=most if beyond else None)
    bar = fig.colorbar(mesh, ax=ax, shrink=0.92, extend="max" if beyond else "neither")
    bar.set_label(label, color=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.spines[:].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=8)
    if float(np.ptp(z)) > 0:
        shown = np.minimum(z, most) if most is not None else z
        colour = "white" if colours == VALUE_MAP else GREY
        lines = ax.contour(x, y, shown, levels=6, colors=colour, linewidths=0.6, alpha=0.8)
        ax.clabel(lines, fontsize=7, fmt="%.3g")


def rate_surface_figure(
    power_W: ArrayLike,
    pressure_mTorr: ArrayLike,
    rate: ArrayLike,
    std: ArrayLike,
    title: str,
    points: Sequence[tuple[float, float]] = (),
    failed: Sequence[tuple[float, float]] = (),
) -> bytes:
    """Rate [pressure, power] and its relative standard error, with the points (power, pressure) in their order."""
    x, y = np.asarray(power_W, dtype=float), np.asarray(pressure_mTorr, dtype=float)
    z, e = np.asarray(rate, dtype=float), np.asarray(std, dtype=float)
    fig = figure(10.0, 3.9)
    left, right = fig.subplots(1, 2, sharex=True, sharey=True)
    _panel(fig, left, x, y, z, VALUE_MAP, "ng cm$^{-2}$ s$^{-1}$", f"{title}: rate")
    percent = 100.0 * e / np.maximum(np.abs(z), 1e-3 * float(np.abs(z).max()))
    most = 4.0 * float(np.median(percent))
    _panel(fig, right, x, y, percent, ERROR_MAP, "%", "relative standard error", most)
    labels = _labels(points, float(np.ptp(x)), float(np.ptp(y)))
    for ax in (left, right):
        ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
        for label, (power, pressure) in labels.items():
            box = {"boxstyle": "round,pad=0.25,rounding_size=0.6", "fc": "white", "ec": INK, "lw": 0.8}
            style = {"ha": "center", "va": "center", "fontsize": 7, "color": INK, "zorder": 4, "bbox": box}
            ax.annotate(label, (power, pressure), annotation_clip=False, **style)
        for power, pressure in failed:
            ax.plot(power, pressure, "x", ms=8, mec=ACCENT, mew=2, clip_on=False, zorder=3)
        ax.set_xlabel("power / W", color=INK)
    left.set_ylabel("pressure / mTorr", color=INK)
    return png(fig)


def _labels(points: Sequence[tuple[float, float]], width: float, height: float) -> dict[str, tuple[float, float]]:
    """Numbers of the points from 1, those of one place together ("2, 10"), with the place."""
    groups: list[tuple[list[int], tuple[float, float]]] = []
    for number, (power, pressure) in enumerate(points, start=1):
        for numbers, (px, py) in groups:
            if abs(power - px) < 0.03 * width and abs(pressure - py) < 0.04 * height:
                numbers.append(number)
                break
        else:
            groups.append(([number], (power, pressure)))
    return {", ".join(map(str, numbers)): place for numbers, place in groups}


def learning_curve_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]], ylabel: str, title: str
) -> bytes:
    """Expected error (line) and error made (open circles) over experiments, by name: (experiment, expected, made) [n]."""
    fig = figure(7.6, 3.6)
    ax = fig.subplots()
    for (name, columns), colour in zip(curves.items(), COLOURS * (1 + len(curves) // len(COLOURS))):
        n, expected, made = (np.asarray(k, dtype=float) for k in columns)
        styles = {"expected": {"ls": "-", "ms": 4}, "made": {"ls": "", "ms": 7, "mfc": "white"}}
        for values, (what, style) in zip((expected, made), styles.items()):
            fine = np.isfinite(values) & (values > 0)
            if fine.any():
                ax.plot(n[fine], values[fine], marker="o", color=colour, lw=1.6, label=f"{name}: {what}", **style)
    if ax.lines:
        ax.set_yscale("log")
        ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.text(0.5, 0.5, "no predicted errors in the decisions", ha="center", color=GREY, transform=ax.transAxes)
    ax.set_xlabel("experiment", color=INK)
    ax.set_ylabel(ylabel, color=INK)
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y", color="#e4e7eb", lw=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    return png(fig)


def composition_figure(
    elements: Sequence[str],
    fraction: ArrayLike,
    std: ArrayLike,
    x_mm: ArrayLike,
    y_mm: ArrayLike,
    title: str,
    points: Mapping[tuple[float, float], Mapping[str, float]] | None = None,
) -> bytes:
    """Atomic percent of each element [e, y, x] over the wafer, and its standard error.

    Check points, {(x, y) in mm: {element: measured fraction}}, are discs in the colour of what was measured there, with
    the number beside them: a disc that cannot be told from the map agrees with it.
    """
    z, e = 100.0 * np.asarray(fraction, dtype=float), 100.0 * np.asarray(std, dtype=float)
    x, y = np.asarray(x_mm, dtype=float), np.asarray(y_mm, dtype=float)
    shown = range(len(elements) if len(elements) > 2 else 1)
    fig = figure(9.0, 3.9 * len(shown))
    axes = fig.subplots(len(shown), 2, sharex=True, sharey=True, squeeze=False)
    for row, k in enumerate(shown):
        _panel(fig, axes[row, 0], x, y, z[k], VALUE_MAP, "at. %", f"{title}: {elements[k]}")
        _panel(fig, axes[row, 1], x, y, e[k], ERROR_MAP, "at. %", "standard error")
        limits = float(z[k].min()), float(z[k].max())
        for (px, py), measured in (points or {}).items():
            if elements[k] not in measured:
                continue
            value = 100.0 * measured[elements[k]]
            look = {"cmap": VALUE_MAP, "vmin": limits[0], "vmax": limits[1], "edgecolors": "white", "zorder": 3}
            axes[row, 0].scatter([px], [py], c=[value], s=70, linewidths=1.2, **look)
            axes[row, 0].annotate(
                f"{value:.1f}", (px, py), (5, 5), textcoords="offset points", fontsize=7, color="white", zorder=4
            )
        for ax in axes[row]:
            ax.set_aspect("equal")
            ax.set_xlabel("x / mm", color=INK)
        axes[row, 0].set_ylabel("y / mm", color=INK)
    return png(fig)
