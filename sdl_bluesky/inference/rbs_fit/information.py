"""What a measurement can tell at best, before it is made: Fisher's information and the Cramer-Rao bound."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.inference.rbs_fit import checks
from sdl_bluesky.inference.rbs_fit.parameters import Parameters, extras_of
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup


def information(
    setup: Setup,
    layers: ArrayLike,
    *,
    free: ArrayLike,
    roi: checks.Roi | None = None,
    nuisance: Mapping[str, float] | None = None,
) -> Array:
    """Fisher's information [b, p, p] of Poisson counts on the free densities, then the nuisance parameters.

    Args:
        setup: beam, geometry, detector.
        layers: densities [b, layer, element].
        free: which of them are unknown, bool [layer, element].
        roi: channels that count.
        nuisance: name -> standard deviation of the prior; its information is added.

    Raises:
        OutOfRange, UnknownName: as `fit`.
    """
    inside = checks.free_of(free, setup.elements)
    channels = checks.channels_of(roi, setup)
    extras = extras_of([setup], [nuisance or {}])
    densities = np.asarray(layers, dtype=float)
    densities = densities[None] if densities.ndim == 2 else densities
    d, k = int(inside.sum()), len(extras)
    precision = np.concatenate([np.zeros(d), [1.0 / extra.sd**2 for extra in extras]])
    nominal = np.array([extra.nominal for extra in extras])
    parameters = Parameters((setup,), inside, extras, np.zeros(d + k), np.ones(d + k), np.zeros(d + k), precision)
    problem = Problem(parameters, densities, (channels,), np.zeros((len(densities), len(channels))))
    theta = np.concatenate([densities[:, inside], np.broadcast_to(nominal, (len(densities), k))], axis=1)
    return problem.local(_expected)(theta, np.arange(len(theta)))[2]


def cramer_rao(
    setup: Setup,
    layers: ArrayLike,
    *,
    free: ArrayLike,
    roi: checks.Roi | None = None,
    nuisance: Mapping[str, float] | None = None,
) -> Array:
    """Least standard deviation [b, p] of an unbiased estimate, inf where the counts say nothing.

    Arguments and errors as `information`.
    """
    matrix = information(setup, layers, free=free, roi=roi, nuisance=nuisance)
    size = np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
    seen = size > 1e-12 * size.max(axis=1, keepdims=True)
    scale = np.where(seen, 1.0 / np.where(seen, size, 1.0), 0.0)
    bound = np.full(size.shape, np.inf)
    for row, good in enumerate(seen):
        unit = (matrix[row] * scale[row][:, None] * scale[row])[np.ix_(good, good)]
        inverse = np.linalg.pinv(unit, rcond=1e-13, hermitian=True)
        bound[row, good] = np.sqrt(np.diagonal(inverse)) * scale[row, good]
    return bound


def _expected(x: Array, mu: Array) -> tuple[Array, Array, Array]:
    """The curvature of the Poisson likelihood; channels without counts say nothing."""
    weight = np.where(mu > 1e-9, 1.0 / np.maximum(mu, 1e-9), 0.0)
    return np.zeros_like(mu), np.zeros_like(mu), weight
