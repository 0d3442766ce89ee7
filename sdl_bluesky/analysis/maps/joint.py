"""Everything that one chamber has in common, and every film, as one Gaussian in logarithms.

At a sensor:     ln y_sq = lnS_sf + n_sf c + d_s g_d + q_s g_q + offset + lnT_q + noise
On the wafer:    ln F_s(x) = lnS_sf + n_sf c + d_s g_d + q_s g_q + offset + ln sigma_s

(s source, q sensor, f film; lnS, n, d, q: see `pattern`). Shared by all films: the tooling factor T of each sensor (what it
reads over what arrives), the sticking sigma of each source (what stays on the wafer over what stays on a crystal), and
the mismatch d, q of each source. Sensors cannot see sticking at all: without measured points it is what is assumed.
Fractions at measured points are curved in the logarithms; they are made linear around the best point, which is iterated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.maps.layout import Layout
from sdl_bluesky.analysis.maps.measured import MeasuredPoints
from sdl_bluesky.analysis.maps.pattern import PARAMETERS, Prior, design
from sdl_bluesky.analysis.maps.readings import Film, Readings, SourceRates, readings
from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.flux import LEAST_SIGNAL_TO_NOISE, SUSPICIOUS_N
from sdl_bluesky.physics.geometry import Array, SensorGeometry

LN_STRENGTH_STD = 3.0
ROUNDS = 12
CLOSE = 1e-6


@dataclass(frozen=True)
class Sticking:
    """What is assumed of ln sigma: of an ordinary source, and of one that sticks poorly (Zn, Mg, Bi, ...).

    Attributes:
        ordinary: standard deviation around 0. A crystal is coated as the wafer is: nearly all metals stay on both.
        poor: mean and standard deviation where a source sticks poorly to the wafer.
        chance: that a source does.
    """

    ordinary: float = 0.003
    poor: tuple[float, float] = (-0.4, 0.3)
    chance: float = 0.03


@dataclass(frozen=True, eq=False)
class Joint:
    """The Gaussian.

    Attributes:
        layout: which number is what.
        mean, cov: of all of them.
        log_evidence: ln of the density of everything that was read and measured.
        chi2: of each measured point given all the rest, by film and point, with its number of values.
        findings, checks: by film.
    """

    layout: Layout
    mean: Array
    cov: Array
    prior: Prior
    log_evidence: float
    chi2: Mapping[tuple[int, int], tuple[float, int]]
    findings: tuple[tuple[str, ...], ...]
    checks: tuple[dict[str, float], ...]

    @cached_property
    def root(self) -> Array:
        """Symmetric square root of the covariance: a smooth function of it, so that samples are smooth."""
        values, vectors = np.linalg.eigh(self.cov)
        return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

    def draws(self, samples: int, seed: int = 0) -> Array:
        """Samples [samples, p] of all numbers; `samples` is even. See `normals`."""
        return self.mean + normals(samples, len(self.mean), seed) @ self.root

    def ln_flux(self, film: int, points_cm: Array, draws: Array) -> Array:
        """ln of the mass flux that stays [..., s, m] of the sources of a film at points of the wafer; draws [..., p]."""
        parts = []
        for i, source in enumerate(self.layout.films[film].sources):
            matrix, offset = wafer_design(source, points_cm, self.prior)
            parts.append(draws[..., self.layout.wafer(film, i)] @ matrix.T + offset)
        return np.stack(parts, axis=-2)


def normals(samples: int, width: int, seed: int | Sequence[int] = 0) -> Array:
    """Standard normal numbers [samples, width] whose means, variances and correlations are exactly 0, 1 and 0.

    They come in pairs of both signs, and the columns of a half are made orthogonal (where it has as many rows as columns):
    what is linear in them has no sampling error. `samples` is even.
    """
    half = np.random.default_rng(seed).standard_normal((width, samples // 2)).T
    if len(half) >= width:
        q, r = np.linalg.qr(half)
        half = q * np.sign(np.diag(r)) * np.sqrt(len(half))
    return np.concatenate([half, -half])


def wafer_design(source: SourceRates, points_cm: Array, prior: Prior) -> tuple[Array, Array]:
    """Matrix [m, 5] of ln F on the wafer for (lnS, n, d, q, ln sigma), and the offset [m]."""
    matrix, offset = design(source.geometry, points_cm, [0.0, 0.0, 1.0], prior.n[0])
    return np.column_stack([matrix, np.ones(len(matrix))]), offset


def solve(
    films: Sequence[Film],
    sensors: Mapping[str, SensorGeometry],
    tooling_std: float,
    prior: Prior | None = None,
    sticking: Sticking | None = None,
    poor: Collection[str] = (),
    left_out: Collection[tuple[str, int]] = (),
) -> Joint:
    """The posterior of a chamber and its films.

    Args:
        films: settings with what was measured there; those without points take part by their rates.
        sensors: [q] by name.
        tooling_std: relative standard error of a sensor's calibration.
        prior, sticking: what is assumed.
        poor: sources that are assumed to stick poorly.
        left_out: (uid of film, number of point) of points that are not used.

    Raises:
        OutOfRange: shapes differ, a number is not finite, or a place cannot see a source.
        WeakSignal: a source cannot be seen.
    """
    prior, sticking = prior or Prior(), sticking or Sticking()
    if not np.isfinite(tooling_std) or tooling_std < 0:
        raise OutOfRange(f"tooling_std = {tooling_std}: give a relative error, e.g. 0.01")
    layout = Layout(tuple(sensors), tuple(films))
    found = readings(films, list(sensors))
    matrix, target, noise, remarks = _at_sensors(layout, found, sensors, prior)
    mean, cov = _prior(layout, tooling_std, prior, sticking, poor)
    for column in layout.strengths:  # to the data: the prior of a strength is flat
        mine = matrix[:, column] > 0
        mean[column] = float((target - matrix @ mean)[mine].mean())
    blocks = [
        MeasuredPoints.of(film, f, layout, prior, left_out) for f, film in enumerate(films) if film.points is not None
    ]
    blocks = [k for k in blocks if k.size]
    best = _update(mean, cov, matrix, target, noise)[0]
    for _ in range(ROUNDS if blocks else 0):
        rows, values, errors = _stacked(blocks, best, matrix, target, noise)
        new = _update(mean, cov, rows, values, errors)[0]
        step, best = float(np.max(np.abs(new - best))), new
        if step < CLOSE:
            break
    rows, values, errors = _stacked(blocks, best, matrix, target, noise)
    best, new_cov, inverse, innovation = _update(mean, cov, rows, values, errors)
    chi2, first = {}, len(target)
    for block in blocks:
        chi2 |= block.alone(inverse, innovation, first)
        first += block.size
    log_evidence = -0.5 * float(innovation @ inverse @ innovation) + 0.5 * float(np.linalg.slogdet(inverse)[1])
    findings = [(*a, *b, *_odd_n(layout, best, f)) for f, (a, b) in enumerate(zip(found.findings, remarks))]
    for block in blocks:
        findings[block.film] += block.findings
    return Joint(layout, best, new_cov, prior, log_evidence, chi2, tuple(findings), found.checks)


def _stacked(
    blocks: Sequence[MeasuredPoints], at: Array, matrix: Array, target: Array, noise: Array
) -> tuple[Array, Array, Array]:
    """Rows of the sensors and, linear around `at`, of the measured points: matrix, values, covariance."""
    parts = [block.linear(at) for block in blocks]
    size = len(target) + sum(len(v) for _, v, _ in parts)
    rows, values, errors = np.zeros((size, len(at))), np.zeros(size), np.zeros((size, size))
    first = 0
    for m, v, e in [(matrix, target, noise), *parts]:
        here = slice(first, first + len(v))
        rows[here], values[here], errors[here, here] = m, v, e
        first += len(v)
    return rows, values, errors


def _update(mean: Array, cov: Array, rows: Array, values: Array, errors: Array) -> tuple[Array, Array, Array, Array]:
    """Mean and covariance after the rows; the inverse of their expected spread, and their distance from the prior."""
    reach = rows @ cov
    inverse = np.linalg.inv(reach @ rows.T + errors)
    inverse = (inverse + inverse.T) / 2.0
    innovation = values - rows @ mean
    gain = reach.T @ inverse
    kept = np.eye(len(mean)) - gain @ rows
    new = kept @ cov @ kept.T + gain @ errors @ gain.T  # Joseph's form: no small difference of large numbers
    return mean + gain @ innovation, (new + new.T) / 2.0, inverse, innovation


def _prior(
    layout: Layout, tooling_std: float, prior: Prior, sticking: Sticking, poor: Collection[str]
) -> tuple[Array, Array]:
    mean, cov = np.zeros(layout.size), np.zeros((layout.size, layout.size))
    cov[layout.tooling, layout.tooling] = tooling_std**2 * np.eye(len(layout.sensors))
    for k, name in enumerate(layout.sources):
        centre, std = sticking.poor if name in poor else (0.0, sticking.ordinary)
        mean[layout.sticking.start + k], cov[layout.sticking.start + k, layout.sticking.start + k] = centre, std**2
    mean[layout.mismatch], cov[layout.mismatch, layout.mismatch] = prior.mismatch(len(layout.sources))
    strengths = np.array(layout.strengths)
    cov[strengths, strengths] = LN_STRENGTH_STD**2
    mean[strengths + 1], cov[np.ix_(strengths + 1, strengths + 1)] = prior.exponents(
        [layout.sources.index(k.name) for film in layout.films for k in film.sources],
        [f for f, film in enumerate(layout.films) for _ in film.sources],
    )
    return mean, cov


def _at_sensors(
    layout: Layout, found: Readings, sensors: Mapping[str, SensorGeometry], prior: Prior
) -> tuple[Array, Array, Array, list[tuple[str, ...]]]:
    """Rows of ln y: matrix, values, covariance; what was left out, by film.

    A total cannot make a source visible that its own runs did not show.
    """
    mean, cov = found.mean, found.cov
    q, places = len(sensors), list(sensors.values())
    points, normals = np.array([k.position_cm for k in places]), np.array([k.normal for k in places])
    std = np.sqrt(np.diag(cov)).reshape(mean.shape)
    alone, alone_std = found.before
    good = (mean > LEAST_SIGNAL_TO_NOISE * std) & (alone > LEAST_SIGNAL_TO_NOISE * alone_std)
    matrix, target = np.zeros((mean.size, layout.size)), np.zeros(mean.size)
    remarks: list[tuple[str, ...]] = []
    place, row = [], 0
    for f, film in enumerate(layout.films):
        weak: list[str] = []
        for i, source in enumerate(film.sources):
            weak += _weak(source.name, alone[row], alone_std[row], good[row], layout.sensors)
            here = slice(row * q, (row + 1) * q)
            part, offset = design(source.geometry, points, normals, prior.n[0])
            matrix[here, layout.pattern(f, i)] = part
            matrix[here, layout.tooling] = np.eye(q)
            target[here] = np.log(np.where(good[row], mean[row], 1.0)) - offset
            place += [(source.name, k) for k in range(q)]
            row += 1
        remarks.append(tuple(weak))
    rates = np.where(good, mean, 1.0).ravel()
    same = np.array([[a == b for b in place] for a in place], dtype=float)
    noise = cov / np.outer(rates, rates) + prior.rest**2 * same
    keep = np.flatnonzero(good.ravel())
    return matrix[keep], target[keep], noise[np.ix_(keep, keep)], remarks


def _weak(name: str, mean: Array, std: Array, good: NDArray[np.bool_], sensors: Sequence[str]) -> list[str]:
    if not good.any():
        text = ", ".join(f"{m:.3g} +- {e:.2g}" for m, e in zip(mean, std))
        raise WeakSignal(
            f"source {name!r}: no sensor sees it at {LEAST_SIGNAL_TO_NOISE:g} times its error ({text} ng cm^-2 "
            "s^-1) at this setting: learn it better, or raise its power"
        )
    return [
        f"{name}: {sensors[k]} left out, rate {mean[k]:.3g} +- {std[k]:.2g} is too weak"
        for k in map(int, np.flatnonzero(~good))
    ]


def _odd_n(layout: Layout, mean: Array, film: int) -> list[str]:
    found = []
    for i, source in enumerate(layout.films[film].sources):
        n = float(mean[layout.pattern(film, i)][1])
        if not 0.0 <= n <= SUSPICIOUS_N:
            found.append(f"{source.name}: n = {n:.2f} is outside 0 to {SUSPICIOUS_N:g}: check axis, sticking, shadows")
    return found


__all__ = ["PARAMETERS", "Joint", "Sticking", "normals", "solve", "wafer_design"]
