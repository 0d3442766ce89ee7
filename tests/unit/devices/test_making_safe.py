"""Pausing and guarding: shutters close, powers go to zero, whatever else fails."""

from __future__ import annotations

import threading
import time

import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.preprocessors import finalize_wrapper
from bluesky.protocols import Pausable
from bluesky.utils import RunEngineInterrupted
from device_fakes import WAIT_S, wait_until

from sdl_bluesky.devices import Guard, SuspendOnAlarm, make_safe_now
from sdl_bluesky.devices.base import Severity
from sdl_bluesky.errors import DeviceError


@pytest.fixture
def engine():
    made = RunEngine({}, context_managers=[])
    yield made
    if made.state != "idle":
        made.halt()


def switch_on(chamber) -> None:
    for source in chamber.sources.values():
        source.shutter.set("Open").wait(WAIT_S)
        source.power.set(50).wait(WAIT_S)
    chamber.substrate.shutter.set("Open").wait(WAIT_S)


def is_safe(chamber) -> bool:
    shutters = [chamber.substrate.shutter, *(s.shutter for s in chamber.sources.values())]
    return not any(s.is_open for s in shutters) and all(s.power.setpoint.get() == 0 for s in chamber.sources.values())


def test_pause_of_a_source(chamber):
    switch_on(chamber)
    cu, sn = chamber.source("cu"), chamber.source("sn")
    cu.pause()
    assert (cu.power.setpoint.get(), cu.shutter.position, cu.interruptions) == (0, "Closed", 1)
    assert (sn.power.setpoint.get(), sn.shutter.position, sn.interruptions) == (50, "Open", 0)
    cu.resume()
    assert (cu.power.setpoint.get(), cu.shutter.position) == (0, "Closed"), "nothing re-ignites by itself"


@pytest.mark.parametrize("part", ["power", "shutter"])
def test_a_part_pauses_its_owner(chamber, part):
    switch_on(chamber)
    moved = getattr(chamber.source("cu"), part)
    assert isinstance(moved, Pausable)
    moved.pause()
    assert chamber.source("cu").interruptions == 1
    assert chamber.source("cu").power.setpoint.get() == 0
    assert chamber.source("cu").shutter.position == "Closed"


def test_one_failing_step_does_not_stop_the_others(chamber):
    switch_on(chamber)

    def broken(value, *a, **k):
        raise OSError("broken wire")

    chamber.source("cu").shutter.setpoint.sim_set_putter(broken)
    chamber.source("cu").pause()
    assert chamber.source("cu").power.setpoint.get() == 0
    results = {r.step: r for r in make_safe_now(chamber)}
    assert not results["close cu_shutter"].ok
    assert "broken wire" in results["close cu_shutter"].message
    assert [r.step for r in results.values() if not r.ok] == ["close cu_shutter"]
    assert chamber.source("sn").shutter.position == "Closed"
    assert chamber.source("sn").power.setpoint.get() == 0


def test_a_step_that_hangs_costs_no_more_than_a_second(chamber):
    switch_on(chamber)
    release = threading.Event()
    chamber.substrate.shutter.setpoint.sim_set_putter(lambda value, *a, **k: release.wait(60))
    start = time.monotonic()
    results = {r.step: r for r in make_safe_now(chamber, timeout_s=0.3)}
    assert time.monotonic() - start < 1.0 + 10.0  # a busy machine is late, and the step hangs for longer
    assert "not sent within" in results["close substrate_shutter"].message
    others = chamber.sources.values()
    wait_until(lambda: all(not s.shutter.is_open and s.power.setpoint.get() == 0 for s in others))  # while it hangs
    assert not chamber.wait_until_settled(0.01), "it may still come, and close what was opened again"
    release.set()
    assert chamber.wait_until_settled(WAIT_S)


def test_load_needs_a_closed_shutter(chamber):
    substrate = chamber.substrate
    substrate.load_command.sim_set_putter(lambda value, *a, **k: substrate.number.sim_put(substrate.number.get() + 1))
    substrate.load().wait(WAIT_S)
    assert substrate.number.get() == 1
    substrate.shutter.set("Open").wait(WAIT_S)
    with pytest.raises(DeviceError, match="close substrate_shutter"):
        substrate.load()
    assert substrate.number.get() == 1


