"""A plasma that goes out on the way down: what was seen is in the documents, and agents rebuilt from them agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from _lab import LabProcess, lab_data

from sdl_bluesky.data.campaigns import decisions, primary
from sdl_bluesky.data.catalogue import find_runs
from sdl_bluesky.plans.recall import recall, replay
from sdl_bluesky.session.campaigns import list_campaigns
from sdl_bluesky.session.catalogue import open_catalogue

pytestmark = pytest.mark.system

CAMPAIGN = {
    "schema": 1,
    "name": "down",
    "sample": "dark",
    "seed": 1,
    "learn": {"cu": {"experiments": 4, "pressure": "2 to 20 mTorr", "extinction": "learn", "target_life": "50 kWh"}},
}
MAIN = "import sys; from sdl_bluesky.cli import main; sys.exit(main(sys.argv[1:] or {!r}))"


def test_the_boundary_is_bracketed_once_and_stays_in_the_documents(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yml"
    file.write_text(yaml.safe_dump(CAMPAIGN, sort_keys=False))
    data = lab_data("auto", speed=120.0, heartbeat_timeout_s=10.0)
    with LabProcess(tmp_path, MAIN.format(["campaign", "run", str(file)]), prelude="", data=data) as lab:
        lab.expect("  4  learn:cu", 400.0)
        assert lab.process.wait(120) == 0
        truths = [json.loads(path.read_text()) for path in tmp_path.rglob("*truth*.json")]
        [truth] = [t for t in truths if "sources" in t]
        with open_catalogue(None, lab.home) as client:
            [listed] = list_campaigns(client)
            rows = decisions(client, listed.uid)
            assert [row["outcome"] for row in rows] == ["failed", "success", "success", "success"]
            first = rows[0]
            assert first["acquisition_name"] == "extinction boundary"
            assert first["inputs"]["pressure"] == 2.0
            seen = first["outcome_row"]
            assert seen["plasma"] == 0
            low, high = _around(truth, first["inputs"]["power"])
            assert seen["lit_pressure"] > 0.97 * low
            assert seen["out_pressure"] < 1.03 * high
            assert seen["lit_pressure"] < 1.08 * seen["out_pressure"]  # narrow
            data = primary(find_runs(client, uid=rows[1]["outcome_uid"]).values().first())
            assert data["qcm1_saturated"] == 0
            assert 90.0 < data["qcm1_life"] <= 100.0
            assert rows[1]["outcome_row"]["crystal_life"] == data["qcm1_life"]
            assert rows[1]["outcome_row"]["energy"] == data["cu_energy"] < 50.0
            _, history = recall(client, listed.uid)
            assert history.steps[0].row == seen
            assert max(row.difference for row in replay(client, listed.uid)) <= 1e-9


def _around(truth: dict, power: float) -> tuple[float, float]:
    """Pressures of the truth's grid between which a copper plasma of this power goes out."""
    lit, pressure = np.array(truth["sources"]["cu"]["lit"]), np.array(truth["pressure_mTorr"])
    column = int(np.argmin(np.abs(np.array(truth["power_W"]) - power)))
    first = int(np.argmax(lit[:, column]))
    return float(pressure[first - 1]), float(pressure[first])
