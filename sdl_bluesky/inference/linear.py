"""A linear model with a Gaussian prior: y = F c + noise, c ~ N(m, L), noise ~ N(0, C); evidence and posterior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class LinearFit:
    """What readings say of the coefficients.

    Attributes:
        log_evidence: ln p(y) = ln N(y; F m, C + F L F').
        mean, cov: of the coefficients, [c] and [c, c].
        chi2: squared distance of y from what was expected of it before, in its own covariance; len(y) on average.
    """

    log_evidence: float
    mean: Array
    cov: Array
    chi2: float


def fit_linear(
    design: ArrayLike, y: ArrayLike, noise: ArrayLike, prior_mean: ArrayLike, prior_cov: ArrayLike
) -> LinearFit:
    """Evidence and posterior of y = F c + noise.

    Args:
        design: F [n, c]; c may be 0.
        y: readings [n].
        noise: C [n, n], positive definite.
        prior_mean: m [c].
        prior_cov: L [c, c].

    Raises:
        OutOfRange: shapes differ, a number is not finite, or C is no covariance.
    """
    f, y, c = np.asarray(design, float), np.asarray(y, float), np.asarray(noise, float)
    m, prior = np.asarray(prior_mean, float), np.asarray(prior_cov, float)
    n, k = len(y), len(m)
    if f.shape != (n, k) or c.shape != (n, n) or prior.shape != (k, k):
        raise OutOfRange(f"design {f.shape}, {n} readings, noise {c.shape}, prior {prior.shape} do not belong together")
    if not all(np.all(np.isfinite(a)) for a in (f, y, c, m, prior)):
        raise OutOfRange("a reading, an error or a number of the prior is not finite")
    reach = f @ prior
    try:
        root = np.linalg.cholesky(c + reach @ f.T)
    except np.linalg.LinAlgError:
        raise OutOfRange("the errors of the readings form no covariance: it is not positive definite") from None
    away, gain = np.linalg.solve(root, y - f @ m), np.linalg.solve(root, reach)
    chi2 = float(away @ away)
    log_evidence = -0.5 * chi2 - float(np.log(np.diag(root)).sum()) - 0.5 * n * float(np.log(2 * np.pi))
    cov = prior - gain.T @ gain
    return LinearFit(log_evidence, m + gain.T @ away, (cov + cov.T) / 2.0, chi2)
