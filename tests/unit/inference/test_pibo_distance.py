"""The law of the distance: beside scipy, an integral in other coordinates, Monte Carlo; its gradients; BoTorch."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, ncx2, norm

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.pibo.distance import distance_probability, distance_quantile, published_quantile
from sdl_bluesky.inference.pibo.inspec import Box
from sdl_bluesky.physics.alloys import InGaAsP, Specification


def tensor(a):
    return torch.tensor(np.array(a, dtype=float), dtype=torch.float64)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("angle", [0.0, 0.17, math.pi / 4, math.pi / 2])
def test_equal_errors_are_the_noncentral_chi_squared_law(p, angle):
    c = np.concatenate([[0.0], np.geomspace(1e-6, 3e7, 41)])
    mean = 0.3 * np.sqrt(c)[:, None] * [math.cos(angle), math.sin(angle)]
    found = distance_quantile(p, tensor(mean), tensor([0.3, 0.3])).numpy()
    assert found == pytest.approx(0.09 * ncx2.ppf(p, 2, c), rel=1e-8)


def test_far_targets_beside_scipy_where_it_still_answers():
    """scipy.stats.ncx2.ppf is slow there, so few."""
    for c in (1e8, 1e9, 1e10):
        found = float(distance_quantile(0.1, tensor([0.6 * math.sqrt(c), 0.8 * math.sqrt(c)]), tensor([1.0, 1.0])))
        assert found == pytest.approx(float(ncx2.ppf(0.1, 2, c)), rel=1e-8)


@pytest.mark.parametrize("ratio", [1.0, 0.1, 3.0])
@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2])
def test_monotone_and_continuous_to_1e14(ratio, angle):
    """The distance less |m| is smooth in ln C: no step where the expansion takes over."""
    length = np.sqrt(np.geomspace(1.0, 1e14, 2001))
    mean = length[:, None] * [math.cos(angle), math.sin(angle)]
    radius = np.sqrt(distance_quantile(0.1, tensor(mean), tensor([1.0, ratio])).numpy())
    assert np.all(np.diff(radius) > 0)
    beyond = length > 50
    assert np.max(np.abs(np.diff((radius - length)[beyond]))) < 1e-3
    jump = np.abs(np.diff(np.log(radius), 2))[beyond[2:]]
    assert jump.max() < 1e-4


@settings(max_examples=8)
@given(st.floats(0.0, 40.0), st.floats(0.0, math.pi), st.floats(-1.0, 1.0), st.sampled_from([0.01, 0.1, 0.5, 0.9]))
def test_the_quantile_has_its_probability_by_an_integral_in_other_coordinates(length, angle, log_ratio, p):
    m, s = length * np.array([math.cos(angle), math.sin(angle)]), np.array([1.0, 10.0**log_ratio])
    r = math.sqrt(float(distance_quantile(p, tensor(m), tensor(s))))
    assert _integral(r, m, s) == pytest.approx(p, abs=1e-8)


def _integral(r, m, s):
    """P(distance <= r) along x, in pieces."""

    def inner(x):
        h = math.sqrt(max(r * r - x * x, 0.0))
        return norm.pdf(x, m[0], s[0]) * (norm.cdf(h, m[1], s[1]) - norm.cdf(-h, m[1], s[1]))

    low, high = max(-r, m[0] - 10 * s[0]), min(r, m[0] + 10 * s[0])
    if low >= high:
        return 0.0
    edges = (low + high) / 2 + (high - low) / 2 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, 9))
    return sum(quad(inner, a, b, epsabs=1e-12, epsrel=1e-10)[0] for a, b in pairwise(edges))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0, 10.0])
def test_monte_carlo(ratio):
    rng = np.random.default_rng(7)
    mean, std, n = np.array([1.5, -2.0]), np.array([1.0, ratio]), 1_000_000
    square = ((mean + std * rng.normal(size=(n, 2))) ** 2).sum(axis=1)
    for p in (0.05, 0.1, 0.6):
        q = float(distance_quantile(p, tensor(mean), tensor(std)))
        assert abs(np.mean(square < q) - p) < 4 * math.sqrt(p * (1 - p) / n)
        assert float(distance_probability(torch.tensor(math.sqrt(q)), tensor(mean), tensor(std))) == pytest.approx(p)


def test_the_published_form_errs_where_the_errors_differ():
    """Exact for equal errors; far off at a ratio of two."""
    mean = tensor([[0.0, 3.0], [3.0, 0.0]])
    same, other = tensor([1.0, 1.0]), tensor([1.0, 2.0])
    assert torch.allclose(published_quantile(0.1, mean, same), distance_quantile(0.1, mean, same), rtol=1e-12)
    ratio = (published_quantile(0.1, mean, other) / distance_quantile(0.1, mean, other)).numpy()
    assert ratio[0] > 1.3
    assert ratio[1] < 0.8


@pytest.mark.parametrize("law", [distance_quantile, published_quantile])
@pytest.mark.parametrize("away", [0.0, 3000.0])
def test_gradients(away, law):
    """Near, and where the expansion is used."""
    rng = torch.Generator().manual_seed(3)
    mean = (torch.randn(3, 2, dtype=torch.float64, generator=rng) * 3 + away).requires_grad_()
    std = (torch.rand(3, 2, dtype=torch.float64, generator=rng) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, s: torch.sqrt(law(0.1, m, s)), (mean, std), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("p", "mean", "std"),
    [(0.0, [0, 0], [1, 1]), (0.1, [0, 0, 0], [1, 1, 1]), (0.1, [math.nan, 0], [1, 1]), (0.1, [0, 0], [1, 0])],
)
def test_bad_numbers_are_refused(p, mean, std):
    with pytest.raises(OutOfRange):
        distance_quantile(p, tensor(mean), tensor(std))


def test_in_specification_by_sampling_the_alloy_itself():
    """The rectangle through the Jacobian, beside layers of random composition put through the alloy."""
    alloy, specification = InGaAsP(), Specification(1180.0)
    box = Box.of(specification, alloy)
    rng = np.random.default_rng(2)
    for off, std, rho in (
        ([0, 0], [0.004, 0.006], 0.5),
        ([0.004, -0.002], [0.003, 0.01], -0.3),
        ([0, 0], [1e-4] * 2, 0),
    ):
        mean = box.target.numpy() + off
        cov = np.outer(std, std) * [[1, rho], [rho, 1]]
        xy = multivariate_normal(mean, cov).rvs(200_000, random_state=rng)
        share = specification.met_by(alloy, xy[:, 0], xy[:, 1]).mean()
        assert float(box.probability(tensor(mean), tensor(cov))) == pytest.approx(share, abs=0.006)


def test_in_specification_has_gradients_and_underflows_to_nothing():
    box = Box.of(Specification(1100.0), InGaAsP())
    mean = (box.target + tensor([[0.003, 0.001], [0.0, 0.01]])).requires_grad_()
    cov = torch.diag_embed(tensor([[1e-5, 2e-5], [3e-5, 1e-5]]))
    assert torch.autograd.gradcheck(lambda m: box.probability(m, cov), (mean,), eps=1e-7, atol=1e-3)
    assert float(box.probability(box.target + 0.5, 1e-6 * torch.eye(2, dtype=torch.float64))) == 0.0
