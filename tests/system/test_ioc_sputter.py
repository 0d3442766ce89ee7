"""The simulated sputter chamber as a real process, over Channel Access."""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _bench
import pytest
from _bench import PREFIX, is_alive, poll

pytestmark = pytest.mark.system


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


class Bench(_bench.Bench):
    """The chamber and its client."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        super().__init__(folder, "sputter", chamber(folder, **changes))

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


def test_targets_and_used_up_crystals_are_exchanged_when_nothing_is_on(tmp_path):
    bench = Bench(tmp_path, physics={"crystal_life_Hz": 500.0})
    try:
        bench.start().deposit()
        poll(lambda: bench.get("Q1:LIFE") == 0.0)
        assert bench.get("Q1:FREQUENCY") == 0.0
        assert [bench.ask("severity", f"{PREFIX}Q1:{what}") for what in ("FREQUENCY", "LIFE")] == [3, 2]
        for name, refused in (("Q1:REPLACE", 1), ("S1:TARGET:SP", "Ag")):
            bench.put(name, refused)
        assert (bench.get("Q1:LIFE"), bench.get("S1:TARGET:SP"), bench.get("S1:TARGET")) == (0.0, "Cu", "Cu")
        bench.put("S1:SHUTTER:SP", 0)
        bench.put("S1:POWER:SP", 0.0)
        poll(lambda: bench.get("S1:PLASMA") == 0 and bench.get("S1:POWER") == 0)
        bench.put("Q1:REPLACE", 1)
        poll(lambda: bench.get("Q1:LIFE") == 100.0 and bench.get("Q1:REPLACE") == 0)
        assert [bench.ask("severity", f"{PREFIX}Q1:{what}") for what in ("FREQUENCY", "LIFE")] == [0, 0]
        assert bench.get("S1:ENERGY") > 0
        bench.put("S1:TARGET:SP", "Ag")
        poll(lambda: bench.get("S1:TARGET") == "Ag")
        assert (bench.get("S1:TARGET:NUMBER"), bench.get("S1:ENERGY")) == (2, 0.0)
        bench.put("S1:TARGET:SP", "Unobtainium")
        assert bench.get("S1:TARGET:SP") == "Ag"
        time.sleep(1.0)  # the state on disk is at most one second old
        bench.kill()
        assert json.loads((tmp_path / "truth.json").read_text())["sources"]["cu"]["target_number"] == 2
        bench.start()
        poll(lambda: bench.ask("connected", PREFIX + "SIM:TIME"), 20.0)
        assert (bench.get("S1:TARGET"), bench.get("S1:TARGET:SP"), bench.get("S1:TARGET:NUMBER")) == ("Ag", "Ag", 2)
    finally:
        bench.close()


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
