"""New targets and new crystals: when they may be exchanged, what they begin with, and that it outlives the process."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ioc_sims.common.files import write_json
from ioc_sims.sputter import state, truth
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.readings import readings
from ioc_sims.sputter.store import Store

SHIPPED_FINGERPRINT = "4d13d0cc53cca692"
"""Of the usual chamber, as the first state files hold it."""


@pytest.fixture
def chamber(make_config) -> Chamber:
    """Copper has burnt, its shutter is closed, its supply still on."""
    plant = Plant(make_config())
    plant.gas.setpoint_sccm = 60.0
    plant.advance(60.0)
    plant.sources[0].setpoint_W = 50.0
    plant.advance(5.0)
    plant.open_source_shutter(0, True)
    plant.advance(3600.0)
    plant.open_source_shutter(0, False)
    return Chamber(plant, 1.0, 3.0, lambda: 0.0)


def switched_off(chamber: Chamber) -> Chamber:
    chamber.plant.make_safe()
    chamber.plant.advance(5.0)
    return chamber


def test_a_target_is_refused_while_its_supply_is_on(chamber):
    assert not chamber.exchange_target(0, "Ag")
    chamber.plant.sources[0].setpoint_W = 0.0  # asked for, not yet there
    assert not chamber.exchange_target(0, "Ag")
    assert chamber.plant.elements[0] == "Cu"
    assert chamber.exchange_target(1, "Ag")  # the neighbour is off
    assert switched_off(chamber).exchange_target(0, "Ag")


@pytest.mark.parametrize("element", ["", "Xx", "copper", "n"])
def test_what_is_no_element_makes_no_target(chamber, element):
    assert not switched_off(chamber).exchange_target(0, element)
    assert chamber.plant.sources[0].target_number == 1


def test_a_new_target_has_no_energy_and_the_laws_of_its_element(chamber):
    source = switched_off(chamber).plant.sources[0]
    copper = source.law
    assert source.energy_kWh > 0.04
    assert chamber.exchange_target(0, "Al")
    assert (source.energy_kWh, source.target_number) == (0.0, 2)
    assert source.law.target.symbol == "Al"
    assert source.law.voltage(50.0, 5.0) == pytest.approx(310.0)
    assert source.law.extinction_pressure(30.0) == copper.extinction_pressure(30.0)  # the magnets stay
    shown = readings(chamber)
    assert (shown["S1:TARGET"], shown["S1:TARGET:NUMBER"], shown["S2:TARGET:NUMBER"]) == ("Al", 2, 1)


def test_two_targets_of_one_element_differ(chamber):
    source = switched_off(chamber).plant.sources[0]
    strengths = [source.law.character.strength]
    for _ in range(2):
        assert chamber.exchange_target(0, "Cu")
        strengths.append(source.law.character.strength)
    assert source.target_number == 3
    assert len(set(strengths)) == 3
    assert 0.85 < min(strengths) < max(strengths) < 1.15


def test_a_film_holds_what_each_target_gave(make_config):
    plant = Plant(make_config(quiet=True))
    plant.gas.setpoint_sccm = 60.0
    plant.advance(60.0)
    plant.load_substrate()
    masses = []
    for element in ("Cu", "Ag"):
        if element != "Cu":
            plant.mount_target(0, element)
        plant.sources[0].setpoint_W = 50.0
        plant.advance(5.0)
        plant.substrate_shutter_open = True
        plant.open_source_shutter(0, True)
        plant.advance(100.0)
        masses.append(plant.sources[0].emitted_ng_s * 100.0)
        plant.make_safe()
        plant.advance(5.0)
    found = plant.wafer.masses(plant.films[1])
    assert list(found) == ["Cu", "Ag"]
    assert [doses.sum() for doses in plant.films[1].doses.values()] == pytest.approx(masses, rel=1e-3)
    alone = Plant(make_config(("Ag", "Sn"), quiet=True)).sources[0].law
    assert masses[1] / 100.0 == pytest.approx(float(alone.emitted(50.0, plant.gas.pressure_mTorr)), rel=1e-3)


def test_the_truth_is_written_anew_and_the_exchange_outlives_the_process(chamber):
    config = chamber.plant.config
    switched_off(chamber).plant.load_substrate()
    store = Store(chamber)
    store.start()
    chamber.exchange_target(0, "Ag")
    chamber.exchange_target(2, "Ni")
    assert chamber.exchanged
    store.close()
    told = json.loads(config.truth_file.read_text())["sources"]
    assert (told["cu"]["element"], told["cu"]["target_number"], told["ni"]["target_number"]) == ("Ag", 2, 2)
    back = state.load_plant(config)
    assert back.elements == ("Ag", "Sn", "Ni", "Al")
    assert [s.target_number for s in back.sources] == [2, 1, 2, 1]
    for old, new in zip(chamber.plant.sources, back.sources, strict=True):
        assert (new.law.character, new.energy_kWh) == (old.law.character, old.energy_kWh)


def test_a_state_from_before_targets_could_be_exchanged_is_resumed(make_config):
    config = make_config()
    plant = Plant(config)
    plant.load_substrate()
    plant.films[1].add(0.0, plant.elements, 1, 1e6, 1.2)
    old = json.loads(json.dumps(state.snapshot(plant)))
    for source in old["sources"].values():
        del source["target"], source["target_number"]
    old["films"] = {number: [entry[:2] for entry in entries] for number, entries in old["films"].items()}
    write_json(config.state_file, {**old, "chamber": SHIPPED_FINGERPRINT})
    back = state.load_plant(config)
    assert [s.target_number for s in back.sources] == [1, 1, 1, 1]
    assert truth.film_truth(back.wafer, back.films[1])["elements"] == ["Sn"]


@pytest.mark.parametrize("setting", [{"sticking": {"cu": 0.7}}, {"extinction_shape": "knee"}, {"mode_jump": 0.1}])
def test_another_law_is_another_chamber(make_config, setting):
    assert state.fingerprint(make_config()) == SHIPPED_FINGERPRINT
    assert state.fingerprint(make_config(physics=setting)) != SHIPPED_FINGERPRINT


def test_a_crystal_is_exchanged_when_every_source_is_shut(chamber):
    crystal = chamber.plant.crystals[1]
    tooling, loaded = crystal.tooling, crystal.mass_ng_cm2
    chamber.plant.open_source_shutter(3, True)
    assert not chamber.replace_crystal(1)
    assert crystal.mass_ng_cm2 == loaded > 0
    chamber.plant.open_source_shutter(3, False)
    assert chamber.replace_crystal(1)
    assert (crystal.mass_ng_cm2, crystal.life_percent, crystal.tooling) == (0.0, 100.0, tooling)
    assert readings(chamber)["Q2:FREQUENCY"] == pytest.approx(6e6, abs=10.0)  # still warm
    assert chamber.plant.crystals[0].mass_ng_cm2 > 0


@pytest.mark.parametrize("mass_ng_cm2", [1.6e7, 1e9])
def test_a_used_up_crystal_shows_no_frequency_until_it_is_exchanged(chamber, mass_ng_cm2):
    chamber.plant.crystals[0].deposit(mass_ng_cm2, 0.437)
    shown = readings(chamber)
    assert (shown["Q1:FREQUENCY"], shown["Q1:LIFE"]) == (0.0, 0.0)
    assert chamber.replace_crystal(0)
    shown = readings(chamber)
    assert shown["Q1:LIFE"] == 100.0
    assert math.isfinite(float(np.asarray(shown["Q1:FREQUENCY"])))
    assert shown["Q1:FREQUENCY"] > 5.9e6
