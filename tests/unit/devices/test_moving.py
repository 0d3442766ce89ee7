"""Moves arrive or say why not; nothing moves before everything is checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from device_fakes import WAIT_S, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl_bluesky.devices import check_all
from sdl_bluesky.errors import DeviceError, InterlockTripped, MoveTimeout, OutOfRange


def puts_of(mover):
    seen = []
    mover.setpoint.sim_set_putter(lambda value, *a, **k: seen.append(value))
    return seen


def test_names_are_the_contract_s(chamber):
    keys = set()
    for device in chamber.devices.values():
        keys |= set(device.describe())
    wanted = {"cu_power", "cu_power_setpoint", "cu_voltage", "cu_current", "cu_plasma", "cu_shutter", "cu_energy"}
    wanted |= {"gauge_pressure", "gas_flow", "qcm1_frequency", "clock_time", "substrate_number"}
    assert wanted <= keys


def test_a_move_arrives(chamber):
    power = chamber.source("cu").power
    status = power.set(50)
    status.wait(WAIT_S)
    assert status.success
    assert power.position == 50
    assert power.read()["cu_power"]["value"] == 50
    assert not power.moving


@pytest.mark.parametrize("bad", [1e4, math.nan, math.inf, -math.inf, -1.0, 80.1, "50", True, np.True_, None, [1, 2]])
def test_bad_values_are_refused_before_anything_is_sent(chamber, bad):
    power = chamber.source("cu").power
    seen = puts_of(power)
    with pytest.raises(OutOfRange, match="nothing was moved"):
        power.set(bad)
    assert seen == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_accepts_exactly_what_is_inside_both_limits(chamber, value):
    power = chamber.source("cu").power
    if 0.0 <= value <= 80.0:
        power.check_value(value)
    else:
        with pytest.raises(OutOfRange):
            power.check_value(value)


def test_limits_are_the_tighter_of_record_and_lab(chamber):
    cu, sn = chamber.source("cu").power, chamber.source("sn").power
    assert cu.limits == (0.0, 80.0)
    assert sn.limits == (0.0, 100.0)
    sn.setpoint.sim_set_limits((5.0, 60.0))
    assert sn.limits == (5.0, 60.0)


def test_describe_has_units_and_limits(chamber):
    keys = chamber.source("cu").describe()
    for name in ("cu_power", "cu_power_setpoint"):
        assert keys[name]["units"] == "W"
        assert (keys[name]["lower_ctrl_limit"], keys[name]["upper_ctrl_limit"]) == (0.0, 80.0)
    assert keys["cu_voltage"]["units"] == "V"
    assert keys["cu_shutter"]["dtype"] == "string"
    assert chamber.gas.describe()["gas_flow"]["units"] == "sccm"
    assert chamber.gauge.describe()["gauge_pressure"]["units"] == "mTorr"


def test_too_late_is_a_timeout_with_the_last_readback(chamber):
    power = chamber.source("cu").power
    power.setpoint.sim_set_putter(lambda value, *a, **k: power.setpoint.sim_put(value))
    power.readback.sim_put(12.25)
    status = power.set(50, timeout=0.1)
    with pytest.raises(MoveTimeout, match=r"cu_power did not reach 50.0 W within 0.1 s: the readback is 12.25 W"):
        status.wait(WAIT_S)
    wait_until(lambda: not power.moving)  # it is told when the status is over


def test_a_refused_setpoint_fails_at_once(chamber):
    power = chamber.source("cu").power
    puts_of(power)
    status = power.set(50, timeout=30)
    with pytest.raises(DeviceError, match="refused"):
        status.wait(WAIT_S)


def test_tolerance_is_absolute_plus_relative(chamber):
    flow = chamber.gas.flow
    flow.setpoint.sim_set_putter(lambda value, *a, **k: flow.setpoint.sim_put(value))
    flow.readback.sim_put(98.4)
    status = flow.set(100.0, timeout=WAIT_S)
    flow.readback.sim_put(98.49)
    assert not status.done
    flow.readback.sim_put(98.51)  # 0.5 + 1 % of 100 = 1.5
    status.wait(WAIT_S)


def test_a_newer_move_supersedes_quietly(chamber):
    power = chamber.source("cu").power
    power.setpoint.sim_set_putter(lambda value, *a, **k: power.setpoint.sim_put(value))
    first = power.set(50, timeout=WAIT_S)
    second = power.set(0)
    first.wait(WAIT_S)
    assert first.superseded
    second.wait(WAIT_S)


@pytest.mark.parametrize("success", [True, False])
def test_stop_ends_the_status_and_writes_nothing(chamber, success):
    power = chamber.source("cu").power
    power.setpoint.sim_set_putter(lambda value, *a, **k: power.setpoint.sim_put(value))
    status = power.set(50, timeout=WAIT_S)
    seen = puts_of(power)
    power.stop(success=success)
    if success:
        status.wait(WAIT_S)
    else:
        with pytest.raises(DeviceError, match="stopped"):
            status.wait(WAIT_S)
    assert seen == []
    power.stop(success=True)  # nothing under way: nothing happens


def test_shutter_words(chamber):
    shutter = chamber.source("cu").shutter
    assert shutter.position == "Closed"
    assert not shutter.is_open
    shutter.set("Open").wait(WAIT_S)
    assert shutter.is_open
    assert shutter.setpoint.get() == 1
    reading = shutter.read()
    assert reading["cu_shutter"]["value"] == "Open"
    assert set(reading) == {"cu_shutter"}
    for bad in ("open", 1, True, None, "Half"):
        with pytest.raises(OutOfRange, match="Open"):
            shutter.set(bad)


def test_a_tripped_interlock_stops_only_what_is_unsafe(chamber):
    cu = chamber.source("cu")
    cu.shutter.set("Open").wait(WAIT_S)
    chamber.interlock.cause.sim_put("DOOR")
    chamber.interlock.door.sim_put(0)
    chamber.interlock.ok.sim_put(0)
    chamber.liveness.start()
    with pytest.raises(InterlockTripped, match="DOOR"):
        cu.power.set(10)
    with pytest.raises(InterlockTripped):
        chamber.substrate.shutter.set("Open")
    cu.power.set(0).wait(WAIT_S)
    cu.shutter.set("Closed").wait(WAIT_S)
    chamber.gas.flow.set(20).wait(WAIT_S)


def test_check_all_lists_every_fault(chamber):
    cu, sn = chamber.source("cu"), chamber.source("sn")
    check_all(cu.power, 10, sn.shutter, "Open")
    with pytest.raises(OutOfRange, match=r"cu_power.*sn_shutter"):
        check_all(cu.power, 1e4, chamber.gas.flow, 10, sn.shutter, "Ajar")
    with pytest.raises(OutOfRange):
        check_all(cu.power)


def test_a_timeout_must_make_sense(chamber):
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(OutOfRange, match="timeout"):
            chamber.source("cu").power.set(10, timeout=bad)


def test_progress_is_told(chamber):
    power = chamber.source("cu").power
    power.setpoint.sim_set_putter(lambda value, *a, **k: power.setpoint.sim_put(value))
    power.readback.sim_put(0.0)
    seen = []
    status = power.set(40, timeout=WAIT_S)
    status.watch(lambda **kw: seen.append((kw["current"], kw["fraction"])))
    wait_until(lambda: power._accepted)  # from here on readbacks alone move it on
    power.readback.sim_put(10.0)
    power.readback.sim_put(40.0)
    status.wait(WAIT_S)
    assert seen[:2] == [(10.0, 0.75), (40.0, 0.0)]
