"""The MOCVD reactor with its real IOC: one stack grown and measured, and everything that can happen in mid-growth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _lab import LabProcess, lab_data
from _twin import Twin, meanwhile, wait_until
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from sdl_bluesky.analysis.layers import reduce_layer, reduce_map, reduce_scan
from sdl_bluesky.devices import MOCVD, Guard, MOCVDSpec, SuspendOnInterlock, configure_ophyd, make_reactor
from sdl_bluesky.errors import Disconnected, InterlockTripped, OutOfRange, StaleReading, UnknownName
from sdl_bluesky.plans.mocvd.experiment import Growth, grow_and_measure, grow_layer, measure_xrd
from sdl_bluesky.plans.mocvd.settings import GrowthSettings, recipe_for

pytestmark = pytest.mark.system

SPEED = 200.0
LINES = ("IN", "GA", "AS", "P")
SETTINGS = GrowthSettings(settle_s=10.0, soak_s=30.0, purge_s=20.0)
F_GA, F_AS = 5.971, 11.2  # the published pair of (0.192, 0.4176)
SPEC = MOCVDSpec(stale_after_s=8.0, start_timeout_s=10.0)  # an IOC may stand still for a moment
HEARTBEAT_S = 5.0
THICK = {"layer": 1000.0}
"""A layer that still grows when the test has noticed that it does."""


class ReactorTwin(Twin):
    """A simulated reactor of its own."""

    def __init__(self, tmp_path: Path, **config: Any) -> None:
        super().__init__(tmp_path, heartbeat_timeout_s=HEARTBEAT_S)
        common = {key: self.config[key] for key in ("schema", "prefix", "heartbeat_timeout_s", "faults", "truth_file")}
        state = str(tmp_path / f"mocvd-state-{self.port}.json")
        self.config = {**common, "speed": SPEED, "seed": 4, "state_file": state, **config}

    def start(self) -> ReactorTwin:
        before = os.environ.get("SDL_TEST_IOC")
        os.environ["SDL_TEST_IOC"] = f"{sys.executable} -m ioc_sims.mocvd"
        try:
            super().start()
        finally:
            os.environ.pop("SDL_TEST_IOC")
            if before is not None:
                os.environ["SDL_TEST_IOC"] = before
        return self

    def valves(self) -> list[int]:
        """Vent (0) or run (1) of each line."""
        return [self.get(f"{line}:VALVE") for line in LINES]

    def wafer(self, number: int) -> dict[str, Any]:
        """The hidden truth of a wafer that has been taken out; the IOC writes it a moment later."""
        found: dict[str, Any] = {}

        def there() -> bool:
            if self.truth_file.exists():
                found.update(json.loads(self.truth_file.read_text())["wafers"].get(str(number), {}))
            return len(found.get("layers", ())) == 3

        wait_until(there, 60.0, f"the truth of wafer {number}")
        return found

    def decomposed_s(self, number: int) -> float:
        """How long the surface of a wafer has been hot without group V until now; from the state that the IOC saves."""
        now_s, state = self.get("SIM:TIME"), Path(self.config["state_file"])
        wait_until(lambda: json.loads(state.read_text())["time_s"] >= now_s, 60.0, "the state of now")
        [wafer] = [one for one in json.loads(state.read_text())["wafers"] if one["number"] == number]
        return float(wafer["decomposed_s"])


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


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReactorTwin]:
    with ReactorTwin(tmp_path_factory.mktemp("mocvd")) as made:
        yield made


@pytest.fixture(scope="module")
def reactor(twin: ReactorTwin) -> Iterator[MOCVD]:
    configure_ophyd()
    made = make_reactor(twin.prefix, SPEC).connect(30)
    guard = Guard(made)
    guard.start()
    yield made
    guard.close()
    made.close()


@pytest.fixture
def engine(reactor: MOCVD) -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[], call_returns_result=True)
    guard = Guard(reactor)
    guard.attach(made)
    yield made
    if made.state != "idle":
        made.halt()
    guard.close()
    reactor.safe()


def in_mid_growth(twin: ReactorTwin, act: Callable[[], None], before: int) -> Callable[[], None]:
    """Do something when the quaternary layer grows; the returned function waits and re-raises what was raised."""

    def growing() -> bool:
        return twin.get("GROWTH:NUMBER") > before and twin.get("GA:VALVE") == 1

    return meanwhile(growing, act, "a growing layer")


def test_one_experiment_is_one_run_with_what_was_grown_and_what_was_seen(
    reactor: MOCVD, twin: ReactorTwin, engine: RunEngine
) -> None:
    documents = Documents()
    plan = grow_and_measure(reactor, recipe_for(SETTINGS, F_GA, F_AS), SETTINGS, sample="N7", md={"campaign": "c"})
    twin.put("SIM:SPEED", SPEED / 2)  # ticks enough, also if some are missed
    found: Growth = engine(plan, documents).plan_result
    twin.put("SIM:SPEED", SPEED)
    [start], [stop] = documents.of("start"), documents.of("stop")
    assert documents.all[0][0] == "start"
    assert documents.all[-1][0] == "stop"
    assert (start["plan_name"], start["purpose"], start["sample"]) == ("grow_and_measure", "experiment", "N7")
    assert (start["wafer_number"], start["maintenance_number"], start["campaign"]) == (1, 0, "c")
    assert start["flows"] == {"f_in": 25.0, "f_ga": F_GA, "f_as": F_AS, "f_p": 300.0, "f_h2": 16000.0}
    assert [layer["thickness"] for layer in start["stack"]] == [200.0, 200.0, 65.0]
    assert [layer["lines"] for layer in start["stack"]] == [["in", "p"], ["in", "ga", "as", "p"], ["in", "p"]]
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"baseline": 2, "growth": 3, "primary": 1}
    order = [doc["name"] for doc in documents.of("descriptor")]
    assert order == ["baseline", "growth", "primary"]

    grown = documents.events("growth")
    assert [event["layer_name"] for event in grown] == ["buffer", "layer", "cap"]
    for event, layer in zip(grown, start["stack"], strict=True):
        assert event["layer_duration"] == pytest.approx(layer["duration"], abs=0.01)
    [data] = documents.events()
    assert data["layer_ticks"] >= 5
    for name, asked in (("in", 25.0), ("ga", F_GA), ("as", F_AS), ("p", 300.0), ("h2", 16000.0)):
        assert data[f"{name}_flow"] == pytest.approx(asked, rel=0.005)
        assert 0 < data[f"{name}_flow_std"] < 0.01 * asked
    assert data["temperature"] == pytest.approx(650.0, abs=1.0)
    assert data["rotation"] == pytest.approx(900.0)
    assert data["pressure"] == pytest.approx(100.0, rel=0.01)

    wafer = twin.wafer(1)
    assert twin.decomposed_s(1) == 0.0
    assert [layer["lines"] for layer in wafer["layers"]] == [["IN", "P"], ["IN", "GA", "AS", "P"], ["IN", "P"]]
    assert [layer["thickness_nm"] for layer in wafer["layers"]] == pytest.approx([200.0, 200.0, 65.0], rel=0.08)
    truth = wafer["layer"]
    light = reduce_map(data["pl_map"], data["pl_axis"], data["pl_axis"], systematic_nm=1.5)
    scan = reduce_scan(data["xrd_two_theta"], data["xrd_counts"])
    layer = reduce_layer(light, scan, "coherent")
    assert layer.wavelength == pytest.approx(truth["wavelength_mean_nm"], abs=6.0)  # 4 of the mapper's errors
    assert layer.mismatch == pytest.approx(truth["mismatch_percent"], abs=0.02)
    assert data["pl_map"].shape == (25, 25)
    assert data["xrd_counts"].shape == data["xrd_two_theta"].shape == (601,)
    peak = data["pl_wavelength"][np.argmax(data["pl_spectrum"])]
    assert peak == pytest.approx(truth["wavelength_nm"], abs=10.0)

    assert found.uid == start["uid"]
    assert found.wafer == 1
    assert np.array_equal(found.data["xrd_counts"], data["xrd_counts"])
    assert twin.valves() == [0, 0, 0, 0]
    assert [twin.get(f"{line}:FLOW:SP") for line in LINES] == [0.0] * 4
    assert twin.get("WAFER:NUMBER") == 0
    assert twin.get("INTERLOCK:OK") == 1


def test_a_wafer_is_measured_again_and_one_that_is_not_there_is_refused(reactor: MOCVD, engine: RunEngine) -> None:
    documents = Documents()
    again: Growth = engine(measure_xrd(reactor, 1, SETTINGS, based_on="growth-uid"), documents).plan_result
    assert again.data["xrd_counts"].max() > 1e4
    [start] = documents.of("start")
    assert (start["wafer_number"], start["based_on"], start["strain"]) == (1, "growth-uid", "relaxed")
    for wafer, kind in ((99, UnknownName), (0, OutOfRange), (1.5, OutOfRange)):
        refused = Documents()
        with pytest.raises(kind):
            engine(measure_xrd(reactor, wafer, SETTINGS), refused)  # type: ignore[arg-type]
        assert not refused.all


def test_a_trip_in_mid_growth_vents_everything_and_a_person_acknowledges(
    reactor: MOCVD, twin: ReactorTwin, engine: RunEngine
) -> None:
    documents = Documents()
    before = twin.get("GROWTH:NUMBER")
    seen: list[list[int]] = []

    def trip() -> None:
        twin.put("SIM:FAULT:PH3", 1)
        twin.published()
        seen.append(twin.valves())

    done = in_mid_growth(twin, trip, before)
    with pytest.raises(InterlockTripped, match="PH3") as caught:
        engine(grow_and_measure(reactor, recipe_for(SETTINGS, 5.0, 9.0, THICK), SETTINGS, sample="lost"), documents)
    done()
    [stop] = documents.of("stop")
    assert seen == [[0, 0, 0, 0]], "at once"
    assert stop["exit_status"] == "fail"
    assert "PH3" in stop["reason"]
    assert documents.events() == [], "nothing can be learned from it"
    assert [event["layer_name"] for event in documents.events("growth")] == ["buffer"]
    assert caught.value.run_uid == stop["run_start"]  # type: ignore[attr-defined]
    assert twin.get("TEMPERATURE:SP") == 0.0
    assert [twin.get(f"{line}:FLOW:SP") for line in LINES] == [0.0] * 4

    twin.put("SIM:FAULT:PH3", 0)
    wait_until(lambda: not reactor.interlock.bad_inputs, 30.0, "clean air")
    refused = Documents()
    with pytest.raises(InterlockTripped, match=r"a person looks .*mocvd_interlock\.reset\(\)"):
        engine(grow_layer(reactor, recipe_for(SETTINGS, 5.0, 9.0), SETTINGS), refused)
    assert not refused.all, "no plan acknowledges a gas alarm"
    reactor.interlock.reset().wait(30)


def test_an_abort_in_mid_growth_cools_under_phosphine(reactor: MOCVD, twin: ReactorTwin, engine: RunEngine) -> None:
    documents = Documents()
    before = twin.get("GROWTH:NUMBER")
    seen: list[tuple[list[int], float]] = []

    def act() -> None:
        twin.put("SIM:SPEED", 20.0)  # the surface stays hot for some seconds
        engine.request_pause()
        follow()
        twin.put("SIM:SPEED", SPEED)

    def follow() -> None:
        wait_until(lambda: twin.valves()[:3] == [0, 0, 0] and twin.get("TEMPERATURE:SP") == 0.0, 30.0, "metals at vent")
        while True:
            valves, setpoint = twin.valves(), twin.get("TEMPERATURE:SP")
            if twin.get("TEMPERATURE") < 405:  # asked last: it was hotter when the valves were read
                return
            seen.append((valves, setpoint))
            time.sleep(0.02)

    done = in_mid_growth(twin, act, before)
    with pytest.raises(RunEngineInterrupted):
        engine(grow_layer(reactor, recipe_for(SETTINGS, 5.0, 9.0, THICK), SETTINGS, sample="aborted"), documents)
    engine.abort(reason="enough")
    done()
    [stop] = documents.of("stop")
    assert stop["exit_status"] == "abort"
    assert documents.events() == []
    assert len(seen) > 5
    assert all(valves == [0, 0, 0, 1] for valves, _ in seen), "phosphine alone protects the surface"
    assert all(setpoint == 0.0 for _, setpoint in seen)
    wait_until(lambda: twin.valves() == [0, 0, 0, 0] and twin.get("P:FLOW:SP") == 0.0, 60.0, "hydrides off")
    assert twin.decomposed_s(twin.get("WAFER:NUMBER")) == 0.0


def test_a_suspended_campaign_waits_for_the_person_and_grows_again(
    reactor: MOCVD, twin: ReactorTwin, engine: RunEngine
) -> None:
    documents = Documents()
    engine.install_suspender(SuspendOnInterlock(reactor.interlock))
    seen: list[list[int]] = []

    def trip_and_acknowledge() -> None:
        interruptions = reactor.interruptions
        twin.put("SIM:FAULT:EXHAUST", 1)
        twin.published()
        seen.append(twin.valves())
        wait_until(lambda: reactor.interruptions > interruptions, 30.0, "the suspension")
        time.sleep(1.0)
        twin.put("SIM:FAULT:EXHAUST", 0)
        twin.published()
        twin.put("INTERLOCK:RESET", 1)

    done = in_mid_growth(twin, trip_and_acknowledge, twin.get("GROWTH:NUMBER"))
    plan = grow_layer(reactor, recipe_for(SETTINGS, 5.0, 9.0, {"buffer": 50.0, "cap": 10.0, **THICK}), SETTINGS)
    found: Growth = engine(plan, documents).plan_result
    done()
    assert seen == [[0, 0, 0, 0]], "at once"
    lost, whole = documents.of("stop")
    assert (lost["exit_status"], whole["exit_status"]) == ("fail", "success")
    first, second = (doc["wafer_number"] for doc in documents.of("start"))
    assert (second, found.wafer) == (first + 1, first + 1)
    assert len(documents.events()) == 1


def test_a_hung_ioc_fails_the_run_and_wakes_up_safe(reactor: MOCVD, twin: ReactorTwin, engine: RunEngine) -> None:
    documents = Documents()
    hung: list[float] = []

    def hang() -> None:
        twin.hang()
        hung.append(time.monotonic())

    done = in_mid_growth(twin, hang, twin.get("GROWTH:NUMBER"))
    waker = threading.Timer(180.0, twin.wake)  # nothing here may hang for longer
    waker.start()
    try:
        with pytest.raises((StaleReading, Disconnected)):
            engine(grow_layer(reactor, recipe_for(SETTINGS, 5.0, 9.0, THICK), SETTINGS), documents)
        time.sleep(max(0.0, hung[0] + HEARTBEAT_S + 1.0 - time.monotonic()))  # long enough to be a trip
    finally:
        waker.cancel()
        twin.wake()
    done()
    assert documents.of("stop")[-1]["exit_status"] == "fail"
    wait_until(lambda: twin.valves()[:3] == [0, 0, 0] and twin.get("TEMPERATURE:SP") == 0.0, 30.0, "a safe reactor")
    wait_until(lambda: twin.valves() == [0, 0, 0, 0], 60.0, "hydrides off")
    twin.published()
    assert twin.get("TEMPERATURE") < 401
    assert twin.decomposed_s(twin.get("WAFER:NUMBER")) == 0.0


CLIENT = """
import sys
from bluesky import RunEngine
from sdl_bluesky.devices import Guard, MOCVDSpec, configure_ophyd, make_reactor
from sdl_bluesky.plans.mocvd.experiment import grow_layer
from sdl_bluesky.plans.mocvd.settings import GrowthSettings, recipe_for
configure_ophyd()
reactor = make_reactor(sys.argv[1], MOCVDSpec(stale_after_s=8.0, start_timeout_s=10.0)).connect(30)
RE = RunEngine({}, context_managers=[])
guard = Guard(reactor)
guard.start()
guard.attach(RE)
settings = GrowthSettings(soak_s=10.0)
RE(grow_layer(reactor, recipe_for(settings, 5.0, 9.0, {"layer": 1000.0}), settings))
"""


def test_a_killed_process_leaves_a_surface_that_the_ioc_protects(tmp_path: Path) -> None:
    with ReactorTwin(tmp_path) as own:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, own.prefix], stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: own.get("GA:VALVE") == 1, 180.0, "a growing layer")
            own.put("SIM:SPEED", 10.0)
            client.kill()
            wait_until(lambda: own.get("INTERLOCK:CAUSE") == "HEARTBEAT", 30.0, "a trip of the heartbeat")
            assert own.get("INTERLOCK:OK") == 0
            assert own.valves() == [0, 0, 0, 1]
            assert own.get("GROWTH:STATE") == 3  # Stopped
            assert own.get("TEMPERATURE:SP") == 0.0
            assert own.get("TEMPERATURE") > 405
            own.put("SIM:SPEED", 400.0)
            wait_until(lambda: own.valves() == [0, 0, 0, 0], 30.0, "hydrides off")
            own.published()
            assert own.get("TEMPERATURE") < 401
            assert own.decomposed_s(1) == 0.0
        finally:
            client.kill()
            client.wait(30)


SCRIPT = """
from sdl_bluesky.session.namespace import namespace
for machine in session.guard.machines:
    machine.liveness.stale_after_s = 10.0
