"""The simulated sputter chamber as a real process, over Channel Access."""

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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _bench
import numpy as np
import pytest
from _bench import PREFIX, STALL_S, is_alive, poll

pytestmark = pytest.mark.system

HEARTBEAT_S = 4.0
"""Timeout where a lost client is what is tested; elsewhere it is longer than any client stands still."""


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
        "heartbeat_timeout_s": 15.0,
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


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Bench]:
    """A chamber that soon misses its client."""
    one = Bench(tmp_path, heartbeat_timeout_s=HEARTBEAT_S)
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
    bench.published()
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
    beat = PREFIX + "IOC:BEAT"
    rows = bench.ask("monitor", [*names, beat], 15)
    stamps = [{stamp for stamp, _ in rows[name]} for name in names]
    (first_s, first), (last_s, last) = rows[beat][0], rows[beat][-1]
    published = {stamp for stamp in set.union(*stamps) if first_s <= stamp <= last_s}
    assert len(published) <= last - first + 1  # a loaded machine may skip a reading, but none has a stamp of its own
    times = dict(rows[names[0]])
    stamp_s = np.array(sorted(set.intersection(*stamps)))
    time_s = np.array([times[stamp] for stamp in stamp_s])
    early, late = np.triu_indices(len(stamp_s), 1)
    speeds = (time_s[late] - time_s[early]) / (stamp_s[late] - stamp_s[early])
    assert np.median(speeds) == pytest.approx(100.0, rel=0.05)  # a stamp that came late does not count


def test_a_deposition_is_seen_by_the_crystal_and_ends_with_the_door(bench):
    bench.deposit()
    before = bench.get("Q1:FREQUENCY")
    poll(lambda: bench.get("Q1:FREQUENCY") < before - 100)
    bench.put("SUBSTRATE:LOAD", 1)
    bench.published()
    assert bench.get("SUBSTRATE:NUMBER") == 1
    bench.put("SIM:FAULT:DOOR", 1)
    poll(bench.safe, 2.0 + STALL_S)
    bench.published()
    assert bench.get("INTERLOCK:CAUSE") == "DOOR"
    assert bench.get("S1:POWER:SP") == bench.get("S1:SHUTTER:SP") == bench.get("SUBSTRATE:SHUTTER:SP") == 0
    bench.put("INTERLOCK:RESET", 1)
    bench.published()
    assert bench.get("INTERLOCK:OK") == 0
    bench.put("SIM:FAULT:DOOR", 0)
    bench.put("INTERLOCK:RESET", 1)
    poll(lambda: bench.get("INTERLOCK:OK") == 1)
    bench.published()
    assert bench.get("INTERLOCK:CAUSE") == ""


def test_a_lost_client_makes_the_chamber_safe(watched):
    watched.deposit()
    watched.beat(False)
    poll(watched.safe, HEARTBEAT_S + 2.0 + STALL_S)
    watched.published()
    assert watched.get("INTERLOCK:CAUSE") == "HEARTBEAT"
    watched.put("INTERLOCK:RESET", 1)
    watched.published()
    assert watched.get("INTERLOCK:OK") == 0
    watched.beat(True)
    poll(lambda: watched.get("INTERLOCK:HEARTBEAT") == 1)
    watched.put("INTERLOCK:RESET", 1)
    poll(lambda: watched.get("INTERLOCK:OK") == 1)


def test_a_frozen_ioc_trips_when_it_wakes(watched):
    watched.deposit()
    began_s, before_s = watched.ask("time_and_value", PREFIX + "SIM:TIME")
    frozen_s = HEARTBEAT_S + 1.0
    watched.signal(signal.SIGSTOP)
    time.sleep(frozen_s)
    watched.signal(signal.SIGCONT)
    poll(watched.safe, 3.0 + STALL_S)
    watched.published()
    assert watched.get("INTERLOCK:CAUSE") == "HEARTBEAT"
    woken_s, after_s = watched.ask("time_and_value", PREFIX + "SIM:TIME")
    lost_s = (woken_s - began_s) - (after_s - before_s) / 100.0
    assert lost_s > frozen_s - STALL_S  # simulated time did not run; a time stamp may come late


