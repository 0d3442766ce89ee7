"""The MOCVD reactor's devices: PVs, limits, what is refused, how a growth and a measurement can end, protection."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from bluesky.protocols import Movable, Pausable, Readable, Stoppable, Triggerable
from device_fakes import WAIT_S, wait_until
from hypothesis import given
from hypothesis import strategies as st
from mocvd_fakes import SPEC, STOPPED, FakeReactor
from ophyd.utils import DisconnectedError

from sdl_bluesky.devices import Guard, MOCVDSpec, ScanRange, SuspendOnInterlock, make_reactor, make_safe_now
from sdl_bluesky.errors import AlarmError, DeviceError, Disconnected, MoveTimeout, OutOfRange, UnitError, UnknownName

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "pvs-mocvd.md"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReactor]:
    monkeypatch.setattr("sdl_bluesky.devices.mocvd.procedure.POLL_S", 0.002)
    monkeypatch.setattr("sdl_bluesky.devices.mocvd.protection.POLL_S", 0.005)
    made = FakeReactor()
    yield made
    made.reactor.liveness.close()


def ready(fake: FakeReactor) -> FakeReactor:
    """A wafer, carrier, phosphine in run, hot, indium armed."""
    r = fake.reactor
    r.wafers.load().wait(WAIT_S)
    for mover, value in (
        (r.carrier.flow, 16000.0), (r.lines["p"].flow, 300.0), (r.lines["p"].valve, "Run"),
        (r.susceptor.temperature, 650.0), (r.lines["in"].flow, 25.0), (r.lines["in"].arm, "Yes"),
    ):  # fmt: skip
        mover.set(value).wait(WAIT_S)
    return fake


def test_parts_are_what_bluesky_expects(fake: FakeReactor) -> None:
    r = fake.reactor
    assert all(isinstance(device, Readable) for device in r.devices.values())
    assert all(isinstance(mover, Movable) for mover in r.positioners)
    for instrument in (r.mapper, r.diffractometer):
        assert isinstance(instrument, Triggerable)
        assert isinstance(instrument, Pausable)
        assert isinstance(instrument, Stoppable)
        assert instrument not in r.baseline
    assert set(r.devices) == {f"mocvd_{name}" for name in (
        "in", "ga", "as", "p", "h2", "susceptor", "vessel", "growth", "wafers", "mapper", "diffractometer", "gas_system",
        "interlock", "clock",
    )}  # fmt: skip
    assert r.line("ga") is r.lines["ga"]
    with pytest.raises(UnknownName, match="gas line 'zn'"):
        r.line("zn")


def test_every_pv_is_documented_for_real_reactors() -> None:
    r = make_reactor("SDL:MOCVD:")
    known = set(re.findall(r"\{P\}(\S+)", PAGE.read_text()))
    known |= {line + name[2:] for name in known if name.startswith("IN:") for line in ("GA", "AS", "P")}
    names = {signal.pvname.removeprefix("SDL:MOCVD:") for signal in r.signals()}
    assert names <= known
    assert {"IN:ARM:SP", "P:VALVE:SP", "GROWTH:START", "INTERLOCK:ASH3", "PL:MAP", "XRD:COUNTS", "HEARTBEAT"} <= names
    assert "INTERLOCK:DOOR" not in names
    r.close()


@pytest.mark.parametrize(
    ("part", "value"),
    [("lines.in.flow", 50.1), ("lines.p.flow", -1.0), ("lines.as.flow", math.nan), ("carrier.flow", 30001.0),
     ("lines.ga.valve", "Open"), ("lines.ga.valve", 1), ("lines.ga.arm", "Maybe"), ("susceptor.temperature", 751.0),
     ("susceptor.temperature", math.inf), ("vessel.rotation", 1501.0), ("vessel.pressure", 19.0), ("mapper.holder", -1),
     ("mapper.holder", 1.5), ("diffractometer.holder", "1"), ("diffractometer.first", 59.0), ("mapper.exposure", 11.0)],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_before_it_is_sent(fake: FakeReactor, part: str, value: object) -> None:
    device: object = fake.reactor
    for name in part.split("."):
        device = device[name] if isinstance(device, dict) else getattr(device, name)
    with pytest.raises(OutOfRange):
        device.set(value)  # type: ignore[attr-defined]
    assert fake.puts == []


def test_the_labs_own_limits_hold(fake: FakeReactor) -> None:
    tighter = FakeReactor(MOCVDSpec(flow_sccm={**SPEC.flow_sccm, "ga": (0.0, 8.0)}, temperature_degC=(0.0, 660.0)))
    with pytest.raises(OutOfRange, match=r"8\.5 sccm is outside 0 to 8 sccm"):
        tighter.reactor.lines["ga"].flow.set(8.5)
    with pytest.raises(OutOfRange, match="outside 0 to 660 degC"):
        tighter.reactor.susceptor.temperature.set(670.0)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"flow_sccm": {"zn": (0.0, 1.0)}}, UnknownName), ({"flow_sccm": {"in": (0.0, 1.0)}}, OutOfRange),
     ({"pressure_mbar": (200.0, 20.0)}, OutOfRange), ({"cold_degC": 450.0}, OutOfRange), ({"map_points": 1}, OutOfRange)],
)  # fmt: skip
def test_a_reactor_that_cannot_be_is_refused(changes: dict, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        MOCVDSpec(**changes)


def test_units_are_said_and_a_wrong_one_is_named(fake: FakeReactor) -> None:
    r = fake.reactor
    keys: dict = {}
    for device in r.devices.values():
        keys |= device.describe()
    units = {name.removeprefix("mocvd_"): key.get("units") for name, key in keys.items()}
    expected = {"in_flow": "sccm", "h2_flow": "sccm", "susceptor_temperature": "degC", "susceptor_ramp": "degC/s",
                "vessel_rotation": "rpm", "vessel_pressure": "mbar", "growth_layer": "s", "mapper_map": "nm",
                "diffractometer_two_theta": "deg", "gas_system_ph3": "ppb", "gas_system_exhaust": "m3/h"}  # fmt: skip
    assert {name: units[name] for name in expected} == expected
    assert keys["mocvd_mapper_map"]["shape"] == [5, 5]
    r.gas_system.ph3._metadata["units"] = "ppm"
    [fault] = [f for device in r.devices.values() for f in device.unit_faults()]
    assert isinstance(fault, UnitError)
    assert "'ppm', the contract says 'ppb'" in str(fault)


def test_an_alarm_is_no_reading(fake: FakeReactor) -> None:
    fake.reactor.lines["ga"].flow.readback._metadata["severity"] = 3
    with pytest.raises(AlarmError, match="mocvd_ga_flow"):
        fake.reactor.lines["ga"].flow.read()


def test_a_temperature_waits_until_it_is_there_and_says_what_it_is_if_not(fake: FakeReactor) -> None:
    t = fake.reactor.susceptor.temperature
    t.setpoint.sim_set_putter(lambda value, *_, **__: t.setpoint.sim_put(value))
    status = t.set(600.0, timeout=1.0)
    t.readback.sim_put(598.5)
    assert not status.done
    with pytest.raises(MoveTimeout, match=r"did not reach 600.0 degC within 1 s: the readback is 598.5 degC"):
        status.wait(WAIT_S)
    again = t.set(600.0)
    t.readback.sim_put(599.2)
    again.wait(WAIT_S)
    t.set(0.0).wait(WAIT_S)  # off at once, however hot
    assert t.position == 599.2
    cooling = fake.reactor.susceptor.until_below(400.0)
    t.readback.sim_put(401.0)
    assert not cooling.done
    t.readback.sim_put(399.0)
    cooling.wait(WAIT_S)


def test_a_growth_ends_when_the_clock_says_so(fake: FakeReactor) -> None:
    r = ready(fake).reactor
    log = r.layer_log()
    log.start()
    r.growth.grow(400.0).wait(WAIT_S)
    log.stop()
    assert fake.grown == [(["in"], 400.0)]
    assert fake.faults == []
    found = log.readings()
    assert found.ticks == 4
    assert found.mean["in_flow"] == 25.0
    assert found.std["in_flow"] == 0.0
    assert found.mean["temperature"] == 650.0


def test_means_over_a_layer_are_those_of_its_ticks_only(fake: FakeReactor) -> None:
    r = fake.reactor
    flow, layer = r.lines["ga"].flow.readback, r.growth.layer
    log = r.layer_log()
    flow.sim_put(100.0)  # before
    layer.sim_put(3.0)
    log.start()
    for value, at in ((0.0, 0.0), (4.0, 0.1), (5.0, 0.2), (9.0, 0.3)):
        flow.sim_put(value)
        layer.sim_put(at)
    flow.sim_put(100.0)
    log.stop()
    layer.sim_put(0.4)  # after
    found = log.readings()
    assert found.mean["ga_flow"] == pytest.approx(6.0)
    assert found.std["ga_flow"] == pytest.approx(math.sqrt(7.0))
    log.start()
    assert math.isnan(log.readings().std["ga_flow"])
    log.start()
    flow._metadata["severity"] = 3
    layer.sim_put(0.5)
    with pytest.raises(AlarmError, match="ga_flow while the layer grew"):
        log.readings()


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 20001.0, True, "10"])
def test_a_time_that_is_none_is_refused(fake: FakeReactor, seconds: object) -> None:
    with pytest.raises(OutOfRange, match="nothing was started"):
        ready(fake).reactor.growth.grow(seconds)  # type: ignore[arg-type]
    assert fake.grown == []


def test_how_a_growth_can_fail(fake: FakeReactor) -> None:
    g = ready(fake).reactor.growth
    fake.on_growth = lambda number: fake.end_growth(STOPPED)
    with pytest.raises(DeviceError, match="stopped before its end"):
        g.grow(10.0).wait(WAIT_S)
    fake.on_growth = lambda number: None
    g.duration.sim_set_putter(lambda value, *_, **__: g.duration.sim_put(5.0))
    with pytest.raises(DeviceError, match="refused 10 s and keeps 5 s"):
        g.grow(10.0).wait(WAIT_S)
    g.duration.sim_set_putter(lambda value, *_, **__: g.duration.sim_put(value))
    fake.reactor.lines["in"].arm.set("No").wait(WAIT_S)
    with pytest.raises(DeviceError, match="the growth was refused; wafer 1, armed nothing"):
        g.grow(10.0).wait(WAIT_S)


def test_a_map_and_a_spectrum(fake: FakeReactor) -> None:
    mapper = fake.reactor.mapper
    with pytest.raises(DeviceError, match="the map was refused; wafer 0"):
        mapper.measure_map().wait(WAIT_S)
    mapper.holder.set(1).wait(WAIT_S)
    mapper.exposure.set(0.1).wait(WAIT_S)
    engine = RunEngine({}, context_managers=[])
    events: list = []
    engine(count([mapper]), lambda name, doc: events.append(doc["data"]) if name == "event" else None)
    assert events[0]["mocvd_mapper_map"][1, 0] == 1190.0
    assert mapper.last_map is not None
    assert math.isnan(mapper.last_map.wavelength_nm[0, 0])
    mapper.measure_spectrum().wait(WAIT_S)
    assert mapper.last_spectrum is not None
    assert mapper.last_spectrum.counts.tolist() == list(range(11))
    mapper.map.sim_put(np.zeros(7))
    with pytest.raises(AlarmError, match=r"7 numbers and the lab file says \(5, 5\)"):
        mapper.read()


def test_a_scan_counts_every_point(fake: FakeReactor) -> None:
    scan = fake.reactor.diffractometer
    scan.holder.set(1).wait(WAIT_S)
    for axis, value in ((scan.first, 63.0), (scan.last_angle, 64.0), (scan.step, 0.1), (scan.time, 0.5)):
        axis.set(value).wait(WAIT_S)
    scan.scan().wait(WAIT_S)
    assert scan.last is not None
    assert scan.last.two_theta_deg == pytest.approx(63.0 + 0.1 * np.arange(11))
    assert (scan.last.counts == 7.0).all()
    scan.points.sim_put(3)
    assert scan.describe()["mocvd_diffractometer_counts"]["shape"] == [11]
    scan.step.set(0.0005).wait(WAIT_S)
    with pytest.raises(OutOfRange, match="2001 points"):
        scan.scan()


@given(st.floats(60, 66), st.integers(1, 1999), st.floats(0.0005, 0.0005))
def test_a_range_has_as_many_points_as_steps_and_one(first: float, steps: int, step: float) -> None:
    assert ScanRange(first, first + steps * step, step).points == steps + 1


@pytest.mark.parametrize("wanted", [ScanRange(64.0, 63.0), ScanRange(math.nan, 64.0), ScanRange(step_deg=0.0)])
def test_what_is_no_range_has_no_points(wanted: ScanRange) -> None:
    assert wanted.points == 0


def test_safe_is_metals_and_heater_off_and_phosphine_on_until_the_surface_is_cold(fake: FakeReactor) -> None:
    r = ready(fake).reactor
    fake.stays_hot = True
    fake.on_growth = lambda number: wait_until(lambda: int(r.growth.state.get()) == STOPPED)
    status = r.growth.grow(1000.0)
    wait_until(lambda: r.lines["in"].valve.is_open)
    before = r.interruptions
    assert all(step.ok for step in make_safe_now(r, timeout_s=WAIT_S))
    assert r.interruptions > before
    with pytest.raises(DeviceError):
        status.wait(WAIT_S)
    assert not r.lines["in"].valve.is_open
    assert r.lines["in"].flow.setpoint.get() == 0.0
    assert r.lines["in"].arm.position == "No"
    assert r.susceptor.temperature.setpoint.get() == 0.0
    done = r.protection.done(WAIT_S)
    assert not done.done
    assert r.lines["p"].valve.position == "Run"
    assert r.lines["p"].flow.position == 300.0
    assert r.carrier.flow.position == 16000.0
    fake.cool()
    done.wait(WAIT_S)
    assert r.hydrides_off
    assert r.vessel.rotation.setpoint.get() == 0.0
    assert fake.faults == []


def test_phosphine_is_shut_after_group_iii_however_late_that_is_vented(fake: FakeReactor) -> None:
    r = ready(fake).reactor
    r.lines["in"].valve.readback.sim_put(1)  # what vents it is still on its way
    r.susceptor.temperature.setpoint.put(0.0)
    fake.puts.clear()
    r.protection.done(WAIT_S).wait(WAIT_S)
    assert fake.puts.index(("mocvd_in_valve_setpoint", 0)) < fake.puts.index(("mocvd_p_valve_setpoint", 0))
    assert fake.faults == []


def test_a_watch_that_is_replaced_sends_nothing_after_that(fake: FakeReactor) -> None:
    r = ready(fake).reactor
    r.susceptor.temperature.setpoint.put(0.0)
    sending, hold, order = threading.Event(), threading.Event(), []

    def slow() -> None:
        sending.set()
        hold.wait(WAIT_S)
        order.append("sent")

    def replace() -> None:
        r.protection.begin()
        order.append("replaced")

    r.protection._shut = [slow]
    r.protection.begin()
    assert sending.wait(WAIT_S)
    replacing = threading.Thread(target=replace, daemon=True)
    replacing.start()
    replacing.join(0.1)
    hold.set()
    replacing.join(WAIT_S)
    r.lines["p"].valve.readback.sim_put(0)
    r.lines["p"].flow.setpoint.put(0.0)
    r.protection.done(WAIT_S).wait(WAIT_S)
    assert order[0] == "sent", "what was being sent is through before another watch begins"


def test_a_connection_that_comes_back_finds_the_phosphine_looked_after(fake: FakeReactor) -> None:
    r = fake.reactor
    r.lines["p"].valve.readback.sim_put(1)
    answers = iter([DisconnectedError("gone"), TimeoutError("gone"), Disconnected("gone")])

    def cold() -> bool:
        for fault in answers:
            raise fault
        return True

    r.protection._cold = cold
    r.protection.done(WAIT_S).wait(WAIT_S)
    assert r.hydrides_off
    assert next(answers, None) is None
    r.lines["p"].valve.readback.sim_put(1)
    r.protection._cold = lambda: 1 / 0  # type: ignore[assignment, return-value]
    with pytest.raises(DeviceError, match="division by zero"):
        r.protection.done(WAIT_S).wait(WAIT_S)


def test_who_heats_is_in_charge_of_the_phosphine(fake: FakeReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdl_bluesky.devices.mocvd.protection.HEATED_S", 0.05)
    r = ready(fake).reactor
    with pytest.raises(DeviceError, match="somebody heats"):
        r.protection.done(WAIT_S).wait(WAIT_S)
    assert r.lines["p"].valve.position == "Run"


def test_a_halted_engine_leaves_the_reactor_safe(fake: FakeReactor) -> None:
    r = ready(fake).reactor
    guard = Guard(r)
    engine = RunEngine({}, context_managers=[])
    guard.attach(engine)
    guard._state_changed("halting", "running")
    wait_until(lambda: r.hydrides_off and r.susceptor.temperature.setpoint.get() == 0.0)
    assert fake.faults == []
    guard.close()


def test_the_interlock_tells_a_gas_alarm_from_a_lost_client(fake: FakeReactor) -> None:
    interlock = fake.reactor.interlock
    assert interlock.alarm == ""  # type: ignore[attr-defined]
    suspender = SuspendOnInterlock(interlock)
    assert not suspender._should_suspend(interlock.ok.get())
    interlock.heartbeat.sim_put(0)
    interlock.cause.sim_put("HEARTBEAT")
    interlock.ok.sim_put(0)
    assert suspender._should_suspend(interlock.ok.get())
    assert interlock.alarm == ""  # type: ignore[attr-defined]
    interlock.ash3.sim_put(0)  # type: ignore[attr-defined]
    assert interlock.alarm == "ASH3"  # type: ignore[attr-defined]
    interlock.ash3.sim_put(1)  # type: ignore[attr-defined]
    interlock.cause.sim_put("ASH3")
    assert interlock.alarm == "ASH3", "it latches"  # type: ignore[attr-defined]
