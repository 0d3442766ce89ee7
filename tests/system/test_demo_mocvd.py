"""Layers grown to a wavelength by a campaign: reactor IOC, Bluesky, Tiled, analysis, agent, judge; and the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from _lab import LabProcess, lab_data

from sdl_bluesky.analysis.kinds import LAYER
from sdl_bluesky.data.analysis import find_analyses, read_analysis
from sdl_bluesky.plans.growth.recall import earlier_rows, recall_growth
from sdl_bluesky.session.campaigns import replay_campaign
from sdl_bluesky.session.catalogue import open_catalogue

pytestmark = pytest.mark.system

CAMPAIGN = {
    "schema": 1,
    "name": "growth",
    "sample": "grown",
    "grow": {
        "preliminary": [
            {"f_ga": f"{ga} sccm", "f_as": f"{as_} sccm"} for ga, as_ in ((5.3, 9.6), (5.6, 10.6), (6.2, 10.9))
        ],
        "targets": [{"wavelength": "1170 nm", "runs": 4}],
    },
}

SCRIPT = """
import json
from pathlib import Path
from sdl_bluesky.demo.growth import conclude
from sdl_bluesky.session.campaigns import read_campaign_file, run_campaign_file
history = run_campaign_file(session, read_campaign_file(Path("growth.yml")))
say("SUMMARY", json.dumps(conclude(session, history.campaign, 0)))
session.close()
"""


@dataclass
class Done:
    """What the lab left."""

    summary: dict[str, Any]
    lab: LabProcess


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("growth")
    data = lab_data(0, speed=400.0, seed=3, heartbeat_timeout_s=10.0, mocvd={"strain": "coherent"})
    del data["rbs"]
    (folder / "growth.yml").write_text(yaml.safe_dump(CAMPAIGN))
    with LabProcess(folder, SCRIPT, data=data) as lab:
        summary = json.loads(lab.expect("SUMMARY", 480.0))
        assert lab.wait() == 0, lab.story()
        yield Done(summary, lab)


def test_a_layer_of_the_wanted_wavelength_is_grown_and_it_is_one_in_truth(done: Done) -> None:
    found = done.summary["mocvd"]["targets"]["1170"]
    assert found["reached"]
    assert done.summary["mocvd"]["runs_to_target"] == {"1170": found["runs"]}
    assert abs(found["truth"]["wavelength"] - 1170.0) < 12.0
    assert abs(found["truth"]["mismatch_percent"]) < 0.06
    assert abs(found["truth"]["wavelength"] - found["wavelength"]) < 5.0
    assert abs(found["truth"]["mismatch_percent"] - found["mismatch_percent"]) < 0.01


def test_everything_is_in_the_catalogue_and_an_agent_made_from_it_chooses_the_same(done: Done) -> None:
    campaign = done.summary["campaign"]
    with open_catalogue(None, done.lab.home) as client:
        spec, history = recall_growth(client, campaign)
        assert spec.stages() == ["preliminary", "grow:1170"]
        layers = [s for s in history.steps if s.outcome == "success"]
        assert len(find_analyses(client, LAYER, campaign=campaign)) == len(layers)
        [key] = find_analyses(client, LAYER, run=layers[-1].uid)
        result = read_analysis(client, key)
        assert result.arrays["pl_map"].shape == (25, 25)
        assert result.metadata["layer"]["wavelength"] == pytest.approx((layers[-1].row or {})["wavelength"])
        again = list(replay_campaign(client, campaign))
        assert again
        assert max(k.difference for k in again) < 1e-9
        assert {row["campaign"] for row in earlier_rows(client, [campaign])} == {campaign}


def test_the_report_shows_what_was_grown(done: Done) -> None:
    page = (done.lab.home / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 6
    for words in ("1170 nm", "PL maps", "PL spectra", "XRD patterns", "d ln odds(x) / d ln F_As"):
        assert words in page
