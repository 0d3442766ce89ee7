"""Everything but the catalogue is lost: log, desk, twin, truth, locks, lab file.

A campaign goes on with the same next point; another one learns from what it measured and from what a person measured.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from _lab import LabProcess, lab_data
from _terminal import SDL, Terminal
from test_campaign import stop_in_mid_experiment

from sdl_bluesky.data.campaigns import campaign_chain, decisions, primary, start_of
from sdl_bluesky.data.catalogue import connect, find_runs
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.plans.campaign import agent_of
from sdl_bluesky.plans.recall import recall, replay
from sdl_bluesky.session.campaigns import is_finished, list_campaigns
from sdl_bluesky.session.catalogue import open_catalogue

pytestmark = pytest.mark.system

DONE = 4
STEPS = 6
CAMPAIGN = {"schema": 1, "name": "alone", "sample": "alone", "seed": 5, "learn": {"cu": {"experiments": STEPS}}}
CATALOGUE = ("catalog.db", "files", "tables.duckdb")
"""What the catalogue is made of in the folder `tiled` of a lab; not even its key is kept."""
MAIN = "import sys; from sdl_bluesky.cli import main; sys.exit(main({!r}))"


def next_suggestion(client: Any) -> tuple[str, dict[str, Any]]:
    """The campaign of a catalogue, and what an agent that has nothing else proposes."""
    [listed] = list_campaigns(client)
    spec, history = recall(client, listed.uid)
    [point] = agent_of(spec, "cu", history).suggest(1)
    return listed.uid, point


def wait_until_all_is_in_catalogue(lab: LabProcess) -> None:
    """Wait until the catalogue knows all that the stopped process has written; what it does not know then is lost."""
    client = connect(lab.services()["tiled_uri"], (lab.home / "tiled" / "api-key").read_text().strip())
    wait_until_caught_up(lab.home / "log", client, 120.0)


def lose_all_but_the_catalogue(home: Path) -> set[str]:
    """Delete every file of a data folder that is not of the catalogue; returns what there was."""
    there = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    for path in [*home.iterdir(), *(home / "tiled").iterdir()]:
        if path != home / "tiled" and not (path.parent != home and path.name.startswith(CATALOGUE)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return there - {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@dataclass
class Done:
    """A campaign that was killed, lost everything but the catalogue, and was resumed.

    Attributes:
        lost: files that were deleted.
        before, after: what a new agent proposed before and after that.
        chosen: start document of the experiment that the killed process had just begun.
        made: how many decisions it had made by then.
        rows: those.
        resumed: the command that went on.
    """

    lab: LabProcess
    folder: Path
    campaign: str
    lost: set[str]
    before: dict[str, Any]
    after: dict[str, Any]
    chosen: dict[str, Any]
    made: int
    rows: list[dict[str, Any]]
    resumed: Terminal


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("alone")
    file = folder / "campaign.yml"
    file.write_text(yaml.safe_dump(CAMPAIGN, sort_keys=False))
    data = lab_data("auto", speed=200.0, heartbeat_timeout_s=10.0)
    with LabProcess(folder, MAIN.format(["campaign", "run", str(file)]), prelude="", data=data) as lab:
        for step in range(1, DONE + 1):
            lab.expect(f"{step:3d}  learn:cu", 120.0)
        made = stop_in_mid_experiment(lab)  # no further, but its services go on
        assert DONE <= made < STEPS
        wait_until_all_is_in_catalogue(lab)
        os.kill(lab.process.pid, signal.SIGKILL)
        lab.process.wait()
        with open_catalogue(None, lab.home) as client:  # waits for the end of the services
            campaign, before = next_suggestion(client)
        lost = lose_all_but_the_catalogue(lab.home)
        file.unlink()
        with open_catalogue(None, lab.home) as client:
            _, after = next_suggestion(client)
            rows = decisions(client, campaign)
            [begun] = find_runs(client, campaign=campaign, step=made + 1).values()
            chosen = start_of(begun)
        elsewhere = folder / "elsewhere"  # a lab file is what the machine is, not what was measured with it
        elsewhere.mkdir()
        (elsewhere / "machine.yml").write_text(yaml.safe_dump(data, sort_keys=False))
        resumed = Terminal((*SDL, "campaign", "resume", campaign[:8], "--lab", "machine.yml"), elsewhere, lab.env)
        resumed.process.wait(300)
        assert resumed.end() == 0, resumed.text
        yield Done(lab, folder, campaign, lost, before, after, chosen, made, rows, resumed)


def test_the_next_suggestion_needs_nothing_but_the_catalogue(done: Done) -> None:
    assert {"lab.yml", "services.json", "scan-id", "truth.json", "tiled/api-key"} <= done.lost
    assert {name.partition("/")[0] for name in done.lost} >= {"log", "twin"}
    assert [row["step"] for row in done.rows] == list(range(1, done.made + 1))
    assert done.rows[-1]["acquisition_name"] == "balm"
    assert done.chosen["suggestion_id"] == done.after["_id"] == done.before["_id"]
    for name in ("power", "pressure"):
        assert done.after[name] == pytest.approx(done.before[name], abs=1e-12)
        assert done.chosen[name] == pytest.approx(done.after[name], abs=1e-12)  # as the killed process had chosen


def test_the_campaign_is_resumed_to_its_end_and_repeats_nothing(done: Done) -> None:
    assert f"{done.made:3d}  learn:cu" not in done.resumed.text
    assert f"campaign {done.campaign} is finished" in done.resumed.text
    with open_catalogue(None, done.lab.home) as client:
        chain = campaign_chain(client, done.campaign)
        assert is_finished(client, str(chain[-1].item["id"]))
        assert start_of(chain[1])["resumes"] == done.campaign
        whole = decisions(client, done.campaign)
        assert json.dumps(whole[: done.made]) == json.dumps(done.rows)
        assert [row["step"] for row in whole] == list(range(1, STEPS + 1))
        assert {row["outcome"] for row in whole} == {"success"}
        assert whole[done.made]["suggestion_id"] == done.before["_id"]
        for name in ("power", "pressure"):
            assert whole[done.made]["inputs"][name] == pytest.approx(done.before[name], abs=1e-12)
        uids = [row["outcome_uid"] for row in whole]
        assert len(set(uids)) == STEPS  # none twice
        read = [primary(find_runs(client, uid=uid).values().first()) for uid in uids]
        assert [row["outcome_row"]["rate"] for row in whole] == [row["qcm1_rate"] for row in read]
        assert max(row.difference for row in replay(client, done.campaign)) <= 1e-12


LEARN_ON = """
from pathlib import Path
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import SDLError
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.session.campaigns import read_campaign_file, run_campaign_file
from sdl_bluesky.session.estimates import Machines, checked
from sdl_bluesky.session.namespace import bound_plans
plans = bound_plans(session)
for power, pressure in ((40.0, 10.0), (150.0, 10.0)):
    try:
        RE(plans["measure_rate"]("cu", power, pressure, sample="by-hand"))
    except SDLError as fault:
        say("REFUSED", type(fault).__name__)
