"""Maps and spectra of photoluminescence with known means and peaks."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

from sdl_bluesky.analysis.layers import reduce_map, reduce_spectrum
from sdl_bluesky.errors import OutOfRange, WeakSignal

AXIS = np.linspace(-24, 24, 25)
X, Y = np.meshgrid(AXIS, AXIS)
R = np.hypot(X, Y)
WAFER = R <= 23.5
SMOOTH = 1175 + 0.8 * X / 24 + 6 * (R / 24) ** 2 + 2 * (R / 24) ** 3
WAVELENGTH = np.linspace(850.0, 1650.0, 801)


def a_map(seed, noise=1.5, dead=0.3, outliers=0.02):
    rng = np.random.default_rng(seed)
    w = SMOOTH + noise * rng.normal(size=R.shape)
    stray = rng.random(R.shape) < outliers
    w[stray] += 60 * rng.normal(size=int(stray.sum()))
    w[(R > 20) & (rng.random(R.shape) < dead)] = np.nan
    return np.where(WAFER, w, np.nan)


def test_mean_is_that_of_the_whole_wafer_and_its_error_honest():
    found = [reduce_map(a_map(k), AXIS, AXIS, 23.5) for k in range(200)]
    error = np.array([k.mean_nm for k in found]) - SMOOTH[WAFER].mean()
    z = error / [k.std_nm for k in found]
    assert np.max(np.abs(error)) < 1.5
    assert 0.8 < np.sqrt(np.mean(z**2)) < 1.25
    # the mean of what is left is not that of the wafer: the dead pixels are at the edge
    assert abs(np.nanmedian([np.nanmean(a_map(k, outliers=0.0)) for k in range(20)]) - SMOOTH[WAFER].mean()) > 0.2


def test_radial_trend_spread_and_counts():
    found = reduce_map(a_map(3), AXIS, AXIS, 23.5)
    truth = 6 * (23.5 / 24) ** 2 + 2 * (23.5 / 24) ** 3
    assert abs(found.edge_nm - truth) < 4 * found.edge_std_nm
    assert found.spread_nm == pytest.approx(np.hypot(SMOOTH[WAFER].std(), 1.5), rel=0.1)
    assert found.noise_nm == pytest.approx(1.5, rel=0.15)
    assert found.pixels + found.dead + found.outliers == WAFER.sum()
    assert [k.split(":")[0] for k in found.findings] == ["dead", "outliers"]


def test_patches_widen_the_error():
    patches = SMOOTH + 3 * np.sin(X / 3.5) * np.cos(Y / 3.5) + np.random.default_rng(0).normal(size=R.shape)
    found = reduce_map(np.where(WAFER, patches, np.nan), AXIS, AXIS)
    assert any(k.startswith("texture: ") for k in found.findings)
    assert found.std_nm > 1.5 * found.noise_nm / np.sqrt(found.pixels)


def test_a_list_of_places_is_a_map_too():
    w = a_map(5)
    by_list = reduce_map(w[WAFER], X[WAFER], Y[WAFER], 23.5)
    assert by_list.mean_nm == pytest.approx(reduce_map(w, AXIS, AXIS, 23.5).mean_nm, abs=1e-9)
    assert reduce_map(w, AXIS, AXIS, 23.5, systematic_nm=1.0).std_nm == pytest.approx(1.0, rel=0.01)


def test_maps_that_are_none():
    with pytest.raises(OutOfRange, match="axes"):
        reduce_map(SMOOTH, AXIS[:-1], AXIS)
    with pytest.raises(OutOfRange, match="not finite"):
        reduce_map(SMOOTH[0], X[0] * np.nan, Y[0])
    with pytest.raises(WeakSignal, match="0 of"):
        reduce_map(np.full(R.shape, np.nan), AXIS, AXIS)
    with pytest.raises(WeakSignal, match="quarter"):
        reduce_map(np.where(R < 5, SMOOTH, 0.0), AXIS, AXIS, 23.5)
    with pytest.raises(WeakSignal, match="stray"):
        reduce_map(a_map(1, outliers=0.5), AXIS, AXIS, 23.5)


def line(wavelength, gap=1.05, broad=0.015, thermal=0.0258):
    """Log of an asymmetric line: Gaussian disorder on one side, a thermal tail on the other."""
    e = 1239.842 / wavelength - gap
    return broad**2 / (2 * thermal**2) - e / thermal + log_ndtr(e / broad - broad / thermal)


PEAK = minimize_scalar(lambda w: -line(w), bounds=(1100, 1250), method="bounded", options={"xatol": 1e-6}).x


@pytest.mark.parametrize("height", [100, 3000, 50000])
def test_peak_of_an_asymmetric_line(height):
    rng = np.random.default_rng(1)
    expected = height * np.exp(line(WAVELENGTH) - line(PEAK))
    found = [
        reduce_spectrum(WAVELENGTH, rng.poisson(expected) + np.rint(3 * rng.normal(size=801)) + 10) for _ in range(60)
    ]
    error = np.array([k.peak_nm - PEAK for k in found])
    z = error / [k.std_nm for k in found]
    assert 0.75 < np.sqrt(np.mean(z**2)) < 1.3
    assert np.sqrt(np.mean(error**2)) < 1.5
    assert found[0].height == pytest.approx(height, rel=0.15)


def test_a_spectrum_in_other_units_has_the_same_peak():
    rng = np.random.default_rng(2)
    y = rng.poisson(2000 * np.exp(line(WAVELENGTH) - line(PEAK))) + 5.0
    one, other = reduce_spectrum(WAVELENGTH, y), reduce_spectrum(WAVELENGTH, 1e3 * y)
    assert other.peak_nm == pytest.approx(one.peak_nm, abs=0.1)
    assert 0.5 < other.std_nm / one.std_nm < 2.0


def test_spectra_without_a_peak():
    rng = np.random.default_rng(3)
    for y in (rng.poisson(5, 801), np.zeros(801), np.ones(801)):
        with pytest.raises(WeakSignal, match="noise"):
            reduce_spectrum(WAVELENGTH, y)
    with pytest.raises(WeakSignal, match="cut off"):
        reduce_spectrum(WAVELENGTH, 1000 * np.exp(-(((WAVELENGTH - 1655) / 20) ** 2)))
    with pytest.raises(OutOfRange, match="one length"):
        reduce_spectrum(WAVELENGTH, np.ones(3))
    with pytest.raises(OutOfRange, match="increasing"):
        reduce_spectrum(WAVELENGTH[::-1], np.ones(801))


def test_a_saturated_detector_is_told():
    y = np.minimum(5000 * np.exp(line(WAVELENGTH) - line(PEAK)), 4095)
    assert any(k.startswith("saturated: ") for k in reduce_spectrum(WAVELENGTH, y).findings)
