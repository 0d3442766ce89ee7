"""What the runs of one campaign have told, as one model of the chamber: from single-source runs, checks and films.

    known = Experience(chamber, {"cu": experiments, "sn": experiments}, checks, films)
    known.prediction()          for `inverse.design`: everything that was measured is in it
    known.judged(film, points)  the same for a film that was made, at its readbacks, with its own totals and points

Each source's surface comes from its own runs. What checks and films read in total is conditioned on together with them
(`calibration`), and so are measured points of films. An interaction that the checks ask for corrects every rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.design.inverse import Box, Predicts
from sdl_bluesky.analysis.health.additivity import Assessment, Interaction, Shot, assess
from sdl_bluesky.analysis.health.voltage import VoltageModel, fit_voltage
from sdl_bluesky.analysis.maps.calibration import Calibration, calibrate
from sdl_bluesky.analysis.maps.composition import by_element, solve_film
from sdl_bluesky.analysis.maps.prediction import PointPrediction, Prediction
from sdl_bluesky.analysis.maps.readings import Film, Points, SourceRates
from sdl_bluesky.analysis.maps.totals import Totals
from sdl_bluesky.analysis.runs import Experiment, finished_run, read_campaign, read_experiment, read_experiments
from sdl_bluesky.analysis.surface import SourceSurface, fit_surface
from sdl_bluesky.data.campaigns import campaign_chain, start_of
from sdl_bluesky.errors import UnknownName, WeakSignal
from sdl_bluesky.physics.composition import atomic_fractions, atomic_masses
from sdl_bluesky.physics.geometry import Array

if TYPE_CHECKING:
    from tiled.client.container import Container

SAMPLES = 1000
NODES = 16
"""Hyper-parameter nodes of each model that are kept: a design asks for some hundred predictions."""
_SEED = 0


@dataclass(frozen=True, eq=False)
class Experience:
    """The runs of a campaign, and what follows from them.

    Attributes:
        chamber: where everything stands.
        learned: single-source runs, by source.
        checks: co-sputter runs without a film, in order.
        films: co-sputter runs that made films, in order.
        points: measured points of a film, by the uid of its run.
    """

    chamber: Chamber
    learned: Mapping[str, Sequence[Experiment]]
    checks: Sequence[Experiment] = ()
    films: Sequence[Experiment] = ()
    points: Mapping[str, Points] | None = None

    def more(
        self, checks: Sequence[Experiment], films: Sequence[Experiment], points: Mapping[str, Points] | None = None
    ) -> Experience:
        """The same single-source runs with these co-sputter runs; surfaces are not learned again."""
        found = Experience(self.chamber, self.learned, tuple(checks), tuple(films), points)
        found.__dict__.update({k: self.__dict__[k] for k in ("surfaces", "voltages", "_lean") if k in self.__dict__})
        return found

    @cached_property
    def surfaces(self) -> dict[str, SourceSurface]:
        """Rate surface of each source.

        Raises:
            WeakSignal: too few of its runs have a usable rate.
        """
        return {name: learned_surface(self.chamber, name, runs) for name, runs in self.learned.items()}

    @cached_property
    def voltages(self) -> dict[str, VoltageModel]:
        """Voltage of each source alone, as far as it was read."""
        found: dict[str, VoltageModel] = {}
        for name, runs in self.learned.items():
            points = _settings(name, runs)
            volts = [float(k.result.get(f"{name}_voltage", np.nan)) for k in runs]
            try:
                found[name] = fit_voltage(points, volts, self.chamber.power_W, self.chamber.pressure_mTorr)
            except WeakSignal:
                continue
        return found

    def box(self) -> Box:
        """Where films may be designed: within the readbacks of the single-source runs."""
        points = {name: surface.points for name, surface in self.surfaces.items()}
        low = max(float(k[:, 1].min()) for k in points.values())
        high = min(float(k[:, 1].max()) for k in points.values())
        power = {name: (float(k[:, 0].min()), float(k[:, 0].max())) for name, k in points.items()}
        return Box({name: self.chamber.elements[name] for name in points}, power, (low, high))

    @property
    def shots(self) -> list[Shot]:
        """The checks, as the additivity watch takes them."""
        return [Shot.of(k) for k in self.checks]

    @cached_property
    def assessment(self) -> Assessment | None:
        """Whether the rates add up, by the checks; None without any."""
        return assess(self.shots, self.surfaces, voltages=self.voltages) if self.checks else None

    @property
    def interaction(self) -> Interaction | None:
        """What the checks ask for."""
        return None if self.assessment is None else self.assessment.interaction

    @cached_property
    def calibration(self) -> Calibration | None:
        """Everything that co-sputter runs have told; None before the first.

        Checks that gave an interaction are in it already, and do not count twice.
        """
        runs = [*(() if self.interaction is not None else self.checks), *self.films]
        films = [self._film(k) for k in runs]
        return calibrate(films, self.chamber.sensors, self.chamber.tooling_std) if films else None

    def prediction(self, samples: int = SAMPLES) -> Predicts:
        """For settings that were not made yet."""
        made = Prediction(self._lean, self.chamber, self.calibration, samples=samples, seed=_SEED)
        return made if self.interaction is None else Beside(made, self.interaction)

    def judged(self, film: Experiment, points_mm: ArrayLike, samples: int = SAMPLES) -> PointPrediction:
        """Fluxes and fractions of a film that was made, at points of the wafer [m, 2].

        Raises:
            WeakSignal, OutOfRange: see `composition.composition_map`.
        """
        mine, chamber, points = self._film(film), self.chamber, np.asarray(points_mm, dtype=float)
        joint = solve_film(mine, chamber.sensors, chamber.tooling_std, None, self.calibration, self._witnesses(film))
        half = np.random.default_rng(_SEED).standard_normal(((samples + 1) // 2, len(joint.mean)))
        draws = joint.mean + np.concatenate([half, -half]) @ joint.root
        where = np.column_stack([points / 10.0, np.zeros(len(points))])
        rest = np.random.default_rng(_SEED + 1).standard_normal((len(half), len(mine.sources), len(points)))
        rest = joint.prior.rest * np.concatenate([rest, -rest])
        flux = np.exp(joint.ln_flux(0, where, draws) + rest)
        elements, mass = by_element(mine.sources, flux)
        samples_of = np.moveaxis(atomic_fractions(np.moveaxis(mass, 0, 1), atomic_masses(elements)), 0, 1)
        return PointPrediction(tuple(k.name for k in mine.sources), elements, flux, samples_of, joint.findings[0])

    @cached_property
    def _lean(self) -> dict[str, SourceSurface]:
        return {k: thinned(v, NODES) for k, v in self.surfaces.items()}

    def _rates(self, name: str, power_W: float, pressure_mTorr: float) -> SourceRates:
        where, sensors = self.chamber.source(name), list(self.chamber.sensors)
        setting = (float(power_W), float(pressure_mTorr))
        return SourceRates.of(name, self.chamber.elements[name], where, self._lean[name], setting, sensors)[0]

    def _film(self, run: Experiment) -> Film:
        """A co-sputter run with its totals, and its points if it has any."""
        for name in run.sources:
            if name not in self._lean:
                raise UnknownName("learned source", name, list(self._lean))
        rates = [self._rates(name, run.power_W[name], run.pressure_mTorr) for name in run.sources]
        if self.interaction is not None:
            change = dict(zip(self.interaction.sources, self.interaction.changes(run.power_W)[0]))
            rates = [
                replace(k, mean=k.mean * (1 + change[k.name]), cov=k.cov * (1 + change[k.name]) ** 2) for k in rates
            ]
        scatter = np.zeros(len(self.chamber.sensors))
        for k in rates:
            setting = (run.power_W[k.name], run.pressure_mTorr)
            scatter += self._lean[k.name].scatter(setting, list(self.chamber.sensors)) ** 2
        # a reading errs by more than the error of its slope; a sensor that a surface does not know cannot be compared
        totals = Totals(np.where(np.isfinite(scatter), run.rate, np.nan), np.sqrt(run.std**2 + scatter))
        return Film(tuple(rates), totals, (self.points or {}).get(run.uid), run.uid)

    def _witnesses(self, film: Experiment) -> list[SourceRates]:
        """Sources that are in no film: their spare readings tell of the sensors."""
        spare = [k for k in self._lean if k not in film.sources]
        return [self._rates(k, float(np.median(self._lean[k].points[:, 0])), film.pressure_mTorr) for k in spare]


def recalled(client: Container, campaign: str) -> Experience:
    """What a campaign in the catalogue has told: its single-source runs, checks and films, without measured points.

    Raises:
        CatalogueError: the campaign, or a run of it, is not there or not finished.
    """
    runs, start = read_campaign(client, campaign), start_of(campaign_chain(client, campaign)[0])
    learned = {source: read_experiments(client, uids, source, start) for source, uids in runs.learned.items()}
    checks, films = ([read_experiment(finished_run(client, uid)) for uid in uids] for uids in (runs.checks, runs.films))
    return Experience(Chamber.from_start(start), learned, checks, films)


class Beside:
    """A prediction with the neighbours' influence that checks have found: F_s (1 + e_s), e as `Interaction` says."""

    def __init__(self, alone: Prediction, interaction: Interaction) -> None:
        self._alone, self._interaction = alone, interaction

    def predict(self, powers_W: Mapping[str, float], pressure_mTorr: float, points_mm: ArrayLike) -> PointPrediction:
        """See `Prediction.predict`."""
        found = self._alone.predict(powers_W, pressure_mTorr, points_mm)
        if len(found.sources) < 2:
            return found
        at = [self._interaction.sources.index(k) for k in found.sources]
        mean, cov = self._interaction.changes({k: powers_W[k] for k in found.sources})
        values, vectors = np.linalg.eigh(cov[np.ix_(at, at)])
        count = len(found.flux_samples)
        half = np.random.default_rng([_SEED, 2]).standard_normal(((count + 1) // 2, len(at)))
        normal = np.concatenate([half, -half])[:count]
        error = normal @ (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        flux = found.flux_samples * np.maximum(1.0 + mean[at] + error, 0.0)[:, :, None]
        elements = self._alone.chamber.elements
        mass = np.zeros((len(found.elements), *flux[:, 0].shape))
        for i, source in enumerate(found.sources):
            mass[found.elements.index(elements[source])] += flux[:, i]
        fraction: Array = np.moveaxis(atomic_fractions(mass, atomic_masses(found.elements)), 0, 1)
        return replace(found, flux_samples=flux, samples=fraction)


def learned_surface(chamber: Chamber, source: str, runs: Sequence[Experiment]) -> SourceSurface:
    """The rate surface of one source from its own runs.

    Raises:
        WeakSignal: fewer than three have a usable rate.
    """
    return fit_surface(
        _settings(source, runs),
        np.stack([k.rate for k in runs]) if runs else np.empty((0, len(chamber.sensors))),
        np.stack([k.std for k in runs]) if runs else np.empty((0, len(chamber.sensors))),
        list(chamber.sensors),
        chamber.power_W,
        chamber.pressure_mTorr,
    )


def thinned(surface: SourceSurface, nodes: int) -> SourceSurface:
    """The same surface with `nodes` hyper-parameter nodes, or fewer, in each of its models."""
    return replace(surface, level=surface.level.thinned(nodes), shares=tuple(k.thinned(nodes) for k in surface.shares))


def _settings(source: str, runs: Sequence[Experiment]) -> Array:
    return np.array([[k.power_W[source], k.pressure_mTorr] for k in runs], dtype=float).reshape(-1, 2)