def test_heartbeat_counts_while_in_charge(chamber):
    guard = Guard(chamber, period_s=0.02)
    with guard:
        wait_until(lambda: guard.beats > 3)
        assert guard.in_charge
        first = chamber.liveness.heartbeat.get()
        wait_until(lambda: chamber.liveness.heartbeat.get() > first)
        [beating] = [heartbeat._thread for heartbeat in guard._heartbeats]
    assert not guard.in_charge
    beating.join(WAIT_S)
    assert not beating.is_alive()


def test_a_rival_is_noticed(chamber, caplog):
    with Guard(chamber, period_s=0.02) as guard:
        wait_until(lambda: guard.beats > 1)
        for n in range(4):
            chamber.liveness.heartbeat.sim_put(7 + n)
    assert "only one process" in caplog.text


def test_a_heartbeat_that_cannot_be_sent_is_no_end(chamber):
    good = []

    def flaky(value, *a, **k):
        if len(good) == 0:
            good.append(0)
            raise OSError("first one fails")
        good.append(value)

    chamber.liveness.heartbeat.sim_set_putter(flaky)
    with Guard(chamber, period_s=0.02):
        wait_until(lambda: len(good) > 3)


def long_plan(chamber):
    """On, and then waiting; a finalizer that would only look."""
    cu = chamber.source("cu")

    def body():
        yield from bps.checkpoint()
        yield from bps.mv(cu.power, 50, cu.shutter, "Open", chamber.substrate.shutter, "Open")
        yield from bps.sleep(2 * WAIT_S)

    def final():
        yield from bps.null()

    return finalize_wrapper(body(), final())


@pytest.mark.parametrize("way", ["request_pause", "abort", "stop", "halt"])
def test_every_interruption_makes_safe(chamber, engine, way):
    told = []
    engine.state_hook = lambda new, old: told.append(str(new))
    guard = Guard(chamber)
    guard.attach(engine)
    before = chamber.source("cu").interruptions

    def interrupt():
        wait_until(lambda: chamber.substrate.shutter.is_open)
        getattr(engine, way)()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        engine(long_plan(chamber))
    thread.join(WAIT_S)
    wait_until(lambda: is_safe(chamber) and bool(guard.last_results))
    assert chamber.source("cu").interruptions > before
    assert "running" in told, "the hook that was there before is still called"
    guard.close()
    assert engine.state_hook is not None


def test_a_hook_that_fails_does_not_break_the_engine(chamber, engine):
    def bad(new, old):
        raise OSError("somebody else's")

    engine.state_hook = bad
    guard = Guard(chamber)
    guard.attach(engine)
    guard.attach(engine)
    engine(bps.null())
    assert engine.state == "idle"
    guard.close()
    assert engine.state_hook is bad


def test_panic_ends_the_heartbeat(chamber):
    guard = Guard(chamber, period_s=0.02)
    guard.start()
    guard._state_changed("panicked", "running")
    assert not guard.in_charge
    wait_until(lambda: bool(guard.last_results))


@pytest.mark.parametrize("busy_s", [0.0, 0.5])
def test_an_alarm_suspends_closes_and_replays(chamber, engine, busy_s):
    cu = chamber.source("cu")
    seen, over = [], threading.Event()

    def plan():
        yield from bps.checkpoint()
        yield from bps.mv(cu.power, 50, cu.shutter, "Open")
        while not over.is_set():
            yield from bps.sleep(0.02)

    engine.install_suspender(SuspendOnAlarm(chamber.gauge.pressure, Severity.INVALID))

    def fault():
        try:
            wait_until(lambda: cu.shutter.is_open)
            engine._loop.call_soon_threadsafe(time.sleep, busy_s)  # bluesky gives its own thread 0.1 s to take note
            chamber.gauge.pressure.sim_put(0.0, metadata={"severity": Severity.INVALID})
            wait_until(lambda: not cu.shutter.is_open and cu.power.setpoint.get() == 0)
            seen.append("safe")
            chamber.gauge.pressure.sim_put(5.0, metadata={"severity": Severity.NO_ALARM})
            wait_until(lambda: cu.shutter.is_open)  # the messages since the checkpoint were sent again
        finally:
            over.set()

    thread = threading.Thread(target=fault)
    thread.start()
    engine(plan())
    thread.join(WAIT_S)
    assert seen == ["safe"]
    assert cu.interruptions >= 1
    assert cu.shutter.is_open
