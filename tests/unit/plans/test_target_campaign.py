"""Whole campaigns with a target: what is decided, written and made, against laws that the campaign does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from campaign_lab import ELEMENTS, CampaignLab
from device_fakes import fake_chamber
from ring_lab import fractions

from sdl_bluesky.analysis.runs import CHECK
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.devices import Chamber
from sdl_bluesky.errors import CampaignError, LabFileError, OutOfRange, ServiceMissing, UnknownName
from sdl_bluesky.plans.campaign import agent_of, run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.check_points import RecordedPoints, check_places, row_of_points
from sdl_bluesky.plans.designer import Designer
from sdl_bluesky.plans.history import History, Step
from sdl_bluesky.plans.knowledge import MEASURE, TARGET
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.work import EndStation

LEARN = {"power": "10 to 80 W", "experiments": 8, "agent": "sobol"}
WANTED = {"composition": {"Cu": "60 %", "Sn": "40 %"}, "duration": "600 s", "pressure": "8 mTorr"}
END_STATION = EndStation(None, type("Settings", (), {"case": lambda _: {}})())


def spec(target: dict[str, Any] | None = None, **more: Any) -> CampaignFile:
    """A campaign of two sources with a target, without checks unless they are asked for."""
    data = {"schema": 1, "name": "t", "sample": "s1", "seed": 1, "learn": {"cu": LEARN, "sn": LEARN}, "checks": 0}
    return check({**data, "target": {**WANTED, **(target or {})}, **more}, CampaignFile, "campaign.yml")


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdl_bluesky.analysis.experience.SAMPLES", 300)
    monkeypatch.setattr("sdl_bluesky.analysis.experience.NODES", 8)
    monkeypatch.setattr("sdl_bluesky.analysis.design.inverse.PRESSURES", 2)
    monkeypatch.setattr("sdl_bluesky.analysis.design.inverse.LEVELS", (1.0, 0.5))


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[], call_returns_result=True)
    yield made
    if made.state != "idle":
        made.halt()


@pytest.fixture
def chamber() -> Iterator[Chamber]:
    made = fake_chamber()
    yield made
    made.liveness.close()


class Decisions:
    """The events of the stream of decisions."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.stops: dict[str, str] = {}
        self._streams: dict[str, str] = {}

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        elif name == "event" and self._streams.get(doc["descriptor"]) == "decision":
            self.rows.append(dict(doc["data"]))
        elif name == "stop":
            self.stops[doc["run_start"]] = doc["exit_status"]

    def of(self, stage: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["stage"] == stage]


def run(engine: RunEngine, chamber: Any, lab: CampaignLab, file: CampaignFile, monkeypatch: Any, **more: Any) -> tuple:
    """A campaign that has learned already, from its checks to its end."""
    decisions = Decisions()
    known = {"history": History("c", "c", lab.learned()), "geometry": lab.geometry, **more}
    with lab.instead_of_the_machine(monkeypatch):
        return engine(run_campaign(chamber, file, SputterSettings(), **known), decisions).plan_result, decisions


def designer_for(file: CampaignFile, lab: CampaignLab, steps: list[Step]) -> Designer:
    """As it is built from the documents."""
    past = History("c", "c", deepcopy(steps))
    return Designer(file, lab.geometry, past, lambda source: agent_of(file, source, past))


