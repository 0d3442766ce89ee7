"""Flux of a sputter source over the chamber, and its fit from a few sensors.

F(x) = a (n + 1) / (2 pi) cos(theta) cos^n(phi) / r^2, with a the emitted mass rate [ng/s], phi the angle at the source
between its axis and the point, theta the angle at the point between its normal and the source, r [cm]. The factor n + 1
keeps a the total emitted rate for every n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, Unidentifiable, WeakSignal
from sdl_bluesky.physics.geometry import Array, SensorGeometry, SourceGeometry, unit_vector

LEAST_SIGNAL_TO_NOISE = 5.0
SUSPICIOUS_N = 5.0
_LEAST_SPREAD = 1e-3  # in ln cos(phi), rms


def view(position: ArrayLike, axis: ArrayLike, points: ArrayLike, normals: ArrayLike) -> tuple[Array, Array]:
    """What a point sees of a source: cos(phi) [m] and cos(theta) / (2 pi r^2) [m, cm^-2]; 0 where it sees nothing.

    Raises:
        OutOfRange: a vector has not three components, is not finite, or a point lies on the source.
    """
    p = np.asarray(points, dtype=float)
    if p.ndim == 0 or p.shape[-1] != 3 or not np.all(np.isfinite(p)):
        raise OutOfRange(f"points have shape {p.shape}: give finite numbers [m, 3] in cm")
    ray = p - np.asarray(position, dtype=float)
    r2 = np.sum(ray**2, axis=-1)
    if not np.all(r2 > 0):
        raise OutOfRange("a point lies on the source, or the source's position is not finite")
    direction = ray / np.sqrt(r2)[..., None]
    cos_phi = np.sum(direction * unit_vector(axis, "source axis"), axis=-1)
    cos_theta = -np.sum(direction * unit_vector(normals, "surface normal"), axis=-1)
    return np.clip(cos_phi, 0.0, 1.0), np.clip(cos_theta, 0.0, 1.0) / (2.0 * np.pi * r2)


def deposition_flux(
    a: ArrayLike, n: ArrayLike, position: ArrayLike, axis: ArrayLike, points: ArrayLike, normals: ArrayLike
) -> Array:
    """Mass flux at points [ng cm^-2 s^-1], shape [m]; `a` and `n` may carry leading axes, e.g. [samples, 1].

    Args:
        a: emitted mass rate [ng/s].
        n: exponent, above -1.
        position: middle of the target [3], cm.
        axis: direction out of the source [3], any length.
        points: [m, 3], cm.
        normals: [m, 3] or [3], any length.

    Raises:
        OutOfRange: see `view`; or n is not above -1.

    >>> round(float(deposition_flux(200 * np.pi, 3, [0, 0, 10], [0, 0, -1], [[0, 0, 0]], [0, 0, 1])[0]), 12)
    4.0
    """
    a, n = np.asarray(a, dtype=float), np.asarray(n, dtype=float)
    if not np.all(n > -1.0) or not np.all(np.isfinite(a)):
        raise OutOfRange("n must be above -1 and a finite: nothing else is a flux")
    cos_phi, reach = view(position, axis, points, normals)
    seen = cos_phi > 0.0
    power = np.exp(n * np.log(np.where(seen, cos_phi, 1.0)))
    return np.where(seen, a * (n + 1.0) * power * reach, 0.0)


@dataclass(frozen=True)
class FluxFit:
    """Strength and exponent of a source at one setting, as a Gaussian in (ln a(n+1), n).

    Attributes:
        ln_strength: ln of a (n + 1), a in ng/s.
        n: exponent.
        cov: covariance [2, 2] of the two.
        mean_log_cos: mean over the sensors of ln cos(phi): ln_strength + n mean_log_cos is what the sensors fix best.
        chi2: weighted squared misfit (prior left out).
        dof: sensors less parameters (0 where that is negative).
        findings: what a person should look at, in words.
    """

    ln_strength: float
    n: float
    cov: Array
    mean_log_cos: float
    chi2: float
    dof: int
    findings: tuple[str, ...] = ()

    @property
    def a(self) -> float:
        """Emitted mass rate [ng/s]."""
        return float(np.exp(self.ln_strength) / (self.n + 1.0))

    @property
    def mean(self) -> Array:
        """(ln_strength, n) as an array [2]."""
        return np.array([self.ln_strength, self.n])

    @property
    def n_std(self) -> float:
        """Standard error of n."""
        return float(np.sqrt(self.cov[1, 1]))

    def flux(self, source: SourceGeometry, points: ArrayLike, normals: ArrayLike) -> tuple[Array, Array]:
        """Mean and standard error of the flux at points [m], first order in the parameters [ng cm^-2 s^-1]."""
        cos_phi, reach = view(source.position_cm, source.axis, points, normals)
        seen = cos_phi > 0.0
        c = np.log(np.where(seen, cos_phi, 1.0))
        mean = np.where(seen, np.exp(self.ln_strength + self.n * c) * reach, 0.0)
        design = np.stack([np.ones_like(c), c], axis=-1)
        return mean, mean * np.sqrt(np.einsum("...i,ij,...j->...", design, self.cov, design))


def fit_flux(
    rates: ArrayLike,
    errors: ArrayLike,
    source: SourceGeometry,
    sensors: Sequence[SensorGeometry],
    *,
    prior: tuple[ArrayLike, ArrayLike] | None = None,
) -> FluxFit:
    """Strength and exponent of one source from the rates of its sensors, weighted by their covariance.

    ln y_i = ln a(n+1) + n ln cos(phi_i) + ln(cos(theta_i) / (2 pi r_i^2)): linear in (ln a(n+1), n).

    Args:
        rates: [s] in ng cm^-2 s^-1.
        errors: standard errors [s] or covariance [s, s]; tooling errors, which sensors may share, belong in it.
        source: where the source is.
        sensors: [s], where the sensors are.
        prior: mean [2] and covariance [2, 2] of (ln a(n+1), n) from earlier runs, if any.

    Raises:
        WeakSignal: a rate is not positive, or under five times its error: a fit would follow the noise.
        Unidentifiable: the sensors see the source at one angle (or there is one sensor), and there is no prior.
        OutOfRange: shapes differ, a number is not finite, or a sensor cannot see the source.
    """
    y, e = np.asarray(rates, dtype=float), np.asarray(errors, dtype=float)
    s = len(sensors)
    if y.shape != (s,) or e.shape not in ((s,), (s, s)) or s == 0:
        raise OutOfRange(f"rates {y.shape} and errors {e.shape} do not belong to {s} sensors")
    if not np.all(np.isfinite(y)) or not np.all(np.isfinite(e)):
        raise OutOfRange("a rate or its error is not finite: leave that sensor out")
    cov = np.diag(e**2) if e.ndim == 1 else e
    std = np.sqrt(np.diag(cov))
    if np.any(std <= 0):
        raise OutOfRange("every rate needs an error above zero")
    weak = np.flatnonzero(y < LEAST_SIGNAL_TO_NOISE * std)
    if weak.size:
        text = ", ".join(f"sensor {i}: {y[i]:.3g} +- {std[i]:.2g}" for i in weak)
        raise WeakSignal(f"signal-to-noise under {LEAST_SIGNAL_TO_NOISE:g} ({text}): measure longer or raise the power")
    views = [view(source.position_cm, source.axis, k.position_cm, k.normal) for k in sensors]
    cos_phi, reach = np.array([v[0] for v in views]), np.array([v[1] for v in views])
    blind = np.flatnonzero((cos_phi <= 0) | (reach <= 0))
    if blind.size:
        raise OutOfRange(f"sensors {blind.tolist()} cannot see the source: check the lab file's positions and axes")
    c = np.log(cos_phi)
    if prior is None and (s < 2 or float(np.std(c)) < _LEAST_SPREAD):
        raise Unidentifiable(
            "n cannot be told: the sensors see the source at equal angles (equal cos phi); "
            "give a prior from another run, or place the sensors at different angles"
        )
    root = np.linalg.cholesky(cov / np.outer(y, y))
    design = np.linalg.solve(root, np.stack([np.ones(s), c], axis=1))
    target = np.linalg.solve(root, np.log(y) - np.log(reach))
    precision, vector = design.T @ design, design.T @ target
    if prior is not None:
        inverse = np.linalg.inv(np.asarray(prior[1], dtype=float))
        precision, vector = precision + inverse, vector + inverse @ np.asarray(prior[0], dtype=float)
    fit_cov = np.linalg.inv(precision)
    mean = fit_cov @ vector
    findings: list[str] = []
    if mean[1] > SUSPICIOUS_N:
        findings.append(f"n = {mean[1]:.2f} is above {SUSPICIOUS_N:g}: poor sticking, or a sensor in the shadow?")
    if mean[1] < 0:
        findings.append(f"n = {mean[1]:.2f} is negative: the source's axis or a tooling factor may be wrong")
    return FluxFit(
        ln_strength=float(mean[0]),
        n=float(mean[1]),
        cov=(fit_cov + fit_cov.T) / 2.0,
        mean_log_cos=float(c.mean()),
        chi2=float(np.sum((target - design @ mean) ** 2)),
        dof=max(s - 2, 0),
        findings=tuple(findings),
    )
