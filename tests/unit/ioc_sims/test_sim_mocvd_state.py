"""Wafers, maintenances, what is drawn for them, and what outlives the process."""

from __future__ import annotations

import json
import math

import pytest
from mocvd_lab import Client, make_reactor, raw_reactor

from ioc_sims.common.errors import ConfigError, StateError
from ioc_sims.common.files import write_json
from ioc_sims.mocvd import hidden, state
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.sequence import State
from ioc_sims.mocvd.settings import LINES, load_config
from ioc_sims.mocvd.truth import truth


@pytest.fixture
def client(tmp_path) -> Client:
    return Client(make_reactor(tmp_path, quiet=True))


def in_run(plant: Plant) -> set[str]:
    return {name for name, on in plant.run.items() if on}


# wafers and maintenance -----------------------------------------------------------------------------------------------


def cool(client: Client) -> None:
    reactor = client.reactor
    reactor.stop_growth()
    reactor.set_temperature(0.0)
    client.run(600.0)
    for name in LINES:
        reactor.set_valve(name, False)
        reactor.set_flow(name, 0.0)
    reactor.set_rotation(0.0)
    client.run(40.0)


def test_a_wafer_is_in_one_place_at_a_time(client):
    client.growing(seconds=100.0)
    client.run(110.0)
    reactor, plant = client.reactor, client.plant
    assert not reactor.place("PL", 1)
    cool(client)
    assert not reactor.load()
    assert reactor.unload()
    assert not reactor.place("PL", 2)
    assert reactor.place("PL", 1)
    assert not reactor.place("XRD", 1)
    assert reactor.start_light(True)
    assert not reactor.place("PL", 0)
    assert not reactor.set_exposure(1.0)
    client.run(70.0)
    assert reactor.place("PL", 0)
    assert reactor.place("XRD", 1)
    assert reactor.start_scan()
    assert reactor.stop("XRD")
    assert reactor.load()
    assert plant.loaded is plant.wafers[2]


def test_a_maintenance_draws_the_reactor_anew(tmp_path):
    client = Client(make_reactor(tmp_path))
    plant, before = client.plant, client.plant.condition
    assert client.reactor.maintain()
    after = plant.condition
    assert plant.maintenance == 1
    assert after == hidden.condition(plant.settings, 0, 1)
    assert max(abs(math.log(after.line[name] / before.line[name])) for name in LINES) > 0.01
    spreads = [hidden.condition(plant.settings, seed, n).line["GA"] for n in (0, 1) for seed in range(300)]
    logs = [math.log(value) for value in spreads]
    sd = [math.sqrt(sum(v * v for v in part) / 300) for part in (logs[:300], logs[300:])]
    assert sd == pytest.approx([0.01, 0.05], rel=0.15)


def test_bad_runs_are_rare_and_gross(tmp_path):
    physics = make_reactor(tmp_path).physics
    runs = [hidden.run(physics, seed, wafer) for seed in range(40) for wafer in range(1, 51)]
    bad = [one for one in runs if one.bad]
    assert len(bad) / len(runs) == pytest.approx(0.03, abs=0.012)
    assert min(max(abs(one.shift.x), abs(one.shift.y)) for one in bad) > 0.1
    usual = [one.shift.x for one in runs if not one.bad]
    assert math.sqrt(sum(v * v for v in usual) / len(usual)) == pytest.approx(0.010, rel=0.1)
    assert hidden.run(physics, 3, 7) == hidden.run(physics, 3, 7)


# state and truth ------------------------------------------------------------------------------------------------------


def test_state_goes_round_and_every_start_is_safe(client, tmp_path):
    client.growing(seconds=1000.0)
    client.run(100.0)
    config, plant = client.plant.config, client.plant
    write_json(config.state_file, state.snapshot(plant))
    again = state.load_plant(config)
    assert again.time_s == plant.time_s
    assert again.starts == 1
    assert in_run(again) == {"P"}
    assert again.protecting
    assert not again.energised
    assert not again.susceptor.heating
    assert again.sequence.state is State.STOPPED
    assert truth(again) == truth(plant)
    assert again.loaded is again.wafers[1]
    follower = Client(config)
    follower.run(400.0)
    assert follower.plant.susceptor.value < 400
    assert in_run(follower.plant) == set()
    assert follower.plant.wafers[1].decomposed_s == 0.0
    cold = state.snapshot(follower.plant)
    write_json(config.state_file, cold)
    third = state.load_plant(config)
    assert state.snapshot(third) == {**cold, "starts": 3}


def test_measurements_outlive_the_process(client):
    client.growing(seconds=100.0)
    client.run(110.0)
    cool(client)
    reactor, plant = client.reactor, client.plant
    assert reactor.unload()
    assert reactor.place("PL", 1)
    assert reactor.start_light(True)
    client.run(70.0)
    assert reactor.place("PL", 0)
    assert reactor.place("XRD", 1)
    assert reactor.start_scan()
    client.run(100.0)
    write_json(plant.config.state_file, state.snapshot(plant))
    again = state.load_plant(plant.config)
    assert again.mapper.map_nm == pytest.approx(plant.mapper.map_nm, nan_ok=True)
    assert again.diffractometer.counts.tolist() == plant.diffractometer.counts.tolist()
    assert int(again.diffractometer.state) == 3  # stopped
    assert again.diffractometer.points == plant.diffractometer.points > 50


def test_a_state_of_another_reactor_is_refused(client, tmp_path):
    write_json(client.plant.config.state_file, state.snapshot(client.plant))
    with pytest.raises(StateError, match="another seed or physics"):
        state.load_plant(make_reactor(tmp_path, quiet=True, seed=1))
    client.plant.config.state_file.write_text("{}")
    with pytest.raises(StateError, match="not a usable state"):
        state.load_plant(client.plant.config)


def test_a_bad_configuration_is_one_line(tmp_path):
    path = tmp_path / "config.json"
    for changes, fault in (
        ({"speed": 2000}, "speed"),
        ({"gallium": "GaCl"}, "gallium"),
        ({"physics": {"rate_nm_s": 0}}, "physics.rate_nm_s"),
        ({"colour": "red"}, "colour"),
    ):
        path.write_text(json.dumps({**raw_reactor(tmp_path), **changes}))
        with pytest.raises(ConfigError, match=fault) as told:
            load_config(path)
        assert "\n" not in str(told.value)
