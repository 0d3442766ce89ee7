"""The RBS end station with its real IOC: a map, and everything that can happen to it; a session with both machines."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _bench import STALL_S
from _lab import LabProcess, lab_data
from _twin import Twin, meanwhile, server_env, wait_until
from bluesky import RunEngine
from bluesky.plans import count
from bluesky.utils import FailedStatus, RunEngineInterrupted

from sdl_bluesky.devices import Guard, RBSSpec, RBSStation, cause_of, configure_ophyd, make_station
from sdl_bluesky.errors import DeviceError, Disconnected, InterlockTripped, StaleReading
from sdl_bluesky.plans.rbs import measure_rbs
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.rbs_windows import windows

pytestmark = pytest.mark.system

CU, SN = 300.0, 200.0  # 1e15 at/cm2
QUICK = RBSSettings(charge_uC=1.0, longest_uC=1.0)
SLOW = RBSSettings(charge_uC=40.0, longest_uC=40.0)
POINTS = [(-10.0, 5.0), (10.0, 0.0)]
SPEED = 100.0
SPEC = RBSSpec(stale_after_s=8.0, start_timeout_s=5.0)  # an IOC may stand still for a moment


class RBSTwin(Twin):
    """A simulated station with one sample of its own, number 5."""

    def __init__(self, tmp_path: Path, **config: Any) -> None:
        super().__init__(tmp_path)
        common = {key: self.config[key] for key in ("schema", "prefix", "heartbeat_timeout_s", "faults")}
        sample = {"layers": [{"Cu": CU, "Sn": SN}, {"O": 16000.0, "Si": 8000.0}]}
        self.config = {
            **common,
            "speed": SPEED,
            "seed": 3,
            "state_file": str(tmp_path / f"rbs-state-{self.port}.json"),
            "truth_file": str(tmp_path / f"truth-rbs-{self.port}.json"),
            "films_file": None,
            "samples": {"5": sample},
            "setup": {"ion": "4He", "theta_deg": 165.0, "geometry": "IBM", "slope_keV": 2.0, "offset_keV": 0.0,
                      "resolution_fwhm_keV": 15.0, "solid_angle_msr": 10.0, "channels": 1024},
            "substrate": [{"O": 16000.0, "Si": 8000.0}],
            **config,
        }  # fmt: skip

    def start(self) -> RBSTwin:
        before = os.environ.get("SDL_TEST_IOC")
        os.environ["SDL_TEST_IOC"] = f"{sys.executable} -m ioc_sims rbs"
        try:
            super().start()
        finally:
            os.environ.pop("SDL_TEST_IOC")
            if before is not None:
                os.environ["SDL_TEST_IOC"] = before
        return self


class Documents:
    """What a RunEngine emitted."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.all.append((name, doc))

    def primary(self) -> list[dict[str, Any]]:
        uids = {doc["uid"] for name, doc in self.all if name == "descriptor" and doc["name"] == "primary"}
        return [doc["data"] for name, doc in self.all if name == "event" and doc["descriptor"] in uids]

    def stop(self) -> dict[str, Any]:
        return [doc for name, doc in self.all if name == "stop"][-1]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RBSTwin]:
    with RBSTwin(tmp_path_factory.mktemp("rbs")) as made:
        yield made


@pytest.fixture(scope="module")
def station(twin: RBSTwin) -> Iterator[RBSStation]:
    configure_ophyd()
    made = make_station(twin.prefix, SPEC).connect(30)
    guard = Guard(made)
    guard.start()
    yield made
    guard.close()
    made.close()


@pytest.fixture
def engine(station: RBSStation) -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[], call_returns_result=True)
    guard = Guard(station)
    guard.attach(made)
    yield made
    if made.state != "idle":
        made.halt()
    guard.close()
    station.safe()


def plan(station: RBSStation, settings: RBSSettings, points: Any = POINTS, substrate: int = 5) -> Any:
    return measure_rbs(station, points, settings, sample="own", substrate=substrate, elements=["Cu", "Sn"])


