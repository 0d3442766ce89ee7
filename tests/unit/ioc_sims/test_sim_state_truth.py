"""What is written to disk: state that resumes, truth that is true, and a disk that is full."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from ioc_sims.common.errors import ConfigError, StateError
from ioc_sims.common.files import write_json
from ioc_sims.sputter import state, truth
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.emission import flux_per_strength
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.settings import load_config
from ioc_sims.sputter.store import Store


def worked(config) -> Plant:
    """A chamber that has grown a film and switched everything on."""
    plant = Plant(config)
    plant.gas.setpoint_sccm = 60.0
    plant.advance(60.0)
    plant.sources[0].setpoint_W, plant.sources[1].setpoint_W = 60.0, 40.0
    plant.advance(5.0)
    plant.load_substrate()
    plant.substrate_shutter_open = True
    plant.open_source_shutter(0, True)
    plant.open_source_shutter(1, True)
    plant.advance(300.0)
    return plant


def test_state_round_trip(make_config):
    config = make_config()
    plant = worked(config)
    write_json(config.state_file, state.snapshot(plant))
    back = state.load_plant(config)
    assert back.time_s == plant.time_s
    assert back.substrate_number == 1
    assert [s.energy_kWh for s in back.sources] == [s.energy_kWh for s in plant.sources]
    assert [s.openings for s in back.sources] == [1, 1, 0, 0]
    for old, new in zip(plant.crystals, back.crystals, strict=True):
        assert (new.film_frequency_Hz, new.drift_mass) == (old.film_frequency_Hz, old.drift_mass)
    np.testing.assert_array_equal(back.wafer.masses(back.films[1])["Sn"], plant.wafer.masses(plant.films[1])["Sn"])
    assert not back.energised
    assert all(s.supply_W == 0 for s in back.sources)
    assert back.noise.normal() != Plant(config).noise.normal()


def test_no_state_file_is_a_new_chamber(make_config):
    assert state.load_plant(make_config()).time_s == 0.0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 99, "chamber": ""}'])
def test_an_unusable_state_says_what_to_do(make_config, text):
    config = make_config()
    config.state_file.write_text(text)
    with pytest.raises(StateError, match="move it away"):
        state.load_plant(config)


def test_a_state_of_another_chamber_is_refused(make_config):
    config = make_config()
    write_json(config.state_file, state.snapshot(Plant(config)))
    with pytest.raises(StateError, match="another seed, geometry or physics"):
        state.load_plant(make_config(seed=1))
    assert state.load_plant(make_config(speed=7.0, prefix="OTHER:")).time_s == 0.0


def test_truth_has_the_agreed_form_and_the_plants_rates(make_config):
    plant = worked(make_config(quiet=True))
    found = truth.chamber_truth(plant)
    assert found["schema"] == 1
    assert found["settings"]["racetrack_radius_cm"] == 1.8
    cu = found["sources"]["cu"]
    rate, lit, ignites = (np.asarray(a) for a in (cu["rate"]["qcm2"], cu["lit"], cu["ignites"]))
    assert rate.shape == lit.shape == ignites.shape == (31, 31)
    assert (lit | ~ignites).all()
    assert (rate[lit] > 0).all()
    assert not rate[~lit].any()
    power, pressure = np.asarray(found["power_W"]), np.asarray(found["pressure_mTorr"])
    law, energy = plant.sources[0].law, plant.sources[0].energy_kWh
    i, j = 20, 12
    assert lit[i, j]
    place = plant.crystals[1].config
    flux = flux_per_strength(
        law.config, plant.settings, place.position_cm, place.normal, float(law.exponent(pressure[i], energy))
    )
    assert rate[i, j] == pytest.approx(float(law.emitted(power[j], pressure[i], energy)) * flux[0], rel=1e-5)


def test_film_truth_adds_up(make_config):
    plant = worked(make_config())
    found = truth.film_truth(plant.wafer, plant.films[1])
    assert found["elements"] == ["Cu", "Sn"]
    fractions = np.asarray([found["fraction"][e] for e in found["elements"]])
    assert fractions.shape == (2, 51, 51)
    np.testing.assert_allclose(fractions.sum(axis=0), 1.0, atol=1e-8)
    np.testing.assert_allclose(
        np.asarray(found["areal_ng_cm2"]), sum(plant.wafer.masses(plant.films[1]).values()), 1e-4
    )
    json.dumps(found, allow_nan=False)


def test_store_writes_both_files_and_survives_a_full_disk(make_config, monkeypatch, caplog):
    config = make_config()
    chamber = Chamber(worked(config), 100.0, 3.0)
    store = Store(chamber)
    store.start()
    assert list(json.loads(config.truth_file.read_text())["films"]) == ["1"]

    def full(*_args) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", full)
        chamber.load_substrate()
        chamber.set_substrate_shutter(False)
        store._write()
        assert not store.healthy
        assert "No space left" in caplog.text
        assert json.loads(config.state_file.read_text())["substrate_number"] == 1
    chamber.load_substrate()
    store.close()
    assert store.healthy
    assert json.loads(config.state_file.read_text())["substrate_number"] == 2
    assert sorted(json.loads(config.truth_file.read_text())["films"]) == ["1", "2"]
    assert not list(config.state_file.parent.glob("*.tmp"))


def test_configuration_is_read(raw_config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw_config(physics={"rate_noise_relative": 0.1})))
    assert load_config(path).physics.rate_noise_relative == 0.1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speed": 0.1}, "speed"),
        ({"schema": 2}, "schema"),
        ({"physics": {"no_such": 1}}, "physics.no_such"),
        ({"prefx": "A:"}, "prefx"),
        ({"sources": []}, "sources"),
        ({"grid": {"power_W": [100, 10]}}, "grid.power_W"),
    ],
)
def test_a_bad_configuration_is_told_in_one_line(raw_config, tmp_path, change, told):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw_config(**change)))
    with pytest.raises(ConfigError, match=told) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_bad_sources_are_told(raw_config, tmp_path):
    path = tmp_path / "config.json"
    for key, value, told in (
        ("element", "Xx", "not a chemical element"),
        ("axis", [0, 0, 2], "unit vector"),
        ("pv", "S2:", "must differ"),
        ("max_power_W", -1, "greater than 0"),
    ):
        raw = raw_config()
        raw["sources"][0][key] = value
        path.write_text(json.dumps(raw))
        with pytest.raises(ConfigError, match=told):
            load_config(path)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_what_is_no_configuration(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.json")
