"""Pooling separate fits against the joint least squares of a linear world, where both are exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl_bluesky.analysis.rbs.pool import Prior, pool
from sdl_bluesky.errors import OutOfRange

NAMES = ("Cu", "Sn", "fluence", "slope", "stopping:Cu")
PRIORS = {
    "fluence": Prior(own=0.01, common=0.02),
    "slope": Prior(mean=1.0, own=0.005),
    "stopping:Cu": Prior(common=0.03),
}
ROWS = 12


def world(seed, count):
    """Design matrices [p, row, d] and data [p, row] with unit noise."""
    rng = np.random.default_rng(seed)
    design = rng.standard_normal((count, ROWS, len(NAMES))) * [0.3, 0.3, 100.0, 150.0, 80.0]
    return design, rng.standard_normal((count, ROWS)) * 5.0 + design @ np.array([300.0, 200.0, 1.0, 1.0, 1.0])


def separate(design, data):
    """Mean and covariance of each problem by itself, with the total priors."""
    prior = np.array([0.0, 0.0, *(PRIORS[k].total ** -2 for k in NAMES[2:])])
    centre = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    means, covs = [], []
    for a, y in zip(design, data):
        cov = np.linalg.inv(a.T @ a + np.diag(prior))
        means.append(cov @ (a.T @ y + prior * centre))
        covs.append(cov)
    return np.stack(means), np.stack(covs)


def joint(design, data):
    """All problems in one: unknowns of each spectrum [p, d], then stopping, then the common part of the fluence."""
    count, d = len(design), len(NAMES)
    size = count * d + 2
    stopping, fluence = size - 2, size - 1
    rows, values, weights = [], [], []

    def say(entries, value, std):
        row = np.zeros(size)
        for index, factor in entries:
            row[index] += factor
        rows.append(row)
        values.append(value)
        weights.append(1.0 / std)

    for p in range(count):
        for a, y in zip(design[p], data[p]):
            entries = [(p * d + k, a[k]) for k in range(4)] + [(stopping, a[4])]
            say(entries, y, 1.0)
        say([(p * d + 3, 1.0)], 1.0, PRIORS["slope"].own)
        say([(p * d + 2, 1.0), (fluence, -1.0)], 0.0, PRIORS["fluence"].own)
        say([(p * d + 4, 1.0)], 0.0, 1.0)  # a place holder: this unknown is the common one
    say([(stopping, 1.0)], 1.0, PRIORS["stopping:Cu"].common)
    say([(fluence, 1.0)], 1.0, PRIORS["fluence"].common)
    matrix, weight = np.array(rows), np.array(weights)
    cov = np.linalg.inv(matrix.T @ (matrix * weight[:, None] ** 2))
    mean = cov @ (matrix.T @ (np.array(values) * weight**2))
    place = [p * d + k if k < 4 else stopping for p in range(count) for k in range(d)]
    shape = (count, d)
    return mean[place].reshape(shape), cov[np.ix_(place, place)].reshape(*shape, *shape), mean[[fluence, stopping]], cov


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_pooled_is_the_joint_fit(seed, count):
    design, data = world(seed, count)
    found = pool(NAMES, *separate(design, data), PRIORS)
    mean, cov, common, full = joint(design, data)
    std = np.sqrt(np.einsum("pipi->pi", cov))
    np.testing.assert_allclose((found.mean - mean) / std, 0.0, atol=1e-6)
    scale = std[:, :, None, None] * std[None, None]
    np.testing.assert_allclose((found.cov - cov) / scale, 0.0, atol=1e-6)
    assert found.names == ("fluence", "stopping:Cu")
    np.testing.assert_allclose(found.common, common, rtol=1e-9)
    np.testing.assert_allclose(found.common_cov, full[np.ix_([-1, -2], [-1, -2])], rtol=1e-6)


def test_one_spectrum_stays_as_it_was():
    mean, cov = separate(*world(3, 1))
    found = pool(NAMES, mean, cov, PRIORS)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(found.cov[0, :, 0], cov[0], rtol=1e-6, atol=1e-12)


def test_what_is_shared_is_known_better_and_errs_together():
    mean, cov = separate(*world(5, 6))
    found = pool(NAMES, mean, cov, PRIORS)
    alone = np.sqrt(cov[:, 4, 4])
    assert np.all(np.sqrt(found.common_cov[1, 1]) < alone)
    together = found.cov[0, 4, 3, 4] / np.sqrt(found.cov[0, 4, 0, 4] * found.cov[3, 4, 3, 4])
    assert together == pytest.approx(1.0)


def test_nothing_shared_leaves_blocks():
    mean, cov = separate(*world(5, 3))
    own = {k: Prior(own=prior.total) for k, prior in PRIORS.items()}
    found = pool(NAMES, mean, cov, own)
    np.testing.assert_array_equal(found.mean, mean)
    assert np.all(found.cov[0, :, 1] == 0.0)
    assert found.names == ()
    assert found.common.size == 0


def test_what_cannot_be_pooled_is_refused():
    mean, cov = separate(*world(1, 2))
    with pytest.raises(OutOfRange, match="do not belong together"):
        pool(NAMES[:-1], mean, cov, PRIORS)
    with pytest.raises(OutOfRange, match="slope have no width"):
        pool(NAMES, mean, cov, PRIORS | {"slope": Prior()})
    with pytest.raises(OutOfRange, match="not determined"):
        pool(NAMES, mean, np.zeros_like(cov), PRIORS)
