"""How good composition maps are, and whether their intervals are honest, on simulated chambers that keep their truth.

Each chamber is learned by the default agent in ten experiments a source. Films are made at conditions that it has not seen,
and each is mapped: before its deposition ("predicted"), and with the total rates that its sensors read ("with totals"); both
also after five points were measured, by a method as exact as RBS, on one other film of the chamber that holds all four
elements. The published way stands beside it: cos^n through three sensors, at the setting, with no more than that.

Rows: RMS error of a map [atomic percent] and error at the middle [atomic fraction], median and 90th percentile over the
films; coverage of the 90 % intervals, mean over the films.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from sdl_bluesky.analysis.maps.calibration import Calibration, calibrate
from sdl_bluesky.analysis.maps.composition import composition_map
from sdl_bluesky.analysis.maps.prediction import Prediction
from sdl_bluesky.bench.flux_chamber import CALIBRATION_FILM, GRID_MM, Case, Laboratory, Made, condition, config, learned
from sdl_bluesky.bench.sputter_twin import SputterTwin
from sdl_bluesky.errors import PlasmaError
from sdl_bluesky.physics.composition import atomic_fractions, atomic_masses, fractions_std
from sdl_bluesky.physics.flux import fit_flux
from sdl_bluesky.physics.geometry import Array

SEEDS = 25
"""Chambers of the default case; other cases have a fifth of them."""
FILMS = 4
WORKERS = 2
CASES: tuple[Case, ...] = (
    Case("defaults"),
    Case("sticking 0.7 of sn", {"sticking": {"sn": 0.7}}),
    Case("perfect tooling", {"tooling_sd": 0.0}, 1e-4),
    Case("tooling 0.5 %", {"tooling_sd": 0.005}, 0.005),
    Case("tooling 2 %", {"tooling_sd": 0.02}, 0.02),
    Case("racetrack 1 cm, no diffuse part", {"racetrack_radius_cm": 1.0, "diffuse_fraction": 0.0}),
    Case("racetrack 2.5 cm, diffuse 15 %", {"racetrack_radius_cm": 2.5, "diffuse_fraction": 0.15}),
    Case("interaction 3 %, sources 0.85 as far", {"neighbour_interaction": 0.03}, distance=0.85),
    Case("interaction 3 %", {"neighbour_interaction": 0.03}),
    Case("interaction 3 %, sources 1.2 as far", {"neighbour_interaction": 0.03}, distance=1.2),
)
PUBLISHED = "cos^n through three sensors"
_APART = 1000  # between the seeds of two cases: no two chambers have their luck in common

Row = dict[str, Any]
Tell = Callable[[str], None]
Scores = list[tuple[str, Mapping[str, float]]]


def run(seeds: int | None, quick: bool, tell: Tell) -> Sequence[Row]:
    """The rows of the study; `quick`: one chamber of the first two cases, two films."""
    count = SEEDS if seeds is None else seeds
    cases = CASES[:2] if quick else CASES
    films = 2 if quick else FILMS
    jobs = [
        (k, _APART * k + seed, films)
        for k in range(len(cases))
        for seed in range(1 if quick else count if k == 0 else -(-count // 5))
    ]
    found: dict[int, list[Scores]] = {k: [] for k in range(len(cases))}
    begin = time.perf_counter()
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        for (k, _, _), scores in zip(jobs, pool.map(_chamber, *zip(*jobs)), strict=True):
            found[k].append(scores)
            if len(found[k]) == sum(job[0] == k for job in jobs):
                tell(f"{cases[k].name}: {len(found[k])} chamber(s), {time.perf_counter() - begin:.0f} s")
    rows = [row for k, case in enumerate(cases) for row in _rows(case, found[k])]
    return [*rows, *_times(tell)]


def _chamber(case_number: int, seed: int, films: int) -> Scores:
    """One chamber of a case: (method, score) of every map of every film."""
    case = CASES[case_number]
    made = config(case, seed)
    with SputterTwin(made) as twin:
        lab = learned(twin, made, case.tooling_std, seed)
        other = lab.deposit(*CALIBRATION_FILM)
        if other is None:
            raise PlasmaError(
                f"chamber {seed} of {case.name!r}: a plasma went out where the calibration film was to be made"
            )
        chamber = lab.chamber
        known = calibrate([lab.measured(other, seed)], chamber.sensors, chamber.tooling_std)
        rng = np.random.default_rng([seed, 1])
        scores: Scores = []
        for _ in range(films):
            film = condition(lab, rng)
            for method, calibration in (("", None), (", 5 points on another film", known)):
                for with_totals in (False, True):
                    name = ("with totals" if with_totals else "predicted") + method
                    scores.append((name, _mapped(lab, film, calibration, with_totals)))
            scores.append((PUBLISHED, lab.score(film, *_published(lab, film))))
    return scores


def _mapped(lab: Laboratory, film: Made, calibration: Calibration | None, with_totals: bool) -> Mapping[str, float]:
    chamber = lab.chamber
    found = composition_map(
        film.film.sources,
        chamber.sensors,
        chamber.tooling_std,
        GRID_MM,
        GRID_MM,
        totals=film.film.totals if with_totals else None,
        calibration=calibration,
        witnesses=lab.witnesses(film),
    )
    return lab.score(film, found.elements, found.fraction, found.std)


def _published(lab: Laboratory, film: Made) -> tuple[Sequence[str], Array, Array]:
    """Elements, fractions and errors [e, y, x] of cos^n through the three rates of each source."""
    chamber = lab.chamber
    x, y = np.meshgrid(GRID_MM / 10.0, GRID_MM / 10.0)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    flux, relative = [], []
    for source in film.film.sources:
        tooling = chamber.tooling_std**2 * np.diag(source.mean**2)
        fit = fit_flux(source.mean, source.cov + tooling, source.geometry, chamber.sensor_list())
        mean, std = fit.flux(source.geometry, points, [0.0, 0.0, 1.0])
        flux.append(mean)
        relative.append((std / mean) ** 2)
    elements = [k.element for k in film.film.sources]
    fraction = atomic_fractions(np.array(flux), atomic_masses(elements))
    cov = np.eye(len(elements))[:, :, None] * np.array(relative)[:, None, :]
    shape = (len(elements), *x.shape)
    return elements, fraction.reshape(shape), fractions_std(fraction, cov).reshape(shape)


def _rows(case: Case, chambers: Sequence[Scores]) -> Iterator[Row]:
    scores = [score for chamber in chambers for score in chamber]
    for method in dict.fromkeys(name for name, _ in scores):
        mine = [score for name, score in scores if name == method]
        rms, centre, inside = (
            np.array([k[key] for k in mine]) for key in ("rms_percent", "centre_error", "coverage_90")
        )
        yield {
            "method": method,
            "case": case.name,
            "rms_percent": float(np.median(rms)),
            "rms_percent_p90": float(np.percentile(rms, 90)),
            "centre_error": float(np.median(centre)),
            "centre_error_p90": float(np.percentile(centre, 90)),
            "coverage_90": float(inside.mean()),
            "films": len(mine),
            "chambers": len(chambers),
        }


def _times(tell: Tell) -> Iterator[Row]:
    """Milliseconds of a prediction at five points, by the number of sources that burn."""
    tell("time of a prediction")
    case = CASES[0]
    made = config(case, 0)
    with SputterTwin(made) as twin:
        lab = learned(twin, made, case.tooling_std, 0)
    where = np.array([[0.0, 0.0], [20.0, 20.0], [-20.0, 20.0], [-20.0, -20.0], [20.0, -20.0]])
    names = list(lab.surfaces)
    for count in range(1, len(names) + 1):
        powers = dict.fromkeys(names[:count], 50.0)
        for method, surfaces in (
            ("prediction", {k: lab.surfaces[k] for k in names[:count]}),
            ("prediction, all four as witnesses", lab.surfaces),
        ):
            prediction = Prediction(surfaces, lab.chamber)
            prediction.predict(powers, 8.0, where)
            spent = []
            for _ in range(10):
                begin = time.perf_counter()
                prediction.predict(powers, 8.0, where)
                spent.append(1e3 * (time.perf_counter() - begin))
            yield {"method": method, "case": f"{count} source(s)", "ms": float(np.median(spent))}
