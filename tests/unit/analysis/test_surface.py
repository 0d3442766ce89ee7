import numpy as np
import pytest
from ring_lab import SENSORS, RingSource, runs

from sdl_bluesky.analysis.surface import fit_surface
from sdl_bluesky.errors import OutOfRange, WeakSignal

NAMES = ["qcm1", "qcm2", "qcm3"]
SOURCE = RingSource(azimuth=0.0, radius=1.5, diffuse=0.04, scale=80.0)
POWER, PRESSURE = np.linspace(10, 100, 7), np.linspace(4, 20, 5)
TRUTH = np.array([[SOURCE.flux(p, q, SENSORS) for p in POWER] for q in PRESSURE]).transpose(2, 0, 1)


def learn(points, rates, std, names=NAMES):
    return fit_surface(points, rates, std, names, (10.0, 100.0), (2.0, 20.0))


@pytest.fixture(scope="module")
def data():
    return runs(np.random.default_rng(3), SOURCE, np.ones(3), count=12)


@pytest.fixture(scope="module")
def surface(data):
    return learn(*data)


def test_the_surface_is_learned_with_honest_errors(surface):
    rate, std = surface.grid(POWER, PRESSURE)
    assert rate.shape == std.shape == (3, 5, 7)
    for k in range(3):
        assert np.sqrt(np.mean((rate[k] - TRUTH[k]) ** 2)) < 0.035 * TRUTH[k].mean()
    assert 0.8 < np.mean(np.abs(rate - TRUTH) < 1.96 * std) <= 1.0
    assert surface.findings == ()


def test_one_point_agrees_with_the_grid_and_knows_what_sensors_share(surface):
    mean, cov, findings = surface.at([40.0, 8.0], NAMES)
    rate, std = surface.grid([40.0], [8.0])
    np.testing.assert_allclose(mean, rate[:, 0, 0])
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), std[:, 0, 0])
    assert np.all(np.linalg.eigvalsh(cov) > 0)
    assert cov[0, 1] > 0  # the level is common
    relative = cov / np.outer(mean, mean)
    difference = relative[0, 0] + relative[1, 1] - 2 * relative[0, 1]
    assert difference < relative[0, 0] + relative[1, 1]
    assert findings == ()
    swapped, cov_swapped, _ = surface.at([40.0, 8.0], NAMES[::-1])
    np.testing.assert_allclose(swapped, mean[::-1])
    np.testing.assert_allclose(cov_swapped, cov[::-1, ::-1])


def test_extrapolation_is_said(surface):
    assert "extrapolated" in surface.at([150.0, 8.0], NAMES)[2][0]
    assert "extrapolated" in surface.at([50.0, 2.0], NAMES)[2][0]
    with pytest.raises(OutOfRange):
        surface.at([0.0, 8.0], NAMES)


def test_runs_and_sensors_without_a_rate_are_left_out(data):
    points, rates, std = data
    holes = rates.copy()
    holes[:8, 1] = np.nan
    holes[2, 0] = np.nan
    surface = learn(points, holes, std)
    assert surface.sensors == ("qcm1", "qcm3")
    assert len(surface.points) == 11
    assert surface.findings == (
        "qcm2 left out: no rate in most of the runs",
        "1 of 12 runs left out: a rate is missing or negative",
    )
    mean, cov, _ = surface.at([40.0, 8.0], NAMES)
    assert (mean[1], cov[1, 1], cov[0, 1]) == (0.0, 1.0, 0.0)
    np.testing.assert_allclose(mean[[0, 2]], SOURCE.flux(40.0, 8.0, SENSORS)[[0, 2]], rtol=0.05)


def test_a_negative_run_is_left_out(data):
    points, rates, std = data
    bad = rates.copy()
    bad[4] = -1.0
    surface = learn(points, bad, std)
    assert len(surface.points) == 11
    assert "missing or negative" in surface.findings[0]


def test_one_sensor_is_enough_for_a_surface(data):
    points, rates, std = data
    surface = learn(points, rates[:, :1], std[:, :1], ["qcm1"])
    rate, error = surface.grid(POWER, PRESSURE)
    assert np.sqrt(np.mean((rate[0] - TRUTH[0]) ** 2)) < 0.04 * TRUTH[0].mean()
    assert np.all(error > 0)


def test_too_little_is_refused(data):
    points, rates, std = data
    with pytest.raises(WeakSignal, match="2 of 2 runs"):
        learn(points[:2], rates[:2], std[:2])
    with pytest.raises(WeakSignal, match=r"0 of 12 runs.*qcm3 left out"):
        learn(points, rates * np.nan, std)
    with pytest.raises(OutOfRange, match="do not belong"):
        learn(points, rates[:, :2], std)


@pytest.mark.parametrize("common", [False, True])
def test_the_scatter_of_a_reading_is_learned(common):
    rng = np.random.default_rng(1)
    points, true, std = runs(rng, SOURCE, np.ones(3), relative=0.0, absolute=0.0, slope=0.0, count=30)
    noise = rng.standard_normal((30, 1 if common else 3))
    surface = learn(points, true * (1 + 0.03 * noise), std)
    rate, _, _ = surface.at([60.0, 10.0], NAMES)
    np.testing.assert_allclose(surface.scatter([60.0, 10.0], NAMES) / rate, 0.03, rtol=0.35)
    scatter = surface.scatter([60.0, 10.0], ["qcm2", "other"])
    assert np.isfinite(scatter).tolist() == [True, False]
