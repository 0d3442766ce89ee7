"""The judge of a study: compares what was learned with a plant that is at hand, and tells figures, never the truth.

Pressures are those that the process gauge shows, as in everything that a laboratory knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ioc_sims.common.errors import RequestError
from ioc_sims.common.film import Film as FilmTruth
from ioc_sims.scoring import Map, composition_score, interpolate, relative_rms_percent
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.requests import MeasurePoints, ScoreMap, ScorePlasma, ScoreRate
from ioc_sims.sputter.truth import film_truth, source_truth

SIGMAS_95 = 1.96  # of a normal distribution: 95 % lie within

Floats = NDArray[np.float64]
Reply = dict[str, Any]


def measure_points(plant: Plant, request: MeasurePoints) -> Reply:
    """Atomic fractions [point, element] as another method would measure them: with a normal error, of sum 1.

    Raises:
        RequestError: there is no film, or a point lies beside it.
    """
    film = FilmTruth(_film(plant, request.substrate))
    x, y = np.asarray(request.x_mm), np.asarray(request.y_mm)
    if not film.contains(x, y).all():
        raise RequestError("points beyond the grid of the film (-25 .. 25 mm)")
    atoms = np.stack(list(film.densities(x, y).values()), axis=-1)
    share = atoms / atoms.sum(axis=-1, keepdims=True)
    measured = share + request.std * np.random.default_rng(request.seed).normal(size=share.shape)
    return {"elements": film.elements, "fraction": (measured / measured.sum(axis=-1, keepdims=True)).tolist()}


def score_map(plant: Plant, request: ScoreMap) -> Reply:
    """`ioc_sims.scoring.CompositionScore`, and "centre_z": the first element's error there over its deviation.

    Raises:
        RequestError: there is no film, or shapes do not fit. JudgeError: map and film cannot be compared.
    """
    hidden = _film(plant, request.substrate)
    x, y = _axis("x_mm", request.x_mm), _axis("y_mm", request.y_mm)
    shape = (len(request.elements), len(y), len(x))
    mean, std = _array("fraction", request.fraction, shape), _array("std", request.std, shape)
    real = Map(
        np.asarray(hidden["x_mm"]),
        np.asarray(hidden["y_mm"]),
        {element: np.asarray(values) for element, values in hidden["fraction"].items()},
    )
    names = request.elements
    score = composition_score(Map(x, y, dict(zip(names, mean, strict=True))), dict(zip(names, std, strict=True)), real)
    return {**asdict(score), "centre_z": _centre_z(x, y, mean[0], std[0], real, names[0])}


def score_rate(plant: Plant, request: ScoreRate) -> Reply:
    """Error and coverage of a rate surface at the grid points where the plasma stays lit, by sensor.

    Returns:
        "e_rms_percent" {sensor: 100 RMS(mean - truth) / mean(truth)}, "points", and where deviations were given
        "coverage_95" {sensor: part of the points whose error is at most 1.96 deviations}.

    Raises:
        RequestError: unknown names, shapes that do not fit, or a value that counts is no number.
    """
    power, pressure = _axis("power", request.power), _axis("pressure", request.pressure)
    truth = _truth_at(plant, request.source, power, pressure)
    chosen = np.asarray(truth["lit"]) & (pressure >= request.lowest_mTorr - 1e-9)[:, None]
    if not chosen.any():
        raise RequestError(f"the plasma burns at no grid point from {request.lowest_mTorr:g} mTorr")
    tooling = {c.config.name: c.tooling if request.tooling else 1.0 for c in plant.crystals}
    for sensor in (*request.mean, *request.std):
        if sensor not in tooling:
            raise RequestError(f"the chamber has no sensor {sensor!r}, only {', '.join(tooling)}")
    error: dict[str, float] = {}
    coverage: dict[str, float] = {}
    for sensor, surface in request.mean.items():
        real = tooling[sensor] * np.asarray(truth["rate"][sensor])[chosen]
        mean = _finite(f"mean of {sensor}", surface, chosen)
        error[sensor] = relative_rms_percent(mean, real)
        if sensor in request.std:
            std = _finite(f"std of {sensor}", request.std[sensor], chosen)
            coverage[sensor] = float(np.mean(np.abs(mean - real) <= SIGMAS_95 * std))
    told: Reply = {"e_rms_percent": error, "points": int(chosen.sum())}
    return {**told, "coverage_95": coverage} if coverage else told


def score_plasma(plant: Plant, request: ScorePlasma) -> Reply:
    """{"accuracy": part of the grid points where it is rightly said whether a burning plasma stays lit}.

    Raises:
        RequestError: unknown source, or shapes that do not fit.
    """
    power, pressure = _axis("power", request.power), _axis("pressure", request.pressure)
    lit = np.asarray(_truth_at(plant, request.source, power, pressure)["lit"])
    told = _array("lit", request.lit, lit.shape) > 0.5
    return {"accuracy": float(np.mean(told == lit))}


def _truth_at(plant: Plant, source: str, power: Floats, pressure: Floats) -> Mapping[str, Any]:
    names = [s.name for s in plant.sources]
    if source not in names:
        raise RequestError(f"the chamber has no source {source!r}, only {', '.join(names)}")
    return source_truth(plant, names.index(source), power, pressure / plant.gauge_factor)


def _film(plant: Plant, number: int) -> Mapping[str, Any]:
    film = plant.films.get(number)
    if film is None or not film.doses:
        grown = [str(n) for n, f in plant.films.items() if f.doses]
        raise RequestError(f"there is no film on substrate {number}: films are on {', '.join(grown) or 'none'}")
    return film_truth(plant.wafer, film)


def _centre_z(x: Floats, y: Floats, mean: Floats, std: Floats, real: Map, element: str) -> float | None:
    middle = np.zeros(1)
    at_map, spread = (interpolate(y, x, values, middle, middle)[0, 0] for values in (mean, std))
    fraction = real.fraction.get(element)
    at_film = 0.0 if fraction is None else interpolate(real.y_mm, real.x_mm, fraction, middle, middle)[0, 0]
    return float((at_map - at_film) / spread) if spread > 0 else None


def _axis(what: str, values: Sequence[float]) -> Floats:
    axis = np.asarray(values, float)
    if not (np.diff(axis) > 0).all():
        raise RequestError(f"{what} must rise from value to value")
    return axis


def _array(what: str, values: Any, shape: tuple[int, ...]) -> Floats:
    try:
        array = np.asarray(values, float)
    except ValueError as err:
        raise RequestError(f"{what}: rows of different lengths") from err
    if array.shape != shape:
        raise RequestError(f"{what} has the shape {list(array.shape)}, its axes say {list(shape)}")
    return array


def _finite(what: str, values: Any, chosen: NDArray[np.bool_]) -> Floats:
    array = _array(what, values, chosen.shape)[chosen]
    if not np.isfinite(array).all():
        raise RequestError(f"{what}: not a number at {int((~np.isfinite(array)).sum())} points where the plasma burns")
    return array
