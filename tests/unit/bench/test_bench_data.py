"""The study of what keeping everything costs: what it makes is what it says that it makes."""

from __future__ import annotations

from typing import Any

from bluesky import RunEngine

from sdl_bluesky.bench import BENCHES
from sdl_bluesky.bench.data_campaign import SOURCES, many_events, recorded_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile


def documents(plan: Any) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    kept: list[tuple[str, dict[str, Any]]] = []
    engine = RunEngine({}, context_managers=[], call_returns_result=True)
    engine.subscribe(lambda name, doc: kept.append((name, dict(doc))))
    return plan(engine), kept


def test_the_study_is_listed() -> None:
    assert BENCHES["data"] == "sdl_bluesky.bench.data"


def test_a_run_of_many_events_has_so_many_with_twelve_columns() -> None:
    _, kept = documents(lambda engine: engine(many_events(7)))
    events = [doc for name, doc in kept if name == "event"]
    assert len(events) == 7
    assert {len(event["data"]) for event in events} == {12}


def test_the_campaign_has_a_decision_for_each_of_its_runs() -> None:
    (campaign, last), kept = documents(lambda engine: recorded_campaign(engine, 3))
    starts = {doc["uid"]: doc for name, doc in kept if name == "start"}
    told = [doc["data"] for name, doc in kept if name == "event" and "suggestion_id" in doc["data"]]
    assert len(told) == 3 * len(SOURCES)
    assert list(starts)[-1] == last
    assert CampaignFile.from_document(starts[campaign]["campaign_file"]).name == "many"
    for row in told:
        assert starts[row["outcome_uid"]]["suggestion_id"] == row["suggestion_id"]
        assert starts[row["outcome_uid"]]["campaign"] == campaign