def rutherford_counts(z: int, mass_u: float, density: float, charge_uC: float) -> float:
    """Counts from a thin layer: ions x solid angle x cross section (Chu, Mayer, Nicolet, eq. 2.22) x areal density."""
    theta, e2_MeV_fm = math.radians(165.0), 1.43996448
    ratio = 4.002602 / mass_u
    root = math.sqrt(1 - (ratio * math.sin(theta)) ** 2)
    shape = 4 / math.sin(theta) ** 4 * (root + math.cos(theta)) ** 2 / root
    barn = (2 * z * e2_MeV_fm / (4 * 2.0)) ** 2 * shape * 1e-2  # fm^2 -> b
    ions = charge_uC * 1e-6 / 1.602176634e-19
    return ions * 10e-3 * barn * 1e-24 * density * 1e15


def test_a_map_counts_what_rutherford_says(station: RBSStation, twin: RBSTwin, engine: RunEngine) -> None:
    documents = Documents()
    found = engine(plan(station, QUICK), documents).plan_result
    assert documents.stop()["exit_status"] == "success"
    data = documents.primary()
    assert [(round(d["x"], 1), round(d["y"], 1)) for d in data] == POINTS
    assert twin.get("BEAM:SHUTTER") == 0
    assert twin.get("SAMPLE:NUMBER") == 5
    assert found.data["spectrum"].shape == (2, 1024)
    for event in data:
        assert event["charge"] == pytest.approx(1.0, rel=0.05)
        assert 0 < event["live_time"] <= event["real_time"]
        assert event["counts"] == event["spectrum"].sum()
        tin, copper = windows(QUICK.setup(), ("Cu", "Sn"), ("O", "Si"))
        # the film slows the beam by some 2 %, which adds as much to the cross section twice over; the charge is off by 0.5 %
        assert tin.counts(event["spectrum"]) == pytest.approx(
            rutherford_counts(50, 118.71, SN, event["charge"]), rel=0.06
        )
        assert copper.counts(event["spectrum"]) == pytest.approx(
            rutherford_counts(29, 63.546, CU, event["charge"]), rel=0.06
        )


def test_refusals_are_typed_errors(station: RBSStation, engine: RunEngine) -> None:
    with pytest.raises(DeviceError, match=r"refused 6 .*is there a film"):
        station.loader.set(6).wait(60)
    station.loader.set(5).wait(60)
    with pytest.raises(DeviceError, match="beam shutter Closed"):
        station.acquisition.acquire(1.0).wait(60)
    with pytest.raises(FailedStatus) as caught:
        engine(count([station.acquisition]))
    assert "beam shutter Closed" in str(cause_of(caught.value))


def test_nothing_moves_while_it_counts(station: RBSStation) -> None:
    station.loader.set(5).wait(60)
    station.beam.shutter.set("Open").wait(60)
    status = station.acquisition.acquire(1000.0)
    wait_until(lambda: station.acquisition.read()["rbs_acquisition_state"]["value"] == "Acquiring", 30)
    with pytest.raises(DeviceError, match="refused"):
        station.stage.x.set(station.stage.x.position + 5).wait(60)
    with pytest.raises(DeviceError, match="refused"):
        station.beam.energy.set(1500.0).wait(60)
    station.acquisition.stop()
    with pytest.raises(DeviceError, match="stopped after"):
        status.wait(60)
    station.beam.shutter.set("Closed").wait(60)


def in_the_middle(station: RBSStation, action: Callable[[], None]) -> Callable[[], None]:
    """Do something as soon as counts of a new acquisition come; the returned function waits and re-raises."""
    before = int(station.acquisition.number.get())

    def counting() -> bool:
        return int(station.acquisition.number.get()) > before and float(station.acquisition.charge.get()) > 0

    return meanwhile(counting, action, "counts")


