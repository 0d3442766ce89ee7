"""Interlocks, watchdog and frozen loop on a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from ioc_sims.common.interlocks import Interlock, Watchdog
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.plant import Plant


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lab:
    """A chamber with a client whose heart beats as long as `run(beat=True)`."""

    def __init__(self, config, speed: float = 10.0) -> None:
        self.clock = Clock()
        self.chamber = Chamber(Plant(config), speed, 3.0, self.clock)
        self.plant = self.chamber.plant

    def run(self, seconds: float, beat: bool = True) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.now += 0.1
            self.chamber.catch_up()
            if beat:
                self.chamber.heartbeat()

    def ignite(self) -> None:
        assert self.chamber.set_flow(60.0)
        self.run(5.0)
        assert self.chamber.set_power(0, 100.0)
        self.run(1.0)
        assert self.plant.sources[0].burning
        assert self.chamber.set_source_shutter(0, True)
        assert self.chamber.set_substrate_shutter(True)

    def is_safe(self) -> bool:
        shutters = self.plant.substrate_shutter_open or any(s.shutter_open for s in self.plant.sources)
        return not shutters and all(s.supply_W == 0 for s in self.plant.sources)


@pytest.fixture
def lab(make_config) -> Lab:
    return Lab(make_config())


def test_the_chain_latches_the_first_cause():
    chain = Interlock(("WATER", "DOOR", "HEARTBEAT"))
    assert chain.update(DOOR=True)
    assert not chain.update(WATER=True)
    assert (chain.ok, chain.cause) == (False, "DOOR")
    assert not chain.reset()
    chain.update(DOOR=False, WATER=False)
    assert not chain.ok
    assert chain.reset()
    assert (chain.ok, chain.cause) == (True, "")


def test_watchdog_gives_a_full_timeout_and_recovers_with_a_beat():
    dog = Watchdog(3.0)
    assert not dog.check(100.0, energised=False)
    assert not dog.check(200.0, energised=True)
    assert not dog.check(202.9, energised=True)
    assert dog.check(203.1, energised=True)
    assert dog.check(204.0, energised=False)
    dog.beat(205.0)
    assert not dog.check(205.1, energised=True)


def test_watchdog_minds_nothing_while_the_chamber_is_safe():
    dog = Watchdog(3.0)
    dog.beat(0.0)
    assert not dog.check(1e6, energised=False)


@pytest.mark.parametrize("fault", ["WATER", "DOOR", "PRESSURE"])
def test_a_fault_makes_safe_and_latches(lab, fault):
    lab.ignite()
    lab.chamber.set_fault(fault, True)
    assert not lab.plant.substrate_shutter_open
    assert not lab.plant.sources[0].shutter_open
    lab.run(2.0)
    assert lab.is_safe()
    assert lab.chamber.interlock.cause == fault
    assert not lab.chamber.reset()
    lab.chamber.set_fault(fault, False)
    assert not lab.chamber.interlock.ok
    assert not lab.chamber.set_power(0, 10.0)
    assert not lab.chamber.set_source_shutter(0, True)
    assert not lab.chamber.set_substrate_shutter(True)
    assert lab.chamber.set_power(0, 0.0)
    assert lab.chamber.set_source_shutter(0, False)
    assert lab.chamber.reset()
    assert lab.chamber.set_power(0, 10.0)


def test_no_heartbeat_trips_within_the_timeout(lab):
    lab.ignite()
    lab.run(2.8, beat=False)
    assert lab.chamber.interlock.ok
    lab.run(0.4, beat=False)
    assert lab.chamber.interlock.cause == "HEARTBEAT"
    lab.run(1.2, beat=False)
    assert lab.is_safe()
    assert not lab.chamber.reset()
    lab.run(0.1)
    assert lab.chamber.reset()


@pytest.mark.parametrize("speed", [1.0, 1000.0])
def test_the_supply_is_down_within_a_real_second(make_config, speed):
    raw = make_config()
    strong = [source.model_copy(update={"max_power_W": 1000.0}) for source in raw.sources]
    lab = Lab(raw.model_copy(update={"sources": tuple(strong)}), speed)
    lab.chamber.set_flow(60.0)
    lab.run(60.0 / min(speed, 10.0))
    assert lab.chamber.set_power(0, 1000.0)
    lab.run(15.0)
    assert lab.plant.sources[0].supply_W == 1000.0
    lab.chamber.set_fault("WATER", True)
    lab.run(1.2)
    assert lab.is_safe()


def test_power_without_gas_trips_the_pressure_interlock(lab):
    assert lab.chamber.set_power(0, 20.0)
    lab.run(0.2)
    assert lab.chamber.interlock.cause == "PRESSURE"
    assert lab.is_safe()


def test_a_frozen_loop_trips_at_once_and_time_stands_still(lab):
    lab.ignite()
    lab.run(0.1)
    before = lab.plant.time_s
    lab.clock.now += 30.0
    lab.chamber.catch_up()
    assert lab.plant.time_s == before
    assert lab.chamber.interlock.cause == "HEARTBEAT"
    assert not lab.plant.energised


def test_puts_that_waited_through_a_freeze_switch_nothing_on(lab):
    lab.run(1.0)
    lab.clock.now += 30.0
    assert not lab.chamber.set_power(0, 50.0)
    assert not lab.chamber.set_source_shutter(0, True)
    assert lab.chamber.interlock.ok
    lab.run(1.1)
    assert lab.chamber.set_source_shutter(0, True)


@pytest.mark.parametrize("watts", [math.nan, math.inf, -1.0, 100.1, 1e4])
def test_bad_powers_are_refused(lab, watts):
    assert not lab.chamber.set_power(0, watts)
    assert lab.plant.sources[0].setpoint_W == 0.0


def test_other_bad_setpoints_are_refused(lab):
    assert not lab.chamber.set_flow(-1.0)
    assert not lab.chamber.set_flow(math.nan)
    assert not lab.chamber.set_angle(math.inf)
    assert not lab.chamber.set_speed(0.5)
    lab.chamber.set_substrate_shutter(True)
    assert not lab.chamber.load_substrate()


def test_a_put_acts_at_its_moment_not_at_the_next_publication(make_config):
    lab = Lab(make_config(quiet=True), speed=1.0)
    lab.chamber.set_flow(60.0)
    lab.run(60.0)
    lab.chamber.set_power(0, 50.0)
    lab.run(5.0)
    lab.clock.now += 0.05
    lab.chamber.set_source_shutter(0, True)
    lab.clock.now += 0.02
    lab.chamber.set_source_shutter(0, False)
    lab.run(0.5)
    source, crystal = lab.plant.sources[0], lab.plant.crystals[0]
    rate = source.emitted_ng_s * float(lab.plant.sensor_coupling[0][2:4, 0].mean())
    assert crystal.mass_ng_cm2 == pytest.approx(0.02 * rate, rel=0.2)
