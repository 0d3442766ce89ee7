"""A dead, hung or tripped machine fails what waits for it, and no stale value is read."""

from __future__ import annotations

import math
import threading
import time

import pytest
from device_fakes import WAIT_S, wait_until
from ophyd.status import Status
from ophyd.utils.epics_pvs import AlarmSeverity

from sdl_bluesky.devices import Await, SuspendOnAlarm, cause_of, until
from sdl_bluesky.errors import AlarmError, DeviceError, Disconnected, InterlockTripped, OutOfRange, StaleReading

STALL_S = 4.0
"""What a busy machine may add to a time."""


@pytest.fixture
def hurried(chamber):
    """The chamber, with an IOC that counts as hung after 0.1 s without a beat."""
    chamber.liveness.stale_after_s = 0.1
    chamber.liveness.start()
    yield chamber
    chamber.liveness.close()


def disconnect(signal) -> None:
    signal._metadata["connected"] = False
    signal._run_subs(sub_type=signal.SUB_META, **signal._metadata)


def test_nothing_is_stale_before_watching(chamber):
    chamber.liveness.stale_after_s = 0.0
    assert not chamber.liveness.stale
    chamber.gauge.read()


def test_a_hung_ioc_fails_statuses_and_readings(hurried):
    status = hurried.liveness.guard(Status(obj=hurried.gauge))
    start = time.monotonic()
    with pytest.raises(StaleReading, match="hangs"):
        status.wait(WAIT_S)
    assert time.monotonic() - start < 1.5 + STALL_S
    with pytest.raises(StaleReading):
        hurried.gauge.read()
    with pytest.raises(StaleReading):
        hurried.source("cu").read()
    with pytest.raises(StaleReading):
        hurried.source("cu").power.set(10)
    assert math.isnan(hurried.source("cu").power.position)
    assert hurried.source("cu").shutter.position == "unknown"
    hurried.liveness.stale_after_s = (
        60.0  # the last beat is longer ago, and the next one will not be, however busy we are
    )
    hurried.liveness._beat_seen -= 100.0
    assert hurried.liveness.stale
    hurried.liveness.beat.sim_put(1)
    assert not hurried.liveness.stale
    hurried.gauge.read()


def test_a_safe_move_is_tried_also_when_the_ioc_hangs(hurried):
    power = hurried.source("cu").power
    power.setpoint.sim_put(40.0)
    wait_until(lambda: hurried.liveness.stale)
    power.set(0.0)
    assert power.setpoint.get() == 0.0


def test_a_late_beat_within_the_grace_is_no_fault(hurried, monkeypatch):
    monkeypatch.setattr("sdl_bluesky.devices.liveness.GRACE_S", WAIT_S)
    status = hurried.liveness.guard(Status(obj=hurried.gauge))
    wait_until(lambda: hurried.liveness.stale)

    def beat():
        hurried.liveness.stale_after_s = 60.0  # fresh for as long as we look
        hurried.liveness.beat.sim_put(1)

    threading.Timer(0.1, beat).start()
    hurried.gauge.read()
    assert not status.done
    status.set_finished()


def test_disconnection_fails_at_once(chamber):
    chamber.liveness.start()
    status = chamber.liveness.guard(Status(obj=chamber.gauge))
    start = time.monotonic()
    disconnect(chamber.liveness.beat)
    with pytest.raises(Disconnected):
        status.wait(WAIT_S)
    assert time.monotonic() - start < 0.5 + STALL_S
    with pytest.raises(Disconnected):
        chamber.gauge.read()


def test_one_lost_signal_is_not_read(chamber):
    disconnect(chamber.gauge.pressure)
    with pytest.raises(Disconnected, match="gauge_pressure"):
        chamber.gauge.read()


def test_a_trip_fails_statuses_and_names_the_cause(chamber):
    chamber.liveness.start()
    needs = chamber.liveness.guard(Status(obj=chamber.gauge))
    needs_not = chamber.liveness.guard(Status(obj=chamber.gauge), interlock=False)
    chamber.interlock.ok.sim_put(0)
    chamber.interlock.water.sim_put(0)
    chamber.interlock.cause.sim_put("WATER")  # after the summary: the error waits for it
    with pytest.raises(InterlockTripped, match="tripped by WATER; still bad: WATER"):
        needs.wait(WAIT_S)
    assert not needs_not.done
    needs_not.set_finished()


