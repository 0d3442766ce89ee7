"""Growth and the safe order of gases, on a clock that the test moves."""

from __future__ import annotations

import math

import pytest
from mocvd_lab import Client, make_reactor

from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.sequence import State
from ioc_sims.mocvd.settings import FLOW_LIMITS_SCCM, LINES


@pytest.fixture
def client(tmp_path) -> Client:
    return Client(make_reactor(tmp_path, quiet=True))


def in_run(plant: Plant) -> set[str]:
    return {name for name, on in plant.run.items() if on}


# growth ---------------------------------------------------------------------------------------------------------------


def test_a_growth_lasts_to_the_moment_and_gives_what_the_law_says(client):
    client.growing(seconds=321.7)
    client.run(330.0)
    plant = client.plant
    assert plant.sequence.state is State.DONE
    assert plant.sequence.layer_s == pytest.approx(321.7, abs=1e-6)
    assert in_run(plant) == {"AS", "P"}
    wafer = plant.wafers[1]
    [layer] = wafer.layers
    assert layer.lines == ("IN", "GA", "AS", "P")
    rate = 0.5 * (1 + (1 / (1 - 0.192) - 1))  # indium's part is that of InP
    assert layer.nm == pytest.approx(321.7 * rate, rel=0.02)
    assert layer.composition == pytest.approx((0.192, 0.4176), abs=3e-3)
    assert layer.spread[0] < 0.002
    assert wafer.decomposed_s == 0.0


def test_the_gas_over_the_wafer_is_exchanged_in_half_a_second(client):
    """What flowed in grows: the last F tau of it after the valve has closed (first order, closed form)."""
    client.hot()
    plant = client.plant
    plant.switch(("IN",), True, 20.0)
    plant.advance(20.0)
    [layer] = plant.wafers[1].layers
    at_the_end = layer.nm
    plant.advance(10.0)
    assert layer.nm == pytest.approx(10.0, rel=0.005)
    assert at_the_end == pytest.approx(layer.nm * (20.0 - 0.5) / 20.0, abs=0.005)
    assert layer.seconds == pytest.approx(20.0)


def test_the_clock_counts_seconds_with_group_iii_in_run(client):
    client.growing(seconds=50.0)
    client.run(60.0)
    client.run(100.0)
    assert client.plant.sequence.clock_s == pytest.approx(50.0)
    assert client.reactor.set_valve("IN", True)
    client.run(30.0)
    assert client.reactor.set_valve("IN", False)
    assert client.plant.sequence.state is State.DONE
    assert client.plant.sequence.clock_s == pytest.approx(80.0, abs=0.01)
    assert client.plant.sequence.number == 2
    client.run(5.0)
    assert len(client.plant.wafers[1].layers) == 2


def test_a_flow_that_has_not_settled_gives_a_graded_layer(client):
    client.growing(seconds=200.0)
    client.run(100.0)
    assert client.reactor.set_flow("GA", 2.0)
    client.run(110.0)
    [layer] = client.plant.wafers[1].layers
    assert layer.spread[0] > 0.04
    law, plant = client.plant.law, client.plant
    ends = {round(slab.x, 2) for slab in layer.slabs if slab.nm > 20}
    assert len(ends) == 2
    assert layer.composition[0] == pytest.approx(sum(s.nm * s.x for s in layer.slabs) / layer.nm)
    assert law.settings is plant.settings


def test_a_wrong_order_of_valves_gives_another_layer(client):
    client.hot()
    reactor = client.reactor
    assert reactor.set_valve("IN", True)
    assert reactor.set_valve("GA", True)  # arsine is still in the vent
    client.run(40.0)
    assert reactor.set_valve("AS", True)
    client.run(40.0)
    reactor.stop_growth()
    client.run(5.0)
    first, second = client.plant.wafers[1].layers
    assert first.lines == ("IN", "GA", "P")
    assert first.composition[1] == pytest.approx(0.0, abs=1e-9)
    assert second.composition[1] > 0.35


# safe order -----------------------------------------------------------------------------------------------------------


def test_nothing_is_switched_on_without_the_carrier(client):
    reactor = client.reactor
    reactor.heartbeat()
    assert not reactor.set_temperature(300.0)
    assert reactor.set_flow("P", 300.0)
    client.run(10.0)
    assert not any(reactor.set_valve(name, True) for name in LINES)
    assert reactor.set_flow("H2", 1500.0)
    client.run(30.0)
    assert not reactor.set_temperature(300.0)
    assert not reactor.set_valve("P", True)
    assert reactor.set_flow("H2", 16000.0)
    client.run(30.0)
    assert reactor.set_temperature(300.0)
    assert reactor.set_valve("P", True)
    assert not reactor.set_flow("H2", 1000.0)
    assert client.plant.controllers["H2"].setpoint == 16000.0


def test_no_metals_without_hydrides(client):
    client.gases()
    reactor, plant = client.reactor, client.plant
    assert reactor.set_flow("IN", 25.0)
    client.run(10.0)
    assert reactor.set_valve("P", False)
    assert not reactor.set_valve("IN", True)
    assert reactor.set_valve("P", True)
    assert reactor.set_valve("IN", True)
    plant.changed.clear()
    assert reactor.set_valve("P", False)  # metals follow at once
    assert in_run(plant) == set()
    assert plant.changed == {"IN:VALVE:SP", "P:VALVE:SP"}
    assert plant.sequence.state is State.STOPPED
    # a hydride whose flow ends counts as little as one in the vent
    assert reactor.set_valve("P", True)
    assert reactor.set_valve("IN", True)
    assert reactor.set_flow("P", 1.0)
    client.run(20.0)
    assert in_run(plant) == {"P"}


def test_no_hydrides_while_the_pressure_is_off(client):
    client.gases()
    reactor = client.reactor
    assert reactor.set_valve("P", False)
    assert reactor.set_pressure(50.0)
    assert not reactor.set_valve("P", True)
    client.run(30.0)
    assert reactor.set_valve("P", True)


def test_a_carrier_that_fails_takes_everything_along(client):
    client.growing()
    client.run(50.0)
    client.plant.controllers["H2"].setpoint = 0.0  # the supply is empty
    client.run(20.0)
    assert in_run(client.plant) == set()
    assert not client.plant.susceptor.heating
    assert client.plant.sequence.state is State.STOPPED


def test_bad_numbers_and_unready_commands_are_refused(client):
    reactor = client.reactor
    for bad in (math.nan, math.inf, -math.inf, -1.0, 1e6):
        assert not any(reactor.set_flow(name, bad) for name in FLOW_LIMITS_SCCM)
        assert not reactor.set_temperature(bad)
        assert not reactor.set_pressure(bad)
        assert not reactor.set_rotation(bad)
        assert not reactor.set_duration(bad)
        assert not reactor.set_ramp(bad)
        assert not reactor.set_exposure(bad)
        assert not reactor.set_scan("step_deg", bad)
        assert not reactor.set_scan("first_deg", bad)
        assert not reactor.set_place("X", 40 * bad)
    assert not reactor.start_growth()
    assert not reactor.unload()
    assert not reactor.start_light(True)
    assert not reactor.start_scan()
    assert not reactor.place("PL", 1)
    client.hot()
    assert not reactor.start_growth()  # nothing armed, no duration
    assert not reactor.unload()  # hot
    assert not reactor.maintain()
