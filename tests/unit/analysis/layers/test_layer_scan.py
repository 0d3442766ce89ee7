"""Scans made plane by plane, reduced: places, errors, refusals."""

import numpy as np
import pytest
from diffraction import darwin, scan, weak

from sdl_bluesky.analysis.layers import Stack, reduce_scan
from sdl_bluesky.analysis.layers.pattern import INDEX, NAMES, expected_counts
from sdl_bluesky.analysis.layers.scan_fit import deviance_parts
from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.xrd import angle_from_lattice

ANGLE = 62.8 + 0.004 * np.arange(271)
BAR = 2 * 0.005
"""Across a coherent layer, twice the bar of 0.005 % for the relaxed mismatch [%]."""


def counts(make, seed=0, **settings):
    return np.random.default_rng(seed).poisson(scan(make, ANGLE, **settings)).astype(float)


def test_pattern_is_the_sum_over_planes():
    """Away from the substrate's peak, where the resolution matters least, within a percent of the fringes' height."""
    p = np.zeros(len(NAMES))
    eps, sigma = 1 / 3000, 2e-5
    for name, value in {
        "mismatch": 0.3,
        "scale": np.log(1e3 * eps),
        "width": np.log(eps),
        "resolution": np.log(sigma),
        "layer": np.log(200.0),
        "strength": np.log(1.06),
        "cap": np.log(65.0),
        "kappa": 1.0,
        "background": -20.0,
    }.items():
        p[INDEX[name]] = value
    want = 1e6 * np.abs(weak(np.radians(ANGLE) / 2, mismatch=0.3)) ** 2
    found = expected_counts(ANGLE, p)
    away = np.abs(ANGLE - 63.338) > 0.03
    assert np.max(np.abs(found - want)[away]) < 0.02 * want[away].max()
    assert np.corrcoef(np.log(found[away] + 1), np.log(want[away] + 1))[0, 1] > 0.999


def test_folding_is_the_integral():
    """The resolution by the Faddeeva function and Gauss-Hermite against a plain numeric fold."""
    p = np.zeros(len(NAMES))
    for name, value in {
        "mismatch": 0.1,
        "scale": 3.0,
        "width": np.log(1e-3),
        "layer": 5.3,
        "cap": 4.2,
        "kappa": 0.6,
    }.items():
        p[INDEX[name]] = value
    sharp, wide = p.copy(), p.copy()
    sharp[INDEX["resolution"]], wide[INDEX["resolution"]] = np.log(1e-5), np.log(3e-3)
    per_deg = 4 * np.pi / 0.154060 * np.cos(np.radians(63.338) / 2) * np.pi / 360
    fine = np.arange(63.0, 63.7, 1e-5)
    values = expected_counts(fine, sharp)
    for at in (63.2, 63.33, 63.338, 63.345, 63.45):
        weight = np.exp(-0.5 * ((fine - at) * per_deg / 3e-3) ** 2)
        assert expected_counts(np.array([at]), wide)[0] == pytest.approx(
            np.sum(weight * values) / weight.sum(), rel=3e-3
        )


def test_negative_binomial_deviance_tends_to_poisson():
    n, m = np.array([0.0, 3.0, 50.0]), np.array([0.5, 4.0, 40.0])
    np.testing.assert_allclose(deviance_parts(n, m, 1e-5), deviance_parts(n, m, 0.0), rtol=1e-4)
    np.testing.assert_allclose(deviance_parts(n, m, 0.0)[0], 1.0)
    assert deviance_parts(n, m, 0.3)[2] < deviance_parts(n, m, 0.0)[2]


@pytest.mark.parametrize("mismatch", [-0.6, -0.15, 0.1, 0.3])
def test_standard_errors_are_honest(mismatch):
    expected = scan(weak, ANGLE, mismatch=mismatch, zero=0.02, peak=2e5)
    rng = np.random.default_rng(7)
    found = [reduce_scan(ANGLE, rng.poisson(expected)) for _ in range(8)]
    error = np.array([k.mismatch - mismatch for k in found])
    z = error / [k.mismatch_std for k in found]
    assert np.max(np.abs(error)) < BAR
    assert np.sqrt(np.mean(z**2)) < 1.7  # chi2 with 8 degrees of freedom: 1 in 1000 is above 1.8
    assert np.sqrt(np.mean(z**2)) > 0.35
    assert abs(np.mean([k.zero_deg for k in found]) - 0.02) < 1e-3


