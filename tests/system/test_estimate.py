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

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

FIRST = {"schema": 1, "name": "first", "sample": "first", "learn": {"cu": {"experiments": 2}}}
SECOND = {
    "schema": 1,
    "name": "second",
    "sample": "second",
    "seed": 5,
    "learn": {"cu": {"experiments": 1}, "sn": {"experiments": 1}},
    "deposit": {"powers": {"cu": "50 W", "sn": "40 W"}, "pressure": "8 mTorr", "duration": "300 s"},
}
SCRIPT = """
import json
from pathlib import Path
from sdl_bluesky.bench.campaign import compared
from sdl_bluesky.errors import InterlockTripped
from sdl_bluesky.session.campaigns import read_campaign_file
from sdl_bluesky.session.estimates import estimate
for name in ("first", "second"):
    before = float(chamber.source("cu").energy.get())
    rows = compared(session, read_campaign_file(Path(f"{name}.yml")))
    say("ROWS", json.dumps([rows, float(chamber.source("cu").energy.get()) - before]))
say("TRIP")
while not chamber.interlock.tripped:
    time.sleep(0.05)
try:
    estimate(session, "second.yml")
except InterlockTripped as fault:
    say("REFUSED", fault)
say("CHECK")
sys.stdin.readline()
time.sleep(60.0)
"""


def check_from_outside(lab: LabProcess, file: Path) -> subprocess.CompletedProcess[str]:
    """`sdl campaign check` beside the session that runs the lab."""
    command = [sys.executable, "-m", "sdl_bluesky.cli", "campaign", "check", str(file)]
    return subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=120, check=False)


def test_a_campaign_uses_what_was_estimated(tmp_path: Path) -> None:
    for campaign in (FIRST, SECOND):
        (tmp_path / f"{campaign['name']}.yml").write_text(yaml.safe_dump(campaign))
    data = lab_data(0, speed=100.0, seed=4)
    del data["rbs"]
    with LabProcess(tmp_path, SCRIPT, data=data) as lab:
        found: list[dict[str, dict[str, Any]]] = []
        for _ in range(2):
            rows, on_the_meter = json.loads(lab.expect("ROWS", 200.0))
            found.append({row["name"]: row for row in rows})
            # asked from the machine; what a target gets after the very last reading is in no document
            assert found[-1]["energy:cu"]["used"] == pytest.approx(on_the_meter, rel=0.03)
        first, second = found
        assert first["experiments"]["used"] == first["experiments"]["expected"] == 2.0
        assert second["films"]["used"] == second["substrates"]["used"] == 1.0
        for rows in found:  # nothing else is asserted of a time: that it comes out as estimated is what this is about
            for name in ("process_time", "energy:cu", "argon"):
                assert abs(rows[name]["error_percent"]) < 15.0, rows[name]
        for rows in found:  # rates are unknown to a factor of two at first
            for sensor in ("qcm1", "qcm2", "qcm3"):
                assert rows[f"crystal_life:{sensor}"]["within"], rows[f"crystal_life:{sensor}"]

        lab.expect("TRIP")
        good = check_from_outside(lab, tmp_path / "second.yml")
        assert good.returncode == 0, good.stdout + good.stderr
        assert "the campaign can be done" in good.stdout
        assert "earlier run" in good.stdout
        lab.put("SIM:FAULT:DOOR", 1)
        assert "door" in lab.expect("REFUSED", 30.0).lower()
        refused = check_from_outside(lab, tmp_path / "second.yml")
        assert refused.returncode == 1
        assert "InterlockTripped" in refused.stderr
        assert "door" in refused.stderr.lower()
