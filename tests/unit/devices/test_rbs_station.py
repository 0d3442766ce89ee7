"""The RBS end station: what it refuses, what it reads, and how an acquisition can end."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from bluesky.protocols import Movable, Pausable, Readable, Stoppable, Triggerable
from device_fakes import WAIT_S, wait_until
from ophyd.utils import DisconnectedError
from rbs_fakes import ACQUIRING, DONE, SPEC, STOPPED, FakeStation

from sdl_bluesky.devices import Guard, RBSSpec, Spectrum, all_of, make_safe_now, make_station
from sdl_bluesky.errors import (
    AlarmError,
    DeviceError,
    Disconnected,
    InterlockTripped,
    MoveTimeout,
    OutOfRange,
    StaleReading,
    UnitError,
)


@pytest.fixture
def fake():
    made = FakeStation()
    yield made
    made.station.liveness.close()


@pytest.fixture
def ready(fake):
    """A station with a film and an open shutter."""
    return with_beam(fake)


def with_beam(fake):
    fake.station.loader.set(7).wait(WAIT_S)
    fake.station.beam.shutter.set("Open").wait(WAIT_S)
    return fake


def test_parts_are_what_bluesky_expects(fake):
    station = fake.station
    assert all(isinstance(device, Readable) for device in station.devices.values())
    assert all(isinstance(mover, Movable) for mover in station.positioners)
    assert isinstance(station.acquisition, Triggerable)
    assert isinstance(station.acquisition, Stoppable)
    assert isinstance(station.acquisition, Pausable)
    assert set(station.devices) == {"rbs_beam", "rbs_stage", "rbs_loader", "rbs_acquisition", "rbs_interlock"}
    assert station.acquisition not in station.baseline


def test_pvs_are_those_of_the_contract():
    station = make_station("SDL:RBS:")
    names = {signal.pvname for signal in station.signals()}
    assert names == {f"SDL:RBS:{name}" for name in (
        "BEAM:ENERGY:SP", "BEAM:ENERGY", "BEAM:CURRENT", "BEAM:SHUTTER:SP", "BEAM:SHUTTER",
        "STAGE:X:SP", "STAGE:X", "STAGE:Y:SP", "STAGE:Y", "STAGE:TILT:SP", "STAGE:TILT", "SAMPLE:LOAD", "SAMPLE:NUMBER",
        "ACQ:CHARGE:SP", "ACQ:START", "ACQ:STOP", "ACQ:STATE", "ACQ:NUMBER",
        "MCA:SPECTRUM", "MCA:COUNTS", "MCA:CHARGE", "MCA:LIVE", "MCA:REAL",
        "INTERLOCK:VACUUM", "INTERLOCK:DOOR", "INTERLOCK:HEARTBEAT", "INTERLOCK:OK", "INTERLOCK:CAUSE", "INTERLOCK:RESET",
        "HEARTBEAT", "HEARTBEAT:TIMEOUT", "IOC:BEAT",
    )}  # fmt: skip
    station.close()


@pytest.mark.parametrize(
    ("part", "value"),
    [("beam.energy", 499.0), ("beam.energy", math.nan), ("stage.x", 30.5), ("stage.tilt", -61.0), ("beam.shutter", "Ajar"),
     ("loader", 0), ("loader", 1.5), ("loader", True), ("loader", "7")],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_before_it_is_sent(fake, part, value):
    device = fake.station
    for name in part.split("."):
        device = getattr(device, name)
    before = device.setpoint.get()
    with pytest.raises(OutOfRange):
        device.set(value)
    assert device.setpoint.get() == before


@pytest.mark.parametrize("spec", [{"channels": 1}, {"stage_mm": (3.0, -3.0)}, {"energy_keV": (500.0, math.inf)}])
def test_a_station_that_cannot_be_is_refused(spec):
    with pytest.raises(OutOfRange):
        RBSSpec(**spec)


def test_a_film_that_is_not_there_is_refused_and_the_sample_stays(fake):
    fake.station.loader.set(1).wait(WAIT_S)
    with pytest.raises(DeviceError, match=r"refused 3 .*is there a film"):
        fake.station.loader.set(3).wait(WAIT_S)
    assert fake.station.loader.position == 1


def test_a_wrong_unit_is_named(fake):
    fake.station.beam.current._metadata["units"] = "uA"
    [fault] = [f for device in fake.station.devices.values() for f in device.unit_faults()]
    assert isinstance(fault, UnitError)
    assert "rbs_beam_current: the record is in 'uA', the contract says 'nA'" in str(fault)


def test_an_acquisition_collects_its_charge(ready):
    acquisition = ready.station.acquisition
    ready.gain = 0.995
    acquisition.acquire(2.0).wait(WAIT_S)
    last = acquisition.last
    assert last is not None
    assert last.total == 300 * 200.0
    assert (last.charge_uC, last.live_s, last.real_s, last.acquisitions) == pytest.approx((1.99, 17.91, 19.9, 1))
    acquisition.acquire(3.0).wait(WAIT_S)
    both = last + acquisition.last
    assert both.total == 300 * 500.0
    assert (both.charge_uC, both.acquisitions) == (pytest.approx(4.975), 2)
    assert ready.started == [2.0, 3.0]


def test_spectra_of_other_detectors_are_not_added():
    one, other = (Spectrum(np.zeros(n), 1.0, 1.0, 1.0) for n in (4, 5))
    with pytest.raises(OutOfRange, match="4 and 5 channels"):
        _ = one + other


def test_it_works_as_a_detector_in_anybodys_plan(ready):
    documents = []
    engine = RunEngine({}, context_managers=[])
    ready.station.acquisition.preset.put(4.0)
    engine(count([ready.station.acquisition], num=2), lambda name, doc: documents.append((name, doc)))
    [descriptor] = [doc for name, doc in documents if name == "descriptor"]
    key = descriptor["data_keys"]["rbs_acquisition_spectrum"]
    assert (key["dtype"], key["shape"], key["dtype_numpy"], key["units"]) == ("array", [1024], "<f8", "counts")
    assert descriptor["data_keys"]["rbs_acquisition_charge"]["units"] == "uC"
    events = [doc["data"] for name, doc in documents if name == "event"]
    assert len(events) == 2
    for data in events:
        assert data["rbs_acquisition_spectrum"].shape == (1024,)
        assert data["rbs_acquisition_spectrum"].sum() == data["rbs_acquisition_counts"] == 300 * 400.0
        assert data["rbs_acquisition_state"] == "Done"


@pytest.mark.parametrize("charge", [0.0, -1.0, math.nan, math.inf, "2", None, True])
def test_a_charge_that_is_none_is_refused(ready, charge):
    with pytest.raises(OutOfRange):
        ready.station.acquisition.acquire(charge)
    assert not ready.started


def test_a_preset_that_the_ioc_refuses_starts_nothing(ready):
    ready.station.acquisition.preset.sim_set_putter(lambda value, *a, **k: None)
    with pytest.raises(DeviceError, match="refused 2 uC and keeps 5 uC"):
        ready.station.acquisition.acquire(2.0).wait(WAIT_S)
    assert not ready.started


def test_a_refused_start_says_on_what_it_depends(fake):
    with pytest.raises(DeviceError, match=r"not started; sample number 0, beam shutter Closed, the interlock is OK"):
        fake.station.acquisition.acquire(2.0).wait(WAIT_S)


def test_a_start_that_comes_too_early_is_asked_for_again(ready):
    """The IOC knows better than the readback's tolerance when the stage has arrived."""
    acquisition, real, asked = ready.station.acquisition, ready._start, []

    def start(value, *_, **__):
        asked.append(value)
        if len(asked) == 2:
            real()

    acquisition.start_command.sim_set_putter(start)
    acquisition.acquire(2.0).wait(WAIT_S)
    assert asked == [1, 1]
    assert ready.started == [2.0]


