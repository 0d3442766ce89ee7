"""The job that analyses a run of the catalogue, whoever made it and wherever.

    analyse_run(client, uid)      -> keys of the results in the container `analysis`

measure_rate -> "flux"; a campaign -> a "rate_surface" for each source it learned; cosputter -> the rate surfaces of its
sources and the "composition". A result that is there already, from the same runs by the same method, parameters and
software, is not made again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.composition import SourceRates, composition_map
from sdl_bluesky.analysis.kinds import COMPOSITION, FLUX, RATE_SURFACE, campaign_of, kind_of
from sdl_bluesky.analysis.pattern import Prior
from sdl_bluesky.analysis.rates import Window, reduce_run, run_flux
from sdl_bluesky.analysis.runs import Experiment, finished_run, read_campaign, read_experiment, read_experiments
from sdl_bluesky.analysis.store import Result, put
from sdl_bluesky.analysis.surface import METHOD, SourceSurface, fit_surface
from sdl_bluesky.analysis.totals import INTERACTION_STD, Totals
from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import read_table
from sdl_bluesky.errors import CatalogueError, WeakSignal

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

GRID = 31
"""Points of a rate surface along power and along pressure."""
SAMPLES = 400
"""Samples behind a composition map."""

RATE_UNIT = "ng cm^-2 s^-1"


def analyse_run(client: Container, uid: str) -> list[str]:
    """Analyse a run; returns the keys of its results in `analysis`, new or there already ([] if there is nothing to do).

    Args:
        client: root of the catalogue; the run and all that it is based on are read from it.
        uid: an experiment or a campaign run.

    Raises:
        CatalogueError: the run, or one it is based on, is not there, not ended, aborted, or not of the schema.
        WeakSignal, Unidentifiable, OutOfRange: its data do not carry the result; nothing of that kind is written.
    """
    run = finished_run(client, uid)
    start = start_of(run)
    kind = kind_of(start)
    if kind is None:
        log.info("run %s (%s): nothing to analyse", uid, start.get("plan_name"))
        return []
    jobs: dict[str, Callable[..., list[str]]] = {FLUX: _flux, RATE_SURFACE: _campaign, COMPOSITION: _composition}
    return jobs[kind](client, run)


@cache
def software() -> Mapping[str, str]:
    """Versions of what the numbers depend on."""
    return {name: version(name) for name in ("numpy", "scipy", "torch")}


def _common(start: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    where = {"campaign": campaign_of(start), "sample": str(start.get("sample", "")), "run": str(start["uid"])}
    return {**where, "software": dict(software()), **more}


def _flux(client: Container, run: Container) -> list[str]:
    """Rates reduced again from the raw rows, and (ln a(n+1), n) of the source."""
    start = start_of(run)
    experiment = read_experiment(run)
    if len(experiment.sources) != 1:
        raise CatalogueError(
            f"run {experiment.uid} measured {len(experiment.sources)} sources: one is needed for a flux"
        )
    [source] = experiment.sources
    prior = Prior()
    metadata = _common(
        start,
        source=source,
        elements=[experiment.chamber.elements[source]],
        units={"rate": RATE_UNIT, "rate_std": RATE_UNIT, "strength": "ln(ng/s), 1", "covariance": "1"},
        derived_from=[experiment.uid],
        method="frequency slopes; ln F = ln a(n+1) + n ln cos(phi) + ln(cos(theta) / (2 pi r^2))",
        parameters={"tooling_std": experiment.chamber.tooling_std, "n": list(prior.n)},
        setting={"power_W": experiment.power_W[source], "pressure_mTorr": experiment.pressure_mTorr},
    )

    def make() -> Result:
        table = read_table(run, "qcm")
        rows = {str(k): table[k].to_numpy() for k in table.columns}
        window = Window.of(experiment.result, rows, [source])
        rates = reduce_run(rows, window, experiment.chamber.f0_Hz)
        if not rates.fits:
            raise WeakSignal(f"run {experiment.uid}: no sensor gave a rate: {'; '.join(rates.findings)}")
        fit, remarks = run_flux(*rates.arrays(list(experiment.chamber.sensors)), experiment.chamber, source, prior)
        rate, std = rates.arrays(list(rates.fits))
        arrays: dict[str, Any] = {"sensor": list(rates.fits), "rate": rate, "rate_std": std}
        dims: dict[str, Sequence[str]] = {"sensor": ["sensor"], "rate": ["sensor"], "rate_std": ["sensor"]}
        if fit is not None:
            arrays |= {"parameter": ["ln_strength", "n"], "strength": fit.mean, "covariance": fit.cov}
            dims |= {"parameter": ["parameter"], "strength": ["parameter"], "covariance": ["parameter", "parameter_2"]}
        return Result(arrays, dims, {"findings": [*rates.findings, *remarks], "window": vars(window)})

    return [put(client, FLUX, metadata, make)]


def _campaign(client: Container, run: Container) -> list[str]:
    """A rate surface for each source that a campaign learned."""
    start = start_of(run)
    campaign = read_campaign(client, campaign_of(start))
    keys: list[str] = []
    for source, uids in campaign.learned.items():
        try:
            keys.append(_surface(client, start, source, uids)[0])
        except WeakSignal as fault:
            log.warning("campaign %s: no rate surface of %s: %s", campaign.campaign, source, fault)
    return keys


def _surface(
    client: Container,
    start: Mapping[str, Any],
    source: str,
    uids: Sequence[str],
) -> tuple[str, SourceSurface]:
    """Model of one source from its runs; its grid is written, as of the campaign of these runs, unless it is there."""
    experiments = read_experiments(client, uids, source)
    chamber = experiments[0].chamber
    surface = fit_surface(
        np.array([[k.power_W[source], k.pressure_mTorr] for k in experiments]),
        np.stack([k.rate for k in experiments]),
        np.stack([k.std for k in experiments]),
        list(chamber.sensors),
        chamber.power_W,
        chamber.pressure_mTorr,
    )
    homes = {campaign_of(k.start) for k in experiments}
    home = experiments[0].start if len(homes) == 1 and "" not in homes else start
    metadata = _common(
        {**home, "uid": start["uid"]},
        source=source,
        elements=[chamber.elements[source]],
        sensors=list(surface.sensors),
        units={"rate": RATE_UNIT, "rate_std": RATE_UNIT, "power": "W", "pressure": "mTorr"},
        derived_from=list(uids),
        method=METHOD,
        parameters={"source": source, "power_W": list(chamber.power_W), "pressure_mTorr": list(chamber.pressure_mTorr)}
        | {"grid": GRID},
    )

    def make() -> Result:
        power, pressure = np.linspace(*chamber.power_W, GRID), np.linspace(*chamber.pressure_mTorr, GRID)
        rate, std = surface.grid(power, pressure)
        arrays: dict[str, Any] = {"rate": rate, "rate_std": std, "power": power, "pressure": pressure}
        arrays |= {"sensor": list(surface.sensors), "experiment_power": surface.points[:, 0]}
        arrays |= {"experiment_pressure": surface.points[:, 1]}
        dims: dict[str, Sequence[str]] = {k: ["sensor", "pressure", "power"] for k in ("rate", "rate_std")}
        dims |= {k: [k] for k in ("power", "pressure", "sensor")}
        dims |= {k: ["experiment"] for k in ("experiment_power", "experiment_pressure")}
        return Result(arrays, dims, {"findings": list(surface.findings)})

    return put(client, RATE_SURFACE, metadata, make), surface


def _composition(client: Container, run: Container) -> list[str]:
    """The rate surfaces of the sources of a co-sputter run, and the composition map of its film."""
    film = read_experiment(run)
    based_on = film.start.get("based_on") or {}
    missing = [k for k in film.sources if not based_on.get(k)]
    if missing or not film.sources:
        raise CatalogueError(
            f"run {film.uid} does not say which runs its {', '.join(missing) or 'sources'} were learned from (based_on)"
        )
    keys: list[str] = []
    rates: list[SourceRates] = []
    findings: list[str] = []
    for source in film.sources:
        key, surface = _surface(client, film.start, source, list(based_on[source]))
        keys.append(key)
        at = np.array([film.power_W[source], film.pressure_mTorr])
        mean, cov, remarks = surface.at(at, list(film.chamber.sensors))
        findings += [f"{source}: {k}" for k in (*surface.findings, *remarks)]
        rates.append(SourceRates(source, film.chamber.elements[source], film.chamber.source(source), mean, cov))
    return [*keys, put(client, COMPOSITION, *_map(film, rates, based_on, keys, findings))]


def _map(
    film: Experiment,
    rates: list[SourceRates],
    based_on: Mapping[str, Sequence[str]],
    surfaces: list[str],
    findings: list[str],
) -> tuple[dict[str, Any], Callable[[], Result]]:
    prior, chamber = Prior(), film.chamber
    substrate = film.result.get("substrate_number")
    elements = list(dict.fromkeys(k.element for k in rates))
    metadata = _common(
        film.start,
        elements=elements,
        units={"composition": "atomic fraction", "composition_std": "atomic fraction", "x": "mm", "y": "mm"},
        derived_from=list(dict.fromkeys([film.uid, *(uid for k in film.sources for uid in based_on[k])])),
        method="rate surfaces at the readbacks, conditioned on the total rates; cos^n with mismatch; samples",
        parameters={"prior": vars(prior), "tooling_std": chamber.tooling_std, "interaction_std": INTERACTION_STD}
        | {"samples": SAMPLES, "seed": 0},
        surfaces=surfaces,
        **({} if substrate is None else {"substrate_number": int(substrate)}),
        setting={"power_W": dict(film.power_W), "pressure_mTorr": film.pressure_mTorr},
    )

    def make() -> Result:
        result = composition_map(
            rates,
            chamber.sensor_list(),
            chamber.tooling_std,
            chamber.x_mm,
            chamber.y_mm,
            totals=Totals(film.rate, film.std),
            prior=prior,
            samples=SAMPLES,
        )
        names = ("composition", "composition_std", "x", "y")
        arrays: dict[str, Any] = dict(zip(names, (result.fraction, result.std, result.x_mm, result.y_mm)))
        dims = {k: ["element", "y", "x"] for k in names[:2]} | {"x": ["x"], "y": ["y"]}
        more = {"findings": [*findings, *result.findings], "checks": dict(result.checks)}
        return Result(arrays, dims, {**more, "fits": result.fits.parameters()})

    return metadata, make
