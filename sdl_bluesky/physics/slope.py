"""Slope of a straight line in noise of unknown size and kind, with an honest standard error.

The noise is white, or white plus a random walk (a frequency whose slope, the rate, wanders) in unknown proportion. For
each proportion of a grid, and each time constant of an optional transient, the line is fitted by generalised least
squares; the fits are averaged with their restricted likelihoods (Patterson and Thompson, Biometrika 58, 545, 1971) as
weights, so that the error covers what is not known about the noise. Long records are averaged in blocks first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


def _blocks(t: Array, y: Array) -> tuple[Array, Array, Array]:
    """Means of t and y over blocks of k neighbours, and the covariance of a random walk's means (for even steps)."""
    k = -(-t.size // _BLOCKS)
    n = t.size // k
    first = t.size - n * k  # a remainder is left out at the beginning
    times = t[first:].reshape(n, k)
    means = times.mean(axis=1)
    walk = np.minimum.outer(means, means) - np.diag((times[:, -1] - times[:, 0]) * (k + 1) / (6 * k))
    return means, y[first:].reshape(n, k).mean(axis=1), walk


def fit_slope(t: Array, y: Array, *, transient: bool = False, tau: float | None = None) -> Line:
    """Fit y = b0 + slope t [+ A exp(-(t - t0) / tau)] for increasing t [n], n at least 3 (5 with a transient)."""
    start, span = float(t[0]), float(t[-1] - t[0])
    u, y, walk = _blocks((t - start) / span, y)
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
    eigenvalues, vectors = np.linalg.eigh(walk)
    eigenvalues = np.maximum(eigenvalues, 0.0) / eigenvalues[-1]
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
