"""Distances between counts x and a model mu: value, slope and curvature of each channel.

Every distance is half of what is compared with chi2, so that 0.5 is one standard deviation:

* poisson: mu - x + x ln(x / mu), half the deviance (Baker and Cousins, NIM 221, 437, 1984);
* chi2: (x - mu)^2 / (x + 1) / 2, which biases low counts downwards;
* pearson: (x - mu)^2 / mu / 2, which biases them upwards;
* anscombe: 2 (sqrt(x + 3/8) - sqrt(mu + 3/8))^2, whose variance is the same at all counts (Anscombe, Biometrika 35, 246,
  1948). It grows slowly where model and counts are far apart, so that a fit finds its way from a poor start.

The curvature is the expected one (Fisher's), positive everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import xlogy

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.physics.geometry import Array

BACKGROUND = 0.01
"""Counts that every channel may have beside the model, so that one stray count where the model has none is no
impossibility."""

Terms = tuple[Array, Array, Array]
Distance = Callable[[Array, Array], Terms]
"""(x, mu) -> value, slope, curvature, all of the same shape."""


def poisson(x: Array, mu: Array) -> Terms:
    """Half the Poisson deviance."""
    m = np.maximum(mu, 0.0) + BACKGROUND
    ratio = x / m
    return m - x + xlogy(x, ratio), 1.0 - ratio, 1.0 / m


def chi2(x: Array, mu: Array) -> Terms:
    """Weights 1 / (x + 1)."""
    weight = 1.0 / (x + 1.0)
    difference = mu - x
    return 0.5 * weight * difference**2, weight * difference, weight


def pearson(x: Array, mu: Array) -> Terms:
    """Weights of the model; a channel counts as one count at least."""
    m = np.maximum(mu, 1.0)
    difference = mu - x
    inside = np.where(mu > 1.0, difference / m, 0.0)
    return 0.5 * difference**2 / m, difference / m * (1.0 - 0.5 * inside), 1.0 / m


def anscombe(x: Array, mu: Array) -> Terms:
    """Difference of roots."""
    m = np.maximum(mu, 0.0) + 0.375
    root = np.sqrt(m)
    difference = root - np.sqrt(x + 0.375)
    return 2.0 * difference**2, 2.0 * difference / root, 1.0 / m


LIKELIHOODS: dict[str, Distance] = {
    "poisson": poisson,
    "chi2": chi2,
    "pearson": pearson,
    "anscombe": anscombe,
}


def likelihood(name: str) -> Distance:
    """A distance by its name.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in LIKELIHOODS:
        raise UnknownName("likelihood", str(name), list(LIKELIHOODS))
    return LIKELIHOODS[name]


def paper_chi2(x: Array, mu: Array) -> Array:
    """sum (x - mu)^2 / (x + 1) over the last axis."""
    return np.sum((x - mu) ** 2 / (x + 1.0), axis=-1)


def deviance(x: Array, mu: Array) -> Array:
    """Poisson deviance over the last axis."""
    return 2.0 * np.sum(poisson(x, mu)[0], axis=-1)
