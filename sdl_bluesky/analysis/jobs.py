"""The job that analyses a run of the catalogue, whoever made it and wherever.

    analyse_run(client, uid)      -> keys of the results in the container `analysis`

measure_rate -> "flux"; a campaign -> a "rate_surface" for each source it learned; cosputter -> the rate surfaces of its
sources and the "composition"; measure_rbs -> "rbs", the "calibration" of the chamber, and the film's map once more;
measure_reactive, if it names its calibration -> "reactive"; grow_and_measure -> "layer". A result that is there already,
from the same runs by the same method, parameters and software, is not made again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.health.signatures import Signature, of_film
from sdl_bluesky.analysis.kinds import (
    CALIBRATION,
    COMPOSITION,
    FLUX,
    LAYER,
    RATE_SURFACE,
    RBS,
    REACTIVE,
    campaign_of,
    kind_of,
)
from sdl_bluesky.analysis.maps.calibration import Calibration
from sdl_bluesky.analysis.maps.calibration_recipe import (
    calibration_metadata,
    calibration_result,
    evidence_with,
    made_again,
    newest_calibration,
)
from sdl_bluesky.analysis.recipes import (
    flux_metadata,
    flux_result,
    map_metadata,
    map_result,
    surface_metadata,
    surface_result,
)
from sdl_bluesky.analysis.runs import Experiment, finished_run, read_campaign, read_experiment, read_experiments
from sdl_bluesky.analysis.store import Result, put
from sdl_bluesky.analysis.surface import SourceSurface, fit_surface
from sdl_bluesky.data.analysis import Analysis, find_analyses, read_analysis
from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import read_last, read_table
from sdl_bluesky.errors import CatalogueError, OutOfRange, WeakSignal

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)


def analyse_run(client: Container, uid: str, models: Sequence[Path] = ()) -> list[str]:
    """Analyse a run; returns the keys of its results in `analysis`, new or there already ([] if there is nothing to do).

    Args:
        client: root of the catalogue; the run and all that it is based on are read from it.
        uid: an experiment or a campaign run.
        models: folders with networks for spectra, beside those of this package (`rbs.network`).

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
    jobs: dict[str, Callable[..., list[str]]] = {FLUX: _flux, RATE_SURFACE: _campaign, COMPOSITION: _film}
    jobs[RBS] = partial(_rbs, models=models)
    jobs |= {REACTIVE: _reactive, LAYER: _layer}
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
    return _mapped(client, film, _film_surfaces(client, film), None)


def _film_surfaces(client: Container, film: Experiment) -> _Surfaces:
    """Those of the sources of a film, from the runs that it says they were learned from."""
    based_on = film.start.get("based_on") or {}
    missing = [k for k in film.sources if not based_on.get(k)]
    if missing or not film.sources:
        which = ", ".join(missing) or "sources"
        raise CatalogueError(f"run {film.uid} does not say which runs its {which} were learned from (based_on)")
    return _Surfaces(client, film.start, based_on)


def _mapped(client: Container, film: Experiment, surfaces: _Surfaces, known: Calibration | None) -> list[str]:
    """Surfaces and map of a film with the newest calibration of its chamber, which is made again unless it is at hand."""
    keys = [surfaces.key(source) for source in film.sources]
    calibration = newest_calibration(client, film.start)

    def make() -> Result:
        made = known
        if made is None and calibration is not None:
            evidence = [f"{k}:{v}" for k, v in calibration.metadata["evidence"]]
            made, _ = made_again(client, evidence, _Models(client, surfaces))
        return map_result(film, {k: surfaces.model(k) for k in film.sources}, made, surfaces.ages(film))

    used = None if calibration is None else {**calibration.metadata, "key": calibration.key}
    return [*keys, put(client, COMPOSITION, map_metadata(film, film.start["based_on"], keys, used), make)]


def _rbs(client: Container, run: Container, models: Sequence[Path]) -> list[str]:
    """Areal densities and fractions of a film from its spectra, compared with its composition map if there is one."""
    from sdl_bluesky.analysis.rbs.network import model_for
    from sdl_bluesky.analysis.rbs.recipe import rbs_metadata, rbs_result  # compiled code, which no other run needs
    from sdl_bluesky.analysis.rbs.run import read_rbs_run

    spectra = read_rbs_run(run)
    film = str(spectra.start.get("based_on") or "")
    film_map = _map_without(client, film, spectra.uid) if film else None
    choice = model_for(spectra, models)
    metadata = rbs_metadata(spectra, film_map, choice)
    key = put(client, RBS, metadata, lambda: rbs_result(spectra, film_map, choice))
    return [key, *calibrated_by(client, key, film)] if film_map is not None else [key]


