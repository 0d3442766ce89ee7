"""The plant as a whole: what sensors see, what films get, and that a seed fixes both."""

from __future__ import annotations

import numpy as np
import pytest

from ioc_sims.sputter.emission import flux_per_strength
from ioc_sims.sputter.film import GRID_MM, atomic_fractions
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.qcm import sauerbrey

CENTRE = len(GRID_MM) // 2


def burning(plant: Plant, flow: float = 60.0, **powers: float) -> Plant:
    """Gas on, powers on, settled."""
    plant.gas.setpoint_sccm = flow
    plant.advance(60.0)
    for source in plant.sources:
        source.setpoint_W = powers.get(source.name, 0.0)
    plant.advance(5.0)
    return plant


def sensor_rate(plant: Plant, seconds: float = 100.0) -> np.ndarray:
    """Apparent rate of every sensor by the mass it gains [ng cm^-2 s^-1]."""
    before = np.array([c.mass_ng_cm2 for c in plant.crystals])
    plant.advance(seconds)
    return (np.array([c.mass_ng_cm2 for c in plant.crystals]) - before) / seconds


def flux_at(plant: Plant, index: int, points) -> np.ndarray:
    source = plant.sources[index]
    factor = flux_per_strength(source.law.config, plant.settings, points, (0, 0, 1), source.n)
    return source.emitted_ng_s * factor


def test_copper_deposits_at_a_usual_rate(make_config):
    plant = burning(Plant(make_config(quiet=True)), cu=50.0)
    assert 30 < flux_at(plant, 0, (0, 0, 0))[0] < 60


def test_sensors_see_the_flux_at_their_place(make_config):
    plant = burning(Plant(make_config(quiet=True)), cu=50.0)
    plant.open_source_shutter(0, True)
    places = [c.config.position_cm for c in plant.crystals]
    np.testing.assert_allclose(sensor_rate(plant), flux_at(plant, 0, places), rtol=1e-5)


def test_frequency_slope_is_the_rate_over_the_sauerbrey_constant(make_config):
    plant = burning(Plant(make_config(quiet=True)), cu=50.0)
    plant.open_source_shutter(0, True)
    noise = np.random.default_rng(0)
    start = plant.crystals[0].frequency_Hz(noise)
    rate = sensor_rate(plant, 20.0)[0]
    assert (start - plant.crystals[0].frequency_Hz(noise)) / 20.0 == pytest.approx(rate / sauerbrey(6e6), rel=1e-3)


def test_nothing_arrives_behind_a_closed_shutter(make_config):
    plant = burning(Plant(make_config(quiet=True)), cu=50.0)
    assert not sensor_rate(plant).any()


def test_noise_is_drawn_when_a_shutter_opens_and_then_held(make_config):
    config = make_config(physics={"rate_noise_absolute": 0.0, "zero_drift_sd": 0.0, "tooling_sd": 0.0})
    plant = burning(Plant(config), cu=50.0)
    factors = []
    for _ in range(200):
        plant.open_source_shutter(0, True)
        first, second = sensor_rate(plant, 1.0), sensor_rate(plant, 1.0)
        np.testing.assert_allclose(first, second, rtol=1e-5)
        plant.open_source_shutter(0, False)
        factors.append(first / flux_at(plant, 0, [c.config.position_cm for c in plant.crystals]))
    assert np.mean(factors) == pytest.approx(1.0, abs=0.003)
    assert np.std(factors) == pytest.approx(0.015, rel=0.1)
    assert abs(np.corrcoef(np.asarray(factors).T)[0, 1]) < 0.3


def test_additive_noise_and_tooling(make_config):
    config = make_config(physics={"rate_noise_relative": 0.0, "zero_drift_sd": 0.0})
    plant = burning(Plant(config), cu=50.0)
    places = [c.config.position_cm for c in plant.crystals]
    tooling = np.array([c.tooling for c in plant.crystals])
    offsets = []
    for _ in range(200):
        plant.open_source_shutter(0, True)
        offsets.append(sensor_rate(plant, 1.0) / tooling - flux_at(plant, 0, places))
        plant.open_source_shutter(0, False)
    assert np.std(offsets) == pytest.approx(0.05, rel=0.15)
    assert 0.001 < np.std(tooling) < 0.03


def test_one_long_step_equals_many_short_ones(make_config):
    plants = [burning(Plant(make_config(quiet=True)), cu=50.0, sn=30.0) for _ in range(2)]
    for plant in plants:
        plant.load_substrate()
        plant.substrate_shutter_open = True
        plant.open_source_shutter(0, True)
        plant.open_source_shutter(1, True)
    plants[0].advance(50.0)
    for _ in range(500):
        plants[1].advance(0.1)
    for one, many in zip(plants[0].crystals, plants[1].crystals, strict=True):
        assert one.mass_ng_cm2 == pytest.approx(many.mass_ng_cm2, rel=1e-5)
    masses = [plant.wafer.masses(plant.films[1]) for plant in plants]
    np.testing.assert_allclose(masses[0]["Cu"], masses[1]["Cu"], rtol=1e-5)
    assert plants[0].time_s == pytest.approx(plants[1].time_s)


