"""From the rows of two runs to the result "reactive": what it holds, what it was made from, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from reactive_lab import Plasma
from ring_lab import SENSORS, place

from sdl_bluesky.analysis.kinds import KINDS, REACTIVE, kind_of
from sdl_bluesky.analysis.reactive.recipe import emission_rows, reactive_metadata, reactive_result
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.physics.oxides import oxygen_limit

NAMES = ["qcm1", "qcm2", "qcm3"]
POSITION, AXIS = place(0.0)
GEOMETRY = {
    "sources": {"al": {"element": "Al", "position_cm": list(POSITION), "axis": list(AXIS)}},
    "sensors": {k: {"position_cm": list(p), "normal": [0, 0, 1], "f0_Hz": 6e6} for k, p in zip(NAMES, SENSORS)},
    "tooling_std": 0.01,
    "map": {"x_mm": [-25, 25, 11], "y_mm": [-25, 25, 11]},
    "ranges": {"power_W": [10, 100], "pressure_mTorr": [2, 20]},
}
START = {"uid": "sweep", "plan_name": "measure_reactive", "sources": ["al"], "sample": "s", "geometry": GEOMETRY}
PLASMA = Plasma((9.0, 4.0, 5.0), limit=oxygen_limit("Al"), oxide_yield=0.06, half_mTorr=0.04, film_mTorr=0.003)


def table(rows):
    """Rows as a primary stream has them."""
    names = {
        "al_power": rows.power_W,
        "gauge_pressure": rows.pressure_mTorr,
        "oxygen_asked": rows.oxygen_sccm,
        "al_voltage": rows.voltage_V,
        "al_current": rows.current_A,
        "line_ratio": rows.ratio,
        "line_ratio_std": rows.ratio_std,
    }
    for k, name in enumerate(NAMES):
        names |= {f"{name}_rate": rows.rate[:, k], f"{name}_rate_std": rows.std[:, k]}
    return [{name: column[i] for name, column in names.items()} for i in range(len(rows))]


def test_a_run_of_the_plan_is_analysed_when_it_names_its_calibration():
    assert REACTIVE in KINDS
    assert kind_of({**START, "based_on": {"al": ["light"]}}) == REACTIVE
    assert kind_of(START) is None
    assert kind_of({"plan_name": "calibrate_light"}) is None


def test_the_result_has_arrays_by_row_sensor_and_branch():
    rng = np.random.default_rng(0)
    light = emission_rows(START, table(PLASMA.rows([30.0, 60.0, 100.0], 5.0, 0.0, rng)))
    rows = emission_rows(START, table(PLASMA.rows(60.0, 5.0, [0.0, 0.003, 1.0, 0.0], rng)))
    found = reactive_result(START, rows, light)
    assert found.arrays["metal"].shape == found.arrays["oxidised"].shape == (4, 3)
    assert found.dims["metal"] == ["row", "sensor"]
    assert found.dims["probability"] == ["row", "branch"]
    assert found.arrays["sensor"] == NAMES
    assert found.metadata["state"] == ["metallic", "metallic", "poisoned", "metallic"]
    truth = PLASMA.metal(np.full(4, 60.0), 5.0, np.array([0.0, 0.003, 1.0, 0.0]))
    assert found.arrays["metal"][:2] == pytest.approx(truth[:2], rel=0.05)
    assert np.all((found.arrays["low"] < truth) & (truth < found.arrays["high"]))
    metadata = reactive_metadata(START, ["light"])
    assert metadata["derived_from"] == ["sweep", "light"]
    assert (metadata["source"], metadata["elements"], metadata["run"]) == ("al", ["Al"], "sweep")


def test_what_is_no_such_run_is_refused():
    rng = np.random.default_rng(0)
    rows = table(PLASMA.rows(60.0, 5.0, [0.0, 1.0], rng))
    for row in rows:
        del row["line_ratio"]
    with pytest.raises(CatalogueError, match="have no line_ratio"):
        emission_rows(START, rows)
    with pytest.raises(CatalogueError, match="no rows"):
        emission_rows(START, [])
    with pytest.raises(CatalogueError, match="measured 2 sources"):
        emission_rows({**START, "sources": ["al", "cu"]}, rows)
