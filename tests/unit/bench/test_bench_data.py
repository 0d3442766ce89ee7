"""The study of what keeping everything costs: what it makes is what it says that it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bluesky import RunEngine

from sdl_bluesky.bench import BENCHES, data_news
from sdl_bluesky.bench.data_campaign import SOURCES, many_events, recorded_campaign
from sdl_bluesky.bench.data_news import Listener
from sdl_bluesky.data.consumers.follow import News
from sdl_bluesky.errors import CatalogueError, ServiceError
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


def listener(monkeypatch: pytest.MonkeyPatch, *news: News | Exception) -> Listener:
    def follow(client: Any, campaign: str, stop: Callable[[], bool]) -> Iterator[News]:
        for one in news:
            if isinstance(one, Exception):
                raise one
            yield one

    monkeypatch.setattr(data_news, "follow", follow)
    return Listener(None, "campaign")  # type: ignore[arg-type]


def test_a_delay_counts_from_the_time_of_the_news(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    with listener(
        monkeypatch, News("decision", "1", before - 100.0, {}), News("result", "2", before - 50.0, {})
    ) as told:
        assert 100.0 <= told.wait("decision") <= 100.0 + time.time() - before
        assert 50.0 <= told.wait("result") <= 50.0 + time.time() - before


def test_what_a_consumer_is_not_told_ends_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener(monkeypatch) as told, pytest.raises(ServiceError, match=r"no decision within 0\.01 s.*writer"):
        told.wait("decision", patience_s=0.01)
    with (
        listener(monkeypatch, News("end", "1:2", 0.0, {})) as told,
        pytest.raises(ServiceError, match="of end 1:2 where a decision"),
    ):
        told.wait("decision")
    fault = CatalogueError("no campaign")
    with listener(monkeypatch, fault) as told, pytest.raises(CatalogueError, match="no campaign"):
        told.wait("decision")