names = namespace(session)
say("NAMES", *sorted(n for n in names if n.startswith(("mocvd_", "grow_", "measure_", "reactor"))))
from sdl_bluesky.errors import OutOfRange
try:
    RE(names["grow_and_measure"](21.0, 11.2))
except OutOfRange as fault:
    say("REFUSED", fault)
result = RE(names["grow_and_measure"](5.971, 11.2, sample="N7", changes={"buffer": 50.0}))
say("DONE", result[0] if isinstance(result, tuple) else result.run_start_uids[0], session.tiled_uri)
from pathlib import Path
while not Path("read").exists():  # the test looks at the catalogue while it is served
    time.sleep(0.1)
session.close()
say("CLOSED")
"""


def test_a_session_grows_and_the_catalogue_has_it(tmp_path: Path) -> None:
    from sdl_bluesky.data.catalogue import connect, find_run

    mocvd = {"recipe": {"soak": "10 s"}, "strain": "coherent"}
    data = lab_data("auto", speed=SPEED, heartbeat_timeout_s=15.0, rbs=None, mocvd=mocvd)
    with LabProcess(tmp_path, SCRIPT, data=data) as lab:
        names = set(lab.expect("NAMES", 240.0).split())
        assert {"reactor", "mocvd_susceptor", "mocvd_ga", "mocvd_interlock", "grow_and_measure", "measure_pl"} <= names
        assert set(lab.services()["children"]) == {"ioc", "mocvd", "tiled", "writer"}
        assert "outside 0 to 20 sccm" in lab.expect("REFUSED")
        uid, uri = lab.expect("DONE", 240.0).split()
        client = connect(uri, (lab.home / "tiled" / "api-key").read_text().strip())
        wait_until(
            lambda: uid in client["raw"] and client["raw"][uid].metadata.get("stop") is not None, 60.0, "the run"
        )
        run = find_run(client, uid)
        start = run.metadata["start"]
        assert (start["sample"], start["strain"], start["wafer_number"]) == ("N7", "coherent", 1)
        assert start["stack"][0]["duration"] == pytest.approx(100.0)
        found = run["primary"].read()
        assert np.asarray(found["pl_map"]).shape == (1, 25, 25)
        assert np.nanmean(np.asarray(found["pl_map"])) == pytest.approx(1175.0, abs=30.0)
        assert np.asarray(found["xrd_counts"]).shape == (1, 601)
        assert np.asarray(run["growth"].read()["layer_duration"]).size == 3
        (tmp_path / "read").touch()
        lab.expect("CLOSED")
