"""A map of spectra on a fake station: what is written, what is refused, and what interruptions do to it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import Msg, RunEngine
from bluesky.utils import RunEngineInterrupted
from device_fakes import WAIT_S
from rbs_fakes import SPEC, STOPPED, FakeStation

from sdl_bluesky.devices import Guard
from sdl_bluesky.errors import DeviceError, InterlockTripped, OutOfRange, UnknownName
from sdl_bluesky.plans.rbs import RBSMeasurement, measure_rbs
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.watch import Interrupted

POINTS = [(0.0, 0.0), (10.0, -5.0), (-3.0, 8.0)]
# 100 counts in each of channels 600 to 899 per uC: Sn and Cu have windows with more than 5000 counts per uC
SETTINGS = RBSSettings(charge_uC=2.0, longest_uC=6.0, precision=0.02)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeStation:
    monkeypatch.setattr("sdl_bluesky.devices.rbs.acquisition.POLL_S", 0.002)
    monkeypatch.setattr("sdl_bluesky.plans.rbs.BETWEEN_LOADS_S", 0.01)
    made = FakeStation()
    made.portion_s = 0.0
    return made


@pytest.fixture
def engine(fake: FakeStation) -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[], call_returns_result=True)
    guard = Guard(fake.station)
    guard.attach(made)
    yield made
    if made.state != "idle":
        made.halt()
    guard.close()


def plan(fake: FakeStation, points: Any = POINTS, settings: RBSSettings = SETTINGS, **changes: Any) -> Any:
    known = {"sample": "film", "substrate": 7, "elements": ["Cu", "Sn"], "based_on": "cosputter-uid"}
    return measure_rbs(fake.station, points, settings, **{**known, **changes})


class Documents:
    """What a RunEngine emitted."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.all.append((name, doc))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [doc for found, doc in self.all if found == name]

    def events(self, stream: str = "primary") -> list[dict[str, Any]]:
        uids = {doc["uid"] for doc in self.of("descriptor") if doc["name"] == stream}
        return [doc for doc in self.of("event") if doc["descriptor"] in uids]


def test_a_map_is_one_run_with_an_event_for_each_point(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    fake.gain = 0.99
    found = engine(plan(fake, md={"campaign": "c"}), documents).plan_result
    [start], [stop] = documents.of("start"), documents.of("stop")
    assert start["plan_name"] == "measure_rbs"
    assert (start["purpose"], start["sample"], start["substrate_number"]) == ("experiment", "film", 7)
    assert (start["elements"], start["based_on"], start["campaign"]) == (["Cu", "Sn"], "cosputter-uid", "c")
    setup = start["rbs_setup"]
    assert (setup["ion"], setup["E_keV"], setup["theta_deg"], setup["channels"]) == ("4He", 2000.0, 165.0, 1024)
    assert setup["substrate"] == [{"O": 16000.0, "Si": 8000.0}]
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"baseline": 2, "primary": 3}

    [descriptor] = [doc for doc in documents.of("descriptor") if doc["name"] == "primary"]
    keys = descriptor["data_keys"]
    assert {"x", "y", "tilt", "energy", "charge", "live_time", "real_time", "counts", "spectrum"} <= set(keys)
    assert (keys["spectrum"]["dtype"], keys["spectrum"]["shape"], keys["spectrum"]["dtype_numpy"]) == (
        "array", [1024], "<f8",
    )  # fmt: skip
    units = {key: keys[key].get("units") for key in ("x", "tilt", "energy", "charge", "live_time", "counts")}
    assert units == {"x": "mm", "tilt": "deg", "energy": "keV", "charge": "uC", "live_time": "s", "counts": "counts"}

    for event, (x, y) in zip(documents.events(), POINTS, strict=True):
        data = event["data"]
        assert (data["x"], data["y"], data["tilt"], data["energy"]) == (x, y, 0.0, 2000.0)
        assert data["charge"] == pytest.approx(0.99 * 2.0)
        assert (data["live_time"], data["real_time"]) == pytest.approx((9 * 0.99 * 2.0, 10 * 0.99 * 2.0))
        assert data["spectrum"].shape == (1024,)
        assert data["counts"] == data["spectrum"].sum() == 300 * 200.0
        assert data["portions"] == 1

    assert isinstance(found, RBSMeasurement)
    assert found.uid == start["uid"]
    assert found.data["spectrum"].shape == (3, 1024)
    assert found.data["x"].tolist() == [x for x, _ in POINTS]
    assert fake.opened == POINTS, "the beam is off between the points"
    assert fake.station.beam.shutter.position == "Closed"


