"""The study of kills: its plan is one of chance, its reading of a log and its counting find what they shall find."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine

from sdl_bluesky.bench import BENCHES, kills
from sdl_bluesky.bench.data_campaign import recorded_campaign
from sdl_bluesky.bench.kills_judged import decided_again, rate_error
from sdl_bluesky.bench.kills_watch import Watch, planned, tally
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.plans.campaign import agent_for
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.growth.file import GrowthFile


def test_the_study_is_listed_and_kills_each_kind_twice_and_twenty_in_all() -> None:
    assert BENCHES["kills"] == "sdl_bluesky.bench.kills"
    counts = Counter[str]()
    for victims in kills.VICTIMS.values():
        assert sum(victims.values()) == 10
        counts.update(victims)
    counts["ioc"] += counts.pop("mocvd")
    assert set(counts) == {"agent", "tiled", "writer", "ioc", "worker", "redis"}
    assert min(counts.values()) >= 2


@pytest.mark.parametrize("quick", [True, False])
def test_its_campaign_files_are_campaigns(quick: bool) -> None:
    check(dict(kills.campaign_file("sputter", quick)), CampaignFile, "")
    check(dict(kills.campaign_file("growth", quick)), GrowthFile, "")


def test_victims_and_moments_are_those_of_the_seed() -> None:
    victims = {"agent": 3, "tiled": 2}
    plan = planned(victims, 4)
    assert plan == planned(victims, 4)
    assert plan != planned(victims, 5)
    assert Counter(name for name, _ in plan) == victims
    assert all(0.0 <= part < 1.0 for _, part in plan)
    parts = [part for seed in range(200) for _, part in planned(victims, seed)]
    assert sum(parts) / len(parts) == pytest.approx(0.5, abs=0.03)  # three standard errors of 1,000 uniform numbers


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    with DocumentLog(tmp_path) as log:
        log("start", {"uid": "c", "time": 0.0, "purpose": "campaign"})
        log("start", {"uid": "a", "time": 1.0, "campaign": "c", "stage": "learn:cu", "step": 4, "suggestion_id": "x"})
        watch.look()
        assert watch.doing() == "learn:cu, step 4"
        log("stop", {"uid": "s", "time": 2.0, "run_start": "a", "exit_status": "success"})
        log("descriptor", {"uid": "d", "time": 2.0, "run_start": "c", "name": "decision"})
        log("event", {"descriptor": "d", "seq_num": 1, "time": 2.0, "data": {"step": 4, "inputs": '{"power": 2.0}'}})
        with log.path.open("ab") as torn:
            torn.write(b'["event", {"descriptor"')
        watch.look()
    assert watch.doing() == "between experiments"
    assert watch.campaign_runs() == ["c"]
    assert [k["inputs"] for k in watch.decided("c")] == [{"power": 2.0}]
    assert set(watch.open_runs) == {"c"}
    later = Watch.from_now(tmp_path)
    later.look()
    assert later.documents == []


def decision(uid: str, based_on: list[str], outcome: str = "success") -> dict[str, Any]:
    return {"outcome": outcome, "outcome_uid": uid, "based_on": based_on}


def experiment(uid: str, name: str, status: str = "success") -> list[tuple[str, dict[str, Any]]]:
    start = {"uid": uid, "campaign": "c", "stage": "learn:cu", "suggestion_id": name}
    return [("start", start), ("stop", {"uid": f"{uid}s", "run_start": uid, "exit_status": status})]


def test_what_must_not_happen_is_counted() -> None:
    good = [*experiment("a", "1"), *experiment("b", "2", "abort"), *experiment("d", "2"), *experiment("f", "3", "fail")]
    right = [
        decision("a", []),
        decision("", ["a"], "aborted"),
        decision("d", ["a"]),
        decision("f", ["a", "d"], "failed"),
    ]
    found = tally(right, good, "c")
    assert (found.decisions, found.learned) == (4, 2)
    assert (found.ingested_twice, found.repeated, found.unused) == (0, 0, 0)
    assert tally([*right, decision("a", ["a", "d"])], good, "c").ingested_twice == 1
    assert tally([*right[:3], decision("e", ["a", "d", "a"])], good, "c").ingested_twice == 1
    again = tally(right, [*good, *experiment("g", "2")], "c")
    assert (again.repeated, again.unused) == (1, 1)
    assert tally(right, [*good, *experiment("g", "4")], "other").learned == 2  # runs of others are not counted
    assert tally(right, [*good, *experiment("g", "4")], "c").unused == 1


def recorded(folder: Path) -> tuple[CampaignFile, list[dict[str, Any]]]:
    """A campaign whose decisions nobody made: points of a fixed list."""
    engine = RunEngine({}, context_managers=[], call_returns_result=True)
    with DocumentLog(folder) as log:
        engine.subscribe(log)
        campaign, _ = recorded_campaign(engine, 6)
    watch = Watch(folder)
    watch.look()
    return CampaignFile.from_document(watch.starts[campaign]["campaign_file"]), watch.decided(campaign)


def test_a_decision_is_made_again_from_those_before_it(tmp_path: Path) -> None:
    spec, decided = recorded(tmp_path)
    source = next(iter(spec.learn))
    agent = agent_for(spec, source)
    for row in decided[:5]:
        agent.ingest([row["outcome_row"]])
    [point] = agent.suggest(1)
    right = {name: float(point[name]) for name in ("power", "pressure")}
    assert decided_again(spec, [*decided[:5], {**decided[5], "inputs": right}], 5) <= 1e-9
    low, high = spec.learn[source].power
    wrong = {**right, "power": right["power"] - 0.01 * (high - low)}
    assert decided_again(spec, [*decided[:5], {**decided[5], "inputs": wrong}], 5) == pytest.approx(0.01)


def test_a_learned_rate_is_judged_at_the_points_where_it_was_predicted() -> None:
    class Agent:
        def predict(self, points: Any) -> tuple[Any, Any]:
            return 1000.0 * points[:, 0] + points[:, 1], points[:, 0]

    class Twin:
        def ask(self, do: str, **asked: Any) -> dict[str, Any]:
            self.asked = {"do": do, **asked}
            return {"e_rms_percent": {"qcm1": 1.25}}

    twin: Any = Twin()
    agent: Any = Agent()
    spec = check(dict(kills.campaign_file("sputter", True)), CampaignFile, "")
    assert rate_error(twin, "cu", "qcm1", agent, spec) == 1.25
    asked = twin.asked
    assert (asked["power"][0], asked["power"][-1]) == spec.learn["cu"].power
    assert (asked["pressure"][0], asked["pressure"][-1]) == spec.learn["cu"].pressure
    for j, pressure in enumerate(asked["pressure"]):
        for i, power in enumerate(asked["power"]):
            assert asked["mean"]["qcm1"][j][i] == pytest.approx(1000.0 * power + pressure)
