"""Growth on a fake reactor: the order of gases, what is written, what is refused, what interruptions and failures leave."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from device_fakes import WAIT_S, wait_until
from hypothesis import given
from hypothesis import strategies as st
from mocvd_fakes import BUSY, STOPPED, FakeReactor

from sdl_bluesky.devices import Guard, ScanRange
from sdl_bluesky.errors import (
    DeviceError,
    InterlockTripped,
    MoveTimeout,
    OutOfRange,
    ServiceMissing,
    UnknownName,
)
from sdl_bluesky.plans.mocvd.experiment import grow_and_measure, grow_layer, measure_pl, measure_xrd
from sdl_bluesky.plans.mocvd.recipe import Rates, Recipe, steps
from sdl_bluesky.plans.mocvd.settings import GrowthSettings, recipe_for

SETTINGS = GrowthSettings(
    settle_s=0.0, soak_s=0.0, pause_s=0.0, purge_s=0.0, scan=ScanRange(63.0, 64.0, 0.1, 0.5), exposure_s=0.1
)
RECIPE = recipe_for(SETTINGS, 5.971, 11.2)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeReactor:
    monkeypatch.setattr("sdl_bluesky.devices.mocvd.procedure.POLL_S", 0.002)
    monkeypatch.setattr("sdl_bluesky.devices.mocvd.protection.POLL_S", 0.005)
    return FakeReactor()


@pytest.fixture
def engine(fake: FakeReactor) -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[], call_returns_result=True)
    guard = Guard(fake.reactor)
    guard.attach(made)
    yield made
    if made.state != "idle":
        made.halt()
    guard.close()


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
        return [doc["data"] for doc in self.of("event") if doc["descriptor"] in uids]


def is_safe(fake: FakeReactor) -> bool:
    r = fake.reactor
    valves = any(line.valve.is_open for line in r.lines.values())
    flows = any(float(line.flow.setpoint.get()) for line in r.lines.values())
    return not (valves or flows or r.susceptor.heating or fake.faults)


def stopped(procedure: Any) -> None:
    """Wait until something that goes on was stopped by somebody else: it does not end by itself before."""
    wait_until(lambda: int(procedure.state.get()) != BUSY)


def first(fake: FakeReactor, name: str, value: Any) -> int:
    """Place of the first such put."""
    return fake.puts.index((name, value))


def test_layers_take_as_long_as_their_rates_say() -> None:
    buffer, layer, cap = steps(Recipe(f_ga=5.971, f_as=11.2), Rates())
    assert (buffer.seconds, cap.seconds) == (pytest.approx(400.0), pytest.approx(130.0))
    assert layer.seconds == pytest.approx(200.0 / (0.5 * (1 + 0.044 * 5.971)))  # 0.5 nm/s, 4.4 % more for a sccm of Ga
    assert (layer.metals, layer.arsenic) == (("in", "ga"), True)
    assert [step.name for step in steps(Recipe(f_ga=0.0, f_as=0.0, buffer=0.0, cap=0.0), Rates())] == ["layer"]
    assert not steps(Recipe(f_ga=0.0, f_as=0.0), Rates())[1].arsenic


@given(st.floats(50, 500), st.floats(50, 500), st.floats(1, 50), st.floats(0, 20))
def test_a_corrected_rate_would_have_given_what_was_measured(
    asked: float, measured: float, f_in: float, f_ga: float
) -> None:
    seconds = asked / Rates().rate(f_in, f_ga)
    assert Rates().corrected(measured, asked).rate(f_in, f_ga) * seconds == pytest.approx(measured)


@pytest.mark.parametrize("bad", [{"indium": 0.0}, {"indium": math.nan}, {"gallium": -1.0}])
def test_rates_that_cannot_be_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(OutOfRange, match="growth rates"):
        Rates(**bad)
    with pytest.raises(OutOfRange, match="thickness"):
        Rates().corrected(0.0, 200.0)


def test_the_order_of_gases(fake: FakeReactor, engine: RunEngine) -> None:
    engine(grow_layer(fake.reactor, RECIPE, SETTINGS))
    assert fake.faults == []
    assert [lines for lines, _ in fake.grown] == [["in"], ["in", "ga", "as"], ["in"]]
    assert [seconds for _, seconds in fake.grown] == pytest.approx([400.0, 316.775, 130.0], abs=0.01)
    wanted = [
        ("mocvd_h2_flow_setpoint", 16000.0),
        ("mocvd_p_valve_setpoint", 1),
        ("mocvd_susceptor_temperature_setpoint", 650.0),
        ("mocvd_ga_flow_setpoint", 5.971),
        ("mocvd_as_valve_setpoint", 1),
    ]
    places = [first(fake, *put) for put in wanted]
    assert places == sorted(places)
    names = fake.puts[places[-1] :]
    assert names.index(("mocvd_as_valve_setpoint", 0)) < names.index(("mocvd_susceptor_temperature_setpoint", 0.0))
    assert names.index(("mocvd_susceptor_temperature_setpoint", 0.0)) < names.index(("mocvd_p_valve_setpoint", 0))
    assert ("mocvd_in_valve_setpoint", 1) not in fake.puts, "metals are switched by the clock of the machine alone"
    assert is_safe(fake)
    assert fake.reactor.carrier.flow.position == 16000.0
    assert fake.reactor.wafers.number.get() == 0


def test_an_experiment_is_one_run(fake: FakeReactor, engine: RunEngine) -> None:
    documents = Documents()
    fake.reactor.wafers.maintenance.sim_put(3)
    fake.wafers = 6
    fake.reactor.wafers.last.sim_put(6)
    plan = grow_and_measure(fake.reactor, RECIPE, SETTINGS, sample="N7", md={"campaign": "1180", "_id": "p1"})
    found = engine(plan, documents).plan_result
    [start], [stop] = documents.of("start"), documents.of("stop")
    assert (start["purpose"], start["plan_name"], start["sample"]) == ("experiment", "grow_and_measure", "N7")
    assert (start["campaign"], start["_id"], start["wafer_number"], start["maintenance_number"]) == ("1180", "p1", 7, 3)
    assert start["flows"]["f_ga"] == 5.971
    assert (start["strain"], start["pl_systematic"]) == ("relaxed", 1.5)
    assert start["growth_rates"] == {"in": 0.02, "ga": 0.022}
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"baseline": 2, "growth": 3, "primary": 1}
    [data] = documents.events()
    assert (data["wafer_number"], data["maintenance_number"], data["layer_name"]) == (7, 3, "layer")
    assert (data["ga_flow"], data["as_flow"], data["ga_flow_std"]) == (5.971, 11.2, 0.0)
    assert data["layer_duration"] == pytest.approx(316.775, abs=0.01)
    assert data["pl_map"].shape == (5, 5)
    assert data["pl_map"][1, 0] == 1190.0
    assert math.isnan(data["pl_map"][0, 0])
    assert data["pl_spectrum"].tolist() == list(range(11))
    assert data["xrd_two_theta"] == pytest.approx(63.0 + 0.1 * np.arange(11))
    assert (found.uid, found.wafer) == (start["uid"], 7)
    assert found.data["ga_flow"] == 5.971
    [descriptor] = [doc for doc in documents.of("descriptor") if doc["name"] == "primary"]
    units = {name: key.get("units") for name, key in descriptor["data_keys"].items()}
    assert (units["ga_flow"], units["pl_map"], units["xrd_counts"], units["pressure"]) == (
        "sccm", "nm", "counts", "mbar",
    )  # fmt: skip


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"f_ga": 20.5}, "outside 0 to 20 sccm"),
    ({"f_ga": -0.1}, "f_ga is -0.1"),
    ({"f_as": math.nan}, "f_as is nan"),
    ({"f_as": "much"}, "f_as is 'much'"),
    ({"f_ga": True}, "f_ga is True"),
    ({"f_in": 0.0}, "f_in is 0"),
    ({"f_p": 501.0}, "outside 0 to 500 sccm"),
    ({"f_p": 80.0}, r"layer: 91\.2 sccm of hydrides for 30\.971 sccm of metals"),
    ({"f_p": 60.0}, r"buffer: 60 sccm of hydrides for 25 sccm of metals; 3 times"),
    ({"f_h2": 1500.0}, "2000 sccm are needed"),
    ({"temperature": 800.0}, "outside 0 to 750 degC"),
    ({"temperature": 390.0}, "nothing grows at 390"),
    ({"rotation": math.inf}, "rotation is inf"),
    ({"pressure": 10.0}, "outside 20 to 200 mbar"),
    ({"layer": 0.0}, "layer is 0"),
    ({"buffer": -5.0}, "buffer is -5"),
    ({"layer": 20000.0}, "a growth of 31677"),
]


@pytest.mark.parametrize(("changes", "match"), REFUSED)
def test_the_impossible_is_refused_before_anything_moves(
    fake: FakeReactor, engine: RunEngine, changes: dict[str, Any], match: str
) -> None:
    documents = Documents()
    with pytest.raises(OutOfRange, match=match):
        engine(grow_and_measure(fake.reactor, replace(RECIPE, **changes), SETTINGS), documents)
    assert documents.all == []
    assert fake.puts == []


def test_a_scan_or_an_exposure_beyond_limits_is_refused_too(fake: FakeReactor, engine: RunEngine) -> None:
    for bad in (replace(SETTINGS, scan=ScanRange(59.0, 64.0)), replace(SETTINGS, exposure_s=0.0)):
        with pytest.raises(OutOfRange):
            engine(grow_and_measure(fake.reactor, RECIPE, bad))
    with pytest.raises(OutOfRange, match="outside -25 to 25 mm"):
        engine(measure_pl(fake.reactor, 1, SETTINGS, place_mm=(0.0, 26.0)))
    assert fake.puts == []


def test_without_a_reactor_the_missing_service_is_named() -> None:
    for plan in (grow_layer(None, RECIPE, SETTINGS), measure_xrd(None, 1, SETTINGS)):
        with pytest.raises(ServiceMissing, match="no MOCVD reactor"):
            next(plan)


def test_a_recipe_has_no_unknown_fields() -> None:
    assert recipe_for(SETTINGS, 1.0, 2.0, {"temperature": 640.0}).temperature == 640.0
    with pytest.raises(UnknownName, match="unknown field of a recipe 'heat'"):
        recipe_for(SETTINGS, 1.0, 2.0, {"heat": 640.0})


def test_a_gas_alarm_and_a_growth_that_goes_on_are_refused(fake: FakeReactor, engine: RunEngine) -> None:
    documents, r = Documents(), fake.reactor
    fake.publish(r.growth, state=1)
    with pytest.raises(DeviceError, match="goes on already"):
        engine(grow_layer(r, RECIPE, SETTINGS), documents)
    fake.publish(r.growth, state=0)
    r.interlock.cause.sim_put("ASH3")  # type: ignore[attr-defined]
    r.interlock.ok.sim_put(0)  # type: ignore[attr-defined]
    with pytest.raises(InterlockTripped, match=r"tripped by ASH3.*a person looks"):
        engine(grow_layer(r, RECIPE, SETTINGS), documents)
    assert documents.all == []
    assert fake.puts == []


@pytest.mark.parametrize(("wafer", "kind"), [(0, OutOfRange), (3, UnknownName), (2, OutOfRange), ("1", OutOfRange)])
def test_a_wafer_that_cannot_be_measured_is_refused(
    fake: FakeReactor, engine: RunEngine, wafer: Any, kind: type[Exception]
) -> None:
    documents = Documents()
    fake.reactor.wafers.last.sim_put(2)
    fake.reactor.wafers.number.sim_put(2)
    with pytest.raises(kind):
        engine(measure_pl(fake.reactor, wafer, SETTINGS), documents)
    assert documents.all == []


def test_an_instrument_gets_the_wafer_from_the_other(fake: FakeReactor, engine: RunEngine) -> None:
    r = fake.reactor
    r.wafers.last.sim_put(2)
    r.diffractometer.holder.set(2).wait(WAIT_S)
    documents = Documents()
    engine(measure_pl(r, 2, SETTINGS, based_on="u"), documents)
    assert first(fake, "mocvd_diffractometer_holder_setpoint", 0) < first(fake, "mocvd_mapper_holder_setpoint", 2)
    [start] = documents.of("start")
    assert (start["plan_name"], start["wafer_number"], start["based_on"]) == ("measure_pl", 2, "u")
    assert r.mapper.holder.position == 0


def test_a_growth_that_stops_early_is_a_failed_run_and_the_reactor_safe(fake: FakeReactor, engine: RunEngine) -> None:
    documents = Documents()
    fake.on_growth = lambda number: fake.end_growth(STOPPED) if number == 2 else None
    with pytest.raises(DeviceError, match="stopped before its end") as caught:
        engine(grow_and_measure(fake.reactor, RECIPE, SETTINGS), documents)
    [stop] = documents.of("stop")
    assert stop["exit_status"] == "fail"
    assert documents.events() == []
    assert [event["layer_name"] for event in documents.events("growth")] == ["buffer"]
    assert caught.value.run_uid == stop["run_start"]  # type: ignore[attr-defined]
    assert is_safe(fake)

    fake.on_growth = lambda number: None
    engine(grow_layer(fake.reactor, RECIPE, SETTINGS), documents)
    assert documents.of("stop")[-1]["exit_status"] == "success", "the lost wafer is taken out by the next growth"
    assert documents.of("start")[-1]["wafer_number"] == 2
    assert fake.faults == []


def test_a_flow_that_does_not_settle_keeps_the_metals_out(
    fake: FakeReactor, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, log, clock = fake.reactor.lines["as"].flow, fake.reactor.growth, fake.reactor.clock
    after = clock.after

    def overshoot(seconds: float, **known: Any) -> Any:
        flow.readback.sim_put(1.05 * flow.setpoint.get())  # it was reached, and is left while it is soaked
        return after(seconds, **known)

    monkeypatch.setattr(clock, "after", overshoot)
    slow = replace(SETTINGS, soak_s=0.01)
    with pytest.raises(MoveTimeout, match=r"not steady .*mocvd_as_flow is 11\.76 sccm, not 11\.2"):
        engine(grow_layer(fake.reactor, RECIPE, slow))
    assert log.number.get() == 0
    assert fake.grown == []


def test_a_pause_in_mid_growth_gives_the_wafer_up_and_begins_again(fake: FakeReactor, engine: RunEngine) -> None:
    documents = Documents()

    def pause(number: int) -> None:
        if number == 2:
            engine.request_pause()
            stopped(fake.reactor.growth)

    fake.on_growth = pause
    with pytest.raises(RunEngineInterrupted):
        engine(grow_layer(fake.reactor, RECIPE, SETTINGS, sample="s"), documents)
    assert not fake.reactor.susceptor.heating
    assert not any(line.valve.is_open for line in fake.reactor.metals.values())
    fake.on_growth = lambda number: None
    found = engine.resume().plan_result
    lost, whole = documents.of("stop")
    assert (lost["exit_status"], whole["exit_status"]) == ("fail", "success")
    assert [doc["wafer_number"] for doc in documents.of("start")] == [1, 2]
    assert found.wafer == 2
    assert is_safe(fake)


def test_a_pause_while_a_wafer_is_measured_repeats_the_measurement_alone(fake: FakeReactor, engine: RunEngine) -> None:
    documents = Documents()
    asked: list[int] = []

    def pause() -> None:
        asked.append(1)
        if len(asked) == 1:
            engine.request_pause()
            stopped(fake.reactor.mapper)

    fake.on_map = pause
    with pytest.raises(RunEngineInterrupted):
        engine(grow_and_measure(fake.reactor, RECIPE, SETTINGS), documents)
    engine.resume()
    [stop] = documents.of("stop")
    assert stop["exit_status"] == "success"
    assert len(fake.grown) == 3, "nothing was grown twice"
    assert len(asked) == 4  # map, map again, spectrum, scan
    [data] = documents.events()
    assert data["pl_map"][1, 0] == 1190.0
    assert is_safe(fake)


def test_an_abort_waits_until_the_surface_is_cold(fake: FakeReactor, engine: RunEngine) -> None:
    documents = Documents()
    fake.stays_hot = False

    def pause(number: int) -> None:
        fake.stays_hot = True
        engine.request_pause()
        stopped(fake.reactor.growth)

    fake.on_growth = pause
    with pytest.raises(RunEngineInterrupted):
        engine(grow_layer(fake.reactor, RECIPE, SETTINGS), documents)
    assert fake.reactor.lines["p"].valve.position == "Run"
    cold = threading.Event()

    def cool() -> None:
        cold.set()
        fake.cool()

    threading.Timer(0.3, cool).start()
    engine.abort(reason="enough")
    assert cold.is_set(), "the run is closed when the hydrides are off"
    [stop] = documents.of("stop")
    assert stop["exit_status"] == "abort"
    assert is_safe(fake)
