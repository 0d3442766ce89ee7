import numpy as np
import pytest
from scipy.stats import multivariate_normal

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.linear import fit_linear


def test_evidence_and_posterior_are_those_of_the_joint_gaussian():
    rng = np.random.default_rng(0)
    f, m = rng.standard_normal((5, 2)), np.array([0.3, -0.2])
    root = rng.standard_normal((5, 5))
    noise, prior = root @ root.T + np.eye(5), np.array([[0.5, 0.2], [0.2, 0.4]])
    y = rng.standard_normal(5)
    fit = fit_linear(f, y, noise, m, prior)
    whole = noise + f @ prior @ f.T
    assert fit.log_evidence == pytest.approx(multivariate_normal(f @ m, whole).logpdf(y))
    precision = np.linalg.inv(prior) + f.T @ np.linalg.solve(noise, f)
    np.testing.assert_allclose(fit.cov, np.linalg.inv(precision))
    vector = np.linalg.solve(prior, m) + f.T @ np.linalg.solve(noise, y)
    np.testing.assert_allclose(fit.mean, np.linalg.solve(precision, vector))
    assert fit.chi2 == pytest.approx((y - f @ m) @ np.linalg.solve(whole, y - f @ m))


def test_no_coefficients_leave_the_noise():
    fit = fit_linear(np.empty((2, 0)), [1.0, 2.0], np.diag([1.0, 4.0]), np.empty(0), np.empty((0, 0)))
    assert fit.chi2 == pytest.approx(2.0)
    assert fit.mean.shape == (0,)


def test_faults_are_refused():
    with pytest.raises(OutOfRange, match="belong"):
        fit_linear(np.ones((2, 1)), [1.0], np.eye(2), [0.0], np.eye(1))
    with pytest.raises(OutOfRange, match="finite"):
        fit_linear(np.ones((1, 1)), [np.nan], np.eye(1), [0.0], np.eye(1))
    with pytest.raises(OutOfRange, match="definite"):
        fit_linear(np.ones((1, 1)), [1.0], -9.0 * np.eye(1), [0.0], np.eye(1))
