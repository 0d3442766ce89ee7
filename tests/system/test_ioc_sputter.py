"""The simulated sputter chamber as a real process, over Channel Access.

Channel Access reads its addresses once per process, so the client is a process of its own: this file, started as a
program, answers one JSON request per line (`serve_requests`).
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

PREFIX = f"SIM{os.getpid()}:"


def chamber(folder: Path, **changes: Any) -> dict[str, Any]:
    """Four sources 14 cm away, tilted 30 degrees; three sensors on a ring of 5.5 cm."""
    sources, tilt = [], math.radians(30.0)
    for i, element in enumerate(("Cu", "Sn", "Ni", "Al")):
        azimuth = math.radians(90.0 * i)
        out = (math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth), math.cos(tilt))
        sources.append(
            {
                "name": element.lower(),
                "element": element,
                "pv": f"S{i + 1}:",
                "position_cm": [14.0 * c for c in out],
                "axis": [-c for c in out],
            }
        )
    sensors = [
        {
            "name": f"qcm{i + 1}",
            "pv": f"Q{i + 1}:",
            "position_cm": [5.5 * math.cos(math.radians(a)), 5.5 * math.sin(math.radians(a)), 0.0],
        }
        for i, a in enumerate((20.0, 140.0, 260.0))
    ]
    return {
        "schema": 1,
        "prefix": PREFIX,
        "speed": 100.0,
        "seed": 0,
        "heartbeat_timeout_s": 3.0,
        "faults": True,
        "state_file": str(folder / "state.json"),
        "truth_file": str(folder / "truth.json"),
        "sources": sources,
        "sensors": sensors,
        **changes,
    }


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def poll(condition: Callable[[], Any], timeout_s: float = 10.0) -> float:
    """Wait until the condition holds; seconds it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.02)
    return time.monotonic() - start


