"""What documents say was used, and what is learned from them: meters read twice, and laws put in and found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.plans.estimate.amounts import Amount, Estimate
from sdl_bluesky.plans.estimate.habits import Habits
from sdl_bluesky.plans.estimate.lessons import _crystals, _pump, _rates, _timed, scatter
from sdl_bluesky.plans.estimate.rehearsal import Bench
from sdl_bluesky.plans.estimate.used import Told, Used, beside, growth_flows, sputter_use
from sdl_bluesky.session.lab import load_lab
from sdl_bluesky.session.machines import chamber_spec, sputter_settings

LAB = load_lab()
BENCH = Bench(chamber_spec(LAB), sputter_settings(LAB), Habits())


def told(first: dict[str, Any], last: dict[str, Any], result: dict[str, Any] | None = None, **start: Any) -> Told:
    begin = {"plan_name": "measure_rate", "sources": ["cu"], "time": 0.0, **start}
    return Told(begin, {}, {"time": 0.0, **first}, {"time": 1.0, **last}, result or {})


def test_meters_are_read_at_both_ends() -> None:
    run = told(
        {"clock_time": 100.0, "cu_energy": 1.0, "qcm1_life": 90.0, "substrate_number": 2, "gas_flow": 10.0},
        {"clock_time": 160.0, "cu_energy": 1.5, "qcm1_life": 88.0, "substrate_number": 3, "gas_flow": 60.0}
        | {"gauge_pressure": 12.0},
        {"zero_from_s": 130.0},
    )
    found = sputter_use(run)
    assert run.process_s == 60.0
    assert found["energy:cu"] == 0.5
    assert found["crystal_life:qcm1"] == 2.0
    assert found["substrates"] == 1.0
    assert found["argon"] == pytest.approx(0.06)  # 60 sccm for a minute, for ignition is at 12 mTorr too


def test_a_new_crystal_does_not_give_life_back() -> None:
    run = told({"clock_time": 0.0, "qcm1_life": 5.0}, {"clock_time": 1.0, "qcm1_life": 100.0})
    assert sputter_use(run)["crystal_life:qcm1"] == 0.0


def test_a_line_flows_from_before_the_first_layer_to_the_end_of_the_last() -> None:
    layers = tuple(
        {"time": t, "layer_duration": 100.0, "in_flow": 30.0, "p_flow": 300.0, "h2_flow": 6000.0} for t in (5.0, 8.0)
    )
    run = Told({"sources": []}, {}, {"time": 0.0, "clock_time": 0.0}, {"time": 10.0, "clock_time": 1000.0}, {}, layers)
    found = growth_flows(run, vent_s=60.0, cool_s=100.0)
    assert found["in"] == pytest.approx(30.0 * (800.0 - 400.0 + 60.0) / 60.0 / 1000.0)
    assert found["p"] == pytest.approx(300.0 * 900.0 / 60.0 / 1000.0)
    assert found["h2"] == pytest.approx(100.0)


def test_estimate_beside_use_keeps_what_only_one_knows() -> None:
    rows = {k["name"]: k for k in beside(Estimate({"films": Amount(1, 1, 2)}), Used({"films": 2.0, "wafers": 1.0}))}
    assert rows["films"]["within"]
    assert rows["films"]["error_percent"] == -50.0
    assert "expected" not in rows["wafers"]


def test_the_pump_is_found_again_from_the_ends_of_runs() -> None:
    runs = []
    for flow in (20.0, 40.0, 60.0, 90.0):
        end = {"clock_time": 1.0, "gas_flow": flow, "gauge_pressure": flow / (4.0 * (1 + flow / 700.0))}
        runs.append(told({"clock_time": 0.0}, end))
    found = _pump(BENCH, runs)
    assert found["flow_per_pressure"] == pytest.approx(4.0, rel=1e-6)
    assert found["pump_sccm"] == pytest.approx(700.0, rel=1e-6)
    assert _pump(BENCH, runs[:1]) == {}


def test_a_rate_is_found_again_and_a_crystals_life() -> None:
    chamber, _ = BENCH.walk()
    source = chamber.source("cu")
    source.burns, source.power.position, chamber.gas.flow.position = True, 50.0, 60.0
    rates = {f"qcm{k + 1}_rate": 3.0 * rate for k, rate in enumerate(chamber.rates("cu"))}
    end = {"clock_time": 1.0, "gas_flow": 60.0, "qcm1_life": 90.0, "qcm1_frequency": 6e6 - 5e4}
    run = told({"clock_time": 0.0}, end, {"cu_power": 50.0, **rates})
    assert _rates(BENCH, [run])["cu"].factor == pytest.approx(3.0)
    assert _crystals(BENCH, [run])["life_Hz"] == pytest.approx(5e5)


def test_times_are_corrected_by_those_of_earlier_runs() -> None:
    used = np.array([110.0, 220.0, 330.0])
    found = _timed(Habits(), "times", list(used), list(used / 1.1)).times
    assert found.factor == pytest.approx(1.1)
    assert found.runs == 3
    assert _timed(Habits(), "times", [], []) == Habits()


@given(st.floats(-50.0, 50.0), st.floats(-50.0, 50.0), st.integers(0, 2**32 - 1))
def test_the_noise_of_readings_is_found_whatever_they_drift(before: float, after: float, seed: int) -> None:
    noise = 0.02 * np.random.default_rng(seed).standard_normal(400)
    drift = np.concatenate([before * np.arange(200), 200 * before + after * np.arange(200)])
    assert scatter(6e6 + drift + noise) == pytest.approx(0.02, rel=0.25)


def test_a_handful_of_readings_tells_no_noise() -> None:
    assert np.isnan(scatter(np.arange(8.0)))