def wanting(source, **earlier):
    body = {"schema": 1, "name": "n", "sample": "n", "learn": {source: {"earlier": [earlier]}}}
    return check(body, CampaignFile, "a campaign")
for wrong in (
    wanting("cu", campaign="ffffffff"), wanting("sn", campaign=CAMPAIGN), wanting("cu", sample="nobody's"),
    wanting("cu", sample="by-hand", before="2020-01-01"),
):
    try:
        run_campaign_file(session, wrong)
    except SDLError as fault:
        say("WRONG", type(fault).__name__, fault)
spec = read_campaign_file(Path("second.yml"))
say("NOTES", *checked(session.lab, spec, Machines(session.chamber), session.client).notes)
say("CAMPAIGN", run_campaign_file(session, spec).campaign)
session.close()
"""


def test_a_campaign_learns_from_an_earlier_one_and_from_runs_by_hand(done: Done) -> None:
    earlier = [{"campaign": done.campaign[:8]}, {"sample": "by-hand", "after": "2020-01-01", "scale": "5 %"}]
    second = {**CAMPAIGN, "name": "second", "sample": "second", "learn": {"cu": {"experiments": 2, "earlier": earlier}}}
    (done.folder / "second.yml").write_text(yaml.safe_dump(second, sort_keys=False))
    script = f"CAMPAIGN = {done.campaign!r}\n" + LEARN_ON
    with LabProcess(done.folder, script, data=done.lab.data) as lab:
        lab.expect("SESSION")
        assert lab.expect("REFUSED", 120.0) == "OutOfRange"
        assert lab.expect("WRONG").startswith("CatalogueError no campaign begins with 'ffffffff'")
        for _ in range(3):
            assert lab.expect("WRONG").startswith("CampaignError no earlier run of source")
        assert "cu: 7 earlier run(s) are learned from: 6 of the same setting, 1 to a factor of 5 %" in lab.expect(
            "NOTES"
        )
        campaign = lab.expect("CAMPAIGN", 120.0)
        assert lab.wait() == 0
    with open_catalogue(None, done.lab.home) as client:
        first = [row["outcome_uid"] for row in decisions(client, done.campaign)]
        [by_hand] = find_runs(client, sample="by-hand")
        recorded = start_of(campaign_chain(client, campaign)[0])["earlier"]["cu"]
        assert [row["uid"] for row in recorded] == [*first, by_hand]
        assert [row["earlier_scale"] for row in recorded] == [0.0] * 6 + [0.05]
        rows = decisions(client, campaign)
        assert len(rows) == 2  # the budget is that of its own experiments
        assert [row["acquisition_name"] for row in rows] == ["balm", "balm"]
        assert rows[0]["based_on"] == [*first, by_hand]
        assert rows[1]["based_on"] == [*first, by_hand, rows[0]["outcome_uid"]]
        assert rows[0]["posterior"]["readings"] == 7
        reading = primary(find_runs(client, uid=rows[0]["outcome_uid"]).values().first())["qcm1_rate"]
        assert abs(reading - rows[0]["prediction_mean"]) < 5 * rows[0]["prediction_std"] + 0.08 * reading
        assert [row.difference for row in replay(client, campaign)] == [0.0, 0.0]