class Bench:
    """One IOC and one client on a port of their own."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(chamber(folder, **changes)))
        self.port = free_port()
        loopback = dict.fromkeys(
            ("EPICS_CAS_INTF_ADDR_LIST", "EPICS_CAS_BEACON_ADDR_LIST", "EPICS_CA_ADDR_LIST"), "127.0.0.1"
        )
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("EPICS_")},
            **loopback,
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_REPEATER_PORT": str(free_port()),
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_CONN_TMO": "5",
        }
        self.ioc: subprocess.Popen[str] | None = None
        self.client: subprocess.Popen[str] | None = None

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ioc_sims", "sputter", str(self.config)]

    def start(self) -> Bench:
        with (self.folder / "ioc.log").open("a") as log:
            self.ioc = subprocess.Popen(self.command, env=self.env, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.ioc.stdout is not None
        ready = self.ioc.stdout.readline()
        assert re.fullmatch(rf"READY {PREFIX} \d+ PVs\n", ready), (self.folder / "ioc.log").read_text()
        if self.client is None:
            self.client = subprocess.Popen(
                [sys.executable, __file__],
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return self

    def signal(self, number: int) -> None:
        assert self.ioc is not None
        self.ioc.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.ioc is not None
        self.ioc.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        assert self.ioc is not None
        return self.ioc.wait(10)

    def close(self) -> None:
        for process in (self.client, self.ioc):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(10)

    def ask(self, op: str, *args: Any) -> Any:
        assert self.client is not None
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps([op, *args]) + "\n")
        self.client.stdin.flush()
        answer = json.loads(self.client.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def get(self, name: str) -> Any:
        return self.ask("get", PREFIX + name)

    def put(self, name: str, value: Any) -> str:
        return self.ask("put", PREFIX + name, value)

    def beat(self, alive: bool) -> None:
        self.ask("beat", PREFIX + "HEARTBEAT", alive)

    def deposit(self) -> None:
        """Copper at full power onto a fresh substrate, every shutter open."""
        self.beat(True)
        self.put("GAS:FLOW:SP", 60.0)
        poll(lambda: self.get("GAUGE:PROCESS:PRESSURE") > 10)
        self.put("S1:POWER:SP", 100.0)
        poll(lambda: self.get("S1:POWER") > 90)
        self.put("SUBSTRATE:LOAD", 1)
        self.put("SUBSTRATE:SHUTTER:SP", 1)
        self.put("S1:SHUTTER:SP", 1)
        poll(lambda: self.get("S1:SHUTTER") and self.get("SUBSTRATE:SHUTTER"))

    def safe(self) -> bool:
        return not (self.get("S1:SHUTTER") or self.get("SUBSTRATE:SHUTTER") or self.get("S1:POWER") > 0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    try:
        yield one.start()
    finally:
        one.close()


def test_the_documented_pvs_are_served_with_their_units(bench):
    import ioc_sims.sputter

    table = re.findall(r"\{P\}(\S+)( +\S+)?", ioc_sims.sputter.__doc__ or "")
    assert len(table) > 30
    for name, unit in table:
        found = bench.ask("units", PREFIX + name)
        if unit.strip() in ("W", "V", "A", "kWh", "sccm", "mTorr", "Hz", "%", "degC", "deg", "s"):
            assert found == unit.strip(), name
    assert bench.get("S4:TARGET") == "Al"
    bench.put("SIM:FAULT:GAUGE", 1)
    poll(lambda: bench.ask("severity", PREFIX + "GAUGE:PROCESS:PRESSURE") == 3)
    assert bench.stop() == 0


def test_bad_puts_leave_the_record_alone(bench):
    bench.beat(True)
    assert bench.put("S1:POWER:SP", 12.5) == "ok"
    assert bench.put("GAS:FLOW:SP", 20.0) == "ok"
    for name, kept in (("S1:POWER:SP", 0.0), ("GAS:FLOW:SP", 20.0), ("SUBSTRATE:ANGLE:SP", 0.0), ("SIM:SPEED", 100.0)):
        if name == "S1:POWER:SP":  # power without pressure has tripped the interlock; that took it back
            poll(lambda: bench.get("S1:POWER:SP") == 0.0)
        for bad in (1e4, -1e4, math.nan, math.inf, -math.inf):
            bench.put(name, bad)
            assert bench.get(name) == kept, bad
        assert bench.ask("severity", PREFIX + name) == 0
    assert bench.get("INTERLOCK:CAUSE") == "PRESSURE"
    assert bench.ask("severity", PREFIX + "INTERLOCK:OK") == 2
    bench.put("S1:SHUTTER:SP", 1)
    assert bench.get("S1:SHUTTER:SP") == 0


def test_clients_may_write_values_and_nothing_else(bench):
    for name in ("S1:POWER", "Q1:FREQUENCY", "HEARTBEAT:TIMEOUT", "INTERLOCK:OK", "IOC:BEAT", "SUBSTRATE:NUMBER"):
        assert bench.put(name, 1) == "refused", name
    for field in ("DRVH", "DRVL", "HOPR", "HIHI", "HHSV", "DISP", "ASG", "SCAN", "DESC", "PROC", "OUT"):
        value = "x" if field in ("ASG", "DESC", "OUT") else 1
        assert bench.put(f"S1:POWER:SP.{field}", value) == "refused", field
    assert bench.put("S1:POWER.DISP", 0) == "refused"
    assert bench.put("INTERLOCK:OK.ZSV", 0) == "refused"
    assert bench.put("SUBSTRATE:ANGLE:SP", 10.0) == "ok"
    poll(lambda: bench.get("SUBSTRATE:ANGLE") == 10.0)


def test_one_publication_has_one_time_stamp(bench):
    names = [PREFIX + n for n in ("SIM:TIME", "Q1:FREQUENCY", "Q3:FREQUENCY", "S1:POWER", "GAUGE:PROCESS:PRESSURE")]
    rows = bench.ask("monitor", names, 2.0)
    stamps = [{stamp for stamp, _ in rows[name]} for name in names]
    common = set.intersection(*stamps)
    assert len(common) >= 12
    assert all(len(s - common) <= 2 for s in stamps)  # only the ends may be cut
    times = dict(rows[names[0]])
    ordered = sorted(common)
    speed = (times[ordered[-1]] - times[ordered[0]]) / (ordered[-1] - ordered[0])
    assert speed == pytest.approx(100.0, rel=0.05)


def test_a_deposition_is_seen_by_the_crystal_and_ends_with_the_door(bench):
    bench.deposit()
    rows = bench.ask("monitor", [PREFIX + "Q1:FREQUENCY"], 1.0)[PREFIX + "Q1:FREQUENCY"]
    assert rows[-1][1] < rows[0][1] - 100
    bench.put("SUBSTRATE:LOAD", 1)
    assert bench.get("SUBSTRATE:NUMBER") == 1
    bench.put("SIM:FAULT:DOOR", 1)
    assert poll(bench.safe) < 2.0
    assert bench.get("INTERLOCK:CAUSE") == "DOOR"
    assert bench.get("S1:POWER:SP") == bench.get("S1:SHUTTER:SP") == bench.get("SUBSTRATE:SHUTTER:SP") == 0
    bench.put("INTERLOCK:RESET", 1)
    assert bench.get("INTERLOCK:OK") == 0
    bench.put("SIM:FAULT:DOOR", 0)
    bench.put("INTERLOCK:RESET", 1)
    poll(lambda: bench.get("INTERLOCK:OK") == 1)
    assert bench.get("INTERLOCK:CAUSE") == ""


def test_a_lost_client_makes_the_chamber_safe(bench):
    bench.deposit()
    bench.beat(False)
    assert poll(bench.safe) < 5.0
    assert bench.get("INTERLOCK:CAUSE") == "HEARTBEAT"
    bench.put("INTERLOCK:RESET", 1)
    assert bench.get("INTERLOCK:OK") == 0
    bench.beat(True)
    poll(lambda: bench.get("INTERLOCK:HEARTBEAT") == 1)
    bench.put("INTERLOCK:RESET", 1)
    poll(lambda: bench.get("INTERLOCK:OK") == 1)


def test_a_frozen_ioc_trips_when_it_wakes(bench):
    bench.deposit()
    before = bench.get("SIM:TIME")
    bench.signal(signal.SIGSTOP)
    time.sleep(3.5)
    bench.signal(signal.SIGCONT)
    woken = time.monotonic()
    assert poll(bench.safe) < 5.0
    assert bench.get("INTERLOCK:CAUSE") == "HEARTBEAT"
    assert bench.get("SIM:TIME") - before < 100.0 * (time.monotonic() - woken + 0.5)


def test_a_killed_ioc_resumes_its_state_and_begins_safe(bench):
    bench.deposit()
    poll(lambda: bench.get("S1:ENERGY") > 0.006)  # some seconds: the state on disk is at most one second old
    seen = {name: bench.get(name) for name in ("SIM:TIME", "S1:ENERGY", "Q1:FREQUENCY", "SUBSTRATE:NUMBER")}
    bench.kill()
    bench.start()
    poll(lambda: bench.ask("connected", PREFIX + "SIM:TIME"), 20.0)
    assert bench.safe()
    assert bench.get("S1:POWER:SP") == bench.get("S1:SHUTTER:SP") == 0
    assert bench.get("INTERLOCK:OK") == 1
    assert bench.get("SUBSTRATE:NUMBER") == seen["SUBSTRATE:NUMBER"] == 1
    second = 100.0 * 100.0 / 3.6e6  # kWh of a second at 100 W and 100 times the speed
    assert bench.get("S1:ENERGY") == pytest.approx(seen["S1:ENERGY"], abs=1.5 * second)
    assert bench.get("SIM:TIME") > seen["SIM:TIME"] - 150
    assert bench.get("Q1:FREQUENCY") < 6e6 - 100
    assert bench.stop() == 0
    truth = json.loads((bench.folder / "truth.json").read_text())
    assert truth["films"]["1"]["elements"] == ["Cu"]


def test_publishing_keeps_pace_at_a_thousand_times(bench):
    bench.put("SIM:SPEED", 1000.0)
    bench.deposit()
    first = bench.get("IOC:BEAT")
    start = time.monotonic()
    for flow in (40.0, 80.0, 60.0):
        bench.put("GAS:FLOW:SP", flow)
        time.sleep(0.5)
    assert (bench.get("IOC:BEAT") - first) / (time.monotonic() - start) > 8.0


def test_it_dies_with_its_parent_but_not_with_a_thread(tmp_path):
    bench = Bench(tmp_path)
    script = textwrap.dedent(
        """
        import subprocess, sys, threading, time
        def start():
            child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
            print(child.pid, child.stdout.readline(), end="", flush=True)
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        time.sleep(60)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *bench.command],
        env=bench.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        time.sleep(0.5)
        assert is_alive(pid)
    finally:
        parent.kill()
        parent.wait()
    poll(lambda: not is_alive(pid), 3.0)


