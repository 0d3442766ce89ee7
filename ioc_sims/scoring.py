"""How far results lie from the truth: arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from ioc_sims.common.errors import JudgeError

Floats = NDArray[np.float64]

SIGMAS_90 = 1.645  # of a normal distribution: 90 % lie within


@dataclass(frozen=True)
class Surface:
    """A quantity over power and pressure, values[pressure, power]."""

    power_W: Floats
    pressure_mTorr: Floats
    values: Floats


@dataclass(frozen=True)
class Map:
    """Atomic fractions on the wafer, {element: [y, x]}, axes in mm."""

    x_mm: Floats
    y_mm: Floats
    fraction: Mapping[str, Floats]


@dataclass(frozen=True)
class CompositionScore:
    """How good a composition map is.

    Attributes:
        rms_percent: RMS error over all pixels and elements, in atomic percent (absolute).
        centre_error: absolute error of the first element's fraction at the centre of the wafer.
        coverage_90: part of the pixels (of all elements) whose error is at most 1.645 standard deviations.
        pixels: finite pixels that were compared.
    """

    rms_percent: float
    centre_error: float
    coverage_90: float
    pixels: int


@dataclass(frozen=True)
class Points:
    """What a film holds at some places: areal densities [1e15 at/cm2] and atomic fractions, {element: [point]}."""

    density: Mapping[str, Floats]
    fraction: Mapping[str, Floats]


@dataclass(frozen=True)
class RBSScore:
    """How good a measurement of a film at some places is.

    Attributes:
        rms_percent: RMS error of the atomic fractions over all points and elements, in atomic percent (absolute).
        worst_percent: the largest of these errors.
        coverage_90: part of all fractions and densities whose error is at most 1.645 standard deviations.
        density_error_percent: median over the points of the relative error of the areal density of all elements.
        points: points that were compared.
    """

    rms_percent: float
    worst_percent: float
    coverage_90: float
    density_error_percent: float
    points: int


def rate_error_percent(
    mean: Surface, truth: Surface, lit: NDArray[np.bool_], lowest_pressure_mTorr: float = 4.0
) -> tuple[float, int]:
    """100 RMS(mean - truth) / mean(truth) over the truth's grid points where the plasma burns.

    Args:
        mean: what was learnt; interpolated (cubic) to the grid of the truth.
        truth: noise-free rate.
        lit: [pressure, power], where the plasma burns.
        lowest_pressure_mTorr: grid points below are not judged.

    Returns:
        (error in percent, number of points).

    Raises:
        JudgeError: the learnt surface is not finite or does not reach all these points.
    """
    chosen = lit & (truth.pressure_mTorr >= lowest_pressure_mTorr - 1e-9)[:, None]
    if not chosen.any():
        raise JudgeError("the plasma burns at no grid point above the lowest pressure")
    rows, columns = np.nonzero(chosen)
    _check_inside("pressure", truth.pressure_mTorr[rows], mean.pressure_mTorr)
    _check_inside("power", truth.power_W[columns], mean.power_W)
    learnt = interpolate(mean.pressure_mTorr, mean.power_W, mean.values, truth.pressure_mTorr, truth.power_W)
    return relative_rms_percent(learnt[chosen], truth.values[chosen]), int(chosen.sum())


def relative_rms_percent(values: Floats, truth: Floats) -> float:
    """100 RMS(values - truth) / mean(truth) of two arrays of one shape."""
    return float(100 * np.sqrt(np.mean((values - truth) ** 2)) / np.mean(truth))


def composition_score(mean: Map, std: Mapping[str, Floats], truth: Map) -> CompositionScore:
    """Compare a composition map with the film.

    The truth is interpolated (cubic) to the pixels of the map. An element that only one of them has counts with
    fraction 0 in the other. Pixels that are not finite in the map are left out.

    Args:
        mean: the map.
        std: its standard deviation, {element: [y, x]}.
        truth: the film.

    Raises:
        JudgeError: no pixel is finite, or the map reaches beyond the truth.
    """
    if not mean.fraction:
        raise JudgeError("the composition map has no element")
    _check_inside("x", mean.x_mm, truth.x_mm)
    _check_inside("y", mean.y_mm, truth.y_mm)
    shape = (len(mean.y_mm), len(mean.x_mm))
    squares: list[Floats] = []
    covered: list[NDArray[np.bool_]] = []
    for element in dict.fromkeys((*mean.fraction, *truth.fraction)):
        got = np.asarray(mean.fraction.get(element, np.zeros(shape)), float)
        spread = np.asarray(std.get(element, np.zeros(shape)), float)
        difference = got - _at(truth, element, mean.y_mm, mean.x_mm)
        finite = np.isfinite(difference)
        squares.append(difference[finite] ** 2)
        if element in mean.fraction:
            covered.append((np.abs(difference) <= SIGMAS_90 * spread)[finite])
    if not squares[0].size:
        raise JudgeError("no pixel of the composition map is finite")
    first = next(iter(mean.fraction))
    centre = interpolate(mean.y_mm, mean.x_mm, np.asarray(mean.fraction[first], float), np.zeros(1), np.zeros(1))
    return CompositionScore(
        rms_percent=float(100 * np.sqrt(np.mean(np.concatenate(squares)))),
        centre_error=float(abs(centre - _at(truth, first, np.zeros(1), np.zeros(1)))[0, 0]),
        coverage_90=float(np.mean(np.concatenate(covered))),
        pixels=int(squares[0].size),
    )


def rbs_score(mean: Points, std: Points, truth: Points) -> RBSScore:
    """Compare densities and fractions at some places with the film.

    An element that only one side has counts with 0 in the other. A point whose fractions or densities are not all
    finite is left out.

    Args:
        mean: what was measured.
        std: its standard deviations.
        truth: the film; a density above 0 at every point.

    Raises:
        JudgeError: no point is finite, or the film is not there at a point.
    """
    if not mean.fraction:
        raise JudgeError("the RBS result has no element")
    total = np.sum([*truth.density.values()], axis=0) if truth.density else np.zeros(1)
    if not (total > 0).all():
        raise JudgeError("the RBS result has points where the truth holds no film")
    finite = np.isfinite([*mean.fraction.values(), *mean.density.values()]).all(axis=0)
    if not finite.any():
        raise JudgeError("no point of the RBS result is finite")
    zeros = np.zeros_like(total)
    errors: list[Floats] = []
    covered: list[NDArray[np.bool_]] = []
    for got, spread, real in (
        (mean.fraction, std.fraction, truth.fraction),
        (mean.density, std.density, truth.density),
    ):
        for element in dict.fromkeys((*got, *real)):
            error = (got.get(element, zeros) - real.get(element, zeros))[finite]
            if real is truth.fraction:
                errors.append(error)
            if element in got:
                covered.append(np.abs(error) <= SIGMAS_90 * np.asarray(spread[element])[finite])
    relative = np.sum([*mean.density.values()], axis=0)[finite] / total[finite] - 1
    return RBSScore(
        rms_percent=float(100 * np.sqrt(np.mean(np.concatenate(errors) ** 2))),
        worst_percent=float(100 * np.max(np.abs(np.concatenate(errors)))),
        coverage_90=float(np.mean(np.concatenate(covered))),
        density_error_percent=float(100 * np.median(np.abs(relative))),
        points=int(finite.sum()),
    )


def interpolate(y: Floats, x: Floats, values: Floats, new_y: Floats, new_x: Floats) -> Floats:
    """Cubic interpolation of values[y, x] on the grid new_y x new_x (lower order where there are few points)."""
    if not np.isfinite(values).all():
        raise JudgeError("values to interpolate are not all finite")
    if len(y) < 2 or len(x) < 2 or values.shape != (len(y), len(x)):
        raise JudgeError(f"values of shape {values.shape} do not fit axes of {len(y)} and {len(x)} points")
    spline = RectBivariateSpline(y, x, values, kx=min(3, len(y) - 1), ky=min(3, len(x) - 1), s=0)
    return np.asarray(spline(np.clip(new_y, y[0], y[-1]), np.clip(new_x, x[0], x[-1])))


def _at(film: Map, element: str, y: Floats, x: Floats) -> Floats:
    if element not in film.fraction:
        return np.zeros((len(y), len(x)))
    return interpolate(film.y_mm, film.x_mm, np.asarray(film.fraction[element], float), y, x)


def _check_inside(what: str, wanted: Floats, axis: Floats) -> None:
    slack = 1e-6 * (axis[-1] - axis[0])
    if wanted.min() < axis[0] - slack or wanted.max() > axis[-1] + slack:
        raise JudgeError(
            f"{what} {wanted.min():.6g} .. {wanted.max():.6g} is to be judged, but known only from "
            f"{axis[0]:.6g} to {axis[-1]:.6g}"
        )