def _map_without(client: Container, film: str, rbs: str) -> Analysis | None:
    """The newest map of a film that does not know of a run which measured it at points."""
    maps = [key for key, node in find_analyses(client, COMPOSITION, run=film).items() if not _knows(node.metadata, rbs)]
    if not maps:
        log.info("run %s: its film %s has no composition map to compare with", rbs, film)
        return None
    return read_analysis(client, maps[-1])


def _knows(metadata: Mapping[str, Any], uid: str) -> bool:
    return uid in metadata["derived_from"]


def calibrated_by(client: Container, rbs: str, film: str) -> list[str]:
    """The calibration of the chamber with the points of a film, and the map of this film once more, by its own points.

    Args:
        client: root of the catalogue.
        rbs: key of the result "rbs".
        film: uid of the run that made the film.

    Returns:
        Keys of the calibration, the rate surfaces and the map; [] if the points do not calibrate the chamber.

    Raises:
        CatalogueError: see `analyse_run`.
    """
    experiment = read_experiment(finished_run(client, film))
    evidence = evidence_with(client, experiment.start, rbs)
    surfaces = _film_surfaces(client, experiment)
    try:
        known, uids = made_again(client, evidence, _Models(client, surfaces))
    except (OutOfRange, WeakSignal) as fault:
        log.warning("film %s: its points do not calibrate the chamber: %s", film, fault)
        return []
    metadata = calibration_metadata(experiment.start, evidence, uids, experiment.chamber.tooling_std)
    key = put(client, CALIBRATION, metadata, lambda: calibration_result(known))
    return [key, *_mapped(client, experiment, surfaces, known)]


def _reactive(client: Container, run: Container) -> list[str]:
    """Metal and gas of a sweep of the oxygen, with the light calibrated in the runs that it is based on."""
    from sdl_bluesky.analysis.reactive.actinometry import EmissionRows
    from sdl_bluesky.analysis.reactive.recipe import reactive_metadata, reactive_result, read_rows, source_of

    start = start_of(run)
    source = source_of(start)
    calibrations = [str(uid) for uid in start["based_on"].get(source, ())]
    runs = [finished_run(client, uid) for uid in calibrations]
    strangers = [str(start_of(k)["uid"]) for k in runs if source_of(start_of(k)) != source]
    if strangers or not runs:
        which = ", ".join(strangers) or "nothing"
        raise CatalogueError(
            f"run {start['uid']} is based on {which}, which is no calibration of the light of {source}"
        )

    def make() -> Result:
        return reactive_result(start, read_rows(run), EmissionRows.join([read_rows(k) for k in runs]))

    return [put(client, REACTIVE, reactive_metadata(start, calibrations), make)]


def _layer(client: Container, run: Container) -> list[str]:
    """Wavelength, lattice constant and composition of the layer of a growth run."""
    from sdl_bluesky.analysis.layers.recipe import layer_metadata, layer_result

    start = start_of(run)

    return [put(client, LAYER, layer_metadata(start), lambda: layer_result(start, read_last(run)))]


class _Models:
    """The models behind the films of a calibration; what a run has learned already is not learned twice."""

    def __init__(self, client: Container, surfaces: _Surfaces) -> None:
        self._client, self._known = client, {surfaces.identity: surfaces}

    def __call__(self, film: Experiment) -> dict[str, SourceSurface]:
        surfaces = _Surfaces(self._client, film.start, film.start["based_on"])
        surfaces = self._known.setdefault(surfaces.identity, surfaces)
        return {source: surfaces.model(source) for source in film.sources}


class _Surfaces:
    """Rate surfaces for one run that needs them; each is learned when it is needed, and once."""

    def __init__(self, client: Container, start: Mapping[str, Any], uids: Mapping[str, Sequence[str]]) -> None:
        self._client, self._start, self._uids = client, start, uids
        self._models: dict[str, SourceSurface] = {}
        self._runs: dict[str, list[Experiment]] = {}

    @property
    def identity(self) -> str:
        """The same for the same runs of the same sources."""
        return json.dumps({k: list(v) for k, v in self._uids.items()}, sort_keys=True)

    def key(self, source: str) -> str:
        """Key of the surface in the catalogue; it is made unless it is there."""
        chamber, uids = Chamber.from_start(self._start), self._uids[source]
        chamber.source(source)
        metadata = surface_metadata(self._start, chamber, source, uids)
        return put(self._client, RATE_SURFACE, metadata, lambda: surface_result(self.model(source), chamber, source))

    def model(self, source: str) -> SourceSurface:
        """The model behind it, from the runs of the source."""
        if source not in self._models:
            experiments = read_experiments(self._client, self._uids[source], source, self._start)
            self._runs[source] = experiments
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

    def ages(self, film: Experiment) -> list[Signature]:
        """Signatures of targets that wore, or were changed, between the runs of the sources and the film."""
        return [k for source in film.sources for k in of_film(source, self.model(source), self._runs[source], film)]