def test_a_killed_ioc_resumes_its_state_and_begins_safe(bench):
    bench.deposit()

    def on_disk() -> bool:
        state = bench.saved()
        return state["substrate_number"] == 1 and state["crystals"]["qcm1"]["mass_ng_cm2"] > 3000.0

    poll(on_disk)
    seen_s = bench.get("SIM:TIME")
    bench.kill()
    state = bench.saved()
    assert state["time_s"] > seen_s - 100.0 * (1.5 + STALL_S)  # the state on disk is at most a second old
    bench.start()
    assert bench.safe()
    assert bench.get("S1:POWER:SP") == bench.get("S1:SHUTTER:SP") == 0
    assert bench.get("INTERLOCK:OK") == 1
    assert bench.get("SUBSTRATE:NUMBER") == 1
    assert bench.get("S1:ENERGY") == pytest.approx(state["sources"]["cu"]["energy_kWh"], rel=1e-9)
    assert bench.get("S1:ENERGY") > 0.0
    assert bench.get("SIM:TIME") > state["time_s"]
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
        bench.published()
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
        bench.published()
        assert (bench.get("S1:TARGET:NUMBER"), bench.get("S1:ENERGY")) == (2, 0.0)
        bench.put("S1:TARGET:SP", "Unobtainium")
        assert bench.get("S1:TARGET:SP") == "Ag"
        truth = tmp_path / "truth.json"
        poll(lambda: json.loads(truth.read_text())["sources"]["cu"]["target_number"] == 2)  # the state is written first
        bench.kill()
        assert bench.saved()["sources"]["cu"]["target_number"] == 2
        bench.start()
        assert (bench.get("S1:TARGET"), bench.get("S1:TARGET:SP"), bench.get("S1:TARGET:NUMBER")) == ("Ag", "Ag", 2)
    finally:
        bench.close()


def test_publishing_keeps_pace_at_a_thousand_times(bench):
    """By the processor time that it takes: how much of a loaded machine the IOC is given is another thing."""

    def used() -> tuple[float, int]:
        fields = Path(f"/proc/{bench.ioc.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), bench.get("IOC:BEAT")

    bench.put("SIM:SPEED", 1000.0)
    bench.deposit()
    before_s, first = used()
    for flow in (40.0, 80.0, 60.0):
        bench.put("GAS:FLOW:SP", flow)
        poll(lambda flow=flow: abs(bench.get("GAS:FLOW") - flow) < 2.0)
        for _ in range(3):
            bench.published()
    after_s, last = used()
    assert last - first >= 18
    assert (after_s - before_s) / (last - first) < 0.05  # there are 0.1 s from one publication to the next


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
        print("joined", flush=True)
        time.sleep(600)
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
        assert parent.stdout.readline() == "joined\n"
        bench.new_client()
        bench.published()
        bench.published()
        assert is_alive(pid)
    finally:
        parent.kill()
        parent.wait()
        bench.close()
    poll(lambda: not is_alive(pid))


def test_a_busy_port_is_one_clear_line(tmp_path):
    bench = Bench(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.1", bench.port))
        other.listen()
        done = subprocess.run(bench.command, env=bench.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"ioc_sims: Channel Access port {bench.port} .*free port\n", done.stderr)


@pytest.mark.parametrize("change", [{"speed": -1}, {"seed": "x"}, {"sources": []}])
def test_a_bad_configuration_is_one_clear_line(tmp_path, change):
    bench = Bench(tmp_path, **change)
    done = subprocess.run(bench.command, env=bench.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"ioc_sims: .*{next(iter(change))}.*\n", done.stderr)


def test_help_is_the_pv_table():
    done = subprocess.run(
        [sys.executable, "-m", "ioc_sims", "sputter", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "{P}Q1:FREQUENCY" in done.stdout
