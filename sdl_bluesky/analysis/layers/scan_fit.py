"""Maximum of the likelihood of a scan under the pattern of a stack, with weak priors about the stack.

Counts are Poisson; where the pattern does not describe them to their noise (dynamical diffraction, graded interfaces), they
are negative binomial with variance m + (tau m)^2, tau such that the residuals are as large as they should be. So a peak of a
million counts, whose form no simple theory gives to a part in a thousand, does not outweigh the fringes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import xlogy

from sdl_bluesky.analysis.layers.pattern import INDEX, NAMES, expected_counts
from sdl_bluesky.physics.geometry import Array

STEPS = 60
"""Most steps of one search."""
FAR = 5.0
"""Standard deviations of the priors beyond which nothing is looked for."""
MOST_TAU = 0.5
SURE = 3.0
"""Standard deviations by which the residuals must be too large for the pattern to be said to miss."""
FRINGE_DEG = 0.08
"""Over which a misfit is alike: somewhat more than a fringe of a layer of 200 nm."""
_SCALES = np.array([1e-3, 1e-2, 0.1, 0.3, 0.2, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1])


@dataclass(frozen=True)
class Prior:
    """A pattern, and normal priors of its parameters in the order of `NAMES`; a standard deviation of 0 holds one.

    Attributes:
        mean, std: [11].
        pattern: (two_theta_deg [n], parameters [11]) -> expected counts [n].
    """

    mean: Array
    std: Array
    pattern: Callable[[Array, Array], Array] = expected_counts

    @property
    def free(self) -> NDArray[np.intp]:
        """Indices of what is fitted."""
        return np.flatnonzero(self.std > 0)


@dataclass(frozen=True)
class ScanFit:
    """What a fit found.

    Attributes:
        values: parameters in the order of `NAMES` [11].
        cov: their covariance, zero for those that are held [11, 11].
        objective: deviance plus the priors' part, without dispersion.
        deviance, dof: of the counts under the Poisson law.
        tau: relative deviation of the pattern that the errors allow for.
        expected: counts [n].
    """

    values: Array
    cov: Array
    objective: float
    deviance: float
    dof: int
    tau: float
    expected: Array

    def of(self, name: str) -> tuple[float, float]:
        """A parameter and its standard error."""
        k = INDEX[name]
        return float(self.values[k]), float(np.sqrt(self.cov[k, k]))


def deviance_parts(counts: Array, expected: Array, tau: float) -> Array:
    """Part of each point in the deviance [n]; Poisson for tau = 0, else negative binomial."""
    m = np.maximum(expected, 1e-9)
    if tau <= 0:
        return np.maximum(2 * (xlogy(counts, counts / m) - counts + m), 0.0)
    k = 1 / tau**2
    return np.maximum(2 * (xlogy(counts, counts / m) - (counts + k) * np.log((counts + k) / (m + k))), 0.0)


def search(
    two_theta_deg: Array, counts: Array, start: Array, prior: Prior, tau: float = 0.0, steps: int = STEPS
) -> ScanFit:
    """The best fit from one start.

    Args:
        two_theta_deg, counts: the scan [n].
        start: parameters [11].
        prior: what is known of them.
        tau: see the module.
        steps: most of them.
    """
    free = prior.free
    lower, upper = prior.mean - FAR * prior.std, prior.mean + FAR * prior.std
    lower[INDEX["kappa"]], upper[INDEX["kappa"]] = 0.0, 1.0
    scales = _SCALES[free]

    def whole(z: Array) -> Array:
        p = start.copy()
        p[free] = z * scales
        return p

    def residuals(z: Array) -> Array:
        p = whole(z)
        m = prior.pattern(two_theta_deg, p)
        parts = np.sign(counts - m) * np.sqrt(deviance_parts(counts, m, tau))
        return np.concatenate([parts, ((p - prior.mean)[free]) / prior.std[free]])

    begin = np.clip(start[free], lower[free] + 1e-6, upper[free] - 1e-6) / scales
    found = least_squares(
        residuals,
        begin,
        bounds=(lower[free] / scales, upper[free] / scales),
        x_scale=1.0,
        max_nfev=steps,
        ftol=1e-7,
        xtol=1e-7,
        gtol=1e-6,
    )
    p = whole(found.x)
    m = prior.pattern(two_theta_deg, p)
    cov = np.zeros((len(NAMES), len(NAMES)))
    cov[np.ix_(free, free)] = _covariance(two_theta_deg, counts, p, m, prior, tau)
    deviance = float(deviance_parts(counts, m, 0.0).sum())
    return ScanFit(p, cov, 2 * float(found.cost), deviance, len(counts) - len(free), tau, m)


def settle(two_theta_deg: Array, counts: Array, fit: ScanFit, prior: Prior, rounds: int = 3) -> ScanFit:
    """The same fit with the dispersion that its residuals ask for; unchanged if that is Poisson's."""
    for _ in range(rounds):
        if _pearson(counts, fit.expected, 0.0) <= fit.dof + SURE * _pearson_std(fit.expected):
            return fit if fit.tau == 0 else search(two_theta_deg, counts, fit.values, prior)
        tau = _dispersion(counts, fit.expected, fit.dof)
        if abs(tau - fit.tau) <= 0.05 * tau:
            break
        fit = search(two_theta_deg, counts, fit.values, prior, tau)
    return fit


