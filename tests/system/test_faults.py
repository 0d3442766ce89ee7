"""Bad input and missing services are typed errors before anything moves; nothing is lost when Tiled or the engine dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from _lab import LabProcess, lab_data
from _twin import wait_until

pytestmark = pytest.mark.system

SHORT = {"settle": "5 s", "baseline": "40 s", "transient": "40 s", "shortest": "200 s", "longest": "300 s"}
LONG = {**SHORT, "shortest": "1000 s", "longest": "1200 s"}

BAD_INPUT = """
import math
from bluesky.plan_stubs import mv
from sdl_bluesky.plans.sputter import cosputter, measure_rate
documents = []
RE.subscribe(lambda name, doc: documents.append(name))
settings = session.settings
tries = {
    "power of 1e4 W": lambda: RE(measure_rate(chamber, "cu", 1e4, 8.0, settings)),
    "power NaN": lambda: RE(measure_rate(chamber, "cu", math.nan, 8.0, settings)),
    "pressure NaN": lambda: RE(measure_rate(chamber, "cu", 50.0, math.nan, settings)),
    "pressure 1e3": lambda: RE(measure_rate(chamber, "cu", 50.0, 1e3, settings)),
    "unknown source": lambda: RE(measure_rate(chamber, "xx", 50.0, 8.0, settings)),
    "unknown sensor": lambda: RE(measure_rate(chamber, "cu", 50.0, 8.0, settings, sensor="qcm9")),
    "negative duration": lambda: RE(cosputter(chamber, {"cu": 50.0}, 8.0, -1.0, settings, sample="s")),
    "unknown source in a film": lambda: RE(cosputter(chamber, {"cu": 50.0, "xx": 5.0}, 8.0, 10.0, settings, sample="s")),
    "negative flow by hand": lambda: RE(mv(chamber.gas.flow, -5.0)),
    "power by hand": lambda: RE(mv(chamber.source("cu").power, 1e4)),
    "NaN by hand": lambda: RE(mv(chamber.source("cu").power, math.nan)),
    "no shutter word": lambda: RE(mv(chamber.source("cu").shutter, "Ajar")),
}
for what, attempt in tries.items():
    try:
        attempt()
    except Exception as fault:
        say("TRIED", what, "->", type(fault).__name__, "|", fault)
    else:
        say("TRIED", what, "-> nothing")