def test_one_acquisition_at_a_time_and_a_forgotten_one_can_be_stopped(ready):
    ready.portion_s = None
    ready.station.acquisition.start_command.put(1)
    with pytest.raises(DeviceError, match="runs already"):
        ready.station.acquisition.acquire(2.0).wait(WAIT_S)
    ready.station.acquisition.halt().wait(WAIT_S)
    assert ready.station.acquisition.state.get() == STOPPED
    ready.station.acquisition.halt().wait(WAIT_S)
    assert ready.station.acquisition.state.get() == STOPPED


def test_stopping_fails_the_status_and_tells_what_was_collected(ready):
    ready.portion_s = None
    ready.station.acquisition.stop()  # nothing runs
    assert ready.station.acquisition.number.get() == 0
    status = ready.station.acquisition.acquire(2.0)
    wait_until(lambda: ready.station.acquisition.state.get() == ACQUIRING)
    ready.publish(charge=0.5)
    ready.station.acquisition.stop()
    with pytest.raises(DeviceError, match=r"stopped after 0\.5 of 2 uC"):
        status.wait(WAIT_S)
    assert ready.station.acquisition.last is None


def test_a_trip_is_named_by_the_acquisition_that_it_ended(ready):
    ready.portion_s = None
    status = ready.station.acquisition.acquire(2.0)
    wait_until(lambda: ready.station.acquisition.state.get() == ACQUIRING)
    lock = ready.station.interlock
    lock.cause.sim_put("VACUUM")
    lock.vacuum.sim_put(0)
    lock.ok.sim_put(0)
    ready.publish(state=STOPPED)
    with pytest.raises(InterlockTripped, match="tripped by VACUUM; still bad: VACUUM"):
        status.wait(WAIT_S)