def _pearson(counts: Array, expected: Array, tau: float) -> float:
    """Sum of squared residuals over their variances; its mean is the degrees of freedom for few counts too."""
    m = np.maximum(expected, 1e-9)
    return float(np.sum((counts - m) ** 2 / (m + (tau * m) ** 2)))


def _pearson_std(expected: Array) -> float:
    """Its standard deviation under the Poisson law: each square has the variance 2 + 1 / m."""
    return float(np.sqrt(np.sum(2 + 1 / np.maximum(expected, 1e-2))))


def _dispersion(counts: Array, expected: Array, dof: int) -> float:
    low, high = 1e-4, MOST_TAU
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        if _pearson(counts, expected, middle) > dof:
            low = middle
        else:
            high = middle
    return high


def _covariance(two_theta_deg: Array, counts: Array, p: Array, m: Array, prior: Prior, tau: float) -> Array:
    """Inverse of Fisher's information plus the priors' precision.

    Where the pattern misses (tau > 0), it does so over whole fringes: then errors are no smaller than by the sandwich of
    that information round the scatter of the score, with correlations over `FRINGE_DEG` (Newey and West, Econometrica 55,
    703, 1987).
    """
    free = prior.free
    columns = []
    for k in free:
        h = 1e-4 * _SCALES[k]
        up, down = p.copy(), p.copy()
        up[k] += h
        down[k] -= h
        columns.append((prior.pattern(two_theta_deg, up) - prior.pattern(two_theta_deg, down)) / (2 * h))
    jacobian = np.stack(columns, axis=1)
    weight = 1 / (m + (tau * m) ** 2)
    information = (jacobian * weight[:, None]).T @ jacobian + np.diag(1 / prior.std[free] ** 2)
    scale = 1 / np.sqrt(np.diag(information))
    cov = np.linalg.pinv(information * np.outer(scale, scale), hermitian=True) * np.outer(scale, scale)
    if tau <= 0:
        return cov
    score = jacobian * (weight * (counts - m))[:, None]
    step = float(np.median(np.diff(two_theta_deg)))
    reach = int(np.clip(round(FRINGE_DEG / step), 1, len(counts) // 4))
    scatter = score.T @ score
    for lag in range(1, reach):
        part = score[lag:].T @ score[:-lag]
        scatter += (1 - lag / reach) * (part + part.T)
    sandwich = np.diag(cov @ scatter @ cov)
    wider = np.sqrt(np.maximum(sandwich / np.diag(cov), 1.0))
    return cov * np.outer(wider, wider)
