"""What each kind of result is made of: its metadata, known before it is made, and its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.health import signatures
from sdl_bluesky.analysis.kinds import campaign_of
from sdl_bluesky.analysis.maps.calibration import Calibration
from sdl_bluesky.analysis.maps.composition import composition_map
from sdl_bluesky.analysis.maps.pattern import Prior
from sdl_bluesky.analysis.maps.readings import Film, Points, SourceRates
from sdl_bluesky.analysis.maps.totals import INTERACTION_SHARED, INTERACTION_STD, Totals
from sdl_bluesky.analysis.rates import Window, reduce_run, run_flux
from sdl_bluesky.analysis.runs import Experiment
from sdl_bluesky.analysis.store import Result
from sdl_bluesky.analysis.surface import METHOD, SourceSurface
from sdl_bluesky.errors import WeakSignal

GRID = 31
"""Points of a rate surface along power and along pressure."""
SAMPLES = 400
"""Samples behind a composition map."""
PRIOR = Prior()
RATE_UNIT = "ng cm^-2 s^-1"


@cache
def software() -> Mapping[str, str]:
    """Versions of what the numbers depend on."""
    return {name: version(name) for name in ("numpy", "scipy")}


def common(start: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Metadata that every result has: where it belongs and what made it, and more."""
    where = {"campaign": campaign_of(start), "sample": str(start.get("sample", "")), "run": str(start["uid"])}
    return {**where, "software": dict(software()), **more}


def flux_metadata(experiment: Experiment, source: str) -> dict[str, Any]:
    """Of the rates of one run, reduced again, with strength and exponent of its source."""
    chamber = experiment.chamber
    return common(
        experiment.start,
        source=source,
        elements=[chamber.elements[source]],
        units={"rate": RATE_UNIT, "rate_std": RATE_UNIT, "strength": "ln(ng/s), 1", "covariance": "1"},
        derived_from=[experiment.uid],
        method="frequency slopes; ln F = ln a(n+1) + n ln cos(phi) + ln(cos(theta) / (2 pi r^2))",
        parameters={"tooling_std": chamber.tooling_std, "n": list(PRIOR.n)},
        setting={"power_W": experiment.power_W[source], "pressure_mTorr": experiment.pressure_mTorr},
    )


def flux_result(experiment: Experiment, source: str, rows: Mapping[str, ArrayLike]) -> Result:
    """Arrays sensor, rate, rate_std and, where they mean something, strength (ln a(n+1), n) and covariance.

    Raises:
        WeakSignal: no sensor gave a rate.
        CatalogueError, Unidentifiable: see `rates.shutter_window`.
    """
    chamber = experiment.chamber
    window = Window.of(experiment.result, rows, [source])
    rates = reduce_run(rows, window, chamber.f0_Hz)
    if not rates.fits:
        raise WeakSignal(f"run {experiment.uid}: no sensor gave a rate: {'; '.join(rates.findings)}")
    fit, remarks = run_flux(*rates.arrays(list(chamber.sensors)), chamber, source, PRIOR)
    rate, std = rates.arrays(list(rates.fits))
    arrays: dict[str, Any] = {"sensor": list(rates.fits), "rate": rate, "rate_std": std}
    dims: dict[str, Sequence[str]] = {k: ["sensor"] for k in arrays}
    if fit is not None:
        arrays |= {"parameter": ["ln_strength", "n"], "strength": fit.mean, "covariance": fit.cov}
        dims |= {"parameter": ["parameter"], "strength": ["parameter"], "covariance": ["parameter", "parameter_2"]}
    seen = [*signatures.of_readings(source, rate, std), *signatures.of_flux(source, fit)]
    more = {
        "findings": [*rates.findings, *remarks],
        "signatures": signatures.as_documents(seen),
        "window": vars(window),
    }
    return Result(arrays, dims, more)


def surface_metadata(start: Mapping[str, Any], chamber: Chamber, source: str, uids: Sequence[str]) -> dict[str, Any]:
    """Of the rate surface of one source from its runs, as of the campaign of the run `start` that asks for it."""
    ranges = {"power_W": list(chamber.power_W), "pressure_mTorr": list(chamber.pressure_mTorr)}
    return common(
        start,
        source=source,
        elements=[chamber.elements[source]],
        units={"rate": RATE_UNIT, "rate_std": RATE_UNIT, "power": "W", "pressure": "mTorr"},
        derived_from=list(uids),
        method=METHOD,
        parameters={"source": source, **ranges, "grid": GRID},
        note=f"as the sensors read: the error of their calibration, {chamber.tooling_std:g} of the rate, is not in rate_std",
    )