def test_a_charge_that_stands_still_is_a_lost_beam():
    fake = with_beam(FakeStation(RBSSpec(stall_s=1.0)))
    fake.portion_s = None
    fake.on_start = lambda number: fake.publish(charge=0.7)
    status = fake.station.acquisition.acquire(2.0)
    with pytest.raises(DeviceError, match=r"0\.7 of 2 uC are collected and no more come.*beam is lost"):
        status.wait(WAIT_S)


def test_a_charge_that_crawls_ends_at_the_longest_time():
    fake = with_beam(FakeStation(RBSSpec(acquisition_timeout_s=0.3)))
    fake.portion_s = None
    with pytest.raises(MoveTimeout, match=r"of 2 uC are collected after 0\.3 s"):
        fake.station.acquisition.acquire(2.0).wait(WAIT_S)


@pytest.fixture
def unsettled(monkeypatch):
    """Records that differ are waited for however long a tick takes, on a busy machine."""
    monkeypatch.setattr("sdl_bluesky.devices.rbs.acquisition.SETTLE_S", 60.0)


@pytest.mark.usefixtures("unsettled")
def test_records_of_different_ticks_are_not_put_together(ready):
    """The state says Done a tick before the spectrum: the result waits for it."""
    acquisition = ready.station.acquisition
    ready.portion_s = None
    status = acquisition.acquire(2.0)
    wait_until(lambda: acquisition.state.get() == ACQUIRING)
    wait_until(lambda: acquisition.number.get() == 1)
    late = ready.rate * 2.0
    looked = threading.Event()
    real = acquisition._is_of_one_moment

    def look():
        found = real()
        looked.set()
        return found

    acquisition._is_of_one_moment = look
    acquisition.state.sim_put(DONE)
    assert looked.wait(WAIT_S)
    assert not status.done
    ready.publish(spectrum=late, charge=2.0)
    status.wait(WAIT_S)
    assert acquisition.last.total == late.sum()