@pytest.mark.parametrize("make", [weak, darwin])
@pytest.mark.parametrize("mismatch", [-0.05, 0.0, 0.02, 0.06])
def test_a_layer_under_the_substrates_peak(make, mismatch):
    peak = 1e6 if make is weak else 1e5
    found = reduce_scan(ANGLE, counts(make, mismatch=mismatch, zero=-0.03, peak=peak))
    assert abs(found.mismatch - mismatch) < BAR
    assert abs(found.mismatch - mismatch) < 2.5 * found.mismatch_std
    assert any(k.startswith("overlap: ") for k in found.findings)


@pytest.mark.parametrize("mismatch", [-0.5, -0.2, 0.1, 0.4])
def test_dynamical_diffraction_is_borne(mismatch):
    found = reduce_scan(ANGLE, counts(darwin, mismatch=mismatch, layer_nm=215.0, cap_nm=60.0, zero=0.03))
    assert abs(found.mismatch - mismatch) < 0.5 * BAR
    assert abs(found.mismatch - mismatch) < 3 * found.mismatch_std
    assert found.thickness_nm == pytest.approx(215.0, abs=max(1.0, 4 * found.thickness_std_nm))
    assert any(k.startswith("misfit: ") for k in found.findings)


def test_places_of_the_peaks():
    found = reduce_scan(ANGLE, counts(weak, mismatch=0.4, zero=0.05, peak=3e5))
    assert found.substrate_deg == pytest.approx(float(angle_from_lattice(5.8688)) + 0.05, abs=1e-3)
    assert found.layer_deg == pytest.approx(float(angle_from_lattice(5.8688 * 1.004)) + 0.05, abs=2e-3)
    assert found.across == pytest.approx(5.8688 * 1.004, rel=2e-5)
    assert found.thickness_nm == pytest.approx(200.0, abs=4 * found.thickness_std_nm)
    assert found.cap_nm == pytest.approx(65.0, abs=5)
    assert found.expected.shape == found.two_theta_deg.shape == ANGLE.shape


def test_peaks_that_do_not_scatter_together():
    """Two Gaussians on a background: not what a crystal does, but what a bad interface may leave."""
    layer = float(angle_from_lattice(5.8688 * 1.003))
    expected = (
        2e4 * np.exp(-0.5 * ((ANGLE - 63.338) / 0.006) ** 2) + 800 * np.exp(-0.5 * ((ANGLE - layer) / 0.02) ** 2) + 4
    )
    found = reduce_scan(ANGLE, np.random.default_rng(1).poisson(expected))
    assert abs(found.mismatch - 0.3) < 2 * BAR
    assert abs(found.mismatch - 0.3) < 3 * found.mismatch_std


def test_noise_only():
    with pytest.raises(WeakSignal, match="noise only"):
        reduce_scan(ANGLE, np.random.default_rng(2).poisson(5.0, ANGLE.shape))
    with pytest.raises(WeakSignal, match="noise only"):
        reduce_scan(ANGLE, np.zeros(ANGLE.shape))


def test_a_layer_without_a_substrate():
    broad = 500 * np.exp(-0.5 * ((ANGLE - 63.2) / 0.03) ** 2) + 4
    with pytest.raises(WeakSignal, match="deg wide"):
        reduce_scan(ANGLE, np.random.default_rng(3).poisson(broad))
    far = 500 * np.exp(-0.5 * ((ANGLE - 63.75) / 0.01) ** 2) + 4
    with pytest.raises(WeakSignal, match="no substrate peak"):
        reduce_scan(ANGLE, np.random.default_rng(3).poisson(far))


def test_scans_that_are_none():
    good = counts(weak, mismatch=0.3)
    with pytest.raises(OutOfRange, match="one length"):
        reduce_scan(ANGLE, good[:-1])
    with pytest.raises(OutOfRange, match="increase"):
        reduce_scan(ANGLE[::-1], good)
    with pytest.raises(OutOfRange, match="50 or more"):
        reduce_scan(ANGLE[:30], good[:30])
    with pytest.raises(OutOfRange, match="does not cover"):
        reduce_scan(ANGLE - 1.0, good)
    with pytest.raises(OutOfRange, match="cap_nm"):
        Stack(cap_nm=float("nan"))


def test_dead_points_are_left_out_and_told():
    n = counts(weak, mismatch=0.3)
    n[[3, 50]] = np.nan
    found = reduce_scan(ANGLE, n)
    assert abs(found.mismatch - 0.3) < BAR
    assert found.findings[0] == "dead: 2 of 271 points hold no count and are left out"
