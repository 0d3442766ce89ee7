"""A campaign with a target on the simulated chamber: learned, checked, designed, made, measured; and chosen again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from _lab import LabProcess, lab_data

from sdl_bluesky.analysis.kinds import COMPOSITION, RBS
from sdl_bluesky.data.analysis import latest_analysis
from sdl_bluesky.data.campaigns import campaign_chain, decisions
from sdl_bluesky.data.catalogue import find_runs
from sdl_bluesky.demo.report import write_report
from sdl_bluesky.plans.recall import replay
from sdl_bluesky.session.campaigns import is_finished, list_campaigns
from sdl_bluesky.session.catalogue import open_catalogue

pytestmark = pytest.mark.system

CAMPAIGN = {
    "schema": 1,
    "name": "target",
    "sample": "wanted",
    "seed": 2,
    "learn": {"cu": {"experiments": 5}, "sn": {"experiments": 5}},
    "checks": 2,
    "target": {
        "composition": {"Cu": "60 %", "Sn": "40 %"},
        "tolerance": "1 %",
        "duration": "300 s",
        "depositions": 1,
        "measure": "rbs",
    },
}
MAIN = "import sys; from sdl_bluesky.cli import main; sys.exit(main(sys.argv[1:] or {!r}))"


@pytest.mark.timeout(600)
def test_a_wanted_composition_is_designed_made_measured_and_chosen_again(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yml"
    file.write_text(yaml.safe_dump(CAMPAIGN, sort_keys=False))
    arguments = ["campaign", "run", str(file)]
    data = lab_data("auto", speed=200.0, seed=6)
    data["rbs"]["measurement"] = {"charge": "2 uC", "longest": "4 uC", "precision": "1 %"}
    with LabProcess(tmp_path, MAIN.format(arguments), prelude="", data=data) as lab:
        told = lab.expect(" 13  target", 400.0)
        assert "in tolerance" in told
        assert lab.wait(300.0) == 0, lab.story()
        command = [sys.executable, "-m", "sdl_bluesky.cli", "campaign", "list"]
        listed = subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=120, check=True)
        assert "finished" in listed.stdout
        truth = json.loads((lab.home / "truth.json").read_text())["films"]["1"]
        true = np.array(truth["fraction"]["Cu"])

        with open_catalogue(None, lab.home) as client:
            [item] = list_campaigns(client)
            [run] = campaign_chain(client, item.uid)
            assert is_finished(client, run.item["id"])
            rows = decisions(client, item.uid)
            stages = ["learn:cu"] * 5 + ["learn:sn"] * 5 + ["check"] * 2 + ["target", "measure"]
            assert [row["stage"] for row in rows] == stages
            assert {row["outcome"] for row in rows} == {"success"}
            checks, film, measured = rows[10:12], rows[12], rows[13]
            for row in checks:
                for pair in row["outcome_row"]["pairs"]:  # in truth 1 % at 10 cm
                    assert abs(pair["change"] - 0.01) < 4 * pair["std"]
                [check] = find_runs(client, uid=row["outcome_uid"]).values()
                assert check.metadata["start"]["plan_name"] == "measure_total"
            expected, made = film["expected"], film["outcome_row"]
            assert expected["fraction"][0][0] == pytest.approx(0.6, abs=0.005)
            for told_of in (expected, made):  # five experiments a source: honest, if not exact
                assert abs(told_of["fraction"][0][0] - true[25, 25]) < 4 * told_of["fraction_std"][0][0]
            points = measured["outcome_row"]
            assert all(points["accepted"])
            for x, y, fraction in zip(points["x_mm"], points["y_mm"], points["fraction"]):
                assert fraction[points["elements"].index("Cu")] == pytest.approx(
                    true[round(y) + 25, round(x) + 25], abs=0.02
                )
            [known] = points["judged"]
            assert known["fraction"][0][0] == pytest.approx(true[25, 25], abs=0.01)
            assert known["fraction_std"][0][0] < made["fraction_std"][0][0]
            assert known["probability"] == pytest.approx(float(abs(known["fraction"][0][0] - 0.6) < 0.01), abs=0.5)
            assert measured["based_on"] == [film["outcome_uid"]]

            assert latest_analysis(client, COMPOSITION, run=film["outcome_uid"]).metadata["substrate_number"] == 1
            assert latest_analysis(client, RBS, based_on=film["outcome_uid"]).metadata["run"] == measured["outcome_uid"]
            differences = {row.step: row.difference for row in replay(client, item.uid)}
            assert set(differences) == set(range(1, 14))
            assert max(differences.values()) <= 1e-6
            page = write_report(tmp_path / "report.html", {}, client, item.uid).read_text()
            assert "Wanted composition" in page
            assert "Do the rates add up?" in page