def test_the_film_gets_the_noise_free_flux(make_config):
    plant = burning(Plant(make_config()), cu=50.0)
    plant.load_substrate()
    plant.substrate_shutter_open = True
    plant.open_source_shutter(0, True)
    plant.advance(100.0)
    cu = plant.wafer.masses(plant.films[1])["Cu"]
    assert cu[CENTRE, CENTRE] == pytest.approx(100.0 * flux_at(plant, 0, (0, 0, 0))[0], rel=1e-4)
    corner = flux_at(plant, 0, (2.5, -2.5, 0))[0]
    assert cu[0, -1] == pytest.approx(100.0 * corner, rel=1e-4)  # [y, x]: y = -25 mm, x = +25 mm


def test_mirrored_sources_of_one_element_give_a_mirrored_film(make_config):
    config = make_config(quiet=True)
    sources = list(config.sources)
    sources[2] = sources[2].model_copy(update={"element": "Cu"})
    plant = burning(Plant(config.model_copy(update={"sources": tuple(sources)})), cu=50.0, ni=50.0)
    plant.load_substrate()
    plant.substrate_shutter_open = True
    plant.open_source_shutter(0, True)
    plant.open_source_shutter(2, True)
    plant.advance(10.0)
    cu = plant.wafer.masses(plant.films[1])["Cu"]
    np.testing.assert_allclose(cu, cu[:, ::-1], rtol=1e-9)


def test_atomic_fractions_of_two_elements():
    shape = (len(GRID_MM), len(GRID_MM))
    fractions = atomic_fractions({"Cu": np.full(shape, 63.546), "Sn": np.full(shape, 3 * 118.71)})
    np.testing.assert_allclose(fractions["Cu"], 0.25)
    assert not atomic_fractions({"Cu": np.zeros(shape)})["Cu"].any()


def test_turning_the_stage_turns_the_film(make_config):
    def grown(angle: float) -> np.ndarray:
        plant = burning(Plant(make_config(quiet=True)), cu=50.0)
        plant.angle_setpoint_deg = angle
        plant.advance(30.0)
        plant.load_substrate()
        plant.substrate_shutter_open = True
        plant.open_source_shutter(0, True)
        plant.advance(10.0)
        return plant.wafer.masses(plant.films[1])["Cu"]

    # the wafer turns by +90 degrees: what looks at the source (+x in the chamber) is now the wafer's -y side
    still, turned = grown(0.0), grown(90.0)
    assert still[CENTRE, -1] > still[CENTRE, 0]
    np.testing.assert_allclose(turned[0, CENTRE], still[CENTRE, -1], rtol=1e-6)


def test_a_film_grown_while_the_stage_turns_lies_between(make_config):
    plant = burning(Plant(make_config(quiet=True)), cu=50.0)
    plant.load_substrate()
    plant.substrate_shutter_open = True
    plant.open_source_shutter(0, True)
    plant.angle_setpoint_deg = 360.0
    plant.advance(18.0)
    cu = plant.wafer.masses(plant.films[1])["Cu"]
    assert cu[CENTRE, 0] == pytest.approx(cu[CENTRE, -1], rel=2e-2)
    assert cu[CENTRE, CENTRE] == pytest.approx(18.0 * flux_at(plant, 0, (0, 0, 0))[0], rel=1e-4)


def test_no_film_grows_behind_the_substrate_shutter_or_without_a_substrate(make_config):
    plant = burning(Plant(make_config()), cu=50.0)
    plant.open_source_shutter(0, True)
    plant.substrate_shutter_open = True
    plant.advance(10.0)
    assert plant.substrate_number == 0
    plant.substrate_shutter_open = False
    assert plant.load_substrate() == 1
    plant.advance(10.0)
    assert plant.wafer.masses(plant.films[1]) == {}


def test_a_seed_fixes_the_chamber_and_its_noise(make_config):
    def trace(seed: int) -> list[float]:
        plant = burning(Plant(make_config(seed=seed)), cu=50.0)
        plant.open_source_shutter(0, True)
        out = []
        for _ in range(5):
            plant.advance(1.0)
            out += [c.frequency_Hz(plant.noise) for c in plant.crystals]
        return out

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


def test_the_stream_is_not_that_of_the_bare_seed(make_config):
    noise = Plant(make_config(seed=5)).noise.normal(size=4)
    assert not np.allclose(noise, np.random.default_rng(5).normal(size=4))