@pytest.mark.usefixtures("unsettled")
def test_the_end_of_the_acquisition_before_is_not_taken_for_this_ones(ready):
    """The number of acquisitions counts up a tick before the state changes from Done to Acquiring."""
    acquisition = ready.station.acquisition
    acquisition.acquire(1.0).wait(WAIT_S)
    acquisition.start_command.sim_set_putter(lambda value, *a, **k: acquisition.number.sim_put(2))
    status = acquisition.acquire(2.0)
    wait_until(lambda: acquisition.number.get() == 2)
    ready.publish(state=ACQUIRING, charge=0.0)
    assert not status.done
    ready.publish(state=DONE, charge=2.0, spectrum=ready.rate * 2.0, number=2)
    status.wait(WAIT_S)
    assert acquisition.last.charge_uC == 2.0


@pytest.mark.parametrize(
    ("spectrum", "match"),
    [(np.zeros(512), "has 512 channels"), (np.full(1024, -1.0), "negative"), (np.full(1024, math.nan), "no numbers")],
)
def test_what_is_no_spectrum_never_gets_into_data(ready, spectrum, match):
    acquisition = ready.station.acquisition
    acquisition.spectrum.sim_put(spectrum)
    with pytest.raises(AlarmError, match=match):
        acquisition.read()
    ready.portion_s = None
    status = acquisition.acquire(1.0)
    wait_until(lambda: acquisition.state.get() == ACQUIRING)
    ready.publish(spectrum=spectrum, charge=1.0, state=DONE, number=1)
    with pytest.raises(AlarmError, match=match):
        status.wait(WAIT_S)


def test_a_hung_ioc_fails_an_acquisition_and_every_reading(ready):
    ready.portion_s = None
    status = ready.station.acquisition.acquire(2.0)
    ready.station.liveness.stale_after_s = 0.2
    ready.station.liveness.start()
    with pytest.raises(StaleReading, match="hangs"):
        status.wait(WAIT_S)
    with pytest.raises(StaleReading):
        ready.station.acquisition.read()
    with pytest.raises(StaleReading):
        ready.station.acquisition.acquire(2.0)
    with pytest.raises(StaleReading):
        ready.station.stage.x.set(1.0)


def get_failure(text: str) -> Exception:
    """As pyepics raises it."""
    from epics.ca import ChannelAccessGetFailure

    return ChannelAccessGetFailure(text, None, 192)


@pytest.mark.parametrize("silence", [TimeoutError, DisconnectedError, get_failure])
def test_a_lost_connection_fails_an_acquisition(ready, monkeypatch, silence):
    monkeypatch.setattr("sdl_bluesky.devices.rbs.acquisition.NOTICE_S", 0.1)
    ready.portion_s = None
    status = ready.station.acquisition.acquire(2.0)
    wait_until(lambda: ready.station.acquisition.state.get() == ACQUIRING)

    def gone(**_):
        raise silence("no answer")

    ready.station.acquisition.number.get = gone
    with pytest.raises(Disconnected, match="does not answer"):
        status.wait(WAIT_S)
    with pytest.raises(Disconnected, match="does not answer"):
        ready.station.acquisition.read()


def test_one_station_may_hang_while_the_chamber_works(ready, chamber):
    """Each machine is watched by itself."""
    for machine in (chamber, ready.station):
        machine.liveness.stale_after_s = 0.2 if machine is ready.station else 60.0
        machine.liveness.start()
    wait_until(lambda: ready.station.liveness.stale)
    chamber.gauge.read()
    chamber.source("cu").power.set(20.0).wait(WAIT_S)
    with pytest.raises(StaleReading):
        ready.station.beam.read()


def test_making_safe_closes_the_shutter_and_stops_counting(ready):
    ready.portion_s = None
    status = ready.station.acquisition.acquire(2.0)
    wait_until(lambda: ready.station.acquisition.state.get() == ACQUIRING)
    results = ready.station.safe()
    assert [(r.step, r.ok) for r in results] == [("close rbs_beam_shutter", True), ("stop rbs_acquisition", True)]
    assert ready.station.beam.shutter.position == "Closed"
    assert ready.station.interruptions == 2
    with pytest.raises(DeviceError, match="stopped"):
        status.wait(WAIT_S)


