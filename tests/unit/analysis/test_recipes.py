import numpy as np
import pytest
from ring_lab import SENSORS, WAFER, RingSource, fractions, place, runs

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.recipes import map_metadata, map_result, surface_metadata, surface_result
from sdl_bluesky.analysis.runs import Experiment
from sdl_bluesky.analysis.surface import fit_surface
from sdl_bluesky.errors import WeakSignal

NAMES = ["qcm1", "qcm2", "qcm3"]
SOURCES = {"cu": RingSource(0.0, 1.5, 0.04, 80.0), "sn": RingSource(90.0, 1.5, 0.04, 120.0)}
POWER, PRESSURE = {"cu": 50.0, "sn": 40.0}, 8.0


def geometry():
    places = {name: place(source.azimuth) for name, source in SOURCES.items()}
    return {
        "sources": {
            k: {"element": k.capitalize(), "position_cm": list(p), "axis": list(a)} for k, (p, a) in places.items()
        },
        "sensors": {k: {"position_cm": list(p), "normal": [0, 0, 1], "f0_Hz": 6e6} for k, p in zip(NAMES, SENSORS)},
        "tooling_std": 0.01,
        "map": {"x_mm": [-25, 25, 11], "y_mm": [-25, 25, 11]},
        "ranges": {"power_W": [10, 100], "pressure_mTorr": [2, 20]},
    }


START = {"uid": "film", "sources": ["cu", "sn"], "sample": "s", "campaign": "c", "geometry": geometry()}
CHAMBER = Chamber.from_start(START)


def film(error=0.0, std=0.001):
    total = sum(SOURCES[k].flux(POWER[k], PRESSURE, SENSORS) for k in SOURCES)
    return Experiment(START, CHAMBER, PRESSURE, POWER, total * (1 + error), std * total, {"substrate_number": 2})


@pytest.fixture(scope="module")
def surfaces():
    rng = np.random.default_rng(8)
    learned = {k: runs(rng, source, np.ones(3)) for k, source in SOURCES.items()}
    return {k: fit_surface(*data, NAMES, (10.0, 100.0), (2.0, 20.0)) for k, data in learned.items()}


def test_a_film_gets_its_map_and_says_where_it_is_from(surfaces):
    found = map_result(film(), surfaces)
    assert found.dims["composition"] == ["element", "y", "x"]
    error = found.arrays["composition"].reshape(2, -1) - fractions(
        [SOURCES[k].flux(POWER[k], PRESSURE, WAFER) for k in SOURCES], ("Cu", "Sn")
    )
    assert 100 * np.sqrt(np.mean(error**2)) < 2.0
    assert found.metadata["findings"] == []
    metadata = map_metadata(film(), {"cu": ["a", "b"], "sn": ["b", "c"]}, ["k1", "k2"])
    assert metadata["derived_from"] == ["film", "a", "b", "c"]
    assert (metadata["campaign"], metadata["sample"], metadata["run"]) == ("c", "s", "film")
    assert (metadata["substrate_number"], metadata["elements"]) == (2, ["Cu", "Sn"])


def test_a_reading_that_scatters_as_learned_is_no_finding_but_a_change_is(surfaces):
    assert map_result(film(error=np.array([0.02, -0.02, 0.015]), std=1e-4), surfaces).metadata["findings"] == []
    [finding] = map_result(film(error=0.15, std=1e-4), surfaces).metadata["findings"]
    assert "do not add up" in finding


def test_a_sensor_that_was_not_learned_says_nothing(surfaces):
    rng = np.random.default_rng(9)
    points, rates, std = runs(rng, SOURCES["cu"], np.ones(3))
    rates[:, 1] = np.nan
    partly = {**surfaces, "cu": fit_surface(points, rates, std, NAMES, (10.0, 100.0), (2.0, 20.0))}
    found = map_result(film(), partly)
    assert found.metadata["checks"]["totals_used"] == 2
    assert [k.split(":")[0] for k in found.metadata["findings"]] == ["cu", "total rate of qcm2 left out", "cu"]
    assert np.all(np.isfinite(found.arrays["composition"]))
    whole = map_result(film(), surfaces).arrays["composition"]
    assert np.abs(found.arrays["composition"] - whole).max() < 0.04


def test_a_source_that_nobody_sees_stops_the_map(surfaces):
    rng = np.random.default_rng(9)
    points, rates, std = runs(rng, SOURCES["cu"], np.ones(3), absolute=0.0)
    faint = fit_surface(points, 1e-3 * rates + 0.05 * rng.random(rates.shape), std, NAMES, (10.0, 100.0), (2.0, 20.0))
    with pytest.raises(WeakSignal, match="'cu'"):
        map_result(film(), {**surfaces, "cu": faint})


def test_a_surface_has_axes_and_its_runs(surfaces):
    found = surface_result(surfaces["cu"], CHAMBER)
    assert found.arrays["rate"].shape == found.arrays["rate_std"].shape == (3, 31, 31)
    assert (found.arrays["power"][0], found.arrays["pressure"][-1]) == (10.0, 20.0)
    assert found.arrays["experiment_power"].shape == (10,)
    assert found.metadata["sensors"] == NAMES
    metadata = surface_metadata(START, CHAMBER, "cu", ["a", "b"])
    assert metadata["derived_from"] == ["a", "b"]
    assert "0.01 of the rate" in metadata["note"]
