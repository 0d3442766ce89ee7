"""Devices against a real IOC: moves, streams, alarms, and everything that can go wrong with the machine.

Times are real time. "Safe" is always judged by asking the IOC itself, not by the device under test.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from _bench import STALL_S
from _twin import Twin, wait_until  # first: sets the EPICS environment
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, RunEngineInterrupted
from ophyd.status import Status

from sdl_bluesky.devices import (
    Await,
    Guard,
    Severity,
    StreamGoal,
    SuspendOnAlarm,
    SuspendOnInterlock,
    cause_of,
    configure_ophyd,
    make_chamber,
    make_safe_now,
)
from sdl_bluesky.errors import (
    AlarmError,
    DeviceError,
    Disconnected,
    InterlockTripped,
    LabFileError,
    OutOfRange,
    ServiceMissing,
    StaleReading,
)

pytestmark = pytest.mark.system

SPEED = 20.0


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    with Twin(tmp_path_factory.mktemp("twin"), speed=SPEED, seed=1) as made:
        yield made


@pytest.fixture(scope="module")
def connected(twin):
    configure_ophyd()
    chamber = make_chamber(twin.prefix, twin.chamber_spec()).connect(30)
    yield chamber
    chamber.close()


@pytest.fixture
def chamber(twin, connected):
    """A chamber that is safe, reset and guarded; left in the same state."""
    for fault in ("WATER", "DOOR", "PRESSURE", "GAUGE"):
        twin.put(f"SIM:FAULT:{fault}", 0)
    guard = Guard(connected)
    guard.start()
    make_ready(connected)
    yield connected
    guard.close()


def make_ready(chamber) -> None:
    make_safe_now(chamber)
    wait_until(lambda: not chamber.interlock.bad_inputs, 30, "all inputs of the interlock good")
    if chamber.interlock.tripped:
        chamber.interlock.reset().wait(30)


@contextmanager
def at_speed(twin, speed):
    """Simulated time goes slowly where something must not be over before the test has acted."""
    twin.put("SIM:SPEED", speed)
    try:
        yield
    finally:
        twin.put("SIM:SPEED", SPEED)


@pytest.fixture
def engine():
    made = RunEngine({}, context_managers=[])
    yield made
    if made.state != "idle":
        made.halt()


def is_safe(twin, powers_below_W: float = 1.0) -> bool:
    """Every shutter closed and every power down, as the IOC says."""
    shutters = ["SUBSTRATE:SHUTTER", *(f"{s['pv']}SHUTTER" for s in twin.sources)]
    powers = [f"{s['pv']}POWER" for s in twin.sources]
    return all(twin.get(s) == 0 for s in shutters) and all(abs(twin.get(p)) < powers_below_W for p in powers)


def ignite(chamber, name="cu", power_W=60.0, flow_sccm=80.0):
    """A plan: gas, power, plasma, shutters."""
    source = chamber.source(name)
    yield from bps.mv(chamber.gas.flow, flow_sccm)
    yield from bps.mv(source.power, power_W)
    yield from bps.trigger(Await(lambda: source.until_plasma(timeout_s=30), "plasma"), wait=True)
    yield from bps.mv(source.shutter, "Open", chamber.substrate.shutter, "Open")


def in_thread(action):
    """Run an action beside the RunEngine; the returned function waits and re-raises what it raised."""
    errors: list[BaseException] = []

    def run():
        try:
            action()
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()

    def done():
        thread.join(90)
        assert not thread.is_alive()
        if errors:
            raise errors[0]

    return done


def columns(documents, stream="qcm"):
    """All events of a stream as lists by column, from its event pages."""
    descriptors = {d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream}
    found: dict[str, list] = {}
    for name, page in documents:
        if name == "event_page" and page["descriptor"] in descriptors:
            for key, values in page["data"].items():
                found.setdefault(key, []).extend(values)
            found.setdefault("seq_num", []).extend(page["seq_num"])
            found.setdefault("epics", []).extend(page["timestamps"]["clock_time"])
    return found


# what is there


def test_units_limits_and_names(chamber):
    keys = {}
    for device in chamber.devices.values():
        keys.update(device.describe())
        device.read()
        device.read_configuration()
    units = {k: v.get("units") for k, v in keys.items()}
    assert units["cu_power"] == units["cu_power_setpoint"] == "W"
    assert units["gauge_pressure"] == units["wide_gauge_pressure"] == "mTorr"
    assert units["gas_flow"] == "sccm"
    assert units["qcm1_frequency"] == "Hz"
    assert (keys["cu_power"]["lower_ctrl_limit"], keys["cu_power"]["upper_ctrl_limit"]) == (0.0, 100.0)


def test_missing_pvs_are_all_listed(twin):
    spec = twin.chamber_spec()
    more = dataclasses.replace(spec.sources[0], name="fe", pv="S9:")
    chamber = make_chamber(twin.prefix, dataclasses.replace(spec, sources=(*spec.sources, more)))
    there = [signal for signal in chamber.signals() if "S9:" not in getattr(signal, "pvname", "")]
    wait_until(lambda: all(signal.connected for signal in there), 60, "what there is")
    with pytest.raises(ServiceMissing) as caught:
        chamber.connect(1.0)
    chamber.close()
    for suffix in ("POWER", "POWER:SP", "VOLTAGE", "CURRENT", "PLASMA", "SHUTTER", "SHUTTER:SP", "ENERGY", "TARGET"):
        assert f"{twin.prefix}S9:{suffix}" in str(caught.value)
    assert "S1:" not in str(caught.value)
    assert "sdl ioc sputter" in str(caught.value)


def test_a_wrong_target_is_noticed(twin):
    spec = twin.chamber_spec()
    wrong = dataclasses.replace(spec.sources[0], element="Au")
    chamber = make_chamber(twin.prefix, dataclasses.replace(spec, sources=(wrong,)))
    with pytest.raises(LabFileError, match=r"machine says 'Cu', the lab file says 'Au'"):
        chamber.connect(30.0)
    chamber.close()


# moving


def test_moves_arrive_and_limits_hold(twin, chamber):
    chamber.gas.flow.set(60.0).wait(60)
    assert twin.get("GAS:FLOW:SP") == 60.0
    assert abs(chamber.gas.flow.position - 60.0) < 2.0
    chamber.source("cu").power.set(30.0).wait(60)
    for bad in (1e4, float("nan"), float("inf"), -1.0):
        with pytest.raises(OutOfRange):
            chamber.source("cu").power.set(bad)
    assert twin.get("S1:POWER:SP") == 30.0
    chamber.source("cu").power.set(0.0).wait(60)


def test_a_put_that_the_ioc_refuses_fails_in_a_moment(twin, chamber):
    flow = chamber.gas.flow
    before = twin.get("GAS:FLOW:SP")
    flow.own_limits, flow.setpoint._metadata["upper_ctrl_limit"] = (0.0, 1e6), 1e6  # a client with wrong limits
    try:
        status = flow.set(5e3)
        start = time.monotonic()
        with pytest.raises(DeviceError, match=r"refused 5000.0 sccm"):
            status.wait(60)
        assert time.monotonic() - start < 1.0 + STALL_S
    finally:
        flow.own_limits, flow.setpoint._metadata["upper_ctrl_limit"] = (0.0, 200.0), 200.0
    assert twin.get("GAS:FLOW:SP") == before


def test_fresh_substrate(twin, chamber):
    before = twin.get("SUBSTRATE:NUMBER")
    chamber.substrate.load().wait(30)
    assert twin.get("SUBSTRATE:NUMBER") == before + 1


def test_process_time_passes(chamber, engine):
    clock = chamber.clock
    start_s, stamp_s, real = clock.now_s, clock.time.timestamp, time.monotonic()
    engine(bps.mv(clock, 20.0))
    assert clock.now_s - start_s >= 20.0
    assert clock.time.timestamp - stamp_s > 0.9, "one second of the IOC"
    assert time.monotonic() - real < 2.0 + STALL_S


# the stream


def stream_plan(stream, goal, flush=0.3):
    @bpp.run_decorator()
    def inner():
        yield from bps.prepare(stream, goal, wait=True)
        yield from bps.kickoff(stream, wait=True)
        yield from bps.collect_while_completing([stream], [stream], flush_period=flush)

    yield from inner()


def test_stream_in_a_run(twin, chamber, engine):
    stream = chamber.stream(["cu"])
    heard: dict[str, dict[float, float]] = {}

    def listen(signal):
        heard[signal.name] = {}
        return signal.subscribe(lambda value, timestamp, **_: heard[signal.name].update({timestamp: value}))

    watched = [chamber.qcm("qcm1").frequency, chamber.clock.time, chamber.gauge.pressure]
    tokens = [(signal, listen(signal)) for signal in watched]
    engine(ignite(chamber))
    runs = []
    for _ in range(2):
        documents: list = []
        start_s = float(chamber.clock.time.get(use_monitor=False))

        def enough(rows, to=documents):
            return len(rows["timestamp"]) >= 12 and any(name == "event_page" for name, _ in to)

        goal = StreamGoal(enough, duration_s=600.0)
        engine(stream_plan(stream, goal), lambda name, doc, to=documents: to.append((name, doc)))
        runs.append(documents)
        assert stream.outcome == "reached"
        found = columns(documents)
        assert sum(name == "event_page" for name, _ in documents) >= 2, "collected more than once"
        assert sum(name == "descriptor" for name, _ in documents) == 1
        assert len(found["seq_num"]) >= 12
        assert found["seq_num"] == list(range(1, len(found["seq_num"]) + 1))
        assert min(found["clock_time"]) > start_s, "nothing from before the kickoff"
        assert np.all(np.diff(found["clock_time"]) > 0)
        assert set(found["cu_plasma"]) == {1}
        assert set(found["qcm_stream_severity"]) == {0}
        live = stream.data()
        assert live["qcm1_frequency"].tolist() == found["qcm1_frequency"]
    for signal, token in tokens:
        signal.unsubscribe(token)
    for documents in runs:  # every row is what an independent listener had heard by that very timestamp
        found = columns(documents)
        assert set(found["epics"]) <= set().union(*heard.values())
        for key in ("qcm1_frequency", "clock_time", "gauge_pressure"):
            for at, value in zip(found["epics"], found[key], strict=True):
                latest = max(stamp for stamp in heard[key] if stamp <= at)  # a loaded client may miss an update
                assert heard[key][latest] == value
    slope = np.polyfit(found["clock_time"], found["qcm1_frequency"], 1)[0]
    assert slope < -0.1, "the crystal gains mass"


def test_stream_ends_by_process_time(twin, chamber, engine):
    stream = chamber.stream([])
    with at_speed(twin, 2.0):
        engine(stream_plan(stream, StreamGoal(duration_s=6.0)))
    rows = stream.data()
    assert stream.outcome == "time"
    assert rows["clock_time"][-1] - rows["clock_time"][0] < 6.0 + 2.0 * (0.5 + STALL_S)
    assert not any(key.endswith("_power") for key in rows)


def test_stream_is_left_whole_when_the_interlock_trips(twin, chamber, engine):
    stream = chamber.stream(["cu"])
    documents: list = []
    tripped: list[float] = []

    def plan():
        yield from ignite(chamber)
        yield from stream_plan(stream, StreamGoal(duration_s=2000.0))

    def trip():
        wait_until(lambda: len(stream) > 5, 60, "rows")
        twin.put("SIM:FAULT:DOOR", 1)
        tripped.append(time.monotonic())

    finish = in_thread(trip)
    with pytest.raises(FailedStatus) as caught:
        engine(plan(), lambda name, doc: documents.append((name, doc)))
    ended = time.monotonic()
    finish()
    cause = cause_of(caught.value)
    assert isinstance(cause, InterlockTripped)
    assert "DOOR" in str(cause)
    assert ended - tripped[0] < 5.0 + STALL_S
    assert stream.outcome == "failed"
    assert documents[-1][1]["exit_status"] == "fail"
    wait_until(lambda: is_safe(twin), 30, "safe by the IOC alone")
    with pytest.raises(InterlockTripped):
        chamber.source("cu").power.set(20.0)
    chamber.source("cu").power.set(0.0).wait(30)
    with pytest.raises(InterlockTripped, match="still bad: DOOR"):
        chamber.interlock.reset().wait(30)


# alarms


def test_a_gauge_in_alarm_is_not_read(twin, chamber, engine):
    stream = chamber.stream([])
    stream.prepare(StreamGoal(timeout_s=300.0))
    stream.kickoff()
    wait_until(lambda: len(stream) > 2, 30, "rows")
    twin.put("SIM:FAULT:GAUGE", 1)
    wait_until(lambda: chamber.gauge.pressure_severity == Severity.INVALID, 30, "the alarm")
    with pytest.raises(AlarmError, match="gauge_pressure"):
        chamber.gauge.read()
    wait_until(lambda: 3 in stream.data()["qcm_stream_severity"], 30, "the alarm in the stream")
    twin.put("SIM:FAULT:GAUGE", 0)
    wait_until(lambda: chamber.gauge.pressure_severity == 0, 30, "no alarm")
    wait_until(lambda: stream.data()["qcm_stream_severity"][-1] == 0, 30, "good rows again")
    stream.stop()
    rows = stream.data()
    invalid = rows["qcm_stream_severity"] == 3
    assert np.all(np.isnan(rows["gauge_pressure"]) == invalid)
    assert np.all(np.isfinite(rows["qcm1_frequency"]))
    chamber.gauge.read()


def test_an_alarm_suspends_and_the_plan_goes_on(twin, chamber, engine):
    engine.install_suspender(SuspendOnAlarm(chamber.gauge.pressure, Severity.INVALID))
    cu = chamber.source("cu")
    before = cu.interruptions
    over = Status()
    passes = []

    def plan():
        yield from bps.checkpoint()
        yield from ignite(chamber)
        passes.append("lit")
        yield from bps.trigger(Await(lambda: over, "the end of the fault"), wait=True)
        passes.append("end")

    def fault():
        try:
            wait_until(lambda: cu.shutter.is_open, 60, "the shutter open")
            twin.put("SIM:FAULT:GAUGE", 1)
            wait_until(lambda: is_safe(twin), 30, "safe while suspended")
            twin.put("SIM:FAULT:GAUGE", 0)
        finally:
            over.set_finished()

    finish = in_thread(fault)
    engine(plan())
    finish()
    assert passes[-1] == "end"
    assert cu.interruptions > before
    assert twin.get("S1:PLASMA") == 1, "lit again by the replayed messages, not by itself"


def test_a_tripped_machine_holds_the_next_plan(twin, chamber, engine):
    suspender = SuspendOnInterlock(chamber.interlock)
    engine.install_suspender(suspender)
    twin.put("SIM:FAULT:WATER", 1)
    wait_until(lambda: suspender.tripped, 30, "the trip")
    done = []

    def plan():
        yield from bps.null()
        done.append(time.monotonic())

    def repair():
        time.sleep(0.3)
        assert not done
        twin.put("SIM:FAULT:WATER", 0)
        wait_until(lambda: not chamber.interlock.bad_inputs, 30, "good inputs")
        chamber.interlock.reset().wait(30)

    finish = in_thread(repair)
    engine(plan())
    finish()
    assert done


# interruptions of the RunEngine


@pytest.mark.parametrize("way", ["request_pause", "abort", "stop", "halt"])
def test_every_interruption_makes_the_machine_safe(twin, chamber, engine, way):
    guard = Guard(chamber)
    guard.attach(engine)
    cu = chamber.source("cu")
    before = cu.interruptions

    def plan():
        yield from bps.checkpoint()
        yield from ignite(chamber)
        yield from bps.sleep(60)

    def interrupt():
        wait_until(lambda: chamber.substrate.shutter.is_open, 60, "the substrate shutter open")
        getattr(engine, way)()

    finish = in_thread(interrupt)
    with pytest.raises(RunEngineInterrupted):
        engine(plan())
    wait_until(lambda: is_safe(twin), 3.0 + STALL_S, f"safe after {way}")
    finish()
    assert cu.interruptions > before
    if way == "request_pause":
        assert engine.state == "paused"
        time.sleep(0.3)
        assert is_safe(twin)
        engine.abort()
    guard.close()


def test_resume_goes_on_from_the_checkpoint(twin, chamber, engine):
    guard = Guard(chamber)
    guard.attach(engine)
    stream = chamber.stream(["cu"])
    documents: list = []
    chamber.gas.flow.set(80.0).wait(60)

    @bpp.run_decorator()
    def plan():
        yield from bps.checkpoint()
        yield from ignite(chamber)
        yield from bps.prepare(stream, StreamGoal(duration_s=8.0), wait=True)
        yield from bps.kickoff(stream, wait=True)
        yield from bps.collect_while_completing([stream], [stream], flush_period=0.3)

    def interrupt():
        wait_until(lambda: any(name == "event_page" for name, _ in documents), 60, "rows")
        engine.request_pause()

    with at_speed(twin, 2.0):
        finish = in_thread(interrupt)
        with pytest.raises(RunEngineInterrupted):
            engine(plan(), lambda name, doc: documents.append((name, doc)))
        finish()
        assert stream.outcome == "interrupted"
        wait_until(lambda: is_safe(twin), 30, "safe while paused")
        engine.resume()
    assert stream.outcome == "time"
    found = columns(documents)
    parts = sorted(set(found["qcm_stream_interruptions"]))
    assert len(parts) == 2, "rows before and after the pause can be told apart"
    last = np.array(found["qcm_stream_interruptions"]) == parts[-1]
    assert stream.data()["clock_time"].tolist() == np.array(found["clock_time"])[last].tolist()
    assert np.ptp(np.array(found["clock_time"])[last]) <= 8.0 + 2.0 * (0.5 + STALL_S)
    assert set(np.array(found["cu_plasma"])[last]) == {1}
    guard.close()


# the machine itself


def test_a_hung_ioc_is_noticed_and_nothing_stale_is_taken(twin, chamber):
    stream = chamber.stream(["cu"])
    stream.prepare(StreamGoal(duration_s=1e4))
    stream.kickoff()
    wait_until(lambda: len(stream) > 3, 30, "rows")
    with at_speed(twin, 1.0), patch.object(chamber.liveness, "stale_after_s", 2.0):
        move = chamber.substrate.angle.set(180.0 if chamber.substrate.angle.position < 90 else -180.0)
        twin.hang()
        try:
            start = time.monotonic()
            with pytest.raises(StaleReading):
                stream.complete().wait(60)
            assert time.monotonic() - start < 3.0 + STALL_S
            with pytest.raises((StaleReading, DeviceError)):
                move.wait(30)
            for device in chamber.devices.values():
                with pytest.raises(StaleReading):
                    device.read()
            start = time.monotonic()
            results = make_safe_now(chamber)
            assert time.monotonic() - start < 1.2 + STALL_S
            assert not any(r.ok for r in results)
            rows = len(stream)
        finally:
            twin.wake()
        wait_until(lambda: not chamber.liveness.stale, 30, "the beat again")
        chamber.gauge.read()
    assert len(stream) == rows
    wait_until(lambda: is_safe(twin), 30, "safe")


def test_no_heartbeat_no_plasma(tmp_path, connected, engine):
    limit_s = 4.0
    with Twin(tmp_path, speed=SPEED, heartbeat_timeout_s=limit_s) as own:
        chamber = make_chamber(own.prefix, own.chamber_spec()).connect(30)
        guard = Guard(chamber)
        guard.start()
        make_ready(chamber)
        engine(ignite(chamber))
        status = chamber.clock.after(1e4)
        guard.stop_beating()
        with pytest.raises(InterlockTripped, match="HEARTBEAT"):
            status.wait(60)
        silent_s = chamber.interlock.ok.timestamp - chamber.liveness.heartbeat.timestamp  # by the clock of the IOC
        assert limit_s - 0.1 < silent_s < limit_s + 0.5 + STALL_S
        wait_until(lambda: is_safe(own), 30, "safe by the watchdog")
        with guard:
            wait_until(lambda: not chamber.interlock.bad_inputs, 30, "the heartbeat again")
            chamber.interlock.reset().wait(30)
        chamber.close()


def test_a_killed_ioc_is_noticed_and_found_again(twin, chamber):
    angle = chamber.substrate.angle
    twin.put("SIM:SPEED", 1.0)  # until the restart
    move = angle.set(angle.position + (90.0 if angle.position < 0 else -90.0))
    guarded = chamber.liveness.guard(chamber.clock.after(1e4))
    twin.kill()
    start = time.monotonic()
    with pytest.raises(Disconnected):
        guarded.wait(60)
    with pytest.raises(Disconnected):
        move.wait(30)
    assert time.monotonic() - start < 1.0 + STALL_S
    start = time.monotonic()
    for device in chamber.devices.values():
        with pytest.raises(Disconnected):
            device.read()
    with pytest.raises(Disconnected):
        chamber.source("cu").power.set(0.0)
    results = make_safe_now(chamber)
    assert not any(r.ok for r in results)
    assert time.monotonic() - start < 1.5 + STALL_S, "no waiting for what is gone"
    twin.restart()
    wait_until(lambda: all(signal.connected for signal in chamber.signals()), 90, "reconnected")
    wait_until(lambda: not chamber.liveness.stale, 30, "the beat again")
    assert is_safe(twin)
    chamber.gas.flow.set(40.0).wait(60)
    assert twin.get("GAS:FLOW:SP") == 40.0
    chamber.gauge.read()


def test_two_chambers_side_by_side(tmp_path, twin, chamber):
    """Another prefix, port and geometry: two sources and six QCMs, without a clock."""
    from _twin import default_sensors, default_sources

    with Twin(tmp_path, sources=default_sources(("ni", "al")), sensors=default_sensors(6)) as other:
        second = make_chamber(other.prefix, other.chamber_spec(has_clock=False)).connect(30)
        stream = second.stream()
        stream.prepare(StreamGoal(duration_s=1.0))
        start_s = time.time()
        stream.kickoff()
        stream.complete().wait(60)
        rows = stream.data()
        assert {"qcm6_frequency", "ni_power", "al_plasma"} <= set(rows)
        assert np.allclose(rows["clock_time"], rows["timestamp"])
        assert 1.0 <= rows["timestamp"][-1] - start_s < 1.5 + STALL_S
        second.close()
    chamber.gauge.read()
