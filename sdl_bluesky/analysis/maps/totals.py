"""Total rates of a co-sputter run as a datum: what they say about the share of each source, and whether they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

INTERACTION_STD = 0.01
"""Relative change of a source's rate by its burning neighbours, standard deviation; shared by all sensors."""
INTERACTION_SHARED = 0.8
"""Its correlation between sources: what a neighbour does to one, it does much the same to the other."""


@dataclass(frozen=True)
class Totals:
    """Rates measured while all sources ran: rate [q], ng cm^-2 s^-1; a nan rate is left out.

    Attributes:
        rate: [q].
        std: standard errors [q], or covariance [q, q].
    """

    rate: Array
    std: Array

    def cov(self) -> Array:
        """Covariance [q, q]."""
        std = np.asarray(self.std, dtype=float)
        return np.diag(std**2) if std.ndim == 1 else std


@dataclass(frozen=True)
class JointRates:
    """Rates of each source [s, q] within the co-sputter run, covariance [s * q, s * q], findings and their numbers."""

    mean: Array
    cov: Array
    findings: tuple[str, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)


def neighbours(mean: Array, std: float = INTERACTION_STD, shared: float = INTERACTION_SHARED) -> Array:
    """Covariance [s * q, s * q] that burning neighbours add to rates [s, q]; none where a source burns alone.

    y'_sq = y_sq (1 + e_s), e_s ~ N(0, std^2) with the correlation `shared` between sources.
    """
    s, q = mean.shape
    if s < 2:
        return np.zeros((q, q))
    alike = std**2 * (shared * np.ones((s, s)) + (1.0 - shared) * np.eye(s))
    return np.kron(alike, np.ones((q, q))) * np.outer(mean, mean)


def condition(
    mean: Array, cov: Array, totals: Totals | None, which: Sequence[int], names: Sequence[str], sensors: Sequence[str]
) -> JointRates:
    """The totals of one run taken into account: T_q = sum_s y'_sq + noise over the sources of the run.

    The sum is linear, so that the condition is exact for Gaussian errors. Sensor and total carry the same tooling
    factor: it cancels here.

    Args:
        mean: rates within the runs [r, q], as the sensors read; of this run and of others.
        cov: [r * q, r * q].
        totals: see `Totals`.
        which: rows of `mean` that burned in this run.
        names: of these sources, for the findings.
        sensors: names of the sensors [q], for the findings.

    Raises:
        OutOfRange: shapes differ.
    """
    r, q = mean.shape
    if totals is None:
        return JointRates(mean, cov)
    rate, noise = np.asarray(totals.rate, dtype=float), totals.cov()
    if rate.shape != (q,) or noise.shape != (q, q):
        raise OutOfRange(f"totals {rate.shape} and errors {np.shape(totals.std)} do not belong to {q} sensors")
    std = np.sqrt(np.diag(noise))
    used = np.flatnonzero(np.isfinite(rate) & np.isfinite(std) & (std > 0) & (rate > 0))
    findings = tuple(
        f"total rate of {sensors[k]} left out: {rate[k]:.3g} +- {std[k]:.2g}" for k in range(q) if k not in used
    )
    if not used.size:
        return JointRates(mean, cov, findings)
    total = np.kron(np.isin(np.arange(r), list(which)), np.eye(q))[used]
    spread = total @ cov @ total.T + noise[np.ix_(used, used)]
    misfit = rate[used] - total @ mean.ravel()
    gain = np.linalg.solve(spread, total @ cov).T
    squared = float(misfit @ np.linalg.solve(spread, misfit))
    worst = float(np.max(np.abs(misfit / rate[used])))
    checks = {"totals_chi2": squared, "totals_used": float(used.size), "totals_worst_relative": worst}
    if squared > chi2.ppf(0.99, used.size):
        findings += (
            f"the rates of {', '.join(names)} do not add up to the total (chi2 {squared:.1f} for {used.size} sensors, up to "
            f"{100 * worst:.1f} %): plasmas that interact, a target that wore since it was learned, or a drifting sensor",
        )
    new = cov - gain @ total @ cov
    return JointRates((mean.ravel() + gain @ misfit).reshape(r, q), (new + new.T) / 2.0, findings, checks)
