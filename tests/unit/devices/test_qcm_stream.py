"""Rows are whole ticks, aligned by time, live and as pages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from device_fakes import WAIT_S, tick, wait_until
from event_model import compose_run
from ophyd.utils.epics_pvs import AlarmSeverity

from sdl_bluesky.devices import QCMStream, StreamGoal
from sdl_bluesky.errors import DeviceError, InterlockTripped, OutOfRange, PlasmaError, StaleReading, UnknownName


def ticks(chamber, first: int, last: int) -> None:
    for n in range(first, last + 1):
        tick(chamber, float(n), qcm1_frequency=6e6 - n, qcm2_frequency=6e6 - 2 * n, cu_power=50.0 + n)


def started(chamber, goal=None, sources=("cu",)) -> QCMStream:
    stream = QCMStream(chamber, list(sources))
    if goal is not None:
        stream.prepare(goal).wait(WAIT_S)
    stream.kickoff().wait(WAIT_S)
    return stream


def pages_of(stream):
    return list(stream.collect_pages())


def test_rows_are_ticks(chamber):
    ticks(chamber, 1, 3)
    stream = started(chamber)
    ticks(chamber, 4, 9)  # 4 may be half a row and is dropped; 9 is not known to be complete
    rows = stream.data()
    assert rows["timestamp"].tolist() == [5.0, 6.0, 7.0, 8.0]
    assert rows["clock_time"].tolist() == [5.0, 6.0, 7.0, 8.0]
    assert rows["qcm1_frequency"].tolist() == [6e6 - n for n in (5, 6, 7, 8)]
    assert rows["qcm2_frequency"].tolist() == [6e6 - 2 * n for n in (5, 6, 7, 8)]
    assert rows["cu_power"].tolist() == [55.0, 56.0, 57.0, 58.0]
    assert rows["qcm3_frequency"].tolist() == [6e6] * 4, "a record that did not change keeps its value"
    assert rows["gauge_pressure"].tolist() == [5.0] * 4
    stream.stop()


def test_a_change_belongs_to_its_own_row(chamber):
    stream = started(chamber)
    ticks(chamber, 1, 3)
    chamber.source("cu").plasma.sim_put(1, timestamp=4.0)
    ticks(chamber, 4, 6)
    rows = stream.data()
    assert dict(zip(rows["timestamp"], rows["cu_plasma"])) == {2.0: 0, 3.0: 0, 4.0: 1, 5.0: 1}
    stream.stop()


def test_signals_of_different_boards_are_aligned(chamber):
    stream = started(chamber)
    for n in range(1, 5):
        chamber.qcm("qcm1").frequency.sim_put(6e6 - n, timestamp=n + 0.011)
        chamber.qcm("qcm2").frequency.sim_put(6e6 - 2 * n, timestamp=n + 0.0)
        chamber.clock.time.sim_put(float(n), timestamp=n + 0.02)
    rows = stream.data()
    assert rows["clock_time"].tolist() == [2.0, 3.0]
    assert rows["qcm2_frequency"].tolist() == [6e6 - 4, 6e6 - 6]
    stream.stop()


def test_pages_are_the_rows_once_each(chamber):
    stream = started(chamber)
    assert pages_of(stream) == []
    ticks(chamber, 1, 5)
    (first,) = pages_of(stream)
    ticks(chamber, 6, 7)
    (second,) = pages_of(stream)
    assert pages_of(stream) == []
    assert first["data"]["clock_time"] + second["data"]["clock_time"] == stream.data()["clock_time"].tolist()
    (keys,) = stream.describe_collect().values()
    for page in (first, second):
        assert set(page["data"]) == set(page["timestamps"]) == set(keys)
        for key, values in page["data"].items():
            kind = int if keys[key]["dtype"] == "integer" else float
            assert {type(v) for v in values} == {kind}, key
    stream.stop()


def test_pages_are_valid_documents(chamber):
    stream = started(chamber)
    ticks(chamber, 1, 5)
    run = compose_run()
    ((name, keys),) = stream.describe_collect().items()
    descriptor = run.compose_descriptor(name=name, data_keys=keys)
    (page,) = pages_of(stream)
    document = descriptor.compose_event_page(data=page["data"], timestamps=page["timestamps"])
    assert name == "qcm"
    assert document["seq_num"] == [1, 2, 3]
    stream.stop()


def test_a_new_kickoff_starts_empty(chamber):
    stream = started(chamber)
    ticks(chamber, 1, 5)
    stream.stop()
    assert len(pages_of(stream)) == 1, "what was taken can be collected after the end"
    ticks(chamber, 6, 8)
    stream.kickoff()
    assert pages_of(stream) == []
    assert len(stream) == 0
    ticks(chamber, 9, 11)
    assert stream.data()["clock_time"].tolist() == [10.0]
    stream.stop()


def test_nothing_is_taken_after_the_end(chamber):
    stream = started(chamber)
    ticks(chamber, 1, 5)
    assert stream.complete().done, "without a goal, complete() ends it"
    before = len(stream)
    ticks(chamber, 6, 9)
    assert len(stream) == before
    assert stream.outcome == "stopped"
    assert not stream.running


def test_goal_reached(chamber):
    seen = []

    def reached(rows):
        seen.append(len(rows["timestamp"]))
        return len(rows["timestamp"]) >= 4

    stream = started(chamber, StreamGoal(reached, duration_s=1000.0))
    status = stream.complete()
    for n in range(1, 12):
        tick(chamber, float(n), qcm1_frequency=6e6 - n)
        expected = n - 2
        if 2 <= expected <= 4:
            wait_until(lambda: seen and seen[-1] >= expected)  # noqa: B023
    status.wait(WAIT_S)
    assert stream.outcome == "reached"
    assert min(seen) >= 2


def test_time_is_up_in_process_time(chamber):
    chamber.clock.time.sim_put(1000.0, timestamp=0.5)
    stream = started(chamber, StreamGoal(duration_s=50.0))
    status = stream.complete()
    for n in range(1, 4):
        chamber.clock.time.sim_put(1000.0 + 20 * n, timestamp=float(n))
    wait_until(lambda: len(stream) == 1)
    assert not status.done
    chamber.clock.time.sim_put(1080.0, timestamp=4.0)  # closes the row of 1060
    status.wait(WAIT_S)
    assert stream.outcome == "time"


def test_what_the_goal_raises_fails_the_stream(chamber):
    def reached(rows):
        raise PlasmaError("cu went out")

    stream = started(chamber, StreamGoal(reached, timeout_s=60.0))
    ticks(chamber, 1, 5)
    with pytest.raises(PlasmaError, match="went out"):
        stream.complete().wait(WAIT_S)
    assert stream.outcome == "failed"


def test_a_value_that_is_no_number_fails_the_stream(chamber):
    stream = started(chamber, StreamGoal(timeout_s=60.0))
    ticks(chamber, 1, 3)
    chamber.qcm("qcm1").frequency.sim_put("rubbish", timestamp=4.0)
    with pytest.raises(ValueError, match="rubbish"):
        stream.complete().wait(WAIT_S)


def test_without_rows_it_fails_in_real_time(chamber):
    stream = started(chamber, StreamGoal(duration_s=50.0, timeout_s=0.05))
    with pytest.raises(StaleReading, match="0 rows"):
        stream.complete().wait(WAIT_S)


def test_a_trip_ends_it(chamber):
    chamber.liveness.start()
    stream = started(chamber, StreamGoal(duration_s=50.0))
    chamber.interlock.cause.sim_put("DOOR")
    chamber.interlock.ok.sim_put(0)
    with pytest.raises(InterlockTripped, match="DOOR"):
        stream.complete().wait(WAIT_S)
    with pytest.raises(InterlockTripped):
        stream.kickoff()


def test_invalid_is_nan_and_severity_is_told(chamber):
    stream = started(chamber)
    ticks(chamber, 1, 2)
    chamber.gauge.pressure.sim_put(0.0, timestamp=3.0, metadata={"severity": AlarmSeverity.INVALID})
    ticks(chamber, 3, 3)
    chamber.gauge.pressure.sim_put(4.0, timestamp=4.0, metadata={"severity": AlarmSeverity.MINOR})
    ticks(chamber, 4, 5)
    rows = stream.data()
    assert rows["qcm_stream_severity"].tolist() == [0, 3, 1]
    assert math.isnan(rows["gauge_pressure"][1])
    assert rows["gauge_pressure"][[0, 2]].tolist() == [5.0, 4.0]
    stream.stop()


@pytest.mark.parametrize("who", ["sn", "substrate"])
def test_an_interruption_ends_it_and_marks_the_rows(chamber, who):
    stream = started(chamber, StreamGoal(duration_s=100.0), sources=("cu", "sn"))
    ticks(chamber, 1, 3)
    chamber.devices[who].pause()
    ticks(chamber, 4, 6)
    stream.complete().wait(WAIT_S)
    assert stream.outcome == "interrupted"
    rows = stream.data()
    assert rows["clock_time"].tolist() == [2.0], "the row of 3 was not complete before the interruption"
    assert set(rows["qcm_stream_interruptions"]) == {0}
    stream.kickoff()
    ticks(chamber, 7, 9)
    assert set(stream.data()["qcm_stream_interruptions"]) == {1}
    stream.pause()
    assert stream.outcome == "interrupted"


def test_an_interruption_of_another_source_does_not_matter(chamber):
    stream = started(chamber, sources=("cu",))
    chamber.source("sn").pause()
    ticks(chamber, 1, 4)
    assert len(stream) == 2
    stream.stop()


def test_snapshots_are_copies_and_grow(chamber):
    stream = started(chamber)
    ticks(chamber, 1, 1600)
    rows = stream.data()
    assert rows["clock_time"].tolist() == [float(n) for n in range(2, 1600)]
    rows["clock_time"][:] = 0
    assert stream.data()["clock_time"][0] == 2.0
    assert rows["cu_plasma"].dtype == np.int64
    assert rows["qcm1_frequency"].dtype == np.float64
    stream.stop()


@pytest.mark.parametrize(
    "settings", [{"duration_s": 0.0}, {"duration_s": math.nan}, {"timeout_s": -1.0}, {"reached": lambda rows: True}]
)
def test_goals_must_make_sense(settings):
    with pytest.raises(OutOfRange):
        StreamGoal(**settings)


def test_order_and_names(chamber):
    with pytest.raises(UnknownName, match="'fe'"):
        QCMStream(chamber, ["fe"])
    with pytest.raises(DeviceError, match="kickoff"):
        QCMStream(chamber).complete()
    assert "sn_power" in QCMStream(chamber).describe_collect()["qcm"]