def surface_result(surface: SourceSurface, chamber: Chamber, source: str = "") -> Result:
    """Arrays rate, rate_std [sensor, pressure, power], their axes, and the settings of the runs."""
    power, pressure = np.linspace(*chamber.power_W, GRID), np.linspace(*chamber.pressure_mTorr, GRID)
    rate, std = surface.grid(power, pressure)
    arrays: dict[str, Any] = {"rate": rate, "rate_std": std}
    dims: dict[str, Sequence[str]] = {k: ["sensor", "pressure", "power"] for k in arrays}
    for name, axis in {"power": power, "pressure": pressure, "sensor": list(surface.sensors)}.items():
        arrays[name], dims[name] = axis, [name]
    for k, name in enumerate(("experiment_power", "experiment_pressure")):
        arrays[name], dims[name] = surface.points[:, k], ["experiment"]
    seen = signatures.as_documents(signatures.of_surface(source, surface, chamber.power_W, chamber.pressure_mTorr))
    return Result(
        arrays, dims, {"findings": list(surface.findings), "signatures": seen, "sensors": list(surface.sensors)}
    )


def map_metadata(
    film: Experiment,
    based_on: Mapping[str, Sequence[str]],
    surfaces: Sequence[str],
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Of the composition map of a film: the runs of its sources by name, the keys of their rate surfaces.

    A calibration that it was made with is given by its metadata, with its "key".
    """
    chamber, substrate = film.chamber, film.result.get("substrate_number")
    runs = [film.uid, *(uid for k in film.sources for uid in based_on[k])]
    parameters = {
        "prior": vars(PRIOR),
        "tooling_std": chamber.tooling_std,
        "interaction_std": INTERACTION_STD,
        "interaction_shared": INTERACTION_SHARED,
        "samples": SAMPLES,
        "seed": 0,
    }
    used: dict[str, Any] = {}
    if calibration is not None:
        runs += calibration["derived_from"]
        parameters["calibration"] = calibration["parameters"]
        used = {"calibration": calibration["key"]}
    return common(
        film.start,
        elements=list(dict.fromkeys(chamber.elements[k] for k in film.sources)),
        units={"composition": "atomic fraction", "composition_std": "atomic fraction", "x": "mm", "y": "mm"},
        derived_from=list(dict.fromkeys(runs)),
        method="rate surfaces at the readbacks, conditioned on the total rates; cos^n with mismatch; samples",
        parameters=parameters,
        surfaces=list(surfaces),
        setting={"power_W": dict(film.power_W), "pressure_mTorr": film.pressure_mTorr},
        **used,
        **({} if substrate is None else {"substrate_number": int(substrate)}),
    )


def film_of(
    film: Experiment, surfaces: Mapping[str, SourceSurface], points: Points | None = None
) -> tuple[Film, list[str]]:
    """A co-sputter run as the joint model takes it, and findings."""
    chamber = film.chamber
    sensors = list(chamber.sensors)
    rates: list[SourceRates] = []
    findings: list[str] = []
    variance = film.std**2
    for source, surface in surfaces.items():
        setting = (film.power_W[source], film.pressure_mTorr)
        found, remarks = SourceRates.of(
            source, chamber.elements[source], chamber.source(source), surface, setting, sensors
        )
        findings += [f"{source}: {k}" for k in (*surface.findings, *remarks)]
        rates.append(found)
        variance = variance + surface.scatter(setting, sensors) ** 2
    # A reading errs by more than the error of its slope; a sensor that a surface does not know cannot be compared.
    known = np.isfinite(variance)
    totals = Totals(np.where(known, film.rate, np.nan), np.sqrt(np.where(known, variance, 1.0)))
    return Film(tuple(rates), totals, points, film.uid), findings


def map_result(
    film: Experiment,
    surfaces: Mapping[str, SourceSurface],
    calibration: Calibration | None = None,
    ages: Sequence[signatures.Signature] = (),
) -> Result:
    """Arrays composition, composition_std [element, y, x] and their axes; `ages`: signatures of worn or changed targets.

    Raises:
        WeakSignal, OutOfRange: see `composition.composition_map`.
    """
    chamber = film.chamber
    made, findings = film_of(film, surfaces)
    found = composition_map(
        made.sources,
        chamber.sensors,
        chamber.tooling_std,
        chamber.x_mm,
        chamber.y_mm,
        totals=made.totals,
        prior=PRIOR,
        calibration=calibration,
        uid=film.uid,
        samples=SAMPLES,
    )
    arrays = {"composition": found.fraction, "composition_std": found.std, "x": found.x_mm, "y": found.y_mm}
    dims = {k: ["element", "y", "x"] for k in ("composition", "composition_std")} | {"x": ["x"], "y": ["y"]}
    findings += [*found.findings, *(calibration.findings if calibration is not None else ())]
    more = {"findings": findings, "checks": dict(found.checks), "fits": found.fits.parameters()}
    seen = [*ages, *signatures.of_totals(list(surfaces), found.checks)]
    seen += signatures.of_calibration(calibration) if calibration is not None else []
    more["signatures"] = signatures.as_documents(seen)
    return Result(arrays, dims, more)