def test_a_target_is_checked_designed_made_and_judged(engine, chamber, monkeypatch) -> None:
    lab = CampaignLab(seed=3)
    file = spec({"pressure": None, "depositions": 1}, checks=None)
    history, decisions = run(engine, chamber, lab, file, monkeypatch)
    assert [s.stage for s in history.steps[16:]] == [CHECK] * 3 + [TARGET], "nothing is learned again"
    [film] = decisions.of(TARGET)
    made = json.loads(film["inputs"])
    assert lab.truth({k: made[k] for k in ("cu", "sn")}, made["pressure"]) == pytest.approx(0.6, abs=0.03)
    assert all(10.0 <= made[k] <= 80.0 for k in ("cu", "sn"))
    assert 4.0 <= made["pressure"] <= 20.0
    assert made["duration"] == 600.0

    expected, judged = json.loads(film["expected"]), json.loads(film["outcome_row"])
    assert film["acquisition_name"] == "probability in tolerance"
    assert film["acquisition_value"] == expected["probability"]
    assert expected["fraction"][0][0] == pytest.approx(0.6, abs=2e-3)
    assert 0.005 < judged["fraction_std"][0][0] < 0.03
    assert 0.2 < judged["probability"] < 0.9
    assert len(json.loads(film["based_on"])) == 16 + 3
    assert json.loads(film["considered"]), "other settings were found and are written down"
    checks = [json.loads(row["outcome_row"]) for row in decisions.of(CHECK)]
    assert {found["kind"] for found in checks} <= {"none", "voltage"}
    powers = [json.loads(row["inputs"]) for row in decisions.of(CHECK)]
    assert np.ptp(np.log([p["cu"] / p["sn"] for p in powers])) > 1.0, "the checks are diverse"
    assert set(decisions.stops.values()) == {"success"}
    # the same from the documents: in the middle of the checks, and before the film
    again = designer_for(file, lab, history.steps[:18]).next_check()
    assert again is not None
    assert (again.inputs, again.suggestion_id) == (history.steps[18].inputs, history.steps[18].suggestion_id)
    film = designer_for(file, lab, history.steps[:19]).next_film()
    assert (film.inputs, film.suggestion_id) == (history.steps[19].inputs, history.steps[19].suggestion_id)


def test_a_film_that_was_made_but_not_decided_is_adopted(engine, chamber, monkeypatch) -> None:
    lab, file = CampaignLab(seed=5), spec({"depositions": 1})
    whole, _ = run(engine, chamber, lab, file, monkeypatch)
    film = whole.steps[-1]
    before = History("c", "c", whole.steps[:-1], {film.suggestion_id: (film.uid, dict(film.data or {}))})
    again = CampaignLab(seed=5)
    history, decisions = run(engine, chamber, again, file, monkeypatch, history=before)
    assert not again.made
    assert history.steps[-1].uid == film.uid
    assert decisions.rows[-1]["adopted"]
    assert json.loads(decisions.rows[-1]["outcome_row"])["probability"] == film.row["probability"]


def test_a_further_film_is_made_only_if_it_promises_more(engine, chamber, monkeypatch) -> None:
    said: list[str] = []
    tell = {"observer": lambda _, words: said.append(words)}
    history, _ = run(engine, chamber, CampaignLab(seed=3), spec({"depositions": 20}), monkeypatch, **tell)
    assert len(history.of(TARGET)) <= 3
    assert "would not be more likely in tolerance" in said[-1]
    wide, found = run(engine, chamber, CampaignLab(seed=3), spec({"tolerance": "8 %"}), monkeypatch)
    assert len(wide.of(TARGET)) == 1
    assert found.rows[-1]["stop"]
    assert "is in tolerance with a probability of" in found.rows[-1]["stop_reason"]


def measured_by(lab: CampaignLab, monkeypatch: Any) -> None:
    """Points of the newest film, measured to 0.1 % of all atoms."""

    def measured(station, places, settings, *, md, based_on, **_):
        plan, powers, pressure = lab.made[-1]
        assert plan == "cosputter"
        x, y = np.array(places).T
        at = np.column_stack([x / 10, y / 10, np.zeros(len(x))])
        true = fractions(lab.flux(powers, pressure, at), [ELEMENTS[k] for k in powers]).T
        found = RecordedPoints(("Cu", "Sn"), x, y, true, 1e-6 * np.eye(true.size), np.ones(len(x), dtype=bool))
        yield from ()
        return type("M", (), {"uid": f"rbs-{based_on}", "data": found})

    def row(uid, rows, case, elements, film):
        return row_of_points(film, rows, ())

    monkeypatch.setattr("sdl_bluesky.plans.work.measure_rbs", measured)
    monkeypatch.setattr("sdl_bluesky.plans.work.points_row", row)