def test_a_busy_port_is_one_clear_line(tmp_path):
    bench = Bench(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.1", bench.port))
        other.listen()
        done = subprocess.run(bench.command, env=bench.env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"ioc_sims: Channel Access port {bench.port} .*free port\n", done.stderr)


@pytest.mark.parametrize("change", [{"speed": -1}, {"seed": "x"}, {"sources": []}])
def test_a_bad_configuration_is_one_clear_line(tmp_path, change):
    bench = Bench(tmp_path, **change)
    done = subprocess.run(bench.command, env=bench.env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"ioc_sims: .*{next(iter(change))}.*\n", done.stderr)


def test_help_is_the_pv_table():
    done = subprocess.run(
        [sys.executable, "-m", "ioc_sims", "sputter", "--help"], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0
    assert "{P}Q1:FREQUENCY" in done.stdout


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# the client process ---------------------------------------------------------------------------------------------------


def serve_requests() -> None:
    """Answer [op, args...] lines with {"value": ...} or {"error": ...} lines until stdin ends."""
    import epics

    answers, sys.stdout = sys.stdout, sys.stderr  # pyepics writes messages to stdout
    stop = threading.Event()

    def pv(name: str) -> Any:
        found = epics.get_pv(name, form="time", connect=True, timeout=5.0)
        if not found.connected:
            raise TimeoutError(f"{name} does not answer")
        return found

    def put(name: str, value: Any) -> str:
        try:
            pv(name).put(value, wait=True, timeout=3.0)
        except epics.ca.CASeverityException:
            return "refused"
        return "ok"

    def beat(name: str, alive: bool) -> None:
        heart = pv(name)
        stop.set()
        if not alive:
            return
        stop.clear()

        def run() -> None:
            epics.ca.use_initial_context()
            count = 0
            while not stop.wait(0.4):
                count += 1
                if heart.connected:
                    heart.put(count)

        threading.Thread(target=run, daemon=True).start()

    def monitor(names: list[str], seconds: float) -> dict[str, list[tuple[float, float]]]:
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}

        def seen(pvname: str, value: float, timestamp: float, **_: Any) -> None:
            rows[pvname].append((timestamp, value))

        callbacks = [(pv(name), pv(name).add_callback(seen)) for name in names]
        time.sleep(seconds)
        for one, index in callbacks:
            one.remove_callback(index)
        return rows

    def severity(name: str) -> int:
        one = pv(name)
        one.get_timevars()
        return int(one.severity)

    operations: dict[str, Callable[..., Any]] = {
        "get": lambda name: pv(name).get(use_monitor=False, timeout=5.0),
        "connected": lambda name: epics.get_pv(name, connect=True, timeout=0.5).connected,
        "units": lambda name: (pv(name).get_ctrlvars(timeout=5.0) or {}).get("units"),
        "put": put,
        "beat": beat,
        "monitor": monitor,
        "severity": severity,
    }
    for line in sys.stdin:
        op, *args = json.loads(line)
        try:
            answer = {"value": operations[op](*args)}
        except Exception as err:  # the other process shows it
            answer = {"error": f"{type(err).__name__}: {err}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve_requests()