def test_a_pause_closes_the_shutter_and_the_point_is_measured_again(
    station: RBSStation, twin: RBSTwin, engine: RunEngine
) -> None:
    documents = Documents()
    settings = RBSSettings(charge_uC=4.0, longest_uC=4.0)
    twin.put("SIM:SPEED", 20.0)  # it takes 10 s
    done = in_the_middle(station, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(plan(station, settings), documents)
    done()
    wait_until(lambda: twin.get("BEAM:SHUTTER") == 0 and twin.get("ACQ:STATE") == 3, 30.0, "a closed shutter")
    twin.put("SIM:SPEED", SPEED)
    started = twin.get("ACQ:NUMBER")
    engine.resume()
    assert twin.get("ACQ:NUMBER") == started + 2
    assert [round(d["x"]) for d in documents.primary()] == [-10, 10]
    assert [d["charge"] for d in documents.primary()] == pytest.approx([4.0, 4.0], rel=0.05)


def test_a_trip_ends_the_map_and_names_its_cause(station: RBSStation, twin: RBSTwin, engine: RunEngine) -> None:
    documents = Documents()
    done = in_the_middle(station, lambda: twin.put("SIM:FAULT:VACUUM", 1))
    with pytest.raises(InterlockTripped, match="VACUUM"):
        engine(plan(station, SLOW), documents)
    done()
    assert "VACUUM" in documents.stop()["reason"]
    assert (twin.get("BEAM:SHUTTER"), twin.get("ACQ:STATE")) == (0, 3)
    twin.put("SIM:FAULT:VACUUM", 0)
    wait_until(lambda: not station.interlock.bad_inputs, 30.0, "a good vacuum")
    engine(plan(station, QUICK, POINTS[:1]))  # the plan resets an interlock whose inputs are good again
    assert twin.get("INTERLOCK:OK") == 1


def test_a_lost_beam_is_noticed(station: RBSStation, twin: RBSTwin, engine: RunEngine) -> None:
    quick = make_station(twin.prefix, replace(SPEC, stall_s=5.0), name="again").connect(30)
    try:
        done = in_the_middle(quick, lambda: twin.put("SIM:FAULT:BEAM", 1))
        with pytest.raises(DeviceError, match="the beam is lost"):
            engine(plan(quick, SLOW))
        done()
        wait_until(lambda: twin.get("BEAM:SHUTTER") == 0, 30.0, "a closed shutter")
    finally:
        twin.put("SIM:FAULT:BEAM", 0)
        quick.close()


@pytest.mark.parametrize(("way", "errors"), [("hang", (StaleReading,)), ("kill", (Disconnected, StaleReading))])
def test_a_dead_ioc_ends_the_map(tmp_path: Path, way: str, errors: tuple[type[Exception], ...]) -> None:
    with RBSTwin(tmp_path) as twin:
        station = make_station(twin.prefix).connect(30)
        engine = RunEngine({}, context_managers=[])
        documents = Documents()
        with Guard(station) as guard:
            guard.attach(engine)
            ended: list[float] = []

            def act() -> None:
                getattr(twin, way)()
                ended.append(time.time())

            done = in_the_middle(station, act)
            with pytest.raises(errors):
                engine(plan(station, SLOW), documents)
            done()
            assert documents.stop()["exit_status"] == "fail"
            assert documents.stop()["time"] - ended[0] < 5.0 + STALL_S
            assert not documents.primary()
            if way == "hang":
                twin.wake()
                wait_until(lambda: twin.get("BEAM:SHUTTER") == 0, 30.0, "a closed shutter after waking")
        station.close()


SCRIPT = """
from sdl_bluesky.plans.rbs import measure_rbs
from sdl_bluesky.plans.sputter import cosputter, measure_rate
station, done = session.station, {}
for machine in session.guard.machines:
    machine.liveness.stale_after_s = 10.0
def film():
    done["film"] = yield from cosputter(chamber, {"cu": 60.0, "sn": 30.0}, 8.0, 800.0, session.settings, sample="film")
def spectra():
    number = done["film"].data["substrate_number"]
    done["rbs"] = yield from measure_rbs(station, [(0.0, 0.0), (15.0, -5.0)], session.rbs_settings, sample="film",
                                         substrate=number, elements=["Cu", "Sn"], based_on=done["film"].uid)
def rate():
    done["rate"] = yield from measure_rate(chamber, "cu", 50.0, 8.0, session.settings, sample="rate")
def attempt(plan):
    try:
        RE(plan())
        return "done"
    except BaseException as fault:
        import traceback; traceback.print_exc()
        return type(fault).__name__
def until(name):
    while not os.path.exists(name):
        time.sleep(0.02)
say("FILM", attempt(film), done["film"].uid, session.tiled_uri)
say("SPECTRA", attempt(spectra), done["rbs"].uid)
until("one is dead")
say("RATE", attempt(rate))
say("SPECTRA", attempt(spectra))
until("it is back")
while station.liveness.problem() is not None or not all(signal.connected for signal in station.signals()):
    time.sleep(0.05)
say("SPECTRA", attempt(spectra))
until("the other is dead")
say("RATE", attempt(rate))
say("SPECTRA", attempt(spectra))
session.close()
say("CLOSED")
"""
SHORT = {"settle": "5 s", "baseline": "20 s", "transient": "20 s", "shortest": "20 s", "longest": "200 s"}
DEAD = ("Disconnected", "StaleReading")


def test_one_machine_works_on_when_the_other_is_dead(tmp_path: Path) -> None:
    from sdl_bluesky.data.catalogue import connect

    little = {
        **lab_data("auto")["rbs"],
        "measurement": {"charge": "0.5 uC", "longest": "0.5 uC"},
    }
    with LabProcess(tmp_path, SCRIPT, speed=200.0, heartbeat_timeout_s=15.0, measurement=SHORT, rbs=little) as lab:
        done, film, uri = lab.expect("FILM").split()
        assert done == "done"
        done, uid = lab.expect("SPECTRA").split()
        assert done == "done"
        assert set(lab.services()["children"]) == {"ioc", "rbs", "tiled", "writer"}
        check_catalogue(connect(uri, (lab.home / "tiled" / "api-key").read_text().strip()), uid, film)

        lab.signal_child("rbs", signal.SIGKILL)
        (tmp_path / "one is dead").touch()
        assert lab.expect("RATE") == "done"
        assert lab.expect("SPECTRA") in DEAD

        config, port = lab.home / "twin" / "rbs.json", lab.services()["rbs_port"]
        command = [sys.executable, "-m", "ioc_sims", "rbs", str(config)]
        again = subprocess.Popen(command, env=server_env(port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            (tmp_path / "it is back").touch()
            assert lab.expect("SPECTRA") == "done", (
                "a station that was started again is found by itself: " + lab.story()
            )
            lab.signal_child("ioc", signal.SIGKILL)
            (tmp_path / "the other is dead").touch()
            assert lab.expect("RATE") in DEAD
            assert lab.expect("SPECTRA") == "done"
            lab.expect("CLOSED")
        finally:
            again.terminate()
            again.wait(60)


def check_catalogue(client: Any, uid: str, film: str) -> None:
    """The spectra can be read back through Tiled as they were measured."""
    from sdl_bluesky.data.catalogue import find_run

    wait_until(lambda: uid in client["raw"] and client["raw"][uid].metadata.get("stop") is not None, 60.0, "the run")
    run = find_run(client, uid)
    start = run.metadata["start"]
    assert (start["plan_name"], start["based_on"], start["elements"]) == ("measure_rbs", film, ["Cu", "Sn"])
    assert start["rbs_setup"]["E_keV"] == 2000.0
    assert start["substrate_number"] == 1
    primary = run["primary"]
    found = primary.read()
    spectra, counts = np.asarray(found["spectrum"]), np.asarray(found["counts"])
    assert spectra.shape == (2, 1024)
    assert spectra.sum(axis=1) == pytest.approx(counts)
    assert np.asarray(found["x"]) == pytest.approx([0.0, 15.0], abs=0.1)
    assert np.all(spectra >= 0)
    assert np.all(counts > 1000)
