from __future__ import annotations

import json
import math

import pytest

from sdl_bluesky.agents import make_agent
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import CampaignError, LabFileError, UnitError
from sdl_bluesky.plans.campaign import agent_for
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.decision import FIELDS, Decision
from sdl_bluesky.plans.history import History, Step, feed, row_of
from sdl_bluesky.plans.record import Field, Record

FILE = {
    "schema": 1,
    "name": "two",
    "sample": "s1",
    "seed": 4,
    "learn": {"cu": {"power": "10 to 90 W", "tolerance": "3 %"}, "sn": {"agent": "sobol"}},
    "deposit": {"powers": {"cu": "40 W", "sn": "30 W"}, "pressure": "8 mTorr", "duration": "600 s"},
}


def spec(**changes: object) -> CampaignFile:
    return check({**FILE, **changes}, CampaignFile, "campaign.yml")


def test_a_recorded_campaign_is_read_back() -> None:
    document = json.loads(json.dumps(spec().as_document()))
    assert CampaignFile.from_document(document) == spec()
    assert document["learn"]["cu"]["power"] == "10.0 to 90.0 W"
    assert spec().stages() == ["learn:cu", "learn:sn", "deposit"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"learn": {}}, LabFileError, "learn"),
        ({"learn": {"cu": {"experiments": 0}}}, LabFileError, "experiments"),
        ({"learn": {"cu": {"pressure": "4 to 20 Pa"}}}, UnitError, "mTorr"),
        ({"deposit": {"powers": {}, "pressure": "8 mTorr", "duration": "1 s"}}, LabFileError, "at least one source"),
        ({"deposit": {"powers": {"cu": "4 W"}, "pressure": "8 mTorr", "duration": "-1 s"}}, LabFileError, "duration"),
        ({"budget": 3}, LabFileError, "not known here"),
    ],
)
def test_a_faulty_campaign_file_is_refused(change: dict, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        spec(**change)


def test_each_source_has_an_agent_with_a_seed_of_its_own() -> None:
    first, again, other = agent_for(spec(), "cu"), agent_for(spec(), "cu"), agent_for(spec(seed=5), "cu")
    assert first.suggest(1) == again.suggest(1)
    assert first.suggest(1)[0]["_id"] != other.suggest(1)[0]["_id"]
    assert first.seed != agent_for(spec(), "sn").seed
    assert first.stop_rule.tolerance == pytest.approx(0.03)


def step(number: int, outcome: str, row: dict | None = None) -> Step:
    return Step(number, "learn:cu", f"id-{number}", {"power": 20.0, "pressure": 5.0}, outcome, f"uid-{number}", row)  # type: ignore[arg-type]


def test_an_agent_is_fed_successes_and_failures_and_nothing_else() -> None:
    live, fed = (make_agent("balm", bounds={"power": (10.0, 100.0), "pressure": (4.0, 20.0)}, seed=1) for _ in "12")
    steps = []
    for number in range(1, 6):
        point = live.suggest(1)[0]
        row = {**point, "rate": 0.8 * point["power"], "rate_std": 0.1}
        if number == 3:
            live.register_failures([point])
            inputs = {k: v for k, v in point.items() if k != "_id"}
            steps.append(Step(number, "learn:cu", point["_id"], inputs, "failed", "uid"))
        else:
            live.ingest([row])
            steps.append(Step(number, "learn:cu", point["_id"], {}, "success", "uid", row))
        steps.append(step(number, "aborted"))
    feed(fed, steps)
    assert fed.suggest(1) == live.suggest(1)
    with pytest.raises(CampaignError, match="without data"):
        feed(fed, [step(9, "success")])


def test_history_counts_on_from_the_last_decision() -> None:
    history = History(steps=[step(1, "success", {"rate": 1.0}), step(2, "aborted")])
    assert history.next_step == 3
    assert history.uids("learn:cu") == ["uid-1"]
    assert History().next_step == 1


def test_agents_learn_from_readbacks() -> None:
    data = {"cu_power": 49.7, "gauge_pressure": 8.1, "qcm2_rate": 20.0, "qcm2_rate_std": 0.1, "power": 50.0}
    row = row_of(data, "cu", "qcm2", "a")
    assert row == {"_id": "a", "power": 49.7, "pressure": 8.1, "rate": 20.0, "rate_std": 0.1}
    with pytest.raises(CampaignError, match="qcm1_rate"):
        row_of(data, "cu", "qcm1", "a")


def test_a_decision_fills_every_column_whatever_the_agent_explains() -> None:
    bare = Decision(1, "deposit", "campaign file", "d", {"cu": 40.0}, ["u1"])
    rich = Decision(
        2, "learn:cu", "balm", "b", {"power": 50.0}, [],
        {"acquisition": {"name": "balm", "value": 1.5}, "prediction": {"mean": 3.0, "std": 0.2}, "alternatives": [1]},
    )  # fmt: skip
    record = Record("decision", FIELDS)
    for decision, outcome in ((bare, "failed"), (rich, "success")):
        done, values = decision.closed(outcome, "uid", row={"rate": 3.1}, stop=(True, "enough"))  # type: ignore[arg-type]
        record.put(values)
        read = {key: reading["value"] for key, reading in record.read().items()}
        assert set(read) == set(FIELDS) == set(record.describe())
        assert read["outcome"] == done.outcome == outcome
        assert json.loads(read["outcome_row"]) == {"rate": 3.1}
    assert read["acquisition_value"] == 1.5
    assert math.isnan(bare.closed("failed", "u")[1]["acquisition_value"])


def test_a_record_refuses_other_columns() -> None:
    record = Record("r", {"a": Field("number", "W", hinted=True), "b": Field("integer")})
    record.put({"a": 1, "b": 2.0})
    assert record.read()["a"]["value"] == 1.0
    assert record.describe()["a"]["units"] == "W"
    assert record.hints == {"fields": ["a"]}
    with pytest.raises(ValueError, match="differ"):
        record.put({"a": 1.0})