def test_measured_points_correct_the_next_film(engine, chamber, monkeypatch) -> None:
    """Sensors whose calibrations are 10 % off mislead the first film; its points bring the second one home."""
    lab = CampaignLab(seed=8)
    lab.tooling = np.array([1.10, 0.90, 1.0])
    measured_by(lab, monkeypatch)
    file = spec({"measure": "rbs", "tolerance": "0.5 %"})
    history, decisions = run(engine, chamber, lab, file, monkeypatch, end_station=END_STATION)
    films, measures = history.of(TARGET), history.of(MEASURE)
    true = [lab.truth({k: s.inputs[k] for k in ("cu", "sn")}, s.inputs["pressure"]) for s in films]
    errors = np.abs(np.array(true) - 0.6)
    assert len(films) == 2
    assert errors[0] > 0.006, "the sensors mislead"
    assert errors[1] < 0.004
    assert measures[0].inputs == {"film_step": films[0].step, "points": 5}
    [known] = json.loads(decisions.of(MEASURE)[0]["outcome_row"])["judged"]
    assert known["film"] == films[0].uid
    assert known["fraction"][0][0] == pytest.approx(true[0], abs=0.002)
    assert known["probability"] < 0.1
    assert json.loads(decisions.of(TARGET)[1]["outcome_row"])["probability"] > 0.8
    # and the same film again from the documents, in which points are text
    steps = history.steps[: history.steps.index(films[1])]
    plain = json.loads(json.dumps(measures[0].row))
    steps = [replace(s, row=plain, data=plain) if s.stage == MEASURE else s for s in steps]
    assert designer_for(file, lab, steps).next_film().inputs == films[1].inputs


def test_an_interaction_is_found_and_corrected(engine, chamber, monkeypatch) -> None:
    lab = CampaignLab(seed=2, interaction=0.08)
    history, decisions = run(engine, chamber, lab, spec(checks=4), monkeypatch)
    last = json.loads(decisions.of(CHECK)[-1]["outcome_row"])
    assert last["found"]
    assert {k["source"] for k in last["pairs"]} == {"cu", "sn"}
    assert np.mean([k["change"] for k in last["pairs"]]) == pytest.approx(0.08, abs=0.03)
    setting = {"cu": 50.0, "sn": 50.0}, 8.0, [[0.0, 0.0]]
    alone = designer_for(spec(), lab, history.steps[:16]).experience.prediction().predict(*setting).flux
    beside = designer_for(spec(checks=4), lab, history.steps[:20]).experience.prediction().predict(*setting).flux
    assert beside / alone == pytest.approx(1.08, abs=0.03), "the interaction is in the fluxes of films to come"


def test_totals_that_nothing_explains_stop_the_campaign(engine, chamber, monkeypatch) -> None:
    lab = CampaignLab(seed=2, broken=-0.35)
    with pytest.raises(CampaignError, match="no interaction explains it"):
        run(engine, chamber, lab, spec(checks=3), monkeypatch)
    assert all(plan != "cosputter" for plan, *_ in lab.made)


def test_dark_plasmas_are_failed_steps(engine, chamber, monkeypatch) -> None:
    lab = CampaignLab(seed=3, dark=["measure_total", "cosputter"])
    _, decisions = run(engine, chamber, lab, spec(checks=2), monkeypatch)
    checks, films = decisions.of(CHECK), decisions.of(TARGET)
    assert [row["outcome"] for row in checks] == ["failed", "success", "success"]
    assert [row["outcome"] for row in films] == ["failed", "success"]
    assert "went out" in films[0]["reason"]
    with pytest.raises(CampaignError, match="no film could be made"):
        run(engine, chamber, CampaignLab(seed=3, dark=["cosputter"] * 2), spec(), monkeypatch)
    with pytest.raises(CampaignError, match="none of the co-sputter checks"):
        run(engine, chamber, CampaignLab(seed=3, dark=["measure_total"] * 2), spec(checks=1), monkeypatch)


