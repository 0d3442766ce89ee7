"""Slope of a straight line in noise of unknown size and kind, with an honest standard error.

The noise is white, or white plus a random walk (a frequency whose slope, the rate, wanders) in unknown proportion. For
each proportion of a grid, and each time constant of an optional transient, the line is fitted by generalised least
squares; the fits are averaged with their restricted likelihoods (Patterson and Thompson, Biometrika 58, 545, 1971) as
weights, so that the error covers what is not known about the noise. Long records are averaged in blocks first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from sdl_bluesky.physics.geometry import Array

_BLOCKS = 64
_LEAST_FOR_WALK = 8
_RATIOS = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 22)])  # largest eigenvalue of the walk over the white variance
_LOG_PRIOR = np.concatenate([[np.log(0.2)], np.full(22, np.log(0.8 / 22))])  # white alone, or any share of a walk
_TAUS = 48


@dataclass(frozen=True)
class Line:
    """Slope and standard error in units of y per unit of t, with what else was learned.

    Attributes:
        walk: share of the random walk in the variance of the record, 0 to 1.
        transient, tau: amplitude at the first t and time constant; 0 and nan without a transient.
    """

    slope: float
    std: float
    dof: int
    residual: float
    walk: float
    transient: float
    tau: float


def _blocks(t: Array, y: Array) -> tuple[Array, Array, float]:
    """Means of t and y over blocks of k neighbours, and by how much averaging reduces the variance of a random walk."""
    k = -(-t.size // _BLOCKS)
    first = t.size - t.size // k * k  # a remainder is left out at the beginning
    times = t[first:].reshape(-1, k)
    reduced = float(np.mean(times[:, -1] - times[:, 0])) * (k + 1) / (6 * k)  # exact for even steps
    return times.mean(axis=1), y[first:].reshape(-1, k).mean(axis=1), reduced


def _walk(u: Array, reduced: float) -> tuple[Array, Array]:
    """Eigenvalues [n], largest 1, and eigenvectors [n, n] of min(u_i, u_j) - reduced delta_ij.

    The inverse of min(u_i, u_j) has three diagonals. Where the walk starts does not matter to a line with an intercept.
    """
    steps = np.diff(u, prepend=u[0] - float(np.mean(np.diff(u))))
    inverse = 1.0 / steps
    diagonal = inverse + np.append(inverse[1:], 0.0)
    values, vectors = eigh_tridiagonal(diagonal, -inverse[1:])
    values = np.maximum(1.0 / values - reduced, 0.0)
    return values / values.max(), vectors


def fit_slope(t: Array, y: Array, *, transient: bool = False, tau: float | None = None) -> Line:
    """Fit y = b0 + slope t [+ A exp(-(t - t0) / tau)] for increasing t [n], n at least 3 (5 with a transient)."""
    start, span = float(t[0]), float(t[-1] - t[0])
    u, y, reduced = _blocks((t - start) / span, y)
    centre = float(y.mean())
    scale = float(np.abs(y - centre).max()) or 1.0
    z = (y - centre) / scale
    n, p = u.size, 3 if transient else 2
    taus = np.array([np.inf])
    if tau is not None:
        taus = np.array([tau / span])
    elif transient:
        shortest = min(max(1.5 * float(np.median(np.diff(u))), 0.01), 0.25)
        taus = np.geomspace(shortest, 0.5, _TAUS)
    design = np.stack([np.ones((taus.size, n)), np.tile(u - 0.5, (taus.size, 1))], axis=2)
    if transient or tau is not None:
        p = 3
        design = np.concatenate([design, np.exp(-u / taus[:, None])[..., None]], axis=2)
    ratios = _RATIOS if n >= _LEAST_FOR_WALK else _RATIOS[:1]
    eigenvalues, vectors = _walk(u, reduced)
    weights = 1.0 / (1.0 + ratios[:, None] * eigenvalues)  # [ratio, n], inverse variances
    x, r = np.einsum("ij,tip->tjp", vectors, design), vectors.T @ z
    normal = np.einsum("qn,tna,tnb->qtab", weights, x, x)
    beta = np.linalg.solve(normal, np.einsum("qn,tna,n->qta", weights, x, r)[..., None])[..., 0]
    misfit = r - np.einsum("tna,qta->qtn", x, beta)
    chi2 = np.maximum(np.einsum("qn,qtn->qt", weights, misfit**2), n * 1e-26)  # exact data: rounding is the noise
    dof = max(n - p - (1 if taus.size > 1 else 0), 1)
    log_weight = 0.5 * (np.log(weights).sum(axis=1)[:, None] - np.linalg.slogdet(normal)[1] - (n - p) * np.log(chi2))
    log_weight += _LOG_PRIOR[: ratios.size, None]
    w = np.exp(log_weight - log_weight.max())
    w /= w.sum()
    slopes = beta[..., 1]
    mean = float(np.sum(w * slopes))
    variance = chi2 / dof * np.linalg.inv(normal)[..., 1, 1] + (slopes - mean) ** 2
    share = 1.0 - n / (n + ratios * eigenvalues.sum())
    return Line(
        slope=mean * scale / span,
        std=float(np.sqrt(np.sum(w * variance))) * scale / span,
        dof=dof,
        residual=float(np.sum(w * np.sqrt(np.mean(misfit**2, axis=2)))) * scale,
        walk=float(np.sum(w * share[:, None])),
        transient=float(np.sum(w * beta[..., 2])) * scale if p == 3 else 0.0,
        tau=float(np.sum(w * taus)) * span if p == 3 else float("nan"),
    )
