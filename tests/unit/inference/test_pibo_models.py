"""The two models of growth: closed forms, sums done by hand, coverage over random reactors."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import multivariate_normal

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.pibo.data import GrowthData
from sdl_bluesky.inference.pibo.logodds import LogOddsModel, Prior
from sdl_bluesky.inference.pibo.marginal import explain
from sdl_bluesky.inference.pibo.published import PublishedModel, least_squares

BOUNDS = ((2.0, 8.0), (4.0, 14.0))
FLOWS = np.array([[4.4, 8.3], [5.1, 9.4], [5.5, 8.3], [4.5, 8.1], [4.3, 9.3], [4.9, 8.9]])


def test_least_squares_and_the_clamp():
    rising = least_squares([4.0, 5.0, 6.0], [0.1, 0.12, 0.15])
    assert (rising.a, rising.b) == pytest.approx(tuple(np.polyfit([4.0, 5.0, 6.0], [0.1, 0.12, 0.15], 1)))
    falling = least_squares([4.0, 5.0, 6.0], [0.15, 0.12, 0.1])
    assert (falling.a, falling.b, falling.varied) == (0.0, pytest.approx(0.37 / 3), True)


@settings(max_examples=50)
@given(st.floats(2.0, 14.0), st.lists(st.floats(0.05, 0.5), min_size=2, max_size=9))
def test_a_flow_that_never_varied_has_no_slope(flow, values):
    line = least_squares([flow] * len(values), values)
    assert line.a == 0.0
    assert not line.varied
    assert line.b == pytest.approx(np.mean(values))


def test_the_published_model_reproduces_a_line_and_goes_on_with_it():
    xy = np.stack([0.03 * FLOWS[:, 0] + 0.01, 0.04 * FLOWS[:, 1] + 0.02], axis=1)
    normal = PublishedModel(BOUNDS).fit(GrowthData.one_campaign(FLOWS, xy)).normal([[7.0, 13.0]])
    assert normal.mean[0] == pytest.approx([0.22, 0.54], abs=1e-4)


def test_the_residual_follows_the_data_and_returns_to_the_line():
    """Conditional normal by scipy's own formula is not at hand: Schur's complement of its joint covariance is."""
    rng = np.random.default_rng(0)
    flows = rng.uniform([2, 4], [8, 14], (25, 2))
    wave = 0.02 * np.sin(flows[:, 0]) * np.cos(0.7 * flows[:, 1])
    xy = np.stack([0.03 * flows[:, 0] + wave, 0.04 * flows[:, 1] - wave], axis=1)
    posterior = PublishedModel(BOUNDS).fit(GrowthData.one_campaign(flows, xy))
    at = np.array([[5.0, 9.0], [4.0, 7.0]])
    r = posterior.residuals[0]
    u = np.concatenate([flows, at]) / [6.0, 10.0]
    k = r.variance * np.exp(-0.5 * ((u[:, None] - u[None]) ** 2).sum(-1) / r.length**2)
    noisy = r.root @ r.root.T
    line = posterior.lines[0]
    z = xy[:, 0] - line.a * flows[:, 0] - line.b
    mean = line.a * at[:, 0] + line.b + k[25:, :25] @ np.linalg.solve(noisy, z)
    cov = k[25:, 25:] - k[25:, :25] @ np.linalg.solve(noisy, k[:25, 25:])
    normal = posterior.normal(at)
    assert normal.mean[:, 0] == pytest.approx(mean, rel=1e-6)
    assert normal.std[:, 0] == pytest.approx(np.sqrt(np.diag(cov)), rel=1e-4)
    truth = 0.03 * at[:, 0] + 0.02 * np.sin(at[:, 0]) * np.cos(0.7 * at[:, 1])
    assert np.abs(normal.mean[:, 0] - truth).max() < 0.006


def test_bad_runs_by_all_their_sets():
    """The beam beside the sum over all 2^n sets, with densities of scipy."""
    rng = np.random.default_rng(4)
    n, draws, rate, size = 5, 3, 0.1, 0.5
    roots = rng.normal(size=(draws, 2, n, n)) * 0.3
    gram = roots @ np.swapaxes(roots, -1, -2) + 0.01 * np.eye(n)
    z = np.stack([multivariate_normal(np.zeros(n), gram[0, k]).rvs(random_state=rng) for k in range(2)])
    z[:, 3] += [0.9, -0.7]
    total, bad, evidence = 0.0, np.zeros(n), np.zeros(draws)
    for pattern in product((0, 1), repeat=n):
        mask = np.array(pattern, dtype=float)
        for d in range(draws):
            odds = (rate / (1 - rate)) ** mask.sum()
            for k in range(2):
                odds *= multivariate_normal(np.zeros(n), gram[d, k] + size**2 * np.diag(mask)).pdf(z[k])
            total, bad, evidence[d] = total + odds, bad + odds * mask, evidence[d] + odds
    found = explain(gram, z, rate, size)
    assert found.bad == pytest.approx(bad / total, abs=0.02)
    assert found.log_evidence == pytest.approx(math.log(total / draws), abs=0.05)
    shares = np.array([found.weight[found.draw == d].sum() for d in range(draws)])
    assert shares == pytest.approx(evidence / total, abs=0.03)


def test_without_doubt_the_log_odds_model_is_a_linear_regression():
    """Fixed hyper-parameters, no misfit: the posterior of the slopes in closed form."""
    tiny = (1e-9, 1e-9)
    prior = Prior(misfit=tiny, noise=(0.02, 1e-9), offset=tiny, bad=0.0)
    model = LogOddsModel(BOUNDS, prior=prior, draws=8)
    u = model.inputs(FLOWS)
    rng = np.random.default_rng(1)
    z = u @ np.array([[1.4, 0.3], [-0.3, 0.8]]) + [-1.6, -0.6] + 0.02 * rng.normal(size=(6, 2))
    posterior = model.fit(GrowthData.one_campaign(FLOWS, expit(z)))
    mean, std = posterior.slopes()
    design = np.column_stack([np.ones(6), u])
    for k in range(2):
        before = np.array([0.0, 1.0, 0.0]) if k == 0 else np.array([0.0, 0.0, 1.0])
        precision = design.T @ design / 0.02**2 + np.diag([1 / 3.0**2, 4.0, 4.0])
        cov = np.linalg.inv(precision)
        expected = before + cov @ design.T @ (z[:, k] - design @ before) / 0.02**2
        assert mean[k] == pytest.approx(expected[1:], abs=1e-6)
        assert std[k] == pytest.approx(np.sqrt(np.diag(cov))[1:], rel=1e-5)
        at = np.array([[6.0, 11.0]])
        row = np.array([1.0, *model.inputs(at)[0]])
        x = expit(row @ expected)
        var = row @ cov @ row
        normal = posterior.normal(at)
        assert normal.mean[0, k] == pytest.approx(x + 0.5 * x * (1 - x) * (1 - 2 * x) * var, abs=1e-7)
        assert normal.std[0, k] == pytest.approx(x * (1 - x) * math.sqrt(var), rel=1e-4)
        assert math.sqrt(normal.layer.cov[0, k, k]) == pytest.approx(
            x * (1 - x) * math.hypot(0.02, math.sqrt(var)), rel=1e-4
        )


def test_intervals_hold_on_reactors_drawn_from_the_prior_of_slopes():
    rng = np.random.default_rng(11)
    model, inside = LogOddsModel(BOUNDS, draws=256), []
    at = np.array([[6.0, 11.3], [4.1, 6.8]])
    for _ in range(60):
        slopes = np.array([[1.0, 0.0], [0.0, 1.0]]) + 0.5 * rng.normal(size=(2, 2))
        noise = np.exp(rng.normal(np.log(0.015), 0.8, 2))
        z = model.inputs(FLOWS) @ slopes.T - [1.6, 0.6] + noise * rng.normal(size=(6, 2))
        normal = model.fit(GrowthData.one_campaign(FLOWS, expit(z))).normal(at)
        truth = expit(model.inputs(at) @ slopes.T - [1.6, 0.6])
        inside.append(np.abs(truth - normal.mean) < 1.645 * normal.std)
    share = np.mean(inside)  # no misfit in these reactors, so that the intervals are a little wide
    assert 0.88 < share < 0.99


def test_an_error_that_a_run_tells_counts():
    model = LogOddsModel(BOUNDS)
    xy = expit(model.inputs(FLOWS) @ np.array([[1.4, 0.3], [-0.3, 0.8]]) + [-1.6, -0.6])
    group, none = np.zeros(6, dtype=int), np.zeros((6, 2))
    precise = model.fit(GrowthData(FLOWS, xy, none, group)).normal(FLOWS[:1])
    rough = model.fit(GrowthData(FLOWS, xy, none + 0.02, group)).normal(FLOWS[:1])
    assert np.all(rough.std > 2 * precise.std)


def test_what_cannot_be_used_is_refused():
    model, published = LogOddsModel(BOUNDS), PublishedModel(BOUNDS)
    nothing = GrowthData.one_campaign(np.empty((0, 2)), np.empty((0, 2)))
    for one in (model, published):
        with pytest.raises(Unidentifiable):
            one.fit(nothing)
    with pytest.raises(OutOfRange):
        GrowthData.one_campaign(FLOWS, np.full((6, 2), math.nan))
    with pytest.raises(OutOfRange):
        GrowthData(FLOWS, logit(np.full((6, 2), 0.5)), np.zeros((6, 2)), np.zeros(3, dtype=int))
    with pytest.raises(OutOfRange):
        model.inputs(np.array([[0.0, 3.0]]))
    with pytest.raises(OutOfRange):
        LogOddsModel(((0.0, 8.0), (4.0, 14.0)))
    with pytest.raises(OutOfRange, match="simulator"):
        LogOddsModel(BOUNDS, simulator=lambda f: f[:, 0]).fit(GrowthData.one_campaign(FLOWS, np.full((6, 2), 0.3)))
