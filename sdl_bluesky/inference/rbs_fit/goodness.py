"""How likely a deviance as large as the one found is, if the model is right."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import chi2, poisson

from sdl_bluesky.inference.rbs_fit.likelihood import poisson as half_deviance
from sdl_bluesky.physics.geometry import Array

_LOWEST, _HIGHEST, _POINTS = 1e-4, 300.0, 400


@lru_cache(maxsize=1)
def _moments() -> tuple[Array, Array, Array]:
    """Mean and variance of the deviance of one channel against the logarithm of its expected counts, by summation."""
    mu = np.geomspace(_LOWEST, _HIGHEST, _POINTS)
    x = np.arange(0.0, _HIGHEST + 15.0 * np.sqrt(_HIGHEST))
    weight = poisson.pmf(x[None, :], mu[:, None])
    value = 2.0 * half_deviance(x[None, :], mu[:, None])[0]
    mean = np.sum(weight * value, axis=1)
    return np.log(mu), mean, np.sum(weight * (value - mean[:, None]) ** 2, axis=1)


def expected_deviance(mu: Array) -> tuple[Array, Array]:
    """Mean and variance of the Poisson deviance of counts with expectation mu, sums over the last axis.

    At many counts each channel has mean 1 and variance 2, as chi2 has; at few it has not, and chi2 is no measure.
    """
    log, mean, variance = _moments()
    where = np.log(np.clip(mu, _LOWEST, _HIGHEST))
    many = mu > _HIGHEST
    means = np.where(many, 1.0 + 1.0 / (6.0 * np.maximum(mu, 1.0)), np.interp(where, log, mean))
    variances = np.where(many, 2.0, np.interp(where, log, variance))
    return means.sum(axis=-1), variances.sum(axis=-1)


def excess(deviance: Array, mu: Array) -> Array:
    """Deviance [b] over what counts with expectation mu [b, channel] leave, in standard deviations [b]."""
    mean, variance = expected_deviance(mu)
    return (deviance - mean) / np.sqrt(variance)


def goodness(deviance: Array, mu: Array, fitted: Array) -> Array:
    """Probability of a larger deviance [b]: a scaled chi2 of the right mean and variance.

    Args:
        deviance: [b].
        mu: expected counts [b, channel].
        fitted: number of parameters that the counts determine [b]; each takes 1 off the mean and 2 off the variance.
    """
    mean, variance = expected_deviance(mu)
    mean = np.maximum(mean - fitted, 1e-3)
    variance = np.maximum(variance - 2.0 * fitted, 1e-3)
    scale = variance / (2.0 * mean)
    return chi2.sf(deviance / scale, mean / scale)
