"""Steps that wait for a person: on a real desk (a folder), answered by another thread as by another process."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from bluesky import RunEngine
from campaign_lab import CampaignLab
from device_fakes import fake_chamber
from hypothesis import given
from hypothesis import strategies as st
from test_growth_campaign import Reactor, campaign
from test_target_campaign import Decisions, run, spec

from sdl_bluesky.data.approvals import Desk, Request
from sdl_bluesky.errors import CampaignError, NotApproved, UnknownName
from sdl_bluesky.plans.approval import MOST_VETOES, Approval
from sdl_bluesky.plans.growth.campaign import agent_before, run_growth
from sdl_bluesky.plans.history import History
from sdl_bluesky.plans.policy import Policy, Rule


@dataclass
class Person:
    """Answers every request as `says` tells, as soon as it is on the desk."""

    desk: Desk
    says: object

    def __enter__(self):
        self.asked, self._end = [], threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _work(self):
        while not self._end.wait(0.01):
            for request in self.desk.waiting():
                self.asked.append(request)
                given, why = self.says(request)
                self.desk.decide(request.key, given, why, "ada")


@pytest.fixture
def engine():
    made = RunEngine({}, context_managers=[], call_returns_result=True)
    yield made
    if made.state != "idle":
        made.halt()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "approvals")


def grown(engine, reactor, desk, policy, history=None):
    told = Decisions()
    approval = Approval(policy, desk)
    result = engine(run_growth(reactor, campaign(), history=history, approval=approval), told).plan_result
    return result, told.rows


def test_a_vetoed_layer_is_not_grown_and_another_is_proposed_on_the_record(engine, desk):
    reactor = Reactor()
    seen = []

    def says(request):
        seen.append(request)
        return (len(seen) > 1, "too much gallium for this susceptor" if len(seen) == 1 else "")

    with Person(desk, says):
        history, rows = grown(engine, reactor, desk, Policy((Rule("ask", ("grow:1180",)),)))
    first, second = rows[6:8]
    assert (first["outcome"], first["outcome_uid"]) == ("vetoed", "")
    said = json.loads(first["approval"])
    assert (said["given"], said["who"], said["why"]) == (False, "ada", "too much gallium for this susceptor")
    assert said["asked"] <= said["answered"]
    assert json.loads(second["approval"])["given"] is True
    one, other = (json.loads(row["inputs"]) for row in (first, second))
    assert one not in reactor.runs
    assert reactor.runs[6] == other
    assert max(abs(one[k] - other[k]) / w for k, w in (("f_ga", 6.0), ("f_as", 10.0))) >= 0.03
    assert seen[0].inputs == one
    assert "in_specification" in seen[0].why["expected"]
    assert json.loads(rows[0]["approval"]) is None  # the preliminary layers run freely
    assert not list(desk.folder.iterdir())
    # the agent that is built from the documents stands where the one that heard the veto stands
    rebuilt = agent_before(campaign(), history, "grow:1180", steps=1)
    assert {k: v for k, v in rebuilt.suggest()[0].items() if k != "_id"} == pytest.approx(other, abs=1e-9)


def test_an_approval_that_nobody_gives_ends_on_the_safe_side_and_is_asked_for_again(engine, desk):
    reactor, history = Reactor(), History()
    policy = Policy((Rule("ask", ("grow:*",)),), wait_s=0.5)
    told = Decisions()
    with pytest.raises(NotApproved, match="nobody answered"):
        engine(run_growth(reactor, campaign(), history=history, approval=Approval(policy, desk)), told)
    assert len(reactor.runs) == 6
    assert told.rows[-1]["outcome"] == "aborted"
    assert "given" not in json.loads(told.rows[-1]["approval"])
    asked = json.loads(told.rows[-1]["inputs"])
    patient = Policy(policy.rules)
    with Person(desk, lambda _: (True, "")) as person:
        history, _ = grown(engine, reactor, desk, patient, history)
    assert person.asked[0].inputs == asked
    assert reactor.runs[6] == asked
    assert history.of("grow:1100")[-1].outcome == "success"


def test_an_answer_that_is_given_when_the_campaign_is_dead_counts_when_it_is_resumed(engine, desk):
    request = Request("c", 7, "grow:1180", "pibo-1", {"f_ga": 5.0}, {}, "ask grow:*", 0.0, 9e9)
    desk.ask(request)
    desk.decide("c-7", True, who="ada")
    desk.ask(request)  # the same step, asked for again
    assert desk.answer(request).who == "ada"
    other = Request("c", 7, "grow:1180", "pibo-2", {"f_ga": 6.0}, {}, "ask grow:*", 0.0, 9e9)
    desk.ask(other)
    assert desk.answer(other) is None  # another point is another question


def test_what_a_rule_forbids_is_never_done_and_too_many_vetoes_end_the_campaign(engine, desk):
    reactor, history = Reactor(), History()
    policy = Policy((Rule("forbid", ("grow:*",)),))
    with pytest.raises(CampaignError, match="in a row were vetoed"):
        engine(run_growth(reactor, campaign(), history=history, approval=Approval(policy, desk)))
    assert len(reactor.runs) == 6
    assert [s.outcome for s in history.steps[6:]] == ["vetoed"] * MOST_VETOES
    points = [tuple(s.inputs.values()) for s in history.steps[6:]]
    assert len(set(points)) == MOST_VETOES


def test_a_vetoed_film_is_designed_again_elsewhere_and_uses_no_deposition(engine, monkeypatch, desk):
    lab, chamber = CampaignLab(seed=3), fake_chamber()
    policy = Policy((Rule("ask", ("target",)),))
    file = spec({"pressure": None, "depositions": 1})
    answers = iter([(False, "that pressure"), (True, "")])
    try:
        with Person(desk, lambda _: next(answers)) as person:
            history, told = run(engine, chamber, lab, file, monkeypatch, approval=Approval(policy, desk))
    finally:
        chamber.liveness.close()
    first, second = told.of("target")
    assert [first["outcome"], second["outcome"]] == ["vetoed", "success"]
    one, other = (request.inputs for request in person.asked)
    assert all(
        abs(other[k] - one[k]) > 0.1 * one[k] or abs(other["pressure"] - one["pressure"]) > 0.1 * one["pressure"]
        for k in ("cu", "sn")
    )
    assert [kind for kind, *_ in lab.made] == ["cosputter"]
    assert history.of("target")[-1].outcome == "success"


def test_the_desk_refuses_unknown_keys_and_a_veto_without_a_reason(desk):
    request = Request("abcdef", 12, "target", "t-1", {"cu": 50.0}, {}, "ask target", 0.0, 9e9)
    desk.ask(request)
    with pytest.raises(UnknownName, match="abcdef-12"):
        desk.decide("abc-1", True)
    with pytest.raises(UnknownName):
        desk.decide("", True)
    with pytest.raises(CampaignError, match="reason"):
        desk.decide("abc-12", False, " ")
    assert desk.waiting() == [request]
    assert desk.decide("abc-12", True).key == "abcdef-12"
    assert desk.waiting() == []
    with pytest.raises(UnknownName):  # it is answered
        desk.decide("abcdef-12", False, "late")
    desk.ask(Request("late", 1, "target", "t-1", {}, {}, "", 0.0, 1.0))
    assert desk.waiting() == []


@given(power=st.floats(0, 200), pressure=st.floats(0.1, 50))
def test_the_first_rule_that_fits_counts(power, pressure):
    policy = Policy(
        (
            Rule("forbid", under={"pressure": 2.0}),
            Rule("ask", ("learn:*", "deposit"), over={"power": 80.0}),
            Rule("free", ("learn:cu",)),
            Rule("ask", ("learn:*",)),
        )
    )
    for stage, inputs in (
        ("learn:cu", {"power": power, "pressure": pressure}),
        ("deposit", {"cu": 10.0, "sn": power, "pressure": pressure, "duration": 600.0}),
    ):
        rule = policy.rule_for(stage, inputs)
        if pressure < 2.0:
            expected = "forbid"
        elif power > 80.0:
            expected = "ask"
        else:
            expected = "free" if stage == "learn:cu" else None
        assert (None if rule is None else rule.do) == expected
    assert policy.rule_for("learn:sn", {"power": 50.0, "pressure": 8.0}).do == "ask"
