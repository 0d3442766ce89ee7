"""Total rates of a co-sputter run as a datum: what they say about the share of each source, and whether they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

INTERACTION_STD = 0.01
"""Relative change of a source's rate by a burning neighbour, standard deviation; shared by all sensors."""


@dataclass(frozen=True)
class Totals:
    """Rates measured while all sources ran: rate and standard error [q], ng cm^-2 s^-1; a nan rate is left out."""

    rate: Array
    std: Array


@dataclass(frozen=True)
class JointRates:
    """Rates of each source [s, q] within the co-sputter run, covariance [s * q, s * q], findings and their numbers."""

    mean: Array
    cov: Array
    findings: tuple[str, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)


def condition_on_totals(
    mean: Array,
    cov: Array,
    totals: Totals | None,
    names: Sequence[str],
    sensors: Sequence[str],
    interaction_std: float = INTERACTION_STD,
) -> JointRates:
    """Rates alone -> rates within the run: the neighbours' influence added, the totals (if any) taken into account.

    y'_sq = y_sq (1 + e_s), e_s ~ N(0, interaction_std^2); T_q = sum_s y'_sq + noise. The sum is linear, so that the
    condition is exact for Gaussian errors. Sensor and total carry the same tooling factor: it cancels here.

    Args:
        mean: [s, q], as the sensors read.
        cov: [s, q, q].
        totals: see `Totals`.
        names: of the sources [s], for the findings.
        sensors: their names [q], for the findings.
        interaction_std: see `INTERACTION_STD`.

    Raises:
        OutOfRange: shapes differ.
    """
    s, q = mean.shape
    full = np.zeros((s, q, s, q))
    for i in range(s):
        full[i, :, i, :] = cov[i] + interaction_std**2 * np.outer(mean[i], mean[i])
    full = full.reshape(s * q, s * q)
    if totals is None:
        return JointRates(mean, full)
    rate, std = np.asarray(totals.rate, dtype=float), np.asarray(totals.std, dtype=float)
    if rate.shape != (q,) or std.shape != (q,):
        raise OutOfRange(f"totals {rate.shape} and errors {std.shape} do not belong to {q} sensors")
    used = np.flatnonzero(np.isfinite(rate) & np.isfinite(std) & (std > 0) & (rate > 0))
    findings = tuple(
        f"total rate of {sensors[k]} left out: {rate[k]:.3g} +- {std[k]:.2g}" for k in range(q) if k not in used
    )
    if not used.size:
        return JointRates(mean, full, findings)
    total = np.tile(np.eye(q), s)[used]
    spread = total @ full @ total.T + np.diag(std[used] ** 2)
    misfit = rate[used] - total @ mean.ravel()
    gain = np.linalg.solve(spread, total @ full).T
    squared = float(misfit @ np.linalg.solve(spread, misfit))
    checks = {"totals_chi2": squared, "totals_used": float(used.size)}
    worst = float(np.max(np.abs(misfit / rate[used])))
    checks["totals_worst_relative"] = worst
    if squared > chi2.ppf(0.99, used.size):
        findings += (
            f"the rates of {', '.join(names)} do not add up to the total (chi2 {squared:.1f} for {used.size} sensors, up to "
            f"{100 * worst:.1f} %): plasmas that interact, a target that wore since it was learned, or a drifting sensor",
        )
    new = full - gain @ total @ full
    return JointRates((mean.ravel() + gain @ misfit).reshape(s, q), (new + new.T) / 2.0, findings, checks)
