"""The callback door without a catalogue: what is handed over, in which order, and what becomes of faults."""

import subprocess
import sys
import threading

import httpx
import pytest

from sdl_bluesky.analysis import doors, jobs
from sdl_bluesky.analysis.doors import AnalysisCallback
from sdl_bluesky.analysis.kinds import campaign_of, kind_of
from sdl_bluesky.errors import ServiceError, WeakSignal

STARTS = {
    "rate": {"plan_name": "measure_rate", "purpose": "experiment"},
    "film": {"plan_name": "cosputter", "purpose": "experiment", "campaign": "camp"},
    "camp": {"plan_name": "run_campaign", "purpose": "campaign"},
    "count": {"plan_name": "count"},
}


def play(callback, uid, status="success"):
    callback("start", {"uid": uid, **STARTS[uid.split("-")[0]]})
    callback("stop", {"uid": "s", "run_start": uid, "exit_status": status})


class World:
    """Stands for catalogue and analysis: notes what is asked, fails where it is told to."""

    def __init__(self):
        self.clients = 0
        self.done = []
        self.faults = {}
        self.gate = threading.Event()
        self.gate.set()

    def connect(self):
        self.clients += 1
        return f"client {self.clients}"

    def written(self, log_dir, client, uid, timeout):
        if isinstance(self.faults.get(uid), ServiceError):
            raise self.faults[uid]

    def analyse(self, client, uid, models=()):
        self.gate.wait(10)
        fault = self.faults.get(uid)
        if isinstance(fault, list) and fault:
            raise fault.pop(0)
        if isinstance(fault, Exception):
            raise fault
        self.done.append((client, uid))
        return [f"{uid}-key"]


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(doors, "wait_until_written", world.written)
    monkeypatch.setattr(doors, "_BETWEEN_TRIES_S", 0.01)
    monkeypatch.setattr(jobs, "analyse_run", world.analyse)
    return world


@pytest.fixture
def callback(world, tmp_path):
    with AnalysisCallback(world.connect, tmp_path) as callback:
        yield callback


def test_runs_are_analysed_in_order_by_one_client(world, callback):
    for uid in ("rate-1", "count-1", "film-1", "camp-1"):
        play(callback, uid)
    assert callback.wait(10)
    assert [uid for _, uid in world.done] == ["rate-1", "film-1", "camp-1"]
    assert world.clients == 1
    assert callback.keys == {uid: [f"{uid}-key"] for uid in ("rate-1", "film-1", "camp-1")}
    assert callback.findings == []


@pytest.mark.parametrize("status", ["abort", "fail"])
def test_broken_runs_are_not_analysed(world, callback, status):
    play(callback, "rate-1", status)
    assert callback.wait(10)
    assert world.done == []


def test_only_the_kinds_that_are_wanted(world, tmp_path):
    with AnalysisCallback(world.connect, tmp_path, kinds=("composition",)) as callback:
        for uid in ("rate-1", "film-1", "camp-1"):
            play(callback, uid)
        assert callback.wait(10)
    assert [uid for _, uid in world.done] == ["film-1"]


def test_a_failure_is_a_finding_and_the_next_run_goes_on(world, callback):
    world.faults = {
        "rate-1": WeakSignal("too weak"),
        "rate-2": ServiceError("not in Tiled after 60 s"),
        "rate-3": ZeroDivisionError("a bug"),
    }
    for k in range(1, 5):
        play(callback, f"rate-{k}")
    assert callback.wait(10)
    assert [(f.uid, type(f.error)) for f in callback.findings] == [
        ("rate-1", WeakSignal),
        ("rate-2", ServiceError),
        ("rate-3", ZeroDivisionError),
    ]
    assert str(callback.findings[0]) == "flux of run rate-1: too weak"
    assert [uid for _, uid in world.done] == ["rate-4"]


def test_a_server_that_comes_back_is_asked_again(world, callback):
    world.faults = {"rate-1": [httpx.ConnectError("away"), httpx.ReadError("away")]}
    play(callback, "rate-1")
    assert callback.wait(10)
    assert world.done == [("client 3", "rate-1")]
    assert callback.findings == []


def test_the_caller_never_waits_and_never_sees_an_exception(world, callback):
    world.gate.clear()
    play(callback, "rate-1")
    callback("stop", {"no": "run_start"})
    callback("start", {})
    callback("event", {"data": {}})
    assert not callback.wait(0.01)
    world.gate.set()
    assert callback.wait(10)
    assert callback.keys == {"rate-1": ["rate-1-key"]}


def test_closing_finishes_what_is_at_hand_and_takes_no_more(world, tmp_path):
    callback = AnalysisCallback(world.connect, tmp_path)
    world.gate.clear()
    play(callback, "rate-1")
    assert not callback.close(0.01)
    world.gate.set()
    assert callback.close(10)
    play(callback, "rate-2")
    assert callback.wait(1)
    assert callback.close(1)
    assert [uid for _, uid in world.done] == ["rate-1"]


def test_kinds_and_campaigns_of_start_documents():
    assert [kind_of(STARTS[k]) for k in STARTS] == ["flux", "composition", "rate_surface", None]
    assert campaign_of({"uid": "c", **STARTS["camp"]}) == "c"
    assert campaign_of({"uid": "c2", "campaign": "c", **STARTS["camp"]}) == "c"
    assert campaign_of({"uid": "f", **STARTS["film"]}) == "camp"
    assert campaign_of({"uid": "r", **STARTS["rate"]}) == ""


def test_the_door_is_light_until_it_is_used():
    heavy = "{'torch', 'matplotlib', 'tiled.client', 'scipy.stats'}"
    code = f"import sys, sdl_bluesky.analysis.doors; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
