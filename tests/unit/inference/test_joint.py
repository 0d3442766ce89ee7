"""The model of several sensors: against a kernel written here, and against sources whose law is known."""

import numpy as np
import pytest

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.design import corners, sobol
from sdl_bluesky.inference.gp import Noise, PowerScaledGP
from sdl_bluesky.inference.joint import JointGP, JointPrior

BOX = ((10.0, 100.0), (4.0, 20.0))
SENSORS = ((-0.02, 1.06e-3), (-0.35, 5.3e-4), (-0.8, 3.5e-4))
SURE = 1e-7


def exponent(x):
    return 1.2 + 0.06 * (x[:, 1] - 4.0)


def rates(x, sensors=SENSORS):
    """Rate at each sensor [n, s] of a source that is cos^n."""
    power, pressure = x.T
    strength = 900.0 * power**0.97 / (1.0 + (pressure / 18.0) ** 1.5)
    return np.stack([strength * np.exp(exponent(x) * c) * reach for c, reach in sensors], axis=1)


def readings(seed, n=5):
    rng = np.random.default_rng(seed)
    x = np.concatenate([corners(BOX), sobol(BOX, n, seed)])
    y = rates(x)
    return x, y * (1 + 0.015 * rng.standard_normal(y.shape)) + 0.05 * rng.standard_normal(y.shape)


def test_known_hyper_parameters_give_the_textbook_process():
    prior = JointPrior((0.8, SURE), (0.3, SURE), 2.0, (1.5, 0.7), (0.4, SURE), Noise((0.02, SURE), (1e-6, SURE)))
    x = np.array([[10.0], [30.0], [100.0]])
    y = np.array([[0.01, 0.004], [0.033, 0.013], [0.12, 0.05]])
    pair = SENSORS[:2]
    z = np.repeat(np.log(x[:, 0] / 10) / np.log(10), 2)
    c, reach = np.tile(np.array(pair), (3, 1)).T
    log = np.log(y.ravel()) - np.log(np.repeat(x[:, 0], 2) * reach) - 1.5 * c
    offset = log.mean()

    def kernel(z1, c1, z2, c2):
        r = np.sqrt(5) * np.abs(z1[:, None] - z2[None]) / 0.8
        shape = (1 + r + r**2 / 3) * np.exp(-r)
        seen = np.outer(c1, c2)
        return 4.0 + 0.49 * seen + shape * (0.09 + 0.16 * seen)

    gram = kernel(z, c, z, c) + np.eye(6) * 0.02**2 + np.diag((1e-6 / y.ravel()) ** 2)
    at, log_cos, far = np.array([0.4]), np.array([-0.5]), 2e-4
    cross = kernel(at, log_cos, z, c)
    mean = offset + cross @ np.linalg.solve(gram, log - offset)
    variance = kernel(at, log_cos, at, log_cos) - cross @ np.linalg.solve(gram, cross.T)
    power = 10 * 10**0.4
    expected = power * far * np.exp(1.5 * -0.5 + mean + 0.5 * variance[0])
    view = JointGP(BOX[:1], pair, prior=prior).fit(x, y).place(-0.5, far)
    got, std = view.predict([[power]])
    assert got == pytest.approx(expected, rel=1e-5)
    assert std == pytest.approx(expected * np.sqrt(np.expm1(variance[0])), rel=1e-4)


def test_the_exponent_and_the_flux_between_the_sensors():
    q = sobol(BOX, 64, seed=9)
    off, inside = [], []
    for seed in range(4):
        posterior = JointGP(BOX, SENSORS, seed=seed).fit(*readings(seed))
        n, n_std = posterior.exponent(q)
        inside.append(np.abs(n - exponent(q)) < 1.96 * n_std)
        assert np.max(n_std) < 0.15
        place = (-0.2, 8e-4)  # where no sensor stands
        flux, _ = posterior.place(*place).predict(q)
        truth = rates(q, [place])[:, 0]
        off.append(np.sqrt(np.mean((flux - truth) ** 2)) / truth.mean())
    assert np.mean(inside) > 0.85
    assert np.median(off) < 0.03


