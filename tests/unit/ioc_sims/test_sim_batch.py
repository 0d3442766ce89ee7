"""The batch program: what it measures reduces to the plant's rates, and its scores are right."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from ioc_sims.common.errors import ConfigError
from ioc_sims.sputter.batch import Batch, load_batch_config, serve
from ioc_sims.sputter.qcm import sauerbrey
from ioc_sims.sputter.truth import film_truth, source_truth

POWER, PRESSURE = np.linspace(10.0, 100.0, 31), np.linspace(2.0, 20.0, 31)
AXIS = np.linspace(-25.0, 25.0, 11)


@pytest.fixture
def batch(make_config) -> Batch:
    return Batch(make_config(quiet=True))


def measure(batch: Batch, power: float = 50.0, pressure: float = 8.0, **more) -> dict:
    return batch.answer({"do": "measure", "source": "cu", "power": power, "pressure": pressure, **more})


def slope(reply: dict, sensor: str, window: str) -> float:
    """Slope of a frequency in a window [Hz/s]."""
    time, frequency = (np.asarray(reply["rows"][k], float) for k in ("clock_time", f"{sensor}_frequency"))
    begin, end = reply["window"][window]
    use = (begin <= time) & (time <= end)
    return float(np.polyfit(time[use] - begin, frequency[use], 1)[0])


def rate_at(batch: Batch, reply: dict, source: int = 0, sensor: str = "qcm1") -> float:
    """The hidden rate where the reply was measured."""
    at = np.array([reply["power"]]), np.array([reply["pressure"]])
    return source_truth(batch.plant, source, *at)["rate"][sensor][0][0]


def test_a_measurement_holds_the_plants_rate(batch):
    reply = measure(batch)
    assert reply["plasma"] is True
    assert reply["power"] == pytest.approx(50.0, rel=0.01)
    assert reply["pressure"] == pytest.approx(8.0, rel=0.02)
    assert reply["voltage"] * reply["current"] == pytest.approx(50.0, rel=0.01)
    assert slope(reply, "qcm1", "zero") == pytest.approx(0.0, abs=1e-9)
    rate = -slope(reply, "qcm1", "measured") * sauerbrey(6e6)
    assert rate == pytest.approx(rate_at(batch, reply), rel=5e-3)
    longest_s = reply["rows"]["clock_time"][-1]
    assert 50.0 * 235.0 < 3.6e6 * reply["energy_kWh"] < 50.0 * longest_s
    assert not batch.plant.energised


def test_rows_have_the_asked_spacing_no_time_twice_and_a_transient_between_the_windows(make_config):
    reply = measure(Batch(make_config()), every_s=5.0, duration_s=100.0)
    time = np.asarray(reply["rows"]["clock_time"])
    assert (np.diff(time) > 0).all()
    assert np.max(np.diff(time)) == pytest.approx(5.0)
    (zero_from, zero_to), (begin, end) = reply["window"]["zero"], reply["window"]["measured"]
    assert (zero_to - zero_from, end - begin) == pytest.approx((60.0, 100.0))
    assert begin - zero_to == pytest.approx(40.0, abs=0.2)
    shutter = np.asarray(reply["rows"]["cu_shutter"])
    assert not shutter[time <= zero_to].any()
    assert shutter[time >= begin].all()


def test_a_plasma_that_goes_out_on_the_way_down_tells_where(batch):
    reply = measure(batch, power=10.0, pressure=2.5)
    boundary = float(batch.plant.sources[0].law.extinction_pressure(10.0))
    assert reply["plasma"] is False
    assert "rows" not in reply
    assert reply["out_mTorr"] < 1.01 * boundary
    assert 0.99 * boundary < reply["lit_mTorr"] < 1.07 * boundary


def test_the_approach_reaches_what_the_straight_way_does_not(batch):
    pressure = 1.2 * float(batch.plant.sources[0].law.extinction_pressure(50.0))
    assert measure(batch, pressure=pressure)["plasma"]
    straight = measure(batch, pressure=pressure, approach=False)
    assert straight["plasma"] is False
    assert straight["lit_mTorr"] is None
    assert measure(batch, pressure=12.0, approach=False)["plasma"]


def test_a_film_counts_both_sources_and_its_points_are_the_films(batch):
    reply = batch.answer({"do": "film", "powers": {"cu": 40.0, "sn": 30.0}, "pressure": 8.0, "duration_s": 100.0})
    assert reply["substrate"] == 1
    assert set(reply["voltage"]) == {"cu", "sn"}
    at = [(np.array([reply["powers"][k]]), np.array([reply["pressure"]])) for k in ("cu", "sn")]
    total = sum(source_truth(batch.plant, k, *a)["rate"]["qcm2"][0][0] for k, a in enumerate(at))
    assert -slope(reply, "qcm2", "measured") * sauerbrey(6e6) == pytest.approx(total, rel=5e-3)
    hidden = film_truth(batch.plant.wafer, batch.plant.films[1])
    points = {"do": "points", "substrate": 1, "x_mm": [0.0, 10.0], "y_mm": [0.0, -25.0]}
    exact = batch.answer({**points, "std": 0.0})
    assert exact["elements"] == ["Cu", "Sn"]
    assert exact["fraction"][0][0] == pytest.approx(hidden["fraction"]["Cu"][25][25], abs=1e-6)
    assert exact["fraction"][1][1] == pytest.approx(hidden["fraction"]["Sn"][0][35], abs=1e-6)
    many = {**points, "x_mm": [0.0] * 2000, "y_mm": [0.0] * 2000, "std": 0.003, "seed": 4}
    noisy = np.asarray(batch.answer(many)["fraction"])
    np.testing.assert_allclose(noisy.sum(axis=1), 1.0)
    assert noisy[:, 0].mean() == pytest.approx(exact["fraction"][0][0], abs=3e-4)
    assert 0.002 < noisy[:, 0].std() < 0.0035
    assert batch.answer(many)["fraction"] == noisy.tolist()


def test_the_map_is_scored_against_the_film(batch):
    batch.answer({"do": "film", "powers": {"cu": 40.0, "sn": 30.0}, "pressure": 8.0, "duration_s": 10.0})
    grid = np.meshgrid(AXIS, AXIS)
    points = {"do": "points", "substrate": 1, "x_mm": grid[0].ravel().tolist(), "y_mm": grid[1].ravel().tolist()}
    true = np.asarray(batch.answer({**points, "std": 0.0})["fraction"]).T.reshape(2, 11, 11)
    wrong = true + np.array([0.02, -0.02])[:, None, None]
    ask = {"do": "score_map", "substrate": 1, "x_mm": AXIS.tolist(), "y_mm": AXIS.tolist(), "elements": ["Cu", "Sn"]}
    score = batch.answer({**ask, "fraction": wrong.tolist(), "std": np.full_like(true, 0.01).tolist()})
    assert score["rms_percent"] == pytest.approx(2.0, abs=1e-3)
    assert score["centre_error"] == pytest.approx(0.02, abs=1e-5)
    assert score["centre_z"] == pytest.approx(2.0, abs=1e-3)
    assert score["coverage_90"] == 0.0


def test_a_rate_is_scored_from_4_mtorr_where_the_plasma_burns(make_config):
    batch = Batch(make_config())
    law, tooling = batch.plant.sources[0].law, batch.plant.crystals[0].tooling
    true = np.asarray(source_truth(batch.plant, 0, POWER, PRESSURE)["rate"]["qcm1"])
    counts = (PRESSURE[:, None] >= np.asarray(law.extinction_pressure(POWER))) & (PRESSURE >= 4.0)[:, None]
    mean = np.where(counts, true + 0.5, np.nan)
    std = np.where(POWER < 50.0, 0.2, 0.3) * np.ones_like(true)
    ask = {"do": "score_rate", "source": "cu", "power": POWER.tolist(), "pressure": PRESSURE.tolist()}
    replies = io.StringIO()
    request = {**ask, "mean": {"qcm1": mean.tolist()}, "std": {"qcm1": std.tolist()}}
    serve(batch, io.StringIO(json.dumps(request) + "\n"), replies)  # NaN where it is dark
    score = json.loads(replies.getvalue())
    assert score["points"] == counts.sum()
    assert score["e_rms_percent"]["qcm1"] == pytest.approx(50.0 / true[counts].mean())
    assert score["coverage_95"]["qcm1"] == pytest.approx((counts & (POWER >= 50.0)).sum() / counts.sum())
    shown = {**ask, "mean": {"qcm1": (tooling * true).tolist()}}
    assert batch.answer({**shown, "tooling": True})["e_rms_percent"]["qcm1"] == pytest.approx(0.0, abs=1e-9)
    low = batch.answer({**shown, "lowest_mTorr": 2.0})
    assert low["points"] > score["points"]
    assert "coverage_95" not in low


def test_the_plasma_is_scored_over_the_grid(batch):
    law = batch.plant.sources[0].law
    lit = PRESSURE[:, None] >= np.asarray(law.extinction_pressure(POWER))
    ask = {"do": "score_plasma", "source": "cu", "power": POWER.tolist(), "pressure": PRESSURE.tolist()}
    assert batch.answer({**ask, "lit": lit.tolist()}) == {"accuracy": 1.0}
    assert batch.answer({**ask, "lit": np.ones_like(lit).tolist()})["accuracy"] == pytest.approx(lit.mean())


def test_ageing_is_energy_without_mass(batch):
    before = measure(batch)
    fresh = rate_at(batch, before)
    masses = [c.mass_ng_cm2 for c in batch.plant.crystals]
    reply = batch.answer({"do": "age", "source": "cu", "power": 100.0, "hours": 24.0})
    assert reply["energy_kWh"] == pytest.approx(2.4, rel=0.01)
    assert [c.mass_ng_cm2 for c in batch.plant.crystals] == masses
    after = measure(batch)
    worn = rate_at(batch, after)
    assert abs(worn / fresh - 1) > 0.005
    assert slope(after, "qcm1", "measured") / slope(before, "qcm1", "measured") == pytest.approx(worn / fresh, rel=3e-3)


def test_a_used_up_crystal_has_no_frequency(batch):
    batch.plant.crystals[1].deposit(1e8, 0.437)
    rows = measure(batch, duration_s=10.0)["rows"]
    assert set(rows["qcm2_frequency"]) == {None}
    assert set(rows["qcm2_life"]) == {0.0}


def test_targets_and_crystals_are_exchanged(batch):
    measure(batch)
    assert batch.plant.crystals[0].mass_ng_cm2 > 0
    assert batch.answer({"do": "exchange", "source": "cu", "element": "Ag"}) == {"element": "Ag", "target_number": 2}
    assert batch.answer({"do": "exchange", "sensor": "qcm1"}) == {"life": 100.0}
    reply = measure(batch)
    assert reply["energy_kWh"] < 0.01
    assert -slope(reply, "qcm1", "measured") * sauerbrey(6e6) == pytest.approx(rate_at(batch, reply), rel=5e-3)


def test_pressures_are_those_of_the_gauge(make_config):
    batch = Batch(make_config(quiet=True, physics={"gauge_drift_per_day": 0.1}))
    batch.answer({"do": "age", "source": "sn", "power": 10.0, "hours": 24.0})
    reply = measure(batch)
    assert reply["pressure"] == pytest.approx(8.0, rel=0.02)
    assert batch.plant.gas.pressure_mTorr == pytest.approx(reply["pressure"] / 1.1, rel=5e-3)
    lit = PRESSURE[:, None] >= 1.1 * np.asarray(batch.plant.sources[0].law.extinction_pressure(POWER))
    ask = {"do": "score_plasma", "source": "cu", "power": POWER.tolist(), "pressure": PRESSURE.tolist()}
    assert batch.answer({**ask, "lit": lit.tolist()})["accuracy"] > 0.998


def test_another_chamber_has_another_seed_and_settings(batch):
    assert batch.answer({"do": "new", "seed": 7, "physics": {"extinction_10W_mTorr": 3.5}}) == {"seed": 7}
    assert batch.plant.config.seed == 7
    assert batch.plant.settings.extinction_10W_mTorr == 3.5
    assert batch.plant.settings.tooling_sd == 0.0
    assert "physics.no_such" in batch.answer({"do": "new", "physics": {"no_such": 1}})["error"]
    assert batch.answer({"do": "read"})["readings"]["clock_time"] == 0.0


def test_a_chamber_can_be_had_again_with_other_noise(make_config):
    batch = Batch(make_config())

    def chamber(noise: int) -> tuple[str, str]:
        batch.answer({"do": "new", "seed": 7, "noise": noise})
        return str(source_truth(batch.plant, 0, POWER, PRESSURE)), str(measure(batch)["rows"])

    (truth, rows), (truth_again, rows_again), (same_truth, other_rows) = chamber(0), chamber(0), chamber(1)
    assert truth == truth_again == same_truth
    assert rows == rows_again != other_rows


SURFACE = {"do": "score_rate", "source": "cu", "power": [10, 20], "pressure": [5, 9]}


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({}, "do"),
        ([], "request"),
        ({"do": "mesure"}, "mesure"),
        ({"do": "measure", "source": "cu"}, "power"),
        ({"do": "measure", "source": "zr", "power": 50, "pressure": 8}, "no source 'zr'"),
        ({"do": "measure", "source": "cu", "power": 500, "pressure": 8}, "beyond 0 .. 100 W"),
        ({"do": "measure", "source": "cu", "power": 50, "pressure": 80}, "sccm"),
        ({"do": "measure", "source": "cu", "power": None, "pressure": 8}, "power"),
        ({"do": "measure", "source": "cu", "power": 50, "pressure": 8, "speed": 2}, "speed"),
        ({"do": "measure", "source": "cu", "power": 50, "pressure": 8, "every_s": 1e-6}, "rows"),
        ({"do": "film", "powers": {}, "pressure": 8}, "powers"),
        ({"do": "film", "powers": {"zr": 50}, "pressure": 8}, "no source 'zr'"),
        ({"do": "exchange", "source": "cu", "element": "Xx"}, "not a chemical element"),
        ({"do": "exchange", "source": "zr", "element": "Cu"}, "no source 'zr'"),
        ({"do": "exchange", "source": "cu"}, "give source and element"),
        ({"do": "exchange", "sensor": "qcm9"}, "no sensor 'qcm9'"),
        ({"do": "points", "substrate": 3, "x_mm": [0], "y_mm": [0]}, "no film on substrate 3"),
        ({"do": "points", "substrate": 3, "x_mm": [0], "y_mm": [0, 1]}, "no points"),
        ({**SURFACE, "mean": {"q": [[1, 2], [3, 4]]}}, "no sensor 'q'"),
        ({**SURFACE, "mean": {"qcm1": [[1, 2]]}}, "shape"),
        ({**SURFACE, "mean": {"qcm1": [[1, 2], [3]]}}, "different lengths"),
        ({**SURFACE, "mean": {"qcm1": [[1, 2], [3, None]]}}, "not a number"),
        ({**SURFACE, "mean": {"qcm1": [[1, 2], [3, 4]]}, "power": [20, 10]}, "must rise"),
        ({**SURFACE, "mean": {"qcm1": [[1, 2], [3, 4]]}, "lowest_mTorr": 50}, "no grid point"),
    ],
)
def test_a_bad_request_is_told_and_the_plant_stays_safe(batch, request_, told):
    assert told in batch.answer(request_)["error"]
    assert not batch.plant.energised
    assert batch.plant.substrate_number == 0


def test_points_beside_the_film_are_refused(batch):
    batch.answer({"do": "film", "powers": {"cu": 40.0}, "pressure": 8.0, "duration_s": 10.0})
    reply = batch.answer({"do": "points", "substrate": 1, "x_mm": [26.0], "y_mm": [0.0]})
    assert "beyond the grid" in reply["error"]


def test_as_a_program(raw_config, tmp_path):
    raw = raw_config()
    del raw["state_file"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**raw, "truth_file": None}))
    lines = ["{", '{"do": "measure", "source": "cu", "power": 50, "pressure": 8}', "", '{"do": "read"}']
    command = [sys.executable, "-m", "ioc_sims.sputter", str(path)]
    ended = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=True)
    bad, measured, read = (json.loads(line) for line in ended.stdout.splitlines())
    assert "not JSON" in bad["error"]
    assert measured == measure(Batch(load_batch_config(path)))
    assert read["substrate"] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json"]
    path.write_text("[]")
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 2
    with pytest.raises(ConfigError, match="file"):
        load_batch_config(path)
