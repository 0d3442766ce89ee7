"""Composition map of a co-sputtered film from the models of its single sources.

Co-sputtering itself gives one total rate per sensor: three totals cannot tell two parameters of two sources. So the rates
of each source alone, predicted by its rate surface for the readbacks of the run, are the prior; the measured totals are a
further datum. All steps are Gaussian in the logarithm of a rate, so that errors that sensors, sources or pixels share
(tooling of a sensor, make of the sources) stay shared and cancel where they must:

1. rates alone + neighbour interaction, conditioned on the totals (`condition_on_totals`);
2. strength, exponent and mismatch of every source together (`fit_sources`);
3. samples of them -> mass fluxes -> atomic fractions per pixel (`composition_map`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdl_bluesky.analysis.pattern import PARAMETERS, Prior, design
from sdl_bluesky.analysis.totals import Totals, condition_on_totals
from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.composition import atomic_masses, sampled_fractions
from sdl_bluesky.physics.flux import LEAST_SIGNAL_TO_NOISE, SUSPICIOUS_N
from sdl_bluesky.physics.geometry import Array, SensorGeometry, SourceGeometry


@dataclass(frozen=True)
class SourceRates:
    """What is known of one source alone at the setting of the co-sputter run, as its sensors would read it.

    Attributes:
        name, element: of the source.
        geometry: where it is.
        mean: rate at each sensor [q], ng cm^-2 s^-1.
        cov: covariance [q, q]; errors of tooling factors not included.
    """

    name: str
    element: str
    geometry: SourceGeometry
    mean: Array
    cov: Array


@dataclass(frozen=True)
class SourceFits:
    """Gaussian of (lnS, n, d, q) of every source, [sources * 4], in the order of the sources (see `pattern`)."""

    names: tuple[str, ...]
    mean: Array
    cov: Array
    findings: tuple[str, ...] = ()

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


def fit_sources(
    sources: Sequence[SourceRates],
    joint_mean: Array,
    joint_cov: Array,
    sensors: Mapping[str, SensorGeometry],
    tooling_std: float,
    prior: Prior,
) -> SourceFits:
    """Strength, exponent and mismatch of all sources at once, from rates [sources, q] with covariance [s*q, s*q].

    A sensor whose rate for a source is under five times its error is left out for that source, with a finding.

    Raises:
        WeakSignal: no sensor sees a source well enough.
    """
    s, q = joint_mean.shape
    names, places = list(sensors), list(sensors.values())
    std = np.sqrt(np.diag(joint_cov)).reshape(s, q)
    good = joint_mean > LEAST_SIGNAL_TO_NOISE * std
    findings: list[str] = []
    for i, source in enumerate(sources):
        if not good[i].any():
            text = ", ".join(f"{m:.3g} +- {e:.2g}" for m, e in zip(joint_mean[i], std[i]))
            raise WeakSignal(
                f"source {source.name!r}: no sensor sees it at {LEAST_SIGNAL_TO_NOISE:g} times its error ({text} ng cm^-2 "
                "s^-1) at this setting: learn it better, or raise its power"
            )
        findings += [
            f"{source.name}: {names[k]} left out, rate {joint_mean[i, k]:.3g} +- {std[i, k]:.2g} is too weak"
            for k in np.flatnonzero(~good[i])
        ]
    keep = np.flatnonzero(good.ravel())
    points, normals = np.array([k.position_cm for k in places]), np.array([k.normal for k in places])
    matrix, target, mean = np.zeros((s * q, s * PARAMETERS)), np.zeros(s * q), prior.mean(s)
    for i, source in enumerate(sources):
        rows, columns = slice(i * q, (i + 1) * q), slice(i * PARAMETERS, (i + 1) * PARAMETERS)
        matrix[rows, columns], offset = design(source.geometry, points, normals, prior.n[0])
        target[rows] = np.log(np.where(good[i], joint_mean[i], 1.0)) - offset
        mean[i * PARAMETERS] = float((target[rows] - matrix[rows, columns] @ mean[columns])[good[i]].mean())
    rates = np.where(good, joint_mean, 1.0).ravel()
    noise = joint_cov / np.outer(rates, rates) + prior.rest**2 * np.eye(s * q)
    noise += tooling_std**2 * np.kron(np.ones((s, s)), np.eye(q))  # a sensor errs alike for all sources
    matrix, target, noise = matrix[keep], target[keep], noise[np.ix_(keep, keep)]
    cov = prior.covariance(s)
    gain = np.linalg.solve(matrix @ cov @ matrix.T + noise, matrix @ cov).T
    mean = mean + gain @ (target - matrix @ mean)
    cov = cov - gain @ matrix @ cov
    for i, source in enumerate(sources):
        n = float(mean[i * PARAMETERS + 1])
        if not 0.0 <= n <= SUSPICIOUS_N:
            findings.append(
                f"{source.name}: n = {n:.2f} is outside 0 to {SUSPICIOUS_N:g}: check axis, sticking, shadows"
            )
    return SourceFits(tuple(k.name for k in sources), mean, (cov + cov.T) / 2.0, tuple(findings))


def composition_map(
    sources: Sequence[SourceRates],
    sensors: Mapping[str, SensorGeometry],
    tooling_std: float,
    x_mm: Array,
    y_mm: Array,
    *,
    totals: Totals | None = None,
    prior: Prior | None = None,
    samples: int = 400,
    seed: int = 0,
) -> CompositionMap:
    """Atomic fractions with standard errors over a wafer at z = 0, normal +z.

    Args:
        sources: two or more, the rates of each alone; sources of one element add up.
        sensors: [q] by name.
        tooling_std: relative standard error of a sensor's calibration.
        x_mm, y_mm: axes of the map.
        totals: rates measured while all sources ran, if any.
        prior: what is assumed of sources; `Prior()` if not given.
        samples: number of samples behind mean and standard error.
        seed: of the samples.

    Raises:
        OutOfRange: shapes differ, a number is not finite, or a place cannot see a source.
        WeakSignal: a source cannot be seen.
    """
    _check(sources, len(sensors), tooling_std)
    prior = prior or Prior()
    joint = condition_on_totals(
        np.stack([k.mean for k in sources]),
        np.stack([k.cov for k in sources]),
        totals,
        [k.name for k in sources],
        list(sensors),
    )
    fits = fit_sources(sources, joint.mean, joint.cov, sensors, tooling_std, prior)
    x, y = np.meshgrid(np.asarray(x_mm) / 10.0, np.asarray(y_mm) / 10.0)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    rng = np.random.default_rng(seed)
    half = rng.multivariate_normal(np.zeros_like(fits.mean), fits.cov, size=(samples + 1) // 2, method="eigh")
    draws = fits.mean + np.concatenate([half, -half])  # in pairs: the mean has no sampling error to first order
    elements = tuple(dict.fromkeys(k.element for k in sources))
    mass = np.zeros((len(draws), len(elements), len(points)))
    for i, source in enumerate(sources):
        matrix, offset = design(source.geometry, points, [0.0, 0.0, 1.0], prior.n[0])
        ln_flux = draws[:, i * PARAMETERS : (i + 1) * PARAMETERS] @ matrix.T + offset
        mass[:, elements.index(source.element)] += np.exp(ln_flux)
    mean, std = sampled_fractions(mass, atomic_masses(elements))
    std = np.hypot(std, _rest(mean, prior.rest))
    shape = (len(elements), *x.shape)
    return CompositionMap(
        elements=elements,
        fraction=mean.reshape(shape),
        std=std.reshape(shape),
        x_mm=np.asarray(x_mm, dtype=float),
        y_mm=np.asarray(y_mm, dtype=float),
        fits=fits,
        findings=joint.findings + fits.findings,
        checks=joint.checks,
    )


def _rest(fraction: Array, rest: float) -> Array:
    """Standard error of fractions [e, m] from independent relative errors `rest` of every element's flux."""
    return rest * fraction * np.sqrt((1.0 - fraction) ** 2 + np.sum(fraction**2, axis=0) - fraction**2)


def _check(sources: Sequence[SourceRates], sensors: int, tooling_std: float) -> None:
    if not sources:
        raise OutOfRange("a composition map needs at least one source")
    for k in sources:
        if np.shape(k.mean) != (sensors,) or np.shape(k.cov) != (sensors, sensors):
            raise OutOfRange(f"source {k.name!r}: rates {np.shape(k.mean)} do not belong to {sensors} sensors")
        if not np.all(np.isfinite(k.mean)) or not np.all(np.isfinite(k.cov)):
            raise OutOfRange(f"source {k.name!r}: a rate is not finite; learn the source again")
    if not np.isfinite(tooling_std) or tooling_std < 0:
        raise OutOfRange(f"tooling_std = {tooling_std}: give a relative error, e.g. 0.01")