def test_reset_is_done_or_says_what_is_still_bad(chamber, monkeypatch):
    lock = chamber.interlock
    lock.ok.sim_put(0)
    lock.cause.sim_put("DOOR")
    lock.door.sim_put(0)
    monkeypatch.setattr("sdl_bluesky.devices.interlock.RESET_TIMEOUT_S", 0.1)
    with pytest.raises(InterlockTripped, match=r"refused.*still bad: DOOR"):
        lock.reset().wait(WAIT_S)
    lock.door.sim_put(1)
    assert "reset it" in lock.explain()
    lock.reset_command.sim_set_putter(lambda value, *a, **k: lock.ok.sim_put(1))
    lock.reset().wait(WAIT_S)
    assert lock.explain() == "the interlock is OK"


def test_an_invalid_alarm_is_no_reading_and_a_lesser_one_is_recorded(chamber):
    chamber.gauge.pressure.sim_put(0.0, metadata={"severity": AlarmSeverity.INVALID})
    with pytest.raises(AlarmError, match="gauge_pressure"):
        chamber.gauge.read()
    chamber.gauge.pressure.sim_put(3.0, timestamp=17.0, metadata={"severity": AlarmSeverity.MAJOR})
    reading = chamber.gauge.read()
    assert reading["gauge_severity"] == {"value": 2, "timestamp": 17.0}
    assert reading["gauge_pressure"]["value"] == 3.0


def test_suspender_looks_at_the_severity(chamber):
    suspender = SuspendOnAlarm(chamber.gauge.pressure, AlarmSeverity.MAJOR)
    assert not suspender._should_suspend(AlarmSeverity.MINOR)
    assert suspender._should_suspend(AlarmSeverity.MAJOR)
    assert suspender._should_suspend(AlarmSeverity.INVALID)
    assert suspender._should_resume(AlarmSeverity.MINOR)


def test_until_is_done_now_later_or_never(chamber):
    plasma = chamber.source("cu").plasma
    until(plasma, lambda v: v == 0, timeout_s=WAIT_S).wait(WAIT_S)
    status = until(plasma, lambda v: v == 1, timeout_s=WAIT_S)
    plasma.sim_put(1)
    status.wait(WAIT_S)
    with pytest.raises(DeviceError, match=r"cu_plasma is 1 after 0.05 s"):
        until(plasma, lambda v: v == 2, timeout_s=0.05).wait(WAIT_S)
    wait_until(lambda: not plasma._callbacks["value"])  # they go when the status has told that it is over


def test_until_fails_with_what_the_condition_raises(chamber):
    status = until(chamber.source("cu").plasma, lambda v: 1 / v > 0, timeout_s=WAIT_S)
    with pytest.raises(ZeroDivisionError):
        status.wait(WAIT_S)


def test_await_makes_its_status_when_triggered(chamber):
    made = []
    thing = Await(lambda: made.append(1) or until(chamber.source("cu").plasma, lambda v: True, timeout_s=WAIT_S), "x")
    assert not made
    thing.trigger().wait(WAIT_S)
    assert made == [1]


def test_cause_of_finds_the_typed_error():
    inner, outer = StaleReading("old"), RuntimeError("outer")
    outer.__cause__ = inner
    assert cause_of(outer) is inner
    assert cause_of(inner) is inner
    assert cause_of(ValueError()) is None


def test_process_clock_waits_for_ticks(chamber):
    clock = chamber.clock
    clock.time.sim_put(100.0, timestamp=1.0)
    status = clock.after(10.0)
    clock.time.sim_put(105.0, timestamp=2.0)  # the first tick after the call begins the wait
    clock.time.sim_put(114.9, timestamp=3.0)
    assert not status.done
    clock.time.sim_put(115.0, timestamp=4.0)
    status.wait(WAIT_S)
    for bad in (-1.0, float("nan"), float("inf"), True, "1"):
        with pytest.raises(OutOfRange):
            clock.after(bad)


def test_clock_wait_is_ended_by_stop(chamber):
    status = chamber.clock.set(1e6)
    chamber.clock.stop(success=True)
    status.wait(WAIT_S)
