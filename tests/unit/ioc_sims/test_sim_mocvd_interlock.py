"""What the reactor's interlock and watchdog do, on a clock that the test moves."""

from __future__ import annotations

import pytest
from mocvd_lab import Client, make_reactor

from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.reactor import ALARMS
from ioc_sims.mocvd.sequence import State
from ioc_sims.mocvd.settings import LINES


@pytest.fixture
def client(tmp_path) -> Client:
    return Client(make_reactor(tmp_path, quiet=True))


def in_run(plant: Plant) -> set[str]:
    return {name for name, on in plant.run.items() if on}


# interlock ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_trip_in_mid_growth(client, alarm):
    client.growing()
    client.run(100.0)
    reactor, plant = client.reactor, client.plant
    assert plant.growing
    reactor.set_fault(alarm, True)
    assert reactor.interlock.cause == alarm
    assert in_run(plant) == set()
    assert all(plant.controllers[name].setpoint == 0 for name in LINES)
    assert (plant.controllers["H2"].setpoint == 0) == (alarm == "HYDROGEN")
    assert not plant.susceptor.heating
    assert plant.sequence.state is State.STOPPED
    assert {"IN:VALVE:SP", "GA:VALVE:SP", "AS:FLOW:SP", "P:VALVE:SP", "TEMPERATURE:SP"} <= plant.changed
    client.run(100.0)
    assert plant.susceptor.value < 500
    assert plant.sequence.layer_s == pytest.approx(100.0, abs=2.0)
    assert plant.wafers[1].layers[-1].nm < 70
    # latched: neither reset nor switched on while bad, not switched on before the reset
    assert not reactor.reset()
    reactor.set_fault(alarm, False)
    client.run(5.0)
    assert not reactor.interlock.ok
    assert not reactor.set_flow("P", 300.0)
    assert not reactor.set_temperature(650.0)
    assert not reactor.set_valve("P", True)
    assert reactor.reset()
    assert reactor.set_flow("P", 300.0)


def test_pressure_trips_with_hydrides_alone(client):
    client.gases()
    client.plant.pressure_mbar = 300.0
    client.reactor.catch_up()
    assert client.reactor.interlock.cause == "PRESSURE"


def test_an_exhausted_scrubber_trips_until_maintenance(tmp_path):
    client = Client(make_reactor(tmp_path, quiet=True, physics={"scrubber_capacity_scc": 400.0}))
    client.gases()  # 300 sccm bind 300 scc a minute
    client.run(60.0)
    assert client.reactor.interlock.cause == "SCRUBBER"
    client.reactor.set_rotation(0.0)
    client.run(60.0)
    assert client.reactor.unload()
    assert not client.reactor.reset()
    assert client.reactor.maintain()
    client.run(1.0)
    assert client.reactor.reset()


def test_a_lost_heartbeat_keeps_phosphine_while_the_surface_is_hot(client):
    client.growing(seconds=2000.0)
    client.run(50.0)
    reactor, plant = client.reactor, client.plant
    client.run(40.0, beat=False)
    assert reactor.interlock.cause == "HEARTBEAT"
    assert in_run(plant) == {"P"}
    assert plant.controllers["P"].setpoint == 300.0
    assert [plant.controllers[name].setpoint for name in ("IN", "GA", "AS")] == [0.0, 0.0, 0.0]
    assert not plant.susceptor.heating
    hottest_without = 0.0
    while plant.susceptor.value > 300:
        client.run(1.0, beat=False)
        if not plant.run["P"]:
            hottest_without = max(hottest_without, plant.susceptor.value)
    assert hottest_without == pytest.approx(400.0, abs=3.0)
    assert plant.controllers["P"].setpoint == 0.0
    assert plant.wafers[1].decomposed_s == 0.0
    assert not plant.energised


def test_a_gas_alarm_ends_the_protection(client):
    client.growing()
    client.run(45.0, beat=False)
    assert client.plant.protecting
    client.reactor.set_fault("PH3", True)
    assert in_run(client.plant) == set()
    client.run(30.0, beat=False)
    assert client.plant.wafers[1].decomposed_s > 10


def test_a_client_that_comes_back_takes_over(client):
    client.growing()
    client.run(45.0, beat=False)
    client.run(1.0)
    assert client.reactor.reset()
    assert client.plant.protecting
    assert client.reactor.set_temperature(650.0)
    assert not client.plant.protecting
    client.run(500.0)
    assert in_run(client.plant) == {"P"}
