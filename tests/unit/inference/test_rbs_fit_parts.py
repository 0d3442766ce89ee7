"""Parts of the fit against independent sums: likelihoods, steps in a box, goodness, information, the coarse problem."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.inference.rbs_fit.box import Settings, box_step, minimise
from sdl_bluesky.inference.rbs_fit.coarse import coarse_problem, merged_problem
from sdl_bluesky.inference.rbs_fit.goodness import expected_deviance, goodness
from sdl_bluesky.inference.rbs_fit.likelihood import likelihood
from sdl_bluesky.inference.rbs_fit.parameters import Parameters, extras_of
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.physics.rbs import Setup, simulate

SETUP = Setup(elements=("Cu", "Sn", "Si"), fluence_ions=2e13, channels=1000)
FREE = np.array([[True, True, False], [False, False, False]])
FILM = np.array([[300.0, 200.0, 0.0], [0.0, 0.0, 25000.0]])


@pytest.mark.parametrize("name", rbs_fit.LIKELIHOODS)
def test_the_slope_of_a_likelihood_is_its_derivative(name):
    x = np.array([0.0, 1.0, 3.0, 40.0, 1000.0])[:, None] * np.ones(6)
    mu = np.array([0.02, 0.9, 1.3, 25.0, 55.0, 1200.0]) * np.ones((5, 1))
    value, slope, weight = likelihood(name)(x, mu)
    step = 1e-6 * mu
    up, down = likelihood(name)(x, mu + step)[0], likelihood(name)(x, mu - step)[0]
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)
    assert np.all(value >= 0)
    assert np.all(weight > 0)


def test_the_deviance_is_a_ratio_of_poisson_probabilities():
    x, mu = np.array([0.0, 2.0, 7.0, 150.0]), np.array([1.5, 6.0, 6.0, 120.0])
    ratio = stats.poisson.logpmf(x, np.maximum(x, 1e-300)) - stats.poisson.logpmf(x, mu)
    assert rbs_fit.deviance(x, mu - 0.01) == pytest.approx(2 * ratio.sum())
    assert rbs_fit.paper_chi2(x, mu) == pytest.approx(1.5**2 + 16 / 3 + 1 / 8 + 900 / 151)


def test_unknown_likelihood():
    with pytest.raises(UnknownName, match="poisson"):
        likelihood("gauss")


@settings(max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_a_step_is_the_best_one_in_the_box(seed, p):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(5, p + 2, p))
    matrix, gradient = np.einsum("rkp,rkq->rpq", root, root) + 1e-2 * np.eye(p), rng.normal(size=(5, p))
    theta = rng.choice([0.0, 0.3, 1.0], (5, p))
    step = box_step(theta, gradient, matrix, np.zeros(p), np.ones(p))
    for t, g, m, d in zip(theta, gradient, matrix, step, strict=True):
        factor = np.linalg.cholesky(m)
        best = optimize.lsq_linear(factor.T, -np.linalg.solve(factor, g), (-t - 1e-12, 1 - t + 1e-12), tol=1e-14)
        assert np.all((t + d >= -1e-9) & (t + d <= 1 + 1e-9))
        assert g @ d + 0.5 * d @ m @ d <= g @ best.x + 0.5 * best.x @ m @ best.x + 1e-7


def test_a_step_far_from_the_bounds_is_newton_s():
    matrix, gradient = np.array([[[4.0, 1.0], [1.0, 3.0]]]), np.array([[1.0, -2.0]])
    step = box_step(np.zeros((1, 2)), gradient, matrix, np.full(2, -9.0), np.full(2, 9.0))
    assert step[0] == pytest.approx([-5 / 11, 9 / 11])


def test_many_curved_problems_end_where_scipy_ends():
    rng = np.random.default_rng(0)
    t = np.linspace(0, 4, 40)
    truth = np.column_stack([rng.uniform(1, 5, 30), rng.uniform(0.2, 2, 30), rng.uniform(-1, 1, 30)])
    y = truth[:, :1] * np.exp(-truth[:, 1:2] * t) + truth[:, 2:] + 0.01 * rng.normal(size=(30, 40))
    lower, upper = np.array([0.5, 0.5, -0.5]), np.array([4.0, 3.0, 0.8])  # some truths lie outside

    def residual(theta, rows):
        return theta[:, :1] * np.exp(-theta[:, 1:2] * t) + theta[:, 2:] - y[rows]

    def local(theta, rows):
        bend = np.exp(-theta[:, 1:2] * t)
        j = np.stack([bend, -t * theta[:, :1] * bend, np.ones_like(bend)], axis=1)
        r = residual(theta, rows)
        return 0.5 * (r**2).sum(axis=1), np.einsum("rpc,rc->rp", j, r), np.einsum("rpc,rqc->rpq", j, j)

    found = minimise(local, np.tile([2.5, 1.5, 0.5], (30, 1)), lower, upper, Settings(200, 1e-12, 0.1))
    assert found.converged.all()
    for row in range(30):
        best = optimize.least_squares(
            lambda theta, row=row: residual(theta[None], np.array([row]))[0],
            [2.5, 1.5, 0.5],
            bounds=(lower, upper),
            xtol=1e-12,
        )
        assert found.value[row] == pytest.approx(best.cost, rel=1e-6, abs=1e-9)
        assert found.theta[row] == pytest.approx(best.x, abs=1e-4)
    assert np.any(found.theta == upper)


@pytest.mark.parametrize("mu", [0.05, 1.0, 7.0, 900.0])
def test_the_expected_deviance_is_that_of_drawn_counts(mu):
    rng = np.random.default_rng(1)
    drawn = np.array(
        [rbs_fit.deviance(k[None], np.full((1, 1), mu))[0] for k in rng.poisson(mu, (20000, 1)).astype(float)]
    )
    mean, variance = expected_deviance(np.full((1, 1), mu))
    assert mean[0] == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(20000) + 1e-3)
    assert variance[0] == pytest.approx(drawn.var(), rel=0.12)


def test_goodness_is_uniform_where_counts_are_few():
    rng = np.random.default_rng(2)
    mu = np.tile(np.geomspace(0.05, 50, 300), (600, 1))
    x = rng.poisson(mu).astype(float)
    p = goodness(rbs_fit.deviance(x, mu), mu, np.zeros(600))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    far = goodness(rbs_fit.deviance(1.3 * x, mu), mu, np.zeros(600))
    assert np.median(far) < 1e-3


def test_information_is_that_of_finite_differences():
    bound = rbs_fit.cramer_rao(SETUP, FILM, free=FREE, roi=[(300, 950)])
    step = 0.5
    mu = simulate(SETUP, FILM)[300:950]
    slopes = []
    for element in (0, 1):
        up, down = FILM.copy(), FILM.copy()
        up[0, element] += step
        down[0, element] -= step
        slopes.append((simulate(SETUP, up) - simulate(SETUP, down))[300:950] / (2 * step))
    seen = mu > 1e-9
    j = np.array(slopes)[:, seen]
    assert bound[0] == pytest.approx(np.sqrt(np.diag(np.linalg.inv((j / mu[seen]) @ j.T))), rel=0.02)
    prior = rbs_fit.cramer_rao(SETUP, FILM, free=FREE, roi=[(300, 950)], nuisance={"fluence": 0.05})
    assert np.all(prior[0, :2] > bound[0])
    assert prior[0, 2] < 0.05


def test_what_the_region_does_not_show_has_no_bound():
    bound = rbs_fit.cramer_rao(SETUP, FILM, free=FREE, roi=[(960, 1000)])
    assert np.all(np.isinf(bound))


def _problem(regions):
    channels = np.concatenate([np.arange(*k) for k in regions])
    counts = simulate(SETUP, FILM)[None, channels]
    parameters = Parameters((SETUP,), FREE, (), np.zeros(2), np.full(2, 5000.0), np.zeros(2), np.zeros(2))
    return Problem(parameters, FILM[None], (channels,), counts)


def test_the_coarse_problem_is_the_same_sample_through_a_poor_detector():
    coarse = coarse_problem(_problem([(100, 1000)]))
    assert coarse is not None
    assert coarse.counts.shape[1] < 900 / 12
    expected = coarse.expected(FILM[:, :2][:1], np.array([0]))
    assert expected.sum() == pytest.approx(coarse.counts.sum(), rel=0.01)
    assert np.abs(expected - coarse.counts).max() < 0.04 * coarse.counts.max()


def test_merged_channels_say_the_same():
    narrow = Setup(elements=SETUP.elements, slope_keV=0.7, offset_keV=30.0, quadratic_keV=1e-5, channels=2700)
    extras = extras_of([narrow], [{"slope": 0.01, "offset": 1.0}])
    parameters = Parameters((narrow,), FREE, extras, np.zeros(4), np.full(4, 5e3), np.array([0, 0, 1, 0.0]), np.ones(4))
    channels = np.concatenate([np.arange(301, 1000), np.arange(1203, 2600)])
    theta = np.array([[280.0, 230.0, 1.004, -2.0]])
    whole = Problem(parameters, FILM[None], (channels,), np.zeros((1, len(channels))))
    counts = whole.expected(theta, np.array([0]))
    merged = merged_problem(Problem(parameters, FILM[None], (channels,), counts))
    assert merged is not None
    assert merged.counts.shape[1] == 139 + 279  # by five
    assert merged.expected(theta, np.array([0])) == pytest.approx(merged.counts, rel=2e-4, abs=1e-3)
    assert merged_problem(_problem([(100, 1000)])) is None


def test_the_coarse_problem_leaves_out_what_a_gap_reaches():
    whole, gap = coarse_problem(_problem([(100, 1000)])), coarse_problem(_problem([(100, 500), (600, 1000)]))
    assert whole is not None
    assert gap is not None
    assert gap.counts.shape[1] < whole.counts.shape[1]
    expected = gap.expected(FILM[:, :2][:1], np.array([0]))
    assert np.abs(expected - gap.counts).max() < 0.06 * gap.counts.max()
    assert coarse_problem(_problem([(100, 120)])) is None