def test_portions_are_added_up_until_the_counts_are_enough(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    fake.rate[:] = 0.0
    fake.rate[700:710], fake.rate[840:850] = 1000.0, 100.0  # Cu ends below channel 794, Sn above it
    engine(plan(fake, POINTS[:1], replace(SETTINGS, precision=0.0175, longest_uC=20.0)), documents)
    [event] = documents.events()
    data = event["data"]
    assert data["portions"] == len(fake.started) == 2
    assert data["charge"] == pytest.approx(sum(fake.started))
    assert data["spectrum"].sum() == pytest.approx(11000.0 * data["charge"], rel=1e-3)
    assert data["relative_error"] <= 0.0175
    assert data["relative_error"] == pytest.approx(1 / math.sqrt(data["spectrum"][840:850].sum()))


def test_the_longest_charge_is_the_end(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    fake.rate[:] = 0.01
    found = engine(plan(fake, POINTS[:1], charge_uC=1.5), documents).plan_result
    assert fake.started[0] == 1.5
    assert sum(fake.started) == pytest.approx(6.0)
    assert found.data["relative_error"][0] > SETTINGS.precision


def test_a_film_that_is_not_judged_gets_the_charge_asked_for(fake: FakeStation, engine: RunEngine) -> None:
    found = engine(plan(fake, POINTS[:1], elements=["Al"])).plan_result
    assert fake.started == [2.0]
    assert math.isnan(found.data["relative_error"][0])


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"points": []}, OutOfRange, "at least one point"),
        ({"points": [(0.0, math.nan)]}, OutOfRange, "y = nan mm is off the wafer"),
        ({"points": [(0.0, 0.0), (25.5, 0.0)]}, OutOfRange, r"x = 25\.5 mm is off the wafer, -25 to 25 mm"),
        ({"points": [(0.0, 0.0, 0.0)]}, OutOfRange, "is no place"),
        ({"points": [("a", "b")]}, OutOfRange, "is no place"),
        ({"charge_uC": 0.0}, OutOfRange, "charge is 0.0"),
        ({"charge_uC": -1.0}, OutOfRange, "charge"),
        ({"charge_uC": math.nan}, OutOfRange, "charge"),
        ({"charge_uC": 7.0}, OutOfRange, "above the longest, 6 uC"),
        ({"substrate": 0}, OutOfRange, "not the number of a film"),
        ({"substrate": "7"}, OutOfRange, "not the number of a film"),
        ({"elements": []}, OutOfRange, "name each element"),
        ({"elements": "Cu"}, OutOfRange, "name each element"),
        ({"elements": ["Cu", "Cu"]}, OutOfRange, "name each element"),
        ({"elements": ["Cu", "Unobtainium"]}, UnknownName, "Unobtainium"),
        ({"settings": replace(SETTINGS, energy_keV=3000.0)}, OutOfRange, "off the detector"),
        ({"settings": replace(SETTINGS, energy_keV=100.0)}, OutOfRange, "outside 500 to 3500 keV"),
        ({"settings": replace(SETTINGS, tilt_deg=70.0)}, OutOfRange, "tilt"),
        ({"settings": replace(SETTINGS, channels=2048)}, OutOfRange, "station 1024"),
        ({"settings": replace(SETTINGS, precision=0.0)}, OutOfRange, "precision"),
        ({"settings": replace(SETTINGS, slope_keV=-2.0)}, OutOfRange, "slope"),
    ],
)
def test_faults_are_found_before_anything_moves(
    fake: FakeStation, changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    points, settings = changes.pop("points", POINTS), changes.pop("settings", SETTINGS)
    with pytest.raises(error, match=match):
        next(plan(fake, points, settings, **changes))


def test_a_film_that_is_not_there_ends_the_run(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    with pytest.raises(DeviceError, match="is there a film") as caught:
        engine(plan(fake, substrate=3), documents)
    [start] = documents.of("start")
    assert caught.value.run_uid == start["uid"]  # type: ignore[attr-defined]
    assert caught.value.__notes__ == [f"run {start['uid']}"]
    assert not fake.opened


def test_a_film_that_has_just_been_made_is_waited_for(fake: FakeStation, engine: RunEngine) -> None:
    asked: list[int] = []
    load = fake.station.loader.setpoint._put_func

    def late(value: int, *args: Any, **kwargs: Any) -> None:
        asked.append(value)
        if len(asked) == 3:
            fake.films.add(9)
        load(value, *args, **kwargs)

    fake.station.loader.setpoint.sim_set_putter(late)
    engine(plan(fake, POINTS[:1], substrate=9))
    assert asked == [9, 9, 9]
    assert fake.station.loader.position == 9


def test_a_trip_ends_the_map_and_keeps_its_finished_points(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()

    def trip(number: int) -> None:
        if number == 2:
            fake.portion_s = None
            lock = fake.station.interlock
            for signal, value in ((lock.cause, "DOOR"), (lock.door, 0), (lock.ok, 0)):
                signal.sim_put(value)
            fake.publish(state=STOPPED)

    fake.on_start = trip
    with pytest.raises(InterlockTripped, match="tripped by DOOR") as caught:
        engine(plan(fake), documents)
    [start], [stop] = documents.of("start"), documents.of("stop")
    assert caught.value.run_uid == start["uid"]  # type: ignore[attr-defined]
    assert stop["exit_status"] == "fail"
    assert "DOOR" in stop["reason"]
    assert [event["data"]["x"] for event in documents.events()] == [0.0]
    assert fake.station.beam.shutter.position == "Closed"
    with pytest.raises(InterlockTripped, match="still bad: DOOR"):
        engine(plan(fake), documents)
    assert len(documents.of("start")) == 1


def run_through_pauses(engine: RunEngine, generator: Any, documents: Documents) -> Any:
    """Run, and go on after each pause."""
    try:
        return engine(generator, documents).plan_result
    except RunEngineInterrupted:
        while engine.state == "paused":
            try:
                return engine.resume().plan_result
            except RunEngineInterrupted:
                continue
    raise AssertionError(engine.state)


def check_complete(documents: Documents, found: RBSMeasurement, points: list[tuple[float, float]]) -> None:
    [start], [stop] = documents.of("start"), documents.of("stop")
    assert stop["exit_status"] == "success"
    events = documents.events()
    assert [(event["data"]["x"], event["data"]["y"]) for event in events] == points
    assert [event["seq_num"] for event in events] == [*range(1, len(points) + 1)]
    for event in events:
        assert event["data"]["counts"] == pytest.approx(30000.0 * event["data"]["charge"]), "nothing is counted twice"
        assert event["data"]["charge"] == pytest.approx(2.0)
    assert found.uid == start["uid"]


def test_an_interrupted_point_is_measured_again_and_no_other(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    paused = threading.Event()

    def pause(number: int) -> None:
        fake.portion_s = 0.0
        if number == 2:
            paused.set()
            fake.portion_s = None  # it does not end by itself before it is stopped
            fake.publish(charge=1.0, spectrum=fake.rate)  # half of it was there
            engine.request_pause()

    fake.on_start = pause
    found = run_through_pauses(engine, plan(fake), documents)
    assert paused.is_set()
    check_complete(documents, found, POINTS)
    assert fake.opened == [POINTS[0], POINTS[1], POINTS[1], POINTS[2]]


def pausing(generator: Any, places: set[int], seen: list[Msg]) -> Any:
    """The plan, with a pause before the messages of these numbers."""

    def insert(msg: Msg) -> tuple[Any, None]:
        seen.append(msg)
        if len(seen) - 1 not in places:
            return None, None

        def paused() -> Any:
            yield Msg("pause", None, defer=False)
            return (yield msg)

        return paused(), None

    return bpp.plan_mutator(generator, insert)


def test_wherever_it_is_paused_each_point_is_written_once(fake: FakeStation, engine: RunEngine) -> None:
    messages: list[Msg] = []
    engine(pausing(plan(fake, POINTS[:2]), set(), messages))
    first = next(i for i, msg in enumerate(messages) if msg.command == "checkpoint")
    last = max(i for i, msg in enumerate(messages) if msg.command == "save")
    writes = [i for i, msg in enumerate(messages) if msg.command in ("create", "read", "save", "rewindable", "wait")]
    for place in sorted({i for i in writes if first < i < last} | {*range(first, last, 9)}):
        documents = Documents()
        found = run_through_pauses(engine, pausing(plan(fake, POINTS[:2]), {place}, []), documents)
        check_complete(documents, found, POINTS[:2])


def test_a_point_that_is_interrupted_again_and_again_ends_the_map(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    fake.on_start = lambda number: engine.request_pause()
    fake.portion_s = None
    with pytest.raises(Interrupted, match="made safe in the middle"):
        run_through_pauses(engine, plan(fake), documents)
    assert len(fake.opened) == 3
    assert documents.of("stop")[0]["exit_status"] == "fail"
    assert fake.station.beam.shutter.position == "Closed"


def test_an_abort_leaves_a_closed_shutter_and_the_points_so_far(fake: FakeStation, engine: RunEngine) -> None:
    documents = Documents()
    fake.on_start = lambda number: engine.request_pause() if number == 3 else None
    with pytest.raises(RunEngineInterrupted):
        engine(plan(fake), documents)
    engine.abort()
    assert [event["data"]["x"] for event in documents.events()] == [0.0, 10.0]
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert fake.station.beam.shutter.position == "Closed"


def test_an_acquisition_that_somebody_left_running_is_ended_first(fake: FakeStation, engine: RunEngine) -> None:
    fake.station.loader.set(1).wait(WAIT_S)
    fake.station.beam.shutter.set("Open").wait(WAIT_S)
    fake.portion_s = None
    fake.station.acquisition.start_command.put(1)
    fake.portion_s = 0.0
    found = engine(plan(fake, POINTS[:1])).plan_result
    assert found.data["counts"].tolist() == [60000.0]
    assert np.array_equal(found.data["spectrum"][0], np.round(fake.rate * 2.0))


def test_the_fake_station_is_the_one_of_the_settings() -> None:
    assert SPEC.channels == SETTINGS.channels
