"""Sauerbrey, Z-match and the fit of a rate, against closed forms and made-up records of known slope."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.physics.qcm import areal_mass, fit_rate, local_sensitivity, mass_sensitivity

F0 = 6e6


def record(rate, n=200, step=1.0, white=0.0, walk=0.0, seed=0, hump=0.0, tau=20.0):
    rng = np.random.default_rng(seed)
    t = step * np.arange(n)
    noise = white * rng.standard_normal(n) + walk * np.cumsum(rng.standard_normal(n))
    return t, F0 - 1000.0 - rate / mass_sensitivity(F0) * t + noise + hump * np.exp(-t / tau)


def test_sauerbrey_constants():
    assert mass_sensitivity(6e6) == pytest.approx(12.269, abs=5e-4)
    assert mass_sensitivity(5e6) == pytest.approx(17.668, abs=5e-4)


def test_areal_mass_is_linear_below_two_percent_and_z_match_beyond():
    assert areal_mass(-1000.0, F0) == pytest.approx(12269.209, abs=1e-2)
    # Z = 1: rho_q v_q / 2 (1/f - 1/f0), the mass of the added length of quartz
    f = 0.95 * F0
    impedance = np.sqrt(2.648 * 2.947e11)
    assert areal_mass(f - F0, F0) == pytest.approx(impedance / 2 * (1 / f - 1 / F0) * 1e9, rel=1e-12)


@given(st.floats(0.021, 0.3), st.floats(0.3, 2.0))
def test_local_sensitivity_is_the_derivative_of_the_mass(loss, z):
    f, h = F0 * (1 - loss), 10.0
    numeric = -(areal_mass(f + h - F0, F0, z) - areal_mass(f - h - F0, F0, z)) / (2 * h)
    assert local_sensitivity(f, F0, z) == pytest.approx(numeric, rel=1e-6)


def test_exact_slope_is_recovered_exactly():
    fit = fit_rate(*record(25.0), F0)
    assert fit.rate == pytest.approx(25.0, rel=1e-8)
    assert fit.std < 1e-6
    assert (fit.n, fit.duration_s) == (200, 199.0)


@given(st.floats(-50, 50), st.floats(-1e6, 1e6), st.floats(0.01, 100.0))
@settings(max_examples=30)
def test_a_later_start_or_another_tick_changes_the_rate_as_it_should(rate, start, factor):
    t, f = record(rate, n=40, white=0.5)
    one, other = fit_rate(t, f, F0), fit_rate(start + factor * t, f, F0)
    assert other.rate * factor == pytest.approx(one.rate, rel=1e-5, abs=1e-5)
    assert other.std * factor == pytest.approx(one.std, rel=1e-4)


@pytest.mark.parametrize(
    ("noise", "n"),
    [({"white": 0.3}, 120), ({"walk": 0.1}, 120), ({"white": 0.3}, 1000), ({"walk": 0.1}, 1000)],
)
def test_standard_error_is_honest(noise, n):
    fits = [fit_rate(*record(25.0, n=n, seed=s, **noise), F0) for s in range(80)]
    z = np.array([(k.rate - 25.0) / k.std for k in fits])
    assert abs(z.mean()) < 0.45
    assert 0.5 < z.std() < 1.35
    assert np.mean(np.abs(z) < 2) > 0.88


def test_white_noise_gives_about_the_textbook_error():
    t = np.arange(120.0)
    textbook = 0.3 / np.sqrt(np.sum((t - t.mean()) ** 2)) * mass_sensitivity(F0)
    assert (
        textbook
        < np.mean([fit_rate(*record(25.0, n=120, white=0.3, seed=s), F0).std for s in range(20)])
        < 2 * textbook
    )


def test_transient_is_fitted_or_skipped():
    t, f = record(25.0, hump=8.0, white=0.05)
    plain = fit_rate(t, f, F0)
    fitted = fit_rate(t, f, F0, transient=True)
    known = fit_rate(t, f, F0, tau_s=20.0)
    skipped = fit_rate(t, f, F0, skip_s=120.0)
    assert abs(plain.rate - 25.0) > 0.2
    for fit in (fitted, known, skipped):
        assert abs(fit.rate - 25.0) < 4 * fit.std < 0.4
    assert fitted.tau_s == pytest.approx(20.0, rel=0.15)
    assert known.transient_Hz == pytest.approx(8.0, abs=0.3)


def test_zero_rate_is_taken_off_with_its_error():
    zero = fit_rate(*record(0.3, white=0.2, seed=5), F0)
    fit = fit_rate(*record(25.3, white=0.2, seed=6), F0, zero=zero)
    assert abs(fit.rate - 25.0) < 4 * fit.std
    assert fit.std > zero.std


def test_repeated_times_are_left_out():
    t, f = record(10.0, n=50)
    fit = fit_rate(np.repeat(t, 2), np.repeat(f, 2), F0)
    assert fit.n == 50
    assert fit.rate == pytest.approx(10.0, rel=1e-8)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_points(n):
    with pytest.raises(Unidentifiable, match="3 or more"):
        fit_rate(np.arange(n), np.full(n, F0), F0)


@pytest.mark.parametrize(
    ("t", "f", "match"),
    [
        ([0, 1, np.nan, 3], [F0] * 4, "not finite"),
        ([0, 1, 2, 3], [F0, np.inf, F0, F0], "not finite"),
        ([0, 2, 1, 3], [F0] * 4, "backwards"),
        ([0, 1, 2], [F0] * 4, "one length"),
        ([0, 1, 2, 3], [0.0] * 4, "live"),
    ],
)
def test_wrong_records_are_typed_errors(t, f, match):
    with pytest.raises(OutOfRange, match=match):
        fit_rate(t, f, F0)


def test_wrong_crystals_are_typed_errors():
    with pytest.raises(OutOfRange, match="6e6"):
        mass_sensitivity(-5.0)
    with pytest.raises(OutOfRange, match="dead"):
        areal_mass(-0.6 * F0, F0)
