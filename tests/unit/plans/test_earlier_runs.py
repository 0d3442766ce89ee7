"""Runs made before a campaign: what may be asked for, and what a campaign, its replay and its films make of them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from bluesky.run_engine import RunEngine
from campaign_lab import CampaignLab

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import CampaignError, IngestError, LabFileError, UnitError
from sdl_bluesky.plans import campaign, earlier, work
from sdl_bluesky.plans.campaign import agent_for, agent_of, run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.counterfactual import others
from sdl_bluesky.plans.designer import Designer
from sdl_bluesky.plans.earlier import find_earlier, recorded_runs, words_of
from sdl_bluesky.plans.history import EarlierRun, History, Step
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.sputter import Measurement

ENDS = [(100.0, 4.0), (100.0, 20.0), (30.0, 9.0)]


def spec(*queries: dict[str, Any], **more: Any) -> CampaignFile:
    learn = {"cu": {"experiments": 2, "earlier": [*queries]}}
    return check({"schema": 1, "name": "c", "sample": "s", "learn": learn, **more}, CampaignFile, "campaign.yml")


def data_at(power: float, pressure: float, **more: Any) -> dict[str, Any]:
    return {"cu_power": power, "gauge_pressure": pressure, "q_rate": 0.7 * power, "q_rate_std": 0.05, **more}


def runs(scale: float = 0.0, source: str = "cu") -> list[EarlierRun]:
    return [
        EarlierRun(f"e{k}", {"power": p, "pressure": q, "rate": 0.7 * p, "rate_std": 0.05, "uid": f"e{k}",
                             "earlier": f"{source}-1", "earlier_scale": scale}, data_at(p, q))
        for k, (p, q) in enumerate(ENDS)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "error", "match"),
    [
        ({}, LabFileError, "say which runs"),
        ({"scale": "5 %"}, LabFileError, "say which runs"),
        ({"campaign": ""}, LabFileError, "campaign"),
        ({"campaign": "3f2a", "scale": "-1 %"}, LabFileError, "scale"),
        ({"campaign": "3f2a", "scale": "nan %"}, LabFileError, "finite"),
        ({"campaign": "3f2a", "scale": "300 %"}, LabFileError, "scale"),
        ({"campaign": "3f2a", "scale": 0.05}, UnitError, "%"),
        ({"sample": "a", "after": "soon"}, LabFileError, "after"),
        ({"after": "2026-02-01", "before": "2026-01-01"}, LabFileError, "no run can be meant"),
        ({"sampel": "a"}, LabFileError, "did you mean 'sample'"),
    ],
)
def test_a_faulty_query_is_refused(query: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        spec(query)


def test_a_query_is_recorded_and_read_back() -> None:
    file = spec(
        {"campaign": "3f2a"}, {"sample": "a", "after": "2026-01-01", "before": "2026-02-01 12:00", "scale": "5 %"}
    )
    again = CampaignFile.from_document(json.loads(json.dumps(file.as_document())))
    assert again == file
    assert again.learn["cu"].earlier[1].after is not None
    assert file.wants_earlier
    assert not file.without_earlier().wants_earlier


class Machine:
    """A chamber that answers at once, and what its campaigns wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.starts: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.measured = 0
        monkeypatch.setattr(work, "measure_rate", self._rate)
        monkeypatch.setattr(campaign, "check_campaign", lambda *_, **__: None)

    def _rate(self, chamber: Any, source: str, power: float, pressure: float, settings: Any, **_: Any) -> Any:
        yield from ()
        self.measured += 1
        return Measurement(f"u{self.measured}", data_at(power, pressure))

    def run(self, file: CampaignFile, history: History) -> History:
        engine = RunEngine({})
        engine.subscribe(self._hear)
        chamber: Any = SimpleNamespace(qcms={"q": None})
        engine(run_campaign(chamber, file, SputterSettings(), history=history))
        return history

    def _hear(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self.starts.append(doc)
        elif name == "event":
            self.rows.append(doc["data"])


@pytest.mark.parametrize("scale", [0.0, 0.05])
def test_a_campaign_begins_with_what_is_known(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    machine, file = Machine(monkeypatch), spec({"campaign": "3f2a", "scale": f"{100 * scale:g} %"})
    history = machine.run(file, History(earlier={"cu": runs(scale)}))
    assert machine.measured == 2  # the budget is that of its own experiments
    assert [row["acquisition_name"] for row in machine.rows] == ["balm", "balm"]
    assert [json.loads(row["based_on"]) for row in machine.rows] == [["e0", "e1", "e2"], ["e0", "e1", "e2", "u1"]]
    [start] = machine.starts
    recorded = recorded_runs(None, json.loads(json.dumps(start)), file)  # type: ignore[arg-type]
    assert [run.row for run in recorded["cu"]] == [run.row for run in runs(scale)]
    for k, step in enumerate(history.steps):  # rebuilt from the documents, it chooses the same
        past = History("c", "c", history.steps[:k], earlier=recorded)
        [point] = agent_of(file, "cu", past).suggest(1)
        assert {n: point[n] for n in ("power", "pressure")} == step.inputs
        assert point["_id"] == step.suggestion_id


def test_other_agents_are_told_of_earlier_runs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    file = check(
        {"schema": 1, "name": "c", "sample": "s", "learn": {"cu": {"experiments": 3, "earlier": [{"sample": "a"}]}}},
        CampaignFile,
        "campaign.yml",
    )
    history = Machine(monkeypatch).run(file, History(earlier={"cu": runs()}))
    plain = {one.step: one.point for one in others(file, history) if one.agent == "nipv"}
    without = {one.step: one.point for one in others(file, History("c", "c", history.steps)) if one.agent == "nipv"}
    assert plain[1] != without[1]


def test_a_new_campaign_without_the_runs_that_it_names_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    with pytest.raises(CampaignError, match="nobody looked for them"):
        machine.run(spec({"campaign": "3f2a"}), History())
    assert machine.measured == 0


class Catalogue:
    """What the queries of a catalogue give, by sample; a system test asks a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, geometry: dict[str, Any], **more: dict[str, Any]) -> None:
        self.found: dict[str, dict[str, dict[str, Any]]] = more
        self.geometry = geometry
        monkeypatch.setattr(earlier, "find_runs", lambda _, sample, **__: self._runs(sample))
        monkeypatch.setattr(earlier, "primaries", lambda _, uids: {uid: self._all[uid] for uid in uids})

    @property
    def _all(self) -> dict[str, dict[str, Any]]:
        return {uid: data for found in self.found.values() for uid, data in found.items()}

    def _runs(self, sample: str) -> dict[str, Any]:
        return {
            uid: SimpleNamespace(
                item={"id": uid},
                metadata={
                    "start": {"uid": uid, "geometry": self.geometry},
                    "stop": {"exit_status": "fail" if uid == "broken" else "success"},
                },
            )
            for uid in self.found[sample]
        }


NOW = {"sources": {"cu": {"position_cm": [1.0]}}, "sensors": {"q": {"position_cm": [2.0]}}}


def test_what_an_agent_would_not_take_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {f"e{k}": data_at(*point) for k, point in enumerate(ENDS)}
    bad = {
        "dead": data_at(50.0, 8.0, q_life=0.0),
        "stuck": data_at(50.0, 8.0, q_saturated=1.0),
        "nan": {**data_at(50.0, 8.0), "q_rate": float("nan")},
        "other sensor": {"cu_power": 50.0, "gauge_pressure": 8.0, "p_rate": 1.0},
        "far outside": data_at(50.0, 300.0),
        "broken": data_at(50.0, 8.0),
    }
    Catalogue(monkeypatch, NOW, a={**good, **bad}, b=bad, c=good)
    found = find_earlier(None, spec({"sample": "a", "scale": "5 %"}), NOW)  # type: ignore[arg-type]
    assert [run.uid for run in found["cu"]] == list(good)
    assert [run.row for run in found["cu"]] == [run.row for run in runs(0.05)]
    assert words_of(found) == ["cu: 3 earlier run(s) are learned from: 3 to a factor of 5 %"]
    with pytest.raises(CampaignError, match="ended well, 0 of them named before, 5 refused") as fault:
        find_earlier(None, spec({"sample": "b"}), NOW)  # type: ignore[arg-type]
    assert fault.value.place == ("learn", "cu", "earlier", 0)  # type: ignore[attr-defined]
    with pytest.raises(CampaignError, match="3 of them named before"):  # no run counts twice
        find_earlier(None, spec({"sample": "a"}, {"sample": "c"}), NOW)  # type: ignore[arg-type]


def test_another_setting_is_not_taken_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = {**NOW, "sensors": {"q": {"position_cm": [2.5]}}}
    two = {"e0": data_at(50.0, 8.0, cu_target_number=1.0), "e1": data_at(60.0, 8.0, cu_target_number=2.0)}
    Catalogue(monkeypatch, NOW, a=two)
    for now, file, match in (
        (moved, spec({"sample": "a"}), "sensors of run e0"),
        (NOW, spec({"sample": "a"}), "2 targets"),
    ):
        with pytest.raises(CampaignError, match=match):
            find_earlier(None, file, now)  # type: ignore[arg-type]
    for now in (NOW, moved):
        assert len(find_earlier(None, spec({"sample": "a", "scale": "5 %"}), now)["cu"]) == 2  # type: ignore[arg-type]


def test_a_film_is_designed_with_earlier_runs_of_the_same_setting_alone() -> None:
    lab = CampaignLab(seed=3)
    steps = lab.learned()
    target = {"composition": {"Cu": "60 %", "Sn": "40 %"}, "duration": "600 s"}
    learn = {k: {"power": "10 to 80 W", "pressure": "4 to 20 mTorr"} for k in ("cu", "sn")}
    body = {"schema": 1, "name": "t", "sample": "s", "checks": 0, "learn": learn, "target": target}
    file = check(body, CampaignFile, "a campaign")

    def designer(own: list[Step], before: dict[str, list[EarlierRun]]) -> Designer:
        past = History("c", "c", own, earlier=before)
        return Designer(file, lab.geometry, past, lambda source: agent_of(file, source, past))

    def as_earlier(found: list[Step], scale: float) -> dict[str, list[EarlierRun]]:
        told: dict[str, list[EarlierRun]] = {}
        for step in found:
            source = step.stage.removeprefix("learn:")
            row = {k: v for k, v in (step.row or {}).items() if k != "_id"}
            row |= {"uid": step.uid, "earlier": source, "earlier_scale": scale}
            told.setdefault(source, []).append(EarlierRun(step.uid, row, step.data))
        return told

    own, past = [steps[k] for k in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)], [steps[k] for k in (0, 1, 2, 8, 9, 10)]
    whole = designer(steps, {}).next_film()
    again = designer(own, as_earlier(past, 0.0)).next_film()
    assert again.inputs == pytest.approx(whole.inputs, rel=1e-9)
    assert sorted(again.based_on) == sorted(whole.based_on)
    alone, doubted = designer(own, {}).next_film(), designer(own, as_earlier(past, 0.1)).next_film()
    assert doubted.inputs == alone.inputs
    assert doubted.based_on == alone.based_on


def test_an_agent_refuses_a_scale_that_is_none() -> None:
    row = {**runs()[0].row, "earlier_scale": float("nan")}
    with pytest.raises(IngestError, match="not finite"):
        agent_for(spec(), "cu", [row])