def test_where_a_film_failed_the_next_one_is_stronger_or_the_same_if_nothing_is(monkeypatch) -> None:
    monkeypatch.setattr("sdl_bluesky.analysis.design.inverse.PRESSURES", 3)
    lab, file = CampaignLab(seed=3), spec({"pressure": None})
    steps = lab.learned()
    free = designer_for(file, lab, steps).next_film().inputs
    assert free["pressure"] < 15.0
    failed = Step(17, TARGET, "t", {**free, "pressure": free["pressure"] + 0.5}, "failed", "u")
    again = designer_for(file, lab, [*steps, failed]).next_film().inputs
    assert again["pressure"] > failed.inputs["pressure"] or all(again[k] > failed.inputs[k] for k in ("cu", "sn"))
    strongest = Step(17, TARGET, "t", {"cu": 80.0, "sn": 80.0, "pressure": 20.0, "duration": 600.0}, "failed", "u")
    assert designer_for(file, lab, [*steps, strongest]).next_film().inputs == free


def test_a_target_out_of_reach_is_refused_before_a_film_is_begun(engine, chamber, monkeypatch) -> None:
    lab, decisions = CampaignLab(seed=3), Decisions()
    file, past = spec({"composition": {"Cu": "99 %"}, "tolerance": "0.3 %"}), History("c", "c", lab.learned())
    with lab.instead_of_the_machine(monkeypatch), pytest.raises(OutOfRange, match=r"Cu \d+\.\d to \d+\.\d %"):
        engine(run_campaign(chamber, file, SputterSettings(), geometry=lab.geometry, history=past), decisions)
    assert not lab.made
    assert decisions.rows[-1]["outcome"] == "aborted"
    assert "cannot be reached" in decisions.rows[-1]["reason"]


def test_checks_can_come_before_a_film_of_given_powers(engine, chamber, monkeypatch) -> None:
    lab = CampaignLab(seed=3)
    film = {"powers": {"cu": "50 W", "sn": "40 W"}, "pressure": "8 mTorr", "duration": "600 s"}
    data = {"schema": 1, "name": "d", "sample": "s", "learn": {"cu": LEARN, "sn": LEARN}, "deposit": film, "checks": 2}
    history, _ = run(engine, chamber, lab, check(data, CampaignFile, "c"), monkeypatch)
    assert [s.stage for s in history.steps[16:]] == [CHECK, CHECK, "deposit"]
    assert {pressure for plan, _, pressure in lab.made if plan != "measure_rate"} == {8.0}


def test_a_gradient_and_a_thickness_may_be_wanted(engine, chamber, monkeypatch) -> None:
    lab = CampaignLab(seed=3)
    wanted = {
        "composition": {"Cu": "60 %"},
        "gradient": {"Cu": ["0.4 %/mm", "-0.3 %/mm"]},
        "points": [["0 mm", "0 mm"], ["10 mm", "0 mm"], ["0 mm", "10 mm"]],
        "tolerance": "4 %",
        "thickness": "200 nm",
        "duration": None,
    }
    history, _ = run(engine, chamber, lab, spec(wanted), monkeypatch)
    [film] = history.of(TARGET)
    powers = {k: film.inputs[k] for k in ("cu", "sn")}
    at = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=float)
    true = fractions(lab.flux(powers, 8.0, at), ["Cu", "Sn"])[0]
    assert true == pytest.approx([0.6, 0.64, 0.57], abs=0.045)
    mass = lab.flux(powers, 8.0, at)
    grown = 0.01 * film.inputs["duration"] * np.mean(mass[0] / 8.96 + mass[1] / 7.31)  # densities of copper and tin
    assert grown == pytest.approx(200.0, rel=0.15), "what arrives at the middle is known to some per cent"


