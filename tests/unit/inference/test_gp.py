"""The fully Bayesian models: against closed forms, against a long reference, and against laws they must obey."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.gp import FullyBayesianGP, Noise, PowerScaledGP, Prior
from sdl_bluesky.inference.sampler import sample

BOX = ((10.0, 100.0), (4.0, 20.0))
SURE = 1e-7  # logarithmic spread of a hyper-parameter that is known


def surface(x):
    power, pressure = np.asarray(x).T
    return 0.42 * power**1.06 * np.exp(-((np.log(pressure / 7)) ** 2) / 1.6)


def readings(n=9, seed=0):
    rng = np.random.default_rng(seed)
    low, high = np.array(BOX).T
    x = low + rng.random((n, 2)) * (high - low)
    y = surface(x)
    return x, y + np.hypot(0.015 * y, 0.05) * rng.standard_normal(n)


def matern(x1, x2, length):
    r = np.sqrt(5) * np.abs(x1[..., :, None] - x2[..., None, :]) / length
    return (1 + r + r**2 / 3) * np.exp(-r)


def squared_exponential(x1, x2, length):
    return norm.pdf((x1[..., :, None] - x2[..., None, :]) / length) / norm.pdf(0.0)


def test_sampler_on_a_normal_posterior():
    mean, std = np.array([0.5, -1.0]), np.array([1.0, 0.7])
    precision = np.array([[4.0, 1.5], [1.5, 9.0]])
    centre = np.array([1.2, -0.4])
    nodes = sample(
        lambda t: -0.5 * np.einsum("ni,ij,nj->n", t - centre, precision, t - centre), mean, std, nodes=0, seed=3
    )
    cov = np.linalg.inv(precision + np.diag(std**-2))
    exact = cov @ (precision @ centre + mean / std**2)
    got = nodes.weight @ nodes.theta
    off = nodes.theta - got
    assert got == pytest.approx(exact, abs=0.01)
    assert off.T @ (off * nodes.weight[:, None]) == pytest.approx(cov, abs=0.005)
    spread = np.linalg.inv(precision) + np.diag(std**2)
    evidence = -0.5 * (centre - mean) @ np.linalg.solve(spread, centre - mean) + 0.5 * np.log(
        (2 * np.pi) ** 2 / np.linalg.det(precision) / np.linalg.det(2 * np.pi * spread)
    )
    assert nodes.log_evidence == pytest.approx(evidence, abs=0.01)
    assert nodes.ess > 500


@pytest.mark.parametrize("correlation", [matern, squared_exponential])
def test_known_hyper_parameters_give_the_textbook_process(correlation):
    prior = Prior((0.7, SURE), (1.3, SURE), 2.0, Noise((1e-9, SURE), (0.1, SURE)))
    x, y = np.array([0.0, 0.3, 0.55, 1.0]), np.array([1.0, 1.4, 0.7, -0.5])
    q = np.array([0.1, 0.6, 1.2])
    scale = y.std()

    def kernel(a, b):
        return scale**2 * (4.0 + 1.3**2 * correlation(a, b, 0.7))

    gram = kernel(x, x) + 0.01 * np.eye(4)
    mean = y.mean() + kernel(q, x) @ np.linalg.solve(gram, y - y.mean())
    cov = kernel(q, q) - kernel(q, x) @ np.linalg.solve(gram, kernel(x, q))
    model = FullyBayesianGP(((0.0, 1.0),), prior, smooth=correlation is squared_exponential)
    posterior = model.fit(x[:, None], y)
    got, std = posterior.predict(q[:, None])
    assert got == pytest.approx(mean, rel=1e-5)
    assert std == pytest.approx(np.sqrt(np.diag(cov)), rel=1e-5)
    assert posterior.covariance(q[:, None]) == pytest.approx(cov, rel=1e-4, abs=1e-6)
    density = norm.logpdf(1.0, mean, np.sqrt(np.diag(cov) + 0.01 + 0.2**2))
    assert posterior.log_predictive_density(q[:, None], np.ones(3), np.full(3, 0.2)) == pytest.approx(density, rel=1e-4)


def test_power_scaled_with_known_hyper_parameters():
    prior = Prior((0.8, SURE), (0.3, SURE), 1.5, Noise((0.02, SURE), (0.05, SURE)))
    x, y = np.array([10.0, 30.0, 60.0, 100.0]), np.array([4.0, 13.0, 26.0, 45.0])
    given_std = np.array([0.0, 0.1, 0.2, 0.0])
    q = np.array([20.0, 80.0])
    b = x / np.sqrt(1000)
    scale = y @ b / (b @ b)

    def kernel(a, c):
        z = np.log(a / 10) / np.log(10), np.log(c / 10) / np.log(10)
        return scale**2 * (1.5**2 + 0.3**2 * matern(*z, 0.8)) * np.outer(a, c) / 1000

    gram = kernel(x, x) + np.diag((0.02 * y) ** 2 + 0.05**2 + given_std**2)
    mean = kernel(q, x) @ np.linalg.solve(gram, y)
    var = np.diag(kernel(q, q) - kernel(q, x) @ np.linalg.solve(gram, kernel(x, q)))
    got, std = PowerScaledGP(((10.0, 100.0),), prior).fit(x[:, None], y, given_std).predict(q[:, None])
    assert got == pytest.approx(mean, rel=1e-6)
    assert std == pytest.approx(np.sqrt(var), rel=1e-5)


def test_sampler_agrees_with_a_long_reference():
    """Plain Monte Carlo over the prior with 60,000 points and a kernel written here; mean within .04 sd, sd within 4 %."""
    prior = Prior((0.8, 0.7), (1.2, 0.7), 1.0, Noise((0.02, 0.4), (0.05, 0.6)))
    x = np.array([0.0, 0.2, 0.45, 0.7, 1.0])
    y = np.array([2.0, 2.9, 3.4, 3.1, 2.2])
    q = np.array([0.1, 0.33, 0.6, 0.85, 1.1])
    offset, scale = y.mean(), y.std()
    rng = np.random.default_rng(1)
    m = 60000
    length = 0.8 * np.exp(0.7 * rng.standard_normal(m))[:, None, None]
    signal = 1.2 * np.exp(0.7 * rng.standard_normal(m))[:, None, None]
    relative = 0.02 * np.exp(0.4 * rng.standard_normal(m))[:, None]
    absolute = 0.05 * np.exp(0.6 * rng.standard_normal(m))[:, None]
    z = (y - offset) / scale
    gram = 1.0 + signal**2 * matern(x[None], x[None], length)
    gram += np.eye(5) * ((relative * y / scale) ** 2 + (absolute / scale) ** 2)[:, None, :]
    cross = 1.0 + signal**2 * matern(q[None], x[None], length)
    inverse = np.linalg.inv(gram)
    log_like = -0.5 * np.einsum("i,mij,j->m", z, inverse, z) - 0.5 * np.linalg.slogdet(gram)[1]
    w = np.exp(log_like - log_like.max())
    w /= w.sum()
    assert 1 / np.sum(w**2) > 2000
    mean = np.einsum("mqi,mij,j->mq", cross, inverse, z)
    var = 1.0 + signal[:, :, 0] ** 2 - np.einsum("mqi,mij,mqj->mq", cross, inverse, cross)
    reference = w @ mean
    std = np.sqrt(w @ (var + (mean - reference) ** 2)) * scale
    got, got_std = FullyBayesianGP(((0.0, 1.0),), prior, seed=5).fit(x[:, None], y).predict(q[:, None])
    assert np.max(np.abs(got - (offset + scale * reference)) / std) < 0.04
    assert got_std == pytest.approx(std, rel=0.04)


@pytest.mark.parametrize("model", [FullyBayesianGP, PowerScaledGP])
def test_posterior_is_consistent_with_itself(model):
    x, y = readings()
    posterior = model(BOX).fit(x, y)
    q = readings(6, seed=9)[0]
    mean, std = posterior.predict(q)
    cov = posterior.covariance(q)
    assert np.sqrt(np.diag(cov)) == pytest.approx(std, rel=1e-6)
    assert np.linalg.eigvalsh(cov).min() > -1e-9
    samples = posterior.samples(q, 4000, seed=1)
    assert samples.mean(axis=0) == pytest.approx(mean, abs=0.1 * std.max())
    assert np.cov(samples.T) == pytest.approx(cov, abs=0.1 * cov.max())
    assert np.array_equal(samples, posterior.samples(q, 4000, seed=1))
    c = posterior.components(q)
    total = np.exp(norm.logpdf(30.0, c.mean, np.sqrt(c.variance + c.noise)))
    assert posterior.log_predictive_density(q, np.full(6, 30.0)) == pytest.approx(np.log(c.weight @ total))
    assert c.weight.sum() == pytest.approx(1.0)
    assert len(c.weight) <= 96


@pytest.mark.parametrize("model", [FullyBayesianGP, PowerScaledGP])
def test_same_data_same_floats(model):
    x, y = readings()
    one, other = (model(BOX, seed=4).fit(x, y).predict(x[:3]) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_believing_keeps_the_mean_and_takes_variance():
    x, y = readings()
    posterior = PowerScaledGP(BOX).fit(x, y)
    q = np.array([[80.0, 15.0]])
    mean, std = posterior.predict(q)
    after_mean, after_std = posterior.believe(q).predict(q)
    assert after_mean == pytest.approx(mean, rel=5e-3)
    assert after_std < std


@given(st.floats(1e-2, 1e2))
@settings(max_examples=4)
def test_a_change_of_the_outcomes_unit_changes_nothing_else(k):
    x, y = readings()
    for model in (FullyBayesianGP, PowerScaledGP):
        own = model(BOX).prior
        scaled = replace(own, noise=Noise(own.noise.relative, (k * 0.05, own.noise.absolute[1])))
        mean, std = model(BOX).fit(x, y).predict(x + 0.5)
        other, other_std = model(BOX, scaled).fit(x, k * y).predict(x + 0.5)
        assert other / k == pytest.approx(mean, rel=1e-6)
        assert other_std / k == pytest.approx(std, rel=1e-5)


def test_mirror_symmetry_and_order_of_rows():
    x, y = readings()
    model = FullyBayesianGP(BOX)
    q = np.array([[33.0, 7.0], [90.0, 18.0]])
    mean, std = model.fit(x, y).predict(q)
    mirror = np.array(BOX).sum(axis=1)
    for a, readings_of_a, b in ((mirror - x, y, mirror - q), (x[::-1], y[::-1], q)):
        other, other_std = model.fit(a, readings_of_a).predict(b)
        assert other == pytest.approx(mean, rel=1e-6)
        assert other_std == pytest.approx(std, rel=1e-5)


def test_a_surface_is_learned_and_the_error_known():
    x, y = readings(25, seed=2)
    q = readings(200, seed=7)[0]
    for model in (FullyBayesianGP, PowerScaledGP):
        mean, std = model(BOX).fit(x, y).predict(q)
        assert np.sqrt(np.mean((mean - surface(q)) ** 2)) < 0.05 * surface(q).mean()
        assert 0.85 < np.mean(np.abs(mean - surface(q)) < 1.96 * std) <= 1.0
        names = model(BOX).fit(x, y).hyperparameters()
        assert 0.005 < names["noise_relative"][0] < 0.04


def test_one_reading_and_readings_of_zero_work():
    for model in (FullyBayesianGP, PowerScaledGP):
        for y in ([3.0], [0.0], [-1.0]):
            mean, std = model(BOX).fit([[50.0, 10.0]], y).predict([[50.0, 10.0], [10.0, 4.0]])
            assert np.isfinite(mean).all()
            assert (std > 0).all()


def test_wrong_numbers_are_typed_errors():
    with pytest.raises(Unidentifiable, match="no readings"):
        FullyBayesianGP(BOX).fit(np.empty((0, 2)), [])
    with pytest.raises(OutOfRange, match="low < high"):
        FullyBayesianGP(((1.0, 1.0),))
    with pytest.raises(OutOfRange, match="positive"):
        PowerScaledGP(((0.0, 1.0),))
    with pytest.raises(OutOfRange, match="no column"):
        PowerScaledGP(BOX, power=2)
    with pytest.raises(OutOfRange, match="do not belong"):
        FullyBayesianGP(BOX).fit([[50.0, 10.0]], [1.0, 2.0])
    with pytest.raises(OutOfRange, match="not finite"):
        FullyBayesianGP(BOX).fit([[50.0, 10.0]], [np.nan])
    with pytest.raises(OutOfRange, match="not positive"):
        PowerScaledGP(BOX).fit([[-50.0, 10.0]], [1.0])
