"""Whatever dies or is stopped: shutters close and powers go down within five seconds; no stale reading gets into data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from _bench import STALL_S
from _lab import PRELUDE, LabProcess
from _twin import server_env, wait_until

pytestmark = pytest.mark.system

LIMIT_S = 5.0
LATEST_S = LIMIT_S + STALL_S
"""The limit, as it is kept on a loaded machine, where a process may stand still meanwhile."""
PATIENT_S = 15.0
"""Of the watchdog, where it is not what is tested: a client that stands still for a moment trips nothing."""
LONG = {"settle": "1 s", "baseline": "8 s", "transient": "10 s", "shortest": "900 s", "longest": "1000 s"}

MEASURE = """
from sdl_bluesky.plans.sputter import measure_rate
shutter = chamber.source("cu").shutter
opened = threading.Event()
shutter.readback.subscribe(lambda value=None, **_: opened.set() if int(value) else None)
def on_open(action):
    def run():
        opened.wait(60)
        say("OPEN")
        action()
    threading.Thread(target=run, daemon=True).start()
def measure():
    try:
        return RE(measure_rate(chamber, "cu", 50.0, 8.0, session.settings, sample="safety"))
    except BaseException as fault:
        say("RAISED", type(fault).__name__, str(fault).replace(chr(10), " "))
"""


def lab(tmp_path: Path, action: str, after: str = "", **changes) -> LabProcess:
    script = MEASURE + f"\non_open(lambda: {action})\nmeasure()\n{after}\nsay('STATE', RE.state)\ntime.sleep(600)\n"
    return LabProcess(tmp_path, script, speed=20.0, measurement=LONG, **changes)


def documents(home: Path) -> list[tuple[str, dict]]:
    found = []
    for path in sorted((home / "log").glob("*.jsonl")):
        for line in path.read_text().splitlines()[1:]:
            found.append(tuple(json.loads(line)))
    return found


@pytest.mark.parametrize(
    ("action", "after", "state"),
    [
        ("RE.request_pause()", "", "paused"),
        ("RE.request_pause()", "RE.abort()", "idle"),
        ("RE.request_pause()", "RE.halt()", "idle"),
    ],
    ids=["paused", "aborted", "halted"],
)
def test_an_interrupted_plan_leaves_a_safe_machine(tmp_path: Path, action: str, after: str, state: str) -> None:
    with lab(tmp_path, action, after, heartbeat_timeout_s=PATIENT_S) as running:
        running.expect("OPEN")
        running.seconds_until_safe(LATEST_S)
        assert running.expect("STATE") == state
        assert running.is_safe()


def test_a_killed_engine_leaves_a_safe_machine(tmp_path: Path) -> None:
    """The services belong to `sdl up` in another terminal, so that the machine outlives the session."""
    up = "from sdl_bluesky.cli import main; raise SystemExit(main(['up']))"
    with LabProcess(tmp_path, up, prelude="", speed=20.0, measurement=LONG) as running:
        running.expect("ready")
        session = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + MEASURE + "\nmeasure()"],
            env=running.env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: running.get("S1:SHUTTER") == 1, 120.0, "the shutter of the measurement")
            session.kill()
            session.wait()
            running.seconds_until_safe(LATEST_S)
            wait_until(lambda: running.get("INTERLOCK:CAUSE") == "HEARTBEAT", 30.0, "the cause")
            assert running.get("INTERLOCK:HEARTBEAT") == 0
        finally:
            session.kill()


def test_a_hung_engine_leaves_a_safe_machine(tmp_path: Path) -> None:
    with lab(tmp_path, "None") as running:
        running.expect("OPEN")
        assert running.machine()["S1:SHUTTER"] == 1.0
        running.process.send_signal(signal.SIGSTOP)
        running.seconds_until_safe(LATEST_S)
        wait_until(lambda: running.get("INTERLOCK:CAUSE") == "HEARTBEAT", 30.0, "the cause")
        assert running.get("INTERLOCK:HEARTBEAT") == 0


def test_a_tripped_interlock_ends_the_measurement(tmp_path: Path) -> None:
    with lab(tmp_path, "None", heartbeat_timeout_s=PATIENT_S) as running:
        running.expect("OPEN")
        running.put("SIM:FAULT:WATER", 1)
        running.seconds_until_safe(LATEST_S)
        assert running.expect("RAISED").startswith("InterlockTripped")
        stop = [doc for name, doc in documents(running.home) if name == "stop"][-1]
        assert stop["exit_status"] == "fail"
        assert "WATER" in stop["reason"]


def test_a_hung_ioc_is_noticed_and_is_safe_when_it_wakes(tmp_path: Path) -> None:
    with lab(tmp_path, "None") as running:
        running.expect("OPEN")
        running.signal_child("ioc", signal.SIGSTOP)
        hung = time.time()
        assert running.expect("RAISED").startswith("StaleReading")
        stop = [doc for name, doc in documents(running.home) if name == "stop"][-1]
        assert stop["exit_status"] == "fail"
        assert stop["time"] - hung < LATEST_S
        for name, doc in documents(running.home):
            if name == "event_page":
                assert max(doc["time"]) < hung + 0.5, "a row was made while the IOC hung"
        running.signal_child("ioc", signal.SIGCONT)
        running.seconds_until_safe(LATEST_S)


def test_a_killed_ioc_comes_back_safe(tmp_path: Path) -> None:
    with lab(tmp_path, "None", heartbeat_timeout_s=PATIENT_S) as running:
        running.expect("OPEN")
        running.signal_child("ioc", signal.SIGKILL)
        killed = time.time()
        assert running.expect("RAISED").split()[0] in ("Disconnected", "StaleReading")
        stop = [doc for name, doc in documents(running.home) if name == "stop"][-1]
        assert stop["time"] - killed < LATEST_S
        again = subprocess.Popen(
            [sys.executable, "-m", "ioc_sims", "sputter", str(running.home / "twin" / "sputter.json")],
            env=server_env(running.port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        answers: list[dict[str, float]] = []
        try:
            wait_until(lambda: answers.append(running.machine()) or bool(answers[-1]), 90.0, "an answer of the new IOC")
            assert all(value < 1.0 for value in answers[-1].values())
        finally:
            again.terminate()
            again.wait(60)
