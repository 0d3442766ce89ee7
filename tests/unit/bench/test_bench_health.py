"""The study of models that are kept true: its parts, on few laboratories."""

from __future__ import annotations

import numpy as np
import pytest

from sdl_bluesky.bench import BENCHES
from sdl_bluesky.bench.health_additivity import numpy_rows, spacing_rows
from sdl_bluesky.bench.health_ageing import wear_rows
from sdl_bluesky.bench.health_lab import Lab, Source


def test_the_chamber_of_the_study_has_the_law_that_it_states():
    source = Source(30.0, 40.0, 1.0, 8.0, 1.0, (1.5, 0.0), 1.5, 0.0, 400.0, jump=0.2)
    below, above = source.rate(40.0, 8.0), source.rate(40.0, 12.0)
    fall = np.exp(-0.5 * np.log(12 / 8) ** 2) * (1 - 0.06 * np.sqrt(12 / 20)) / (1 - 0.06 * np.sqrt(8 / 20))
    np.testing.assert_allclose(above / below, 1.2 * fall)
    assert source.voltage(100.0, 5.0) / source.voltage(50.0, 5.0) == pytest.approx(2**0.13)


def test_readings_scatter_as_stated():
    rng = np.random.default_rng(0)
    lab = Lab.draw(rng)
    true = lab.sources["cu"].rate(60.0, 8.0) * lab.tooling
    read = np.array([lab.read(rng, {"cu": 60.0}, 8.0, {"cu": 0.1})[0] for _ in range(300)])
    np.testing.assert_allclose(read.mean(axis=0), 1.1 * true, rtol=0.005)
    expected = np.sqrt((0.015 * 1.1 * true) ** 2 + 0.05**2 + (0.005 * 1.1 * true) ** 2)
    np.testing.assert_allclose(read.std(axis=0), expected, rtol=0.15)


def test_five_percent_are_found_and_nothing_is_found_in_nothing():
    rows = {(row["case"], row["change_percent"]): row for row in numpy_rows(6)}
    assert rows["voltage follows", 0.0]["found_by_4"] == 0.0
    assert rows["voltage alone", 0.0]["found_by_4"] == 0.0
    assert rows["voltage alone", 0.0]["voltage_changed"] == 1.0
    assert rows["voltage follows", 5.0]["found_by_4"] >= 5 / 6
    assert rows["voltage stays", 5.0]["voltage_changed"] == 0.0
    assert rows["voltage follows", 5.0]["error_percent"] < 2.0


def test_an_interaction_falls_with_the_distance_of_the_sources():
    near, far = spacing_rows((60.0, 180.0), 1)
    assert near["distance_cm"] == pytest.approx(7.0, abs=0.1)
    assert far["distance_cm"] == pytest.approx(14.0, abs=0.1)
    assert near["change_percent"] > 2 * far["change_percent"]
    assert near["voltage_percent"] < 2 * far["voltage_percent"] < 0


def test_a_worn_source_comes_back_within_four_percent():
    rows = {row["case"]: row for row in wear_rows(1)}
    assert rows["24 h later, as learned"]["error_percent"] > 15
    after = rows["24 h later, 2 re-anchor runs"]
    assert after["error_percent"] <= 4.0
    assert after["coverage_95"] >= 0.9
    assert BENCHES["health"] == "sdl_bluesky.bench.health"
