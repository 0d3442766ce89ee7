"""What a campaign writes of plasmas that go out and of readings that are refused, and what a new agent makes of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from bluesky.run_engine import RunEngine

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import CampaignError, LabFileError, PlasmaError, UnitError
from sdl_bluesky.plans import campaign, work
from sdl_bluesky.plans.campaign import agent_for, run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.history import History, Step, failure_of, feed
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.sputter import Measurement


def spec(**learn: Any) -> CampaignFile:
    given = {"pressure": "2 to 20 mTorr", "experiments": 6, "extinction": "learn", **learn}
    return check({"schema": 1, "name": "c", "sample": "s", "learn": {"cu": given}}, CampaignFile, "campaign.yml")


def lab(monkeypatch: pytest.MonkeyPatch, outcomes: dict[int, Any]) -> list[dict[str, Any]]:
    """A lab whose measurements come out as asked for, by number; otherwise well. Returns what it was asked."""
    asked: list[dict[str, Any]] = []

    def measure_rate(chamber: Any, source: str, power: float, pressure: float, settings: Any, **more: Any) -> Any:
        yield from ()
        asked.append({"power": power, "pressure": pressure, "careful_below": more["careful_below"]})
        n = len(asked)
        data = {"cu_power": power, "gauge_pressure": pressure, "q_rate": 0.7 * power + 0.01 * n, "q_rate_std": 0.05}
        data |= {"q_life": 70.0, "q_saturated": 0, "cu_energy": 1.0 + 0.01 * n}
        outcome = outcomes.get(n, {})
        if isinstance(outcome, Exception):
            raise outcome
        return Measurement(f"uid-{n}", data | outcome)

    monkeypatch.setattr(work, "measure_rate", measure_rate)
    monkeypatch.setattr(campaign, "check_campaign", lambda *_, **__: None)
    return asked


def run(file: CampaignFile, history: History | None = None) -> tuple[list[dict[str, Any]], Exception | None]:
    """The decisions that were written, and what ended the campaign."""
    written: list[dict[str, Any]] = []
    chamber: Any = SimpleNamespace(qcms={"q": None})
    engine = RunEngine({})
    engine.subscribe(lambda name, doc: written.append(doc["data"]) if name == "event" else None)
    try:
        engine(run_campaign(chamber, file, SputterSettings(), history=history))
    except CampaignError as fault:
        return written, fault
    return written, None


def steps_of(written: list[dict[str, Any]]) -> list[Step]:
    """The history as documents tell it."""
    return [
        Step(d["step"], d["stage"], d["suggestion_id"], json.loads(d["inputs"]), d["outcome"], d["outcome_uid"],
             json.loads(d["outcome_row"]))
        for d in written
    ]  # fmt: skip


def gone_out() -> PlasmaError:
    return PlasmaError("out", source="cu", power_W=40.0, lit_pressure_mTorr=2.9, out_pressure_mTorr=2.8)


def test_an_extinction_is_written_and_learned_from_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lab(monkeypatch, {1: gone_out()})
    written, fault = run(spec())
    assert fault is None
    assert written[0]["outcome"] == "failed"
    assert written[0]["acquisition_name"] == "extinction boundary"
    assert json.loads(written[0]["outcome_row"]) == {"plasma": 0, "lit_pressure": 2.9, "out_pressure": 2.8}
    assert all(a["careful_below"] > 2.9 for a in asked)
    assert json.loads(written[1]["outcome_row"])["energy"] == 1.02
    steps = steps_of(written)
    for k in range(len(steps)):
        agent = agent_for(spec(), "cu")
        feed(agent, steps[:k])
        [point] = agent.suggest()
        assert {n: point[n] for n in ("power", "pressure")} == steps[k].inputs


def test_a_saturated_reading_is_a_failure_whose_row_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    lab(monkeypatch, {1: gone_out(), 3: {"q_saturated": 1}, 4: {"q_rate": float("nan")}})
    written, fault = run(spec())
    assert fault is None
    assert [d["outcome"] for d in written] == ["failed", "success", "failed", "failed", "success", "success"]
    assert "saturated" in written[2]["reason"]
    assert written[2]["outcome_uid"] == "uid-3"
    refused = json.loads(written[2]["outcome_row"])["refused"]
    assert refused["saturated"] == 1
    assert refused["rate"] == pytest.approx(0.7 * refused["power"] + 0.03)
    agent = agent_for(spec(), "cu")
    feed(agent, steps_of(written))
    assert ["saturated" in entry["reason"] for entry in agent.refused] == [True, False]
    assert "not finite" in agent.refused[1]["reason"]
    assert (len(agent.ledger.y), agent.ledger.failed) == (3, 3)


def test_a_dead_crystal_ends_the_campaign_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lab(monkeypatch, {1: gone_out(), 3: {"q_life": 0.0}})
    written, fault = run(spec())
    assert isinstance(fault, CampaignError)
    assert "the crystal of q is dead" in str(fault)
    assert [d["outcome"] for d in written] == ["failed", "success", "aborted"]
    assert json.loads(written[2]["outcome_row"])["refused"]["crystal_life"] == 0.0
    assert written[2]["outcome_uid"] == "uid-3"
    history = History("c", "r", steps_of(written))
    asked = lab(monkeypatch, {})
    after, fault = run(spec(), history)
    assert fault is None
    assert len(asked) == len(after) == 4  # of six, two were told of
    assert json.loads(after[0]["inputs"]) == json.loads(written[2]["inputs"])


def test_a_target_that_is_used_up_ends_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lab(monkeypatch, {})
    written, fault = run(spec(target_life="1.035 kWh", extinction=None, pressure="4 to 20 mTorr"))
    assert fault is None
    assert len(asked) == 3
    assert "of 1.035 kWh" in written[-1]["stop_reason"]


def test_what_is_told_of_a_failure() -> None:
    assert failure_of(PlasmaError("did not ignite")) == {}
    assert failure_of(PlasmaError("x", out_pressure_mTorr=2.0)) == {"plasma": 0, "out_pressure": 2.0}
    nan = PlasmaError("x", lit_pressure_mTorr=3.0, out_pressure_mTorr=float("nan"))
    assert failure_of(nan) == {"plasma": 0, "lit_pressure": 3.0}
    assert failure_of(ValueError("x"), {"rate": 1.0}) == {"refused": {"rate": 1.0}}


def test_the_file_names_it_with_units_and_reads_it_back() -> None:
    for written, found in (("learn", "learn"), ("4 mTorr", 4.0)):
        file = spec(extinction=written, target_life="5 kWh")
        assert file.learn["cu"].extinction == found
        assert CampaignFile.from_document(json.loads(json.dumps(file.as_document()))) == file
    assert [p["pressure"] for p in agent_for(spec(extinction="4 mTorr"), "cu").suggest(2)] == [20.0, 4.0]
    assert agent_for(spec(target_life="5 kWh"), "cu").target_life.energy_kWh == 5.0
    for change, match in (
        ({"extinction": "4 Pa"}, "mTorr"), ({"extinction": "maybe"}, "extinction"), ({"target_life": "5 J"}, "kWh"),
        ({"target_life": "0 kWh"}, "target_life"),
    ):  # fmt: skip
        with pytest.raises((LabFileError, UnitError), match=match):
            spec(**change)