@pytest.mark.parametrize(
    ("target", "more", "error", "match"),
    [
        ({"sources": ["cu", "ni"]}, {}, UnknownName, "'ni'"),
        ({"composition": {"Cu": "50 %", "Ni": "50 %"}}, {}, UnknownName, "'Ni'"),
        ({"pressure": "3 mTorr"}, {}, OutOfRange, "4 to 20 mTorr"),
        ({"measure": "rbs"}, {}, ServiceMissing, "end station"),
        ({}, {"geometry": None}, CampaignError, "geometry"),
    ],
)  # fmt: skip
def test_what_a_lab_cannot_do_is_refused_before_anything_moves(
    engine, chamber, monkeypatch, target: dict, more: dict, error: type[Exception], match: str
) -> None:
    lab = CampaignLab()
    with lab.instead_of_the_machine(monkeypatch), pytest.raises(error, match=match):
        engine(run_campaign(chamber, spec(target), SputterSettings(), **{"geometry": lab.geometry, **more}))
    assert not lab.made


@pytest.mark.parametrize(
    ("target", "more", "match"),
    [
        ({"composition": {"Cu": "160 %"}}, {}, "parts of one"),
        ({"composition": {"Xx": "60 %"}}, {}, "unknown element"),
        ({"composition": {}}, {}, "composition"),
        ({"thickness": "100 nm"}, {}, "either duration or thickness"),
        ({"duration": None}, {}, "either duration or thickness"),
        ({"points": [["0 mm", "0 mm"]]}, {}, "belong to a gradient"),
        ({"depositions": 0}, {}, "depositions"),
        ({"confidence": "100 %"}, {}, "confidence"),
        ({"measure": "xrd"}, {}, "measure"),
        ({"tolerance": "0 %"}, {}, "tolerance"),
        ({}, {"deposit": {"powers": {"cu": "4 W"}, "pressure": "8 mTorr", "duration": "1 s"}}, "one of them"),
        ({}, {"target": None, "checks": 3}, "checks come before a film"),
    ],
)  # fmt: skip
def test_a_faulty_target_is_refused(target: dict, more: dict, match: str) -> None:
    with pytest.raises(LabFileError, match=match):
        check({**spec().as_document(), "target": {**WANTED, **target}, **more}, CampaignFile, "campaign.yml")


def test_a_recorded_target_is_read_back_and_checks_come_by_default_with_two_sources() -> None:
    whole = spec(
        {
            "composition": {"Cu": "60 %"},
            "gradient": {"Cu": ["0.1 %/mm", "0 %/mm"]},
            "at": ["3 mm", "-2 mm"],
            "measure": "rbs",
        }
    )
    assert CampaignFile.from_document(json.loads(json.dumps(whole.as_document()))) == whole
    assert whole.stages() == ["learn:cu", "learn:sn", "target"]
    assert spec(checks=None).stages() == ["learn:cu", "learn:sn", "check", "target"]
    assert spec({"sources": ["cu"], "composition": {"Cu": "100 %"}}, checks=None).check_count == 0
    wanted = whole.target.wanted()
    assert wanted.fraction[0] == pytest.approx(0.6 + 0.001 * (wanted.points_mm[:, 0] - 3.0))


def test_points_lie_where_the_composition_is_wanted_and_around_the_middle() -> None:
    places = check_places(np.zeros((1, 2)), np.array([-25.0, 25.0]), np.array([-20.0, 20.0]))
    assert places == [(0.0, 0.0), (-15.0, -12.0), (-15.0, 12.0), (15.0, -12.0), (15.0, 12.0)]
    assert check_places(np.array([[15.0, 12.0]]), np.array([-25.0, 25.0]), np.array([-20.0, 20.0]))[0] == (15.0, 12.0)
    with pytest.raises(CampaignError, match="holds no points"):
        RecordedPoints.of({"elements": ["Cu"]})
