"""The level of the areal densities against the exact condition of Gaussians in a linear world."""

import numpy as np
import pytest

from sdl_bluesky.analysis.rbs.level import level
from sdl_bluesky.analysis.rbs.pool import Prior, pool

SOLID_ANGLE, MODEL, CHARGE = 0.001, 0.002, 0.0005  # small, so that the world is linear
FILM, PLATEAU = 0.0002, 0.0001
DENSITY = np.array([400.0, 300.0, 500.0])
NAMES = ("Cu", "fluence")


def linear_world(seed):
    """Logarithms of film and substrate counts of three spectra: film = n f, substrate = f (1 + delta), f = g charge."""
    rng = np.random.default_rng(seed)
    g, delta = SOLID_ANGLE * rng.standard_normal(), MODEL * rng.standard_normal()
    f = g + CHARGE * rng.standard_normal(3)
    film = f + FILM * rng.standard_normal(3)
    plateau = f + delta + PLATEAU * rng.standard_normal(3)
    return film, plateau


def fitted(film, plateau):
    """Each spectrum by itself: n relative to the truth and f, with the prior hypot(solid angle, model, charge) on f."""
    prior = Prior(own=CHARGE, common=np.hypot(SOLID_ANGLE, MODEL))
    means, covs = [], []
    for n, a, b in zip(DENSITY, film, plateau):
        design = np.array([[1.0 / n, 1.0], [0.0, 1.0], [0.0, 1.0]])
        weight = np.array([FILM, PLATEAU, prior.total]) ** -2
        cov = np.linalg.inv(design.T @ (design * weight[:, None]))
        mean = cov @ (design.T @ (weight * np.array([a, b, 0.0])))
        means.append(mean + np.array([n, 1.0]))
        covs.append(cov)
    return pool(NAMES, np.stack(means), np.stack(covs), {"fluence": prior})


def exact(film, plateau):
    """The posterior of n with g, delta, charges and both kinds of counts as they are: relative deviations and covariance."""
    size = 3 + 3 + 2  # ln n, ln f, g, delta
    rows, values, std = [], [], []
    for i in range(3):
        for entries, value, sd in (
            ({i: 1.0, 3 + i: 1.0}, film[i], FILM),
            ({3 + i: 1.0, 7: 1.0}, plateau[i], PLATEAU),
            ({3 + i: 1.0, 6: -1.0}, 0.0, CHARGE),
        ):
            rows.append([entries.get(k, 0.0) for k in range(size)])
            values.append(value)
            std.append(sd)
    for k, sd in ((6, SOLID_ANGLE), (7, MODEL)):
        rows.append([float(k == j) for j in range(size)])
        values.append(0.0)
        std.append(sd)
    matrix, weight = np.array(rows), np.array(std) ** -2
    cov = np.linalg.inv(matrix.T @ (matrix * weight[:, None]))
    return (cov @ (matrix.T @ (weight * np.array(values))))[:3], cov[:3, :3]


@pytest.mark.parametrize("seed", range(5))
def test_densities_are_those_of_the_exact_condition(seed):
    film, plateau = linear_world(seed)
    density, cov = level(fitted(film, plateau), 1, SOLID_ANGLE, MODEL)
    wanted, wanted_cov = exact(film, plateau)
    relative = cov[:, 0, :, 0] / np.outer(DENSITY, DENSITY)
    std = np.sqrt(np.diag(wanted_cov))
    assert np.abs((density[:, 0] / DENSITY - 1.0 - wanted) / std).max() < 0.05  # to first order
    np.testing.assert_allclose(relative / np.outer(std, std), wanted_cov / np.outer(std, std), atol=0.02)


def test_without_a_discrepancy_nothing_is_moved():
    pooled = fitted(*linear_world(1))
    density, cov = level(pooled, 1, SOLID_ANGLE, 0.0)
    np.testing.assert_array_equal(density, pooled.mean[:, :1])
    np.testing.assert_array_equal(cov, pooled.cov[:, :1, :, :1])