def test_a_weak_sensor_borrows_from_strong_ones():
    weak = (*SENSORS[:2], (-0.8, 1.5e-5))
    q = sobol(BOX, 64, seed=9)
    truth = rates(q, weak)[:, 2]
    alone, joint = [], []
    for seed in range(4):
        x = readings(seed)[0]
        rng = np.random.default_rng([seed, 1])
        y = rates(x, weak)
        y = y * (1 + 0.015 * rng.standard_normal(y.shape)) + 0.05 * rng.standard_normal(y.shape)
        mean, _ = JointGP(BOX, weak, seed=seed).fit(x, y).sensor(2).predict(q)
        joint.append(np.sqrt(np.mean((mean - truth) ** 2)) / truth.mean())
        mean, _ = PowerScaledGP(BOX, seed=seed).fit(x, y[:, 2]).predict(q)
        alone.append(np.sqrt(np.mean((mean - truth) ** 2)) / truth.mean())
    assert np.median(joint) < 0.5 * np.median(alone)


def test_the_density_of_held_out_readings_tells_the_better_model():
    """A weak sensor of a cos^n source wants the joint model; a strong one whose share is not cos^n its own."""
    held = sobol(BOX, 24, seed=11)
    for weak, twist in ((True, 0.0), (False, 0.25)):
        sensors = (*SENSORS[:2], (-0.8, 1.5e-5 if weak else 3.5e-4))
        difference = 0.0
        for seed in range(3):
            x = readings(seed, 10)[0]
            rng = np.random.default_rng([seed, 2])

            def read(x, rng=rng, sensors=sensors, twist=twist):
                y = rates(x, sensors) * (1 + twist * np.sin(6 * np.log(x[:, 1:])) * [[0.0, 1.0, -1.0]])
                return y * (1 + 0.015 * rng.standard_normal(y.shape)) + 0.05 * rng.standard_normal(y.shape)

            y, new = read(x), read(held)
            joint = JointGP(BOX, sensors).fit(x, y).sensor(2).log_predictive_density(held, new[:, 2])
            alone = PowerScaledGP(BOX).fit(x, y[:, 2]).log_predictive_density(held, new[:, 2])
            difference += float(np.mean(joint - alone))
        assert (difference > 0) == weak


def test_a_view_is_a_posterior():
    x, y = readings(0)
    view = JointGP(BOX, SENSORS).fit(x, y).sensor(0)
    q = sobol(BOX, 5, seed=2)
    mean, std = view.predict(q)
    c = view.components(q)
    assert np.einsum("mii->mi", view.node_covariance(q, q)) == pytest.approx(c.variance, rel=1e-4)
    after, after_std = view.believe(q[:1]).predict(q[:1])
    assert after == pytest.approx(mean[:1], rel=5e-3)
    assert after_std < std[:1]
    assert len(view.thinned(16).components(q).weight) <= 16


def test_missing_and_dark_readings_are_left_out():
    x, y = readings(1)
    y[0, 0], y[1] = np.nan, [-0.1, 0.02, 0.0]
    q = sobol(BOX, 16, seed=2)
    mean, _ = JointGP(BOX, SENSORS).fit(x, y).sensor(0).predict(q)
    assert mean == pytest.approx(rates(q)[:, 0], rel=0.25)


def test_wrong_numbers_are_typed_errors():
    with pytest.raises(OutOfRange, match="ln cos phi"):
        JointGP(BOX, ((0.1, 1.0),))
    with pytest.raises(OutOfRange, match="logarithms"):
        JointGP(((0.0, 1.0),), SENSORS)
    with pytest.raises(OutOfRange, match="3 sensors"):
        JointGP(BOX, SENSORS).fit([[50.0, 10.0]], [[1.0, 2.0]])
    with pytest.raises(Unidentifiable, match="stands out"):
        JointGP(BOX, SENSORS).fit([[50.0, 10.0]], [[0.0, np.nan, -1.0]])
