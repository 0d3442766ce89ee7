"""Estimates beside what the simulated machine then uses; and a campaign that must not begin is refused, from outside too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from _lab import LabProcess, lab_data

pytestmark = pytest.mark.system

FIRST = {"schema": 1, "name": "first", "sample": "first", "learn": {"cu": {"experiments": 2}}}
SECOND = {
    "schema": 1,
    "name": "second",
    "sample": "second",
    "seed": 5,
    "learn": {"cu": {"experiments": 1}, "sn": {"experiments": 1}},
    "deposit": {"powers": {"cu": "50 W", "sn": "40 W"}, "pressure": "8 mTorr", "duration": "300 s"},
}
SPEED = 100.0
SCRIPT = """
import json
from pathlib import Path

# real seconds for which this process or the IOC stood still, all and the longest: simulated time went on unplanned
stood = {"all": 0.0, "longest": 0.0}
def gap(seconds, usual):
    stood["longest"] = max(stood["longest"], seconds)
    stood["all"] += seconds - usual if seconds > usual + 0.3 else 0.0
def watch():
    while True:
        began = time.monotonic()
        time.sleep(0.05)
        gap(time.monotonic() - began, 0.05)
def ticked(timestamp=None, ticks=[], **_):
    gap(timestamp - ticks[-1] if ticks else 0.0, 0.1)
    ticks[:] = [timestamp]
threading.Thread(target=watch, daemon=True).start()
chamber.clock.time.subscribe(ticked, run=False)

told = {}
def remember(name, doc):
    if name == "event" and "cu_energy" in doc["data"]:
        told["energy"] = doc["data"]["cu_energy"]
RE.subscribe(remember)
def meter():
    chamber.clock.after(1.0).wait(60)  # of a machine at rest: what is read is of a tick that came after the call
    return float(chamber.source("cu").energy.get())

from sdl_bluesky.bench.campaign import compared
from sdl_bluesky.errors import InterlockTripped
from sdl_bluesky.session.campaigns import read_campaign_file
from sdl_bluesky.session.estimates import estimate
for name in ("first", "second"):
    before = meter()
    stood.update({"all": 0.0, "longest": 0.0})
    rows = compared(session, read_campaign_file(Path(f"{name}.yml")))
    say("ROWS", json.dumps([rows, told["energy"] - before, meter() - before, stood]))
say("TRIP")
while not chamber.interlock.tripped:
    time.sleep(0.05)
try:
    estimate(session, "second.yml")
except InterlockTripped as fault:
    say("REFUSED", fault)
say("CHECK")
time.sleep(600.0)
"""


def check_from_outside(lab: LabProcess, file: Path) -> subprocess.CompletedProcess[str]:
    """`sdl campaign check` beside the session that runs the lab; again if the machine did not answer in its few seconds."""
    command = [sys.executable, "-m", "sdl_bluesky.cli", "campaign", "check", str(file)]
    for _ in range(3):
        done = subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=120, check=False)
        if "does not answer" not in done.stdout:
            break
    return done


def test_a_campaign_uses_what_was_estimated(tmp_path: Path) -> None:
    for campaign in (FIRST, SECOND):
        (tmp_path / f"{campaign['name']}.yml").write_text(yaml.safe_dump(campaign))
    data = lab_data(0, speed=SPEED, seed=4, heartbeat_timeout_s=10.0)
    del data["rbs"]
    with LabProcess(tmp_path, SCRIPT, data=data) as lab:
        found: list[dict[str, dict[str, Any]]] = []
        stalls: list[float] = []
        for _ in range(2):
            rows, at_last_reading, in_the_end, stood = json.loads(lab.expect("ROWS", 250.0))
            found.append({row["name"]: row for row in rows})
            # asked from the machine; what a target gets after the last reading before another source is used, or after the
            # very last one, is in no document
            between_readings = 0.1 * SPEED * stood["longest"] / 3600.0  # at 100 W
            used = found[-1]["energy:cu"]["used"]
            assert at_last_reading - between_readings <= used <= at_last_reading * (1.0 + 1e-6)
            assert at_last_reading <= in_the_end
            # part of the process time in which something stood still; power and flow are at most twice their means
            stalls.append(2.0 * SPEED * stood["all"] / (3600.0 * found[-1]["process_time"]["used"]))
        first, second = found
        assert first["experiments"]["used"] == first["experiments"]["expected"] == 2.0
        assert second["films"]["used"] == second["substrates"]["used"] == 1.0
        for rows, stall in zip(found, stalls):
            # How long a rate takes until it is known is chance: what is told are bounds. How near the estimates are on
            # the average of many campaigns is the subject of a study.
            for name in ("process_time", "energy:cu", "argon"):
                row = rows[name]
                assert 0.9 * row["low"] <= row["used"] <= (1.1 + stall) * row["high"], (row, stall)
                assert row["high"] < 3.0 * row["low"], row
            for sensor in ("qcm1", "qcm2", "qcm3"):  # rates are unknown to a factor of two at first
                life = rows[f"crystal_life:{sensor}"]
                assert life["low"] <= life["used"] <= life["high"] * (1.0 + stall), (life, stall)

        lab.expect("TRIP")
        good = check_from_outside(lab, tmp_path / "second.yml")
        assert good.returncode == 0, good.stdout + good.stderr
        assert "the campaign can be done" in good.stdout
        assert "earlier run" in good.stdout
        lab.put("SIM:FAULT:DOOR", 1)
        assert "door" in lab.expect("REFUSED").lower()
        refused = check_from_outside(lab, tmp_path / "second.yml")
        assert refused.returncode == 1
        assert "InterlockTripped" in refused.stderr
        assert "door" in refused.stderr.lower()