say("DOCUMENTS", len(documents))
"""

EXPECTED = {
    "power of 1e4 W": "OutOfRange",
    "power NaN": "OutOfRange",
    "pressure NaN": "OutOfRange",
    "pressure 1e3": "OutOfRange",
    "unknown source": "UnknownName",
    "unknown sensor": "UnknownName",
    "negative duration": "OutOfRange",
    "unknown source in a film": "UnknownName",
    "negative flow by hand": "OutOfRange",
    "power by hand": "OutOfRange",
    "NaN by hand": "OutOfRange",
    "no shutter word": "OutOfRange",
}


def test_bad_input_is_refused_before_anything_moves(tmp_path: Path) -> None:
    with LabProcess(tmp_path, BAD_INPUT) as lab:
        lab.expect("SESSION")
        before = {name: lab.get(name) for name in ("S1:POWER:SP", "GAS:FLOW:SP", "S1:SHUTTER:SP", "SUBSTRATE:NUMBER")}
        assert None not in before.values()
        found = {}
        for _ in EXPECTED:
            what, answer = lab.expect("TRIED").split(" -> ")
            found[what] = answer.split(" | ")[0]
        assert found == EXPECTED
        assert lab.expect("DOCUMENTS") == "0"
        assert {name: lab.get(name) for name in before} == before


def run_sdl(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_", "TILED_", "SDL_"))}
    return subprocess.run(
        [sys.executable, "-m", "sdl_bluesky.cli", *arguments, "--home", str(home)],
        env={**clean, **environment}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def write_lab(path: Path, data: dict) -> Path:
    import yaml

    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def test_a_wrong_unit_in_the_lab_file_is_named(tmp_path: Path) -> None:
    data = lab_data("auto")
    data["chamber"]["sources"]["cu"]["max_power"] = "0.1 kW"
    done = run_sdl("up", "--lab", str(write_lab(tmp_path / "lab.yml", data)), home=tmp_path / "home")
    assert done.returncode == 1
    assert "UnitError" in done.stderr
    assert "chamber.sources.cu.max_power" in done.stderr
    assert not (tmp_path / "home" / "services.json").exists()


@pytest.mark.parametrize("part", ["epics", "catalogue"])
def test_a_busy_port_is_named(tmp_path: Path, part: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        data = lab_data("auto")
        data[part]["port"] = port
        done = run_sdl("up", "--lab", str(write_lab(tmp_path / "lab.yml", data)), home=tmp_path / "home")
    assert done.returncode == 1
    assert "PortInUse" in done.stderr
    assert str(port) in done.stderr


def test_a_missing_tiled_is_named(tmp_path: Path) -> None:
    with socket.socket() as silent:  # held, so that nobody else answers there
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        data = lab_data("auto")
        data["catalogue"] = {"uri": f"http://127.0.0.1:{port}"}
        lab = write_lab(tmp_path / "lab.yml", data)
        done = run_sdl("shell", "-c", "1", "--lab", str(lab), home=tmp_path / "home", TILED_API_KEY="a1")
        assert "ServiceMissing" in done.stdout + done.stderr
        assert f":{port}" in done.stdout + done.stderr
        done = run_sdl("campaign", "list", "--lab", str(lab), home=tmp_path / "home", TILED_API_KEY="a1")
    assert done.returncode == 1
    assert "ServiceMissing" in done.stderr


MEASURE = """
from sdl_bluesky.plans.sputter import measure_rate
pages = []
RE.subscribe(lambda name, doc: pages.append(time.time()), "event_page")
opened = threading.Event()
chamber.source("cu").shutter.readback.subscribe(lambda value=None, **_: opened.set() if int(value) else None)
threading.Thread(target=lambda: opened.wait() and say("OPEN"), daemon=True).start()
(uid,) = RE(measure_rate(chamber, "cu", 50.0, 8.0, session.settings, sample="fault"))
say("PAGES", *pages)
say("DONE", uid)
"""


def logged_events(home: Path, uid: str) -> dict[str, list[dict]]:
    """Every event of a run in the log, by stream."""
    streams: dict[str, str] = {}
    events: dict[str, list[dict]] = {}
    for path in sorted((home / "log").glob("*.jsonl")):
        for line in path.read_bytes().splitlines()[1:]:
            try:
                name, doc = json.loads(line)
            except ValueError:  # the line that was being written when the process died
                continue
            if name == "descriptor" and doc["run_start"] == uid:
                streams[doc["uid"]] = doc["name"]
            elif name == "event" and doc["descriptor"] in streams:
                events.setdefault(streams[doc["descriptor"]], []).append(doc["data"])
            elif name == "event_page" and doc["descriptor"] in streams:
                rows = [dict(zip(doc["data"], row, strict=True)) for row in zip(*doc["data"].values(), strict=True)]
                events.setdefault(streams[doc["descriptor"]], []).extend(rows)
    return events


def assert_all_in_tiled(client, uid: str, events: dict[str, list[dict]]) -> None:
    from sdl_bluesky.data.catalogue import find_run, read_table

    run = find_run(client, uid)
    for stream, rows in events.items():
        table = read_table(run, stream)
        assert len(table) == len(rows), stream
        for key, value in rows[0].items():
            if isinstance(value, int | float):
                assert table[key].tolist() == [row[key] for row in rows], (stream, key)


def test_tiled_killed_in_mid_run_costs_no_time_and_no_event(tmp_path: Path) -> None:
    from sdl_bluesky.data.catalogue import connect
    from sdl_bluesky.data.status import wait_until_written

    patient = {"speed": 20.0, "heartbeat_timeout_s": 10.0}
    with LabProcess(tmp_path, MEASURE + "time.sleep(200)", measurement=SHORT, **patient) as lab:
        lab.expect("OPEN")
        killed = lab.child("tiled")
        lab.signal_child("tiled", signal.SIGKILL)
        gone = time.time()
        key = (lab.home / "tiled" / "api-key").read_text().strip()
        uri = lab.services()["tiled_uri"]
        wait_until(lambda: lab.child("tiled") != killed, 90.0, "a new Tiled server")  # it is told once it serves
        back = time.time()
        pages = [float(when) for when in lab.expect("PAGES").split()]
        assert sum(gone < when < back for when in pages) >= 3, (gone, back, pages)  # nobody waited for a server
        uid = lab.expect("DONE")
        client = connect(uri, key, timeout=30.0)
        wait_until_written(lab.home / "log", client, uid, 120.0)
        events = logged_events(lab.home, uid)
        assert set(events) == {"baseline", "qcm", "primary"}
        assert len(events["qcm"]) > 20
        assert_all_in_tiled(client, uid, events)


def test_an_engine_killed_in_mid_run_leaves_every_document(tmp_path: Path) -> None:
    from sdl_bluesky.session.catalogue import open_catalogue

    with LabProcess(tmp_path, MEASURE, speed=20.0, heartbeat_timeout_s=10.0, measurement=LONG) as lab:
        lab.expect("OPEN")
        [uid] = [
            json.loads(line)[1]["uid"]
            for path in (lab.home / "log").glob("*.jsonl")
            for line in path.read_bytes().splitlines()
            if line.startswith(b'["start"')
        ]

        def rows() -> int:
            return len(logged_events(lab.home, uid).get("qcm", ()))

        known = rows()
        wait_until(lambda: rows() > known + 10, 60.0, "more rows in the log")
        lab.process.kill()
        lab.process.wait()
        events = logged_events(lab.home, uid)
        assert "primary" not in events  # in mid-run
        assert len(events["qcm"]) > known + 10
        first = run_sdl("replay-log", home=lab.home)
        second = run_sdl("replay-log", home=lab.home)
        assert first.returncode == second.returncode == 0, first.stderr + second.stderr
        with open_catalogue(None, lab.home) as client:
            assert_all_in_tiled(client, uid, events)
        assert "0 written" in second.stdout, second.stdout
