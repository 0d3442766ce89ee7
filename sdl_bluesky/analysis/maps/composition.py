"""Composition map of a co-sputtered film from the models of its single sources.

Co-sputtering itself gives one total rate per sensor: three totals cannot tell two parameters of two sources. So the rates
of each source alone, predicted by its rate surface for the readbacks of the run, are the prior; the measured totals are a
further datum. All steps are Gaussian in the logarithm of a rate, so that errors that sensors, sources or pixels share
(tooling of a sensor, make of the sources) stay shared and cancel where they must:

1. rates alone + neighbour interaction, conditioned on the totals (`readings`);
2. strength, exponent and mismatch of every source together, with what is known of the chamber (`joint`);
3. samples of them -> mass fluxes -> atomic fractions per pixel (`composition_map`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdl_bluesky.analysis.maps.calibration import Calibration
from sdl_bluesky.analysis.maps.joint import Joint, solve
from sdl_bluesky.analysis.maps.pattern import PARAMETERS, Prior
from sdl_bluesky.analysis.maps.readings import Film, SourceRates
from sdl_bluesky.analysis.maps.totals import Totals
from sdl_bluesky.physics.composition import atomic_masses, sampled_fractions
from sdl_bluesky.physics.geometry import Array, SensorGeometry


@dataclass(frozen=True)
class SourceFits:
    """Gaussian of (lnS, n, d, q) of every source, [sources * 4], in the order of the sources (see `pattern`)."""

    names: tuple[str, ...]
    mean: Array
    cov: Array

    def parameters(self) -> dict[str, dict[str, float]]:
        """Mean and standard error of each parameter, by source."""
        mean, std = self.mean.reshape(-1, PARAMETERS), np.sqrt(np.diag(self.cov)).reshape(-1, PARAMETERS)
        keys = ("ln_strength", "n", "diffuse", "square_radius_cm2")
        return {
            name: {k: float(v) for k, v in zip(keys, mean[i])} | {f"{k}_std": float(v) for k, v in zip(keys, std[i])}
            for i, name in enumerate(self.names)
        }


@dataclass(frozen=True)
class CompositionMap:
    """Atomic fractions over the wafer.

    Attributes:
        elements: [e].
        fraction, std: [e, y, x].
        x_mm, y_mm: axes.
        fits: of the sources.
        findings: what a person should look at.
        checks: numbers behind the findings (chi2 of the totals, ...).
    """

    elements: tuple[str, ...]
    fraction: Array
    std: Array
    x_mm: Array
    y_mm: Array
    fits: SourceFits
    findings: tuple[str, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)


def composition_map(
    sources: Sequence[SourceRates],
    sensors: Mapping[str, SensorGeometry],
    tooling_std: float,
    x_mm: Array,
    y_mm: Array,
    *,
    totals: Totals | None = None,
    prior: Prior | None = None,
    calibration: Calibration | None = None,
    witnesses: Sequence[SourceRates] = (),
    uid: str = "",
    samples: int = 400,
    seed: int = 0,
) -> CompositionMap:
    """Atomic fractions with standard errors over a wafer at z = 0, normal +z.

    Args:
        sources: one or more, the rates of each alone; sources of one element add up.
        sensors: [q] by name.
        tooling_std: relative standard error of a sensor's calibration.
        x_mm, y_mm: axes of the map.
        totals: rates measured while all sources ran, if any.
        prior: what is assumed of sources; that of the calibration, or `Prior()`, if not given.
        calibration: what measured points of films of this chamber have told.
        witnesses: sources of the chamber that did not burn: their spare readings tell of the sensors.
        uid: of the film. If the calibration has points of this film, its map is that of a measured film.
        samples: number of samples behind mean and standard error.
        seed: of the samples.

    Raises:
        OutOfRange: shapes differ, a number is not finite, or a place cannot see a source.
        WeakSignal: a source cannot be seen.
    """
    film = Film(tuple(sources), totals, None, uid)
    joint = solve_film(film, sensors, tooling_std, prior, calibration, witnesses)
    x, y = np.meshgrid(np.asarray(x_mm, dtype=float) / 10.0, np.asarray(y_mm, dtype=float) / 10.0)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    flux = np.exp(joint.ln_flux(0, points, joint.draws(samples + samples % 2, seed)))
    elements, mass = by_element(film.sources, flux)
    mean, std = sampled_fractions(mass, atomic_masses(elements))
    std = np.hypot(std, _rest(mean, joint.prior.rest))
    shape = (len(elements), *x.shape)
    own = np.concatenate([joint.layout.pattern(0, i) for i in range(len(sources))])
    return CompositionMap(
        elements=elements,
        fraction=mean.reshape(shape),
        std=std.reshape(shape),
        x_mm=np.asarray(x_mm, dtype=float),
        y_mm=np.asarray(y_mm, dtype=float),
        fits=SourceFits(tuple(k.name for k in sources), joint.mean[own], joint.cov[np.ix_(own, own)]),
        findings=joint.findings[0],
        checks=joint.checks[0],
    )


def solve_film(
    film: Film,
    sensors: Mapping[str, SensorGeometry],
    tooling_std: float,
    prior: Prior | None = None,
    calibration: Calibration | None = None,
    witnesses: Sequence[SourceRates] = (),
) -> Joint:
    """The joint model of a film (its number is 0), the films of a calibration, and sources that only bear witness."""
    others: list[Film] = []
    if calibration is not None:
        prior = prior or calibration.prior
        same = [k for k in calibration.films if film.uid and k.uid == film.uid]
        others = [k for k in calibration.films if k not in same]
        if same and film.points is None:
            film = Film(film.sources, film.totals, same[0].points, film.uid)
    if witnesses:
        others.append(Film(tuple(witnesses), together=False))
    given = {} if calibration is None else {"poor": calibration.poor, "left_out": calibration.left_out}
    return solve([film, *others], sensors, tooling_std, prior, **given)


def by_element(sources: Sequence[SourceRates], flux: Array) -> tuple[tuple[str, ...], Array]:
    """Elements [e], and the mass flux of each [..., e, m] from that of the sources [..., s, m]."""
    elements = tuple(dict.fromkeys(k.element for k in sources))
    member = np.array([[k.element == e for k in sources] for e in elements], dtype=float)
    return elements, np.einsum("es,...sm->...em", member, flux)


def _rest(fraction: Array, rest: float) -> Array:
    """Standard error of fractions [e, m] from independent relative errors `rest` of every element's flux."""
    return rest * fraction * np.sqrt((1.0 - fraction) ** 2 + np.sum(fraction**2, axis=0) - fraction**2)


__all__ = ["CompositionMap", "SourceFits", "SourceRates", "by_element", "composition_map", "solve_film"]
