"""Chambers that differ from the usual one by a setting: sticking, spacing, extinction, a mode, a drifting gauge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc_sims.sputter import truth
from ioc_sims.sputter.plant import DAY_S, Plant
from ioc_sims.sputter.readings import plant_readings
from ioc_sims.sputter.settings import PhysicsSettings, SourceConfig
from ioc_sims.sputter.sources import Magnetron

POWER = np.linspace(5.0, 150.0, 59)


def magnetron(**physics) -> Magnetron:
    config = SourceConfig(name="x", element="Cu", pv="S1:", position_cm=(0, 0, 14), axis=(0, 0, -1))
    return Magnetron(config, PhysicsSettings(**physics))


def lit(plant: Plant, flow: float = 60.0, **powers: float) -> Plant:
    """Gas and powers on, settled, shutters closed."""
    plant.gas.setpoint_sccm = flow
    plant.advance(60.0)
    for source in plant.sources:
        source.setpoint_W = powers.get(source.name, 0.0)
    plant.advance(5.0)
    return plant


def grown(config) -> tuple[Plant, np.ndarray]:
    """A film of copper and tin; the masses on the crystals."""
    plant = lit(Plant(config), cu=50.0, sn=50.0)
    plant.load_substrate()
    plant.substrate_shutter_open = True
    plant.open_source_shutter(0, True)
    plant.open_source_shutter(1, True)
    plant.advance(100.0)
    return plant, np.array([c.mass_ng_cm2 for c in plant.crystals])


def test_what_does_not_stick_is_missing_in_the_film_and_not_on_the_crystals(make_config):
    (usual, on_crystals), (poor, same) = (
        grown(make_config(quiet=True, physics=physics)) for physics in ({}, {"sticking": {"sn": 0.7}})
    )
    np.testing.assert_array_equal(on_crystals, same)
    a, b = (truth.film_truth(plant.wafer, plant.films[1])["fraction"]["Sn"] for plant in (usual, poor))
    ratio_a, ratio_b = (np.asarray(f) / (1 - np.asarray(f)) for f in (a, b))
    np.testing.assert_allclose(ratio_b / ratio_a, 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("sticking", "told"), [({"zn": 0.7}, "no source: zn"), ({"cu": 1.1}, "less than or equal to 1")]
)
def test_sticking_is_checked(make_config, sticking, told):
    with pytest.raises(ValueError, match=told):
        make_config(physics={"sticking": sticking})


@pytest.mark.parametrize(("name", "distance_cm"), [("sn", 14.0 * math.sqrt(0.5)), ("ni", 14.0)])
def test_a_neighbour_counts_by_its_distance(make_config, name, distance_cm):
    physics = {"neighbour_interaction": 0.05, "neighbour_decay_cm": 4.0}
    alone = lit(Plant(make_config(quiet=True, physics=physics)), cu=50.0).sources[0]
    beside = lit(Plant(make_config(quiet=True, physics=physics)), cu=50.0, **{name: 30.0}).sources[0]
    change = 0.05 * math.tanh(1.0) * math.exp(-(distance_cm - 10.0) / 4.0)
    assert beside.emitted_ng_s / alone.emitted_ng_s == pytest.approx(1 + change, rel=1e-4)
    assert beside.voltage_V / alone.voltage_V == pytest.approx(1 - change, rel=1e-4)


def test_neighbours_add_up(make_config):
    physics = {"neighbour_interaction": 0.02}

    def change(**others: float) -> float:
        plants = [lit(Plant(make_config(quiet=True, physics=physics)), cu=50.0, **o) for o in ({}, others)]
        alone, beside = (plant.sources[0].emitted_ng_s for plant in plants)
        return beside / alone - 1

    assert change(sn=60.0, ni=20.0) == pytest.approx(change(sn=60.0) + change(ni=20.0), rel=1e-3)


@given(
    low=st.floats(1.0, 3.0),
    rise=st.floats(0.1, 4.0),
    knee_W=st.floats(5.0, 200.0),
    shape=st.sampled_from(["power", "knee"]),
)
def test_both_shapes_of_extinction_go_through_the_same_points_and_fall(low, rise, knee_W, shape):
    law = magnetron(
        extinction_shape=shape,
        extinction_100W_mTorr=low,
        extinction_10W_mTorr=low + rise,
        extinction_knee_W=knee_W,
    )
    assert law.extinction_pressure(100.0) == pytest.approx(low)
    assert law.extinction_pressure(10.0) == pytest.approx(low + rise)
    boundary = np.asarray(law.extinction_pressure(POWER))
    assert (np.diff(boundary) <= 0).all()
    np.testing.assert_allclose(law.ignition_pressure(POWER), 1.8 * boundary)


def test_the_knee_levels_off_where_the_power_law_falls_on():
    knee, power = magnetron(extinction_shape="knee"), magnetron()
    assert float(power.extinction_pressure(30.0)) - float(knee.extinction_pressure(30.0)) > 0.1
    assert knee.extinction_pressure(80.0) == pytest.approx(2.2, abs=0.05)
    fall = [float(law.extinction_pressure(100.0) - law.extinction_pressure(200.0)) for law in (knee, power)]
    assert fall[0] < 0.05 < 0.3 < fall[1]


def test_a_mode_changes_the_rate_over_its_width():
    pressure = np.array([4.0, 8.4, 8.7, 9.0, 9.3, 9.6, 20.0])
    usual = np.asarray(magnetron().emitted(50.0, pressure))
    jumped = np.asarray(magnetron(mode_jump=0.2, mode_width_mTorr=0.3).emitted(50.0, pressure))
    expected = 1 + 0.1 * (1 + np.tanh((pressure - 9.0) / 0.3))
    np.testing.assert_allclose(jumped / usual, expected, rtol=1e-12)
    assert expected[0] == pytest.approx(1.0)
    assert expected[-1] == pytest.approx(1.2)


def test_a_mode_without_width_is_a_step():
    law, usual = magnetron(mode_jump=-0.3, mode_width_mTorr=0.0, mode_pressure_mTorr=7.0), magnetron()
    below, above = (float(law.emitted(50.0, p)) / float(usual.emitted(50.0, p)) for p in (7.0 - 1e-9, 7.0))
    assert (below, above) == pytest.approx((1.0, 0.7))


def test_the_span_of_the_gauge_drifts_and_the_plasma_does_not_mind(make_config):
    plant = lit(Plant(make_config(quiet=True, physics={"gauge_drift_per_day": 0.02, "gauge_noise": 0.0})), cu=50.0)
    rate = plant.sources[0].emitted_ng_s
    plant.advance(10 * DAY_S - plant.time_s)
    shown = plant_readings(plant)["GAUGE:PROCESS:PRESSURE"]
    assert shown == pytest.approx(1.2 * plant.gas.pressure_mTorr, rel=2e-3)
    plant.sources[0].energy_kWh = 0.0
    plant.advance(1.0)
    assert plant.sources[0].emitted_ng_s == pytest.approx(rate, rel=1e-4)
    assert truth.chamber_truth(plant)["gauge_factor"] == pytest.approx(1.2, rel=1e-4)
