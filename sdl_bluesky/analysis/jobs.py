"""The job that analyses a run of the catalogue, whoever made it and wherever.

    analyse_run(client, uid)      -> keys of the results in the container `analysis`

measure_rate -> "flux"; a campaign -> a "rate_surface" for each source it learned; cosputter -> the rate surfaces of its
sources and the "composition"; measure_rbs -> "rbs". A result that is there already, from the same runs by the same method,
parameters and software, is not made again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.kinds import COMPOSITION, FLUX, RATE_SURFACE, RBS, campaign_of, kind_of
from sdl_bluesky.analysis.recipes import (
    flux_metadata,
    flux_result,
    map_metadata,
    map_result,
    surface_metadata,
    surface_result,
)
from sdl_bluesky.analysis.runs import finished_run, read_campaign, read_experiment, read_experiments
from sdl_bluesky.analysis.store import Result, put
from sdl_bluesky.analysis.surface import SourceSurface, fit_surface
from sdl_bluesky.data.analysis import latest_analysis
from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import read_table
from sdl_bluesky.errors import CatalogueError, WeakSignal

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)


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
    jobs: dict[str, Callable[..., list[str]]] = {FLUX: _flux, RATE_SURFACE: _campaign, COMPOSITION: _film, RBS: _rbs}
    return jobs[kind](client, run)


def _flux(client: Container, run: Container) -> list[str]:
    """Rates reduced again from the raw rows, and (ln a(n+1), n) of the source."""
    experiment = read_experiment(run)
    if len(experiment.sources) != 1:
        count = len(experiment.sources)
        raise CatalogueError(f"run {experiment.uid} measured {count} sources: one is needed for a flux")
    [source] = experiment.sources

    def make() -> Result:
        table = read_table(run, "qcm")
        return flux_result(experiment, source, {str(k): table[k].to_numpy() for k in table.columns})

    return [put(client, FLUX, flux_metadata(experiment, source), make)]


def _campaign(client: Container, run: Container) -> list[str]:
    """A rate surface for each source that a campaign learned."""
    start = start_of(run)
    learned = read_campaign(client, campaign_of(start)).learned
    surfaces = _Surfaces(client, start, learned)
    keys: list[str] = []
    for source in learned:
        try:
            keys.append(surfaces.key(source))
        except WeakSignal as fault:
            log.warning("campaign %s: no rate surface of %s: %s", campaign_of(start), source, fault)
    return keys


def _film(client: Container, run: Container) -> list[str]:
    """The rate surfaces of the sources of a co-sputter run, and the composition map of its film."""
    film = read_experiment(run)
    based_on = film.start.get("based_on") or {}
    missing = [k for k in film.sources if not based_on.get(k)]
    if missing or not film.sources:
        which = ", ".join(missing) or "sources"
        raise CatalogueError(f"run {film.uid} does not say which runs its {which} were learned from (based_on)")
    surfaces = _Surfaces(client, film.start, based_on)
    keys = [surfaces.key(source) for source in film.sources]

    def make() -> Result:
        return map_result(film, {source: surfaces.model(source) for source in film.sources})

    return [*keys, put(client, COMPOSITION, map_metadata(film, based_on, keys), make)]


def _rbs(client: Container, run: Container) -> list[str]:
    """Areal densities and fractions of a film from its spectra, compared with its composition map if there is one."""
    from sdl_bluesky.analysis.rbs.recipe import rbs_metadata, rbs_result  # compiled code, which no other run needs
    from sdl_bluesky.analysis.rbs.run import read_rbs_run

    spectra = read_rbs_run(run)
    film = str(spectra.start.get("based_on") or "")
    try:
        film_map = latest_analysis(client, COMPOSITION, run=film) if film else None
    except CatalogueError:
        log.info("run %s: its film %s has no composition map to compare with", spectra.uid, film)
        film_map = None
    return [put(client, RBS, rbs_metadata(spectra, film_map), lambda: rbs_result(spectra, film_map))]


class _Surfaces:
    """Rate surfaces for one run that needs them; each is learned when it is needed, and once."""

    def __init__(self, client: Container, start: Mapping[str, Any], uids: Mapping[str, Sequence[str]]) -> None:
        self._client, self._start, self._uids = client, start, uids
        self._models: dict[str, SourceSurface] = {}

    def key(self, source: str) -> str:
        """Key of the surface in the catalogue; it is made unless it is there."""
        chamber, uids = Chamber.from_start(self._start), self._uids[source]
        chamber.source(source)
        metadata = surface_metadata(self._start, chamber, source, uids)
        return put(self._client, RATE_SURFACE, metadata, lambda: surface_result(self.model(source), chamber))

    def model(self, source: str) -> SourceSurface:
        """The model behind it, from the runs of the source."""
        if source not in self._models:
            experiments = read_experiments(self._client, self._uids[source], source, self._start)
            chamber = Chamber.from_start(self._start)
            self._models[source] = fit_surface(
                np.array([[k.power_W[source], k.pressure_mTorr] for k in experiments]),
                np.stack([k.rate for k in experiments]),
                np.stack([k.std for k in experiments]),
                list(chamber.sensors),
                chamber.power_W,
                chamber.pressure_mTorr,
            )
        return self._models[source]
