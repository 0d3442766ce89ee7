"""A campaign killed with -9 goes on from its documents: nothing repeated, nothing lost, the same decisions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from _lab import LabProcess, lab_data
from _twin import wait_until

from sdl_bluesky.bench.kills_watch import Watch
from sdl_bluesky.data.campaigns import campaign_chain, decisions, primary, start_of, stop_of
from sdl_bluesky.data.catalogue import find_runs, read_table
from sdl_bluesky.plans.recall import replay
from sdl_bluesky.session.campaigns import is_finished, list_campaigns
from sdl_bluesky.session.catalogue import open_catalogue

pytestmark = pytest.mark.system

CAMPAIGN = {
    "schema": 1,
    "name": "resume",
    "sample": "killed",
    "seed": 3,
    "learn": {
        "cu": {"experiments": 7},
        "sn": {"experiments": 3, "agent": "sobol"},
    },
    "deposit": {"powers": {"cu": "50 W", "sn": "40 W"}, "pressure": "8 mTorr", "duration": "300 s"},
}
STEPS = 11
SLOW = 40.0
"""Simulated seconds per second in which a shutter stays open for seconds: long enough to be seen, whoever is late."""

MAIN = "import sys; from sdl_bluesky.cli import main; sys.exit(main(sys.argv[1:] or {!r}))"


def sdl(lab: LabProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sdl_bluesky.cli", *arguments]
    return subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=400, check=False)


def stop_in_mid_experiment(lab: LabProcess) -> int:
    """Stop the process while a copper shutter is open; returns how many decisions it had made by then, from its log."""
    lab.put("SIM:SPEED", SLOW)
    while True:
        wait_until(lambda: (lab.get("S1:SHUTTER") or 0.0) >= 1.0, 120.0, "an open shutter")
        os.kill(lab.process.pid, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(lab.process.pid, os.WUNTRACED)[1]), lab.story()
        watch = Watch(lab.home / "log")
        watch.look()
        if any("step" in start for start in watch.open_runs.values()):
            return len(watch.decisions)
        os.kill(lab.process.pid, signal.SIGCONT)  # it had just ended


def test_a_killed_campaign_goes_on_from_its_documents(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yml"
    file.write_text(yaml.safe_dump(CAMPAIGN, sort_keys=False))
    arguments = ["campaign", "run", str(file)]
    data = lab_data("auto", speed=120.0, heartbeat_timeout_s=10.0)
    with LabProcess(tmp_path, MAIN.format(arguments), prelude="", data=data) as lab:
        for step in range(1, 7):  # six experiments, the last of them BALM's own choice
            lab.expect(f"{step:3d}  learn:cu", 120.0)
        made = stop_in_mid_experiment(lab)  # six, if this process is not late
        assert 6 <= made < STEPS
        os.kill(lab.process.pid, signal.SIGKILL)
        lab.process.wait()

        with open_catalogue(None, lab.home) as client:
            [listed] = list_campaigns(client)
        done = sdl(lab, "campaign", "resume", listed.uid[:8])
        assert done.returncode == 0, done.stdout + done.stderr
        told = [int(step) for step in re.findall(r"^ *(\d+)  (?:learn|deposit)", done.stdout, re.MULTILINE)]
        assert told == list(range(made + 1, STEPS + 1))  # of the others, nothing is done again

        with open_catalogue(None, lab.home) as client:
            assert is_finished(client, list_campaigns(client)[0].uid) is False
            chain = campaign_chain(client, listed.uid)
            assert is_finished(client, chain[1].item["id"])
            assert [(stop_of(run) or {})["exit_status"] for run in chain] == ["abort", "success"]
            assert start_of(chain[1])["resumes"] == listed.uid
            rows = decisions(client, listed.uid)
            assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
            assert [row["stage"] for row in rows] == ["learn:cu"] * 7 + ["learn:sn"] * 3 + ["deposit"]
            assert {row["outcome"] for row in rows} == {"success"}
            assert len({row["outcome_uid"] for row in rows}) == STEPS  # none twice

            runs = {
                uid: (stop_of(run) or {})["exit_status"] for uid, run in find_runs(client, campaign=listed.uid).items()
            }
            interrupted = [uid for uid, status in runs.items() if status == "abort"]
            assert len(interrupted) == 1
            assert set(runs) - set(interrupted) == {row["outcome_uid"] for row in rows}  # none lost
            for row in rows[:7]:  # agents learned from readbacks, and each decision says from which runs
                data = primary(find_runs(client, uid=row["outcome_uid"]).values().first())
                assert row["outcome_row"]["power"] == data["cu_power"]
                assert row["outcome_row"]["rate"] == data["qcm1_rate"]
                assert row["based_on"] == [earlier["outcome_uid"] for earlier in rows[: row["step"] - 1]]
            assert len(read_table(find_runs(client, uid=rows[-1]["outcome_uid"]).values().first(), "qcm")) > 5

            differences = [row.difference for row in replay(client, listed.uid)]
            assert len(differences) == 10
            assert max(differences) <= 1e-9