def test_a_pause_of_the_beam_closes_it_and_nothing_opens_again(ready):
    ready.station.beam.shutter.pause()  # a part tells its owner
    assert ready.station.beam.shutter.position == "Closed"
    ready.station.beam.resume()
    assert ready.station.beam.shutter.position == "Closed"


def test_one_guard_keeps_both_machines(ready, chamber):
    """A machine that cannot be reached keeps neither heartbeat nor safe puts from the other."""

    def broken(value, *a, **k):
        raise OSError("the cable is out")

    ready.station.liveness.heartbeat.sim_set_putter(broken)
    ready.station.beam.shutter.setpoint.sim_set_putter(broken)
    chamber.source("cu").shutter.set("Open").wait(WAIT_S)
    with Guard(chamber, ready.station, period_s=0.02) as guard:
        first = chamber.liveness.heartbeat.get()
        wait_until(lambda: chamber.liveness.heartbeat.get() != first)
        guard.make_safe()
        assert not chamber.source("cu").shutter.is_open
        assert {r.step for r in guard.last_results if not r.ok} == {"close rbs_beam_shutter"}
        ready.station.liveness.heartbeat.sim_set_putter(None)
        before = ready.station.liveness.heartbeat.get()
        wait_until(lambda: ready.station.liveness.heartbeat.get() != before)
    assert not guard.in_charge


def test_an_interruption_is_known_before_its_puts_are_sent(ready):
    """Who goes on after a pause can wait for them, so that they do not close what was opened again."""
    hold, sent = threading.Event(), ready.station.beam.shutter.setpoint._put_func

    def slow(value, *a, **k):
        hold.wait(WAIT_S)
        sent(value, *a, **k)

    ready.station.beam.shutter.setpoint.sim_set_putter(slow)
    before = ready.station.interruptions
    guard = Guard(ready.station)
    guard._state_changed("pausing", "running")
    assert ready.station.interruptions == before + 2, "at once: beam and acquisition"
    assert not ready.station.wait_until_settled(0.05)
    assert ready.station.beam.shutter.is_open
    hold.set()
    assert ready.station.wait_until_settled(2.0)
    assert not ready.station.beam.shutter.is_open
    wait_until(lambda: bool(guard.last_results))
    assert ready.station.interruptions == before + 2, "and once"


def test_all_of_ends_with_the_last_or_with_the_first_failure(fake):
    stage = fake.station.stage
    all_of(stage.x.set(3.0), stage.y.set(4.0)).wait(WAIT_S)
    assert (stage.x.position, stage.y.position) == (3.0, 4.0)
    all_of().wait(WAIT_S)
    stage.y.setpoint.sim_set_putter(lambda value, *a, **k: None)
    with pytest.raises(DeviceError, match="refused"):
        all_of(stage.x.set(5.0), stage.y.set(6.0)).wait(WAIT_S)


def test_safe_steps_are_sent_when_nothing_answers(ready):
    ready.station.acquisition.stop_command.sim_set_putter(lambda value, *a, **k: threading.Event().wait(60))
    results = {r.step: r for r in make_safe_now(ready.station, timeout_s=0.2)}
    wait_until(lambda: not ready.station.beam.shutter.is_open)  # while the other one hangs
    assert "not sent within" in results["stop rbs_acquisition"].message


def test_timeouts_and_tolerances_come_from_the_description(fake):
    assert fake.station.stage.x.timeout_s == SPEC.stage_timeout_s
    assert fake.station.stage.tilt.atol == SPEC.tilt_tolerance_deg
    assert fake.station.beam.energy.limits == (500.0, 3500.0)
