"""What a result of the kind "rbs" is made of: its metadata, known before it is made, and its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.analysis.rbs import network
from sdl_bluesky.analysis.rbs.film import FilmPoints, analyse_film
from sdl_bluesky.analysis.rbs.fitting import BOUNDS, region_of
from sdl_bluesky.analysis.rbs.network import NONE, Choice, model_for
from sdl_bluesky.analysis.rbs.points import CompositionPoints, check_map
from sdl_bluesky.analysis.rbs.priors import RBSPriors
from sdl_bluesky.analysis.rbs.run import RBSRun
from sdl_bluesky.analysis.recipes import common
from sdl_bluesky.analysis.store import Result
from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.errors import OutOfRange

METHOD = "one even layer on the known substrate; Poisson likelihood of each spectrum, what the run shares made common"
_POINT, _ELEMENT, _CHANNEL, _FITTED = ["point"], ["point", "element"], ["point", "channel"], ["point", "parameter"]
_SQUARE, _JOINT = ["point", "element", "element_2"], ["row", "row_2"]
_DENSITY, _FRACTION = "1e15 at/cm2", "atomic fraction"
ARRAYS: Mapping[str, tuple[Sequence[str], str]] = {
    "x": (_POINT, "mm"),
    "y": (_POINT, "mm"),
    "density": (_ELEMENT, _DENSITY),
    "density_std": (_ELEMENT, _DENSITY),
    "density_cov": (_SQUARE, f"({_DENSITY})^2"),
    "density_joint_cov": (_JOINT, f"({_DENSITY})^2"),
    "fraction": (_ELEMENT, _FRACTION),
    "fraction_std": (_ELEMENT, _FRACTION),
    "fraction_cov": (_SQUARE, "1"),
    "fraction_joint_cov": (_JOINT, "1"),
    "map_fraction": (_ELEMENT, _FRACTION),
    "map_std": (_ELEMENT, _FRACTION),
    "chi2": (_POINT, "1"),
    "nu": (_POINT, "1"),
    "accepted": (_POINT, "1"),
    "p_value": (_POINT, "1"),
    "nuisance": (_FITTED, "1; offset: keV"),
    "nuisance_std": (_FITTED, "1; offset: keV"),
    "counts": (_POINT, "counts"),
    "spectrum": (_CHANNEL, "counts"),
    "fit": (_CHANNEL, "counts"),
    "energy": (["channel"], "keV"),
    "element": (["element"], ""),
    "parameter": (["parameter"], ""),
}
"""Dimensions and unit of each array. A row of a joint covariance is a point and an element, those of a point together."""
SEED = 0


def rbs_metadata(run: RBSRun, film_map: Analysis | None, choice: Choice = NONE) -> dict[str, Any]:
    """Of the areal densities of a film, with the composition map of the same film if there is one.

    The model of `choice` is one of the parameters: with another model it is another result.

    Raises:
        CatalogueError: the run's own accuracies are odd. OutOfRange: its region of interest is empty.
    """
    start, setup = run.start, dict(run.start["rbs_setup"])
    priors = RBSPriors.from_setup(setup, f"run {run.uid}")
    film_run = str(start.get("based_on") or "")
    substrate = start.get("substrate_number")
    found, about = common(start), choice.about
    packages = ("numba", "pyrump", *(("torch",) if about else ()))
    arrays = {**ARRAYS, **(network.ARRAYS if about else {})}
    return found | {
        "software": {**found["software"], **{name: version(name) for name in packages}},
        "elements": list(run.film),
        "units": {name: unit for name, (_, unit) in arrays.items() if unit},
        "derived_from": [run.uid, *([film_run] if film_run else [])],
        "based_on": film_run,
        "method": METHOD,
        "parameters": {
            "priors": asdict(priors),
            "region": [list(region_of(run.points[0].setup))],
            "bounds": list(BOUNDS),
            "seed": SEED,
            "map": film_map.metadata.get("content", film_map.key) if film_map is not None else "",
            **({"network": about} if about else {}),
        },
        "network": about or "",
        "setup": setup,
        **({} if substrate is None else {"substrate_number": int(substrate)}),
    }


def rbs_result(run: RBSRun, film_map: Analysis | None, choice: Choice = NONE) -> Result:
    """The arrays; with a map of the film also what it says at the points, and how far they agree.

    With a model (`network.model_for`) also the arrays of `network.ARRAYS`; without one these are left out.

    Raises:
        WeakSignal, OutOfRange: see `film.analyse_film`.
    """
    found = analyse_film(run, RBSPriors.from_setup(run.start["rbs_setup"], f"run {run.uid}"), SEED, choice)
    arrays = _arrays(found)
    if found.network is not None:
        arrays |= network.result_arrays(found.network, found.strangeness)
    checks: dict[str, float] = {
        **{f"{k}_common": value for k, (value, _) in found.common.items()},
        **{f"{k}_common_std": std for k, (_, std) in found.common.items()},
    }
    findings = list(found.findings)
    if film_map is not None:
        try:
            check = check_map(film_map, _points(found))
        except OutOfRange as fault:
            findings.append(f"not compared with the composition map: {fault}")
        else:
            arrays |= {"map_fraction": check.map_fraction, "map_std": check.map_std}
            checks |= check.numbers()
            findings += check.findings
    more = {
        "findings": findings,
        "checks": checks,
        "nuisance": list(found.nuisance_names),
        "composition": film_map.key if film_map is not None else "",
    }
    known = {**ARRAYS, **network.ARRAYS}
    return Result(arrays, {name: known[name][0] for name in arrays}, more)


def measured_points(run: RBSRun, models: Sequence[Path] = ()) -> tuple[CompositionPoints, tuple[str, ...]]:
    """The composition at the points of a film, and findings, without a catalogue.

    Args:
        run: from `rbs_run`.
        models: folders with models, beside those of this package.

    Raises:
        CatalogueError, WeakSignal, OutOfRange: see `rbs_metadata` and `film.analyse_film`.
    """
    priors = RBSPriors.from_setup(run.start["rbs_setup"], f"run {run.uid}")
    found = analyse_film(run, priors, SEED, model_for(run, models))
    return _points(found), tuple(found.findings)


def _arrays(found: FilmPoints) -> dict[str, Any]:
    size = found.density.size
    own: dict[str, Any] = {}
    for name, cov in (("density", found.density_cov), ("fraction", found.fraction_cov)):
        blocks = np.einsum("piqj->pij", cov * np.eye(len(cov))[:, None, :, None])
        own |= {
            f"{name}_std": np.sqrt(np.maximum(np.einsum("pii->pi", blocks), 0.0)),
            f"{name}_cov": blocks,
            f"{name}_joint_cov": cov.reshape(size, size),
        }
    setup = found.points[0].setup
    edges = setup.edges_keV()
    spectra = np.stack([k.counts for k in found.points])
    return own | {
        "x": np.array([k.x_mm for k in found.points]),
        "y": np.array([k.y_mm for k in found.points]),
        "element": list(found.film),
        "density": found.density,
        "fraction": found.fraction,
        "chi2": found.chi2,
        "nu": found.nu,
        "accepted": found.accepted.astype(float),
        "p_value": found.p_value,
        "parameter": list(found.nuisance_names),
        "nuisance": found.nuisance,
        "nuisance_std": found.nuisance_std,
        "counts": spectra.sum(axis=1),
        "spectrum": spectra,
        "fit": found.fit,
        "energy": (edges[1:] + edges[:-1]) / 2.0,
    }


def _points(found: FilmPoints) -> CompositionPoints:
    size = found.density.size
    return CompositionPoints(
        found.film,
        np.array([k.x_mm for k in found.points]),
        np.array([k.y_mm for k in found.points]),
        found.fraction,
        found.fraction_cov.reshape(size, size),
        found.density,
        found.density_cov.reshape(size, size),
        found.accepted,
    )
