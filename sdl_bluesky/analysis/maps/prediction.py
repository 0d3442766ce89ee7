"""What will arrive at a place, before anything is deposited: mass flux of each source and atomic fractions, with errors.

    prediction = Prediction(surfaces, chamber, calibration)
    found = prediction.predict({"cu": 50.0, "sn": 40.0}, 8.0, points_mm)
    found.fraction, found.fraction_std        # [element, point]
    found.samples                             # [sample, element, point]: errors that places share are shared

The samples of any two settings come from the same random numbers, so that everything is a smooth function of powers and
pressure: it can be searched by gradients or differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.maps.calibration import Calibration
from sdl_bluesky.analysis.maps.composition import by_element, solve_film
from sdl_bluesky.analysis.maps.joint import normals
from sdl_bluesky.analysis.maps.pattern import Prior
from sdl_bluesky.analysis.maps.readings import Film, SourceRates
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.composition import atomic_fractions, atomic_masses
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True, eq=False)
class PointPrediction:
    """Fluxes and fractions at points of the wafer at one setting.

    Attributes:
        sources: that burn [s]. elements: of the film [e]; sources of one element add up.
        flux_samples: mass flux of each source [samples, s, m], ng cm^-2 s^-1.
        samples: atomic fractions [samples, e, m]; a sample of fluxes and of fractions with one number belong together.
        findings: what a person should look at.
    """

    sources: tuple[str, ...]
    elements: tuple[str, ...]
    flux_samples: Array
    samples: Array
    findings: tuple[str, ...] = ()

    @property
    def flux(self) -> Array:
        """Mean mass flux [s, m], ng cm^-2 s^-1."""
        return self.flux_samples.mean(axis=0)

    @property
    def flux_std(self) -> Array:
        """Its standard error [s, m]."""
        return self.flux_samples.std(axis=0, ddof=1)

    @property
    def fraction(self) -> Array:
        """Mean atomic fraction [e, m]."""
        return self.samples.mean(axis=0)

    @property
    def fraction_std(self) -> Array:
        """Its standard error [e, m]."""
        return self.samples.std(axis=0, ddof=1)

    def fraction_cov(self) -> Array:
        """Joint covariance [e * m, e * m] of all fractions, the points of an element beside each other."""
        return np.atleast_2d(np.cov(self.samples.reshape(len(self.samples), -1), rowvar=False))


class Prediction:
    """Posterior of fluxes and fractions of one chamber, at any powers, pressure and places.

    Args:
        surfaces: what was learned of each source, by name.
        chamber: where everything stands.
        calibration: tooling factors, sticking and mismatch, updated by measured points; None: as the chamber states.
        prior: what is assumed of sources.
        samples: number of samples; even.
        seed: of the samples.

    Raises:
        UnknownName: a surface belongs to no source of the chamber. OutOfRange: there is none, or too few samples.
    """

    def __init__(
        self,
        surfaces: Mapping[str, SourceSurface],
        chamber: Chamber,
        calibration: Calibration | None = None,
        *,
        prior: Prior | None = None,
        samples: int = 256,
        seed: int = 0,
    ) -> None:
        if not surfaces:
            raise OutOfRange("no source was learned: nothing can be predicted")
        if samples < 2:
            raise OutOfRange(f"samples = {samples}: give two or more")
        for name in surfaces:
            chamber.source(name)
        self.surfaces, self.chamber, self.calibration = dict(surfaces), chamber, calibration
        self._prior, self._samples, self._seed = prior, samples + samples % 2, seed
        self._usual_W = {k: float(np.median(surface.points[:, 0])) for k, surface in self.surfaces.items()}

    def predict(self, powers_W: Mapping[str, float], pressure_mTorr: float, points_mm: ArrayLike) -> PointPrediction:
        """Fluxes and fractions at points of the wafer.

        Args:
            powers_W: of each source that burns; one with 0, or left out, is off.
            pressure_mTorr: of the process gas.
            points_mm: places on the wafer [m, 2].

        Raises:
            UnknownName: a source was not learned.
            OutOfRange: no source burns, a number is not finite or negative, or a place cannot see a source.
            WeakSignal: no sensor sees a source well enough at this setting.
        """
        points = np.asarray(points_mm, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.all(np.isfinite(points)):
            raise OutOfRange(f"points of shape {points.shape}: give finite numbers [m, 2] in mm")
        names = self._burning(powers_W, pressure_mTorr)
        findings: list[str] = []
        rates: list[SourceRates] = []
        witnesses: list[SourceRates] = []
        for name in self.surfaces:
            power = powers_W[name] if name in names else self._usual_W[name]
            found, remarks = self._rates(name, power, pressure_mTorr)
            if name in names:
                findings += [f"{name}: {k}" for k in remarks]
            (rates if name in names else witnesses).append(found)
        film = Film(tuple(rates))
        chamber = self.chamber
        joint = solve_film(film, chamber.sensors, chamber.tooling_std, self._prior, self.calibration, witnesses)
        where = np.column_stack([points / 10.0, np.zeros(len(points))])
        draws = joint.draws(self._samples, self._seed)
        rest = joint.prior.rest * normals(self._samples, len(names) * len(points), [self._seed, 1])
        flux = np.exp(joint.ln_flux(0, where, draws) + rest.reshape(len(draws), len(names), len(points)))
        elements, mass = by_element(rates, flux)
        samples = np.moveaxis(atomic_fractions(np.moveaxis(mass, 0, 1), atomic_masses(elements)), 0, 1)
        return PointPrediction(tuple(names), elements, flux, samples, (*findings, *joint.findings[0]))

    def _rates(self, name: str, power_W: float, pressure_mTorr: float) -> tuple[SourceRates, tuple[str, ...]]:
        chamber = self.chamber
        setting = (float(power_W), float(pressure_mTorr))
        return SourceRates.of(
            name, chamber.elements[name], chamber.source(name), self.surfaces[name], setting, list(chamber.sensors)
        )

    def _burning(self, powers_W: Mapping[str, float], pressure_mTorr: float) -> list[str]:
        for name, power in powers_W.items():
            if name not in self.surfaces:
                raise UnknownName("learned source", name, list(self.surfaces))
            if not np.isfinite(power) or power < 0:
                raise OutOfRange(f"power of {name}: {power} W is no power")
        if not np.isfinite(pressure_mTorr) or pressure_mTorr <= 0:
            raise OutOfRange(f"pressure {pressure_mTorr} mTorr is no pressure")
        names = [name for name in self.surfaces if powers_W.get(name, 0.0) > 0]
        if not names:
            raise OutOfRange("no source burns: give a power above 0 W")
        return names
