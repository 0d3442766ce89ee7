"""Rows that no agent should believe, rates that cannot be, and targets that are used up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdl_bluesky.agents import BALMAgent, RandomAgent
from sdl_bluesky.agents.stopping import TargetLife
from sdl_bluesky.errors import IngestError, OutOfRange
from sdl_bluesky.inference.design import grid

BOUNDS = {"power": (10.0, 100.0), "pressure": (4.0, 20.0)}
BOX = tuple(BOUNDS.values())
GOOD = {"power": 50.0, "pressure": 9.0, "rate": 20.0, "crystal_life": 62.0, "saturated": False}


def surface(power, pressure):
    return 0.5 * power**1.03 / (1.0 + (pressure / 16.0) ** 1.4)


def test_readings_of_a_bad_crystal_are_refused_with_the_reason_and_stay() -> None:
    agent = BALMAgent(BOUNDS)
    rows = [
        {**GOOD, "_id": "a", "uid": "run-a"},
        {**GOOD, "_id": "b", "rate": float("nan")},
        {**GOOD, "_id": "c", "crystal_life": 0.0},
        {**GOOD, "_id": "d", "crystal_life": -3.0},
        {**GOOD, "_id": "e", "saturated": True},
        {**GOOD, "_id": "f", "saturated": 1},
        {**GOOD, "_id": "g", "uid": "run-a"},
        {**GOOD, "_id": "h", "crystal_life": float("nan")},
        {**GOOD, "_id": "i", "saturated": "perhaps"},
        {**GOOD, "_id": "j", "energy": -1.0},
        {**GOOD, "_id": "k", "crystal_life": 0.1, "rate": 21.0, "energy": 1.5},
        "no row",
    ]
    with pytest.raises(IngestError) as fault:
        agent.ingest(rows)  # type: ignore[list-item]
    assert sorted(fault.value.rows) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert agent.ledger.y == [20.0, 21.0]
    reasons = {str(entry["row"]["_id"]): entry["reason"] for entry in agent.refused if isinstance(entry["row"], dict)}
    assert "crystal is dead" in reasons["c"]
    assert "crystal is dead" in reasons["d"]
    assert "saturated" in reasons["e"]
    assert "saturated" in reasons["f"]
    assert reasons["g"] == "'run-a' was ingested before"
    assert "not finite" in reasons["b"]
    assert [entry["reason"] for entry in agent.refused] == list(fault.value.rows.values())
    agent.suggest()
    why = json.loads(json.dumps(agent.explain(), allow_nan=False))
    assert [entry["reason"] for entry in why["refused"]] == [entry["reason"] for entry in agent.refused]
    assert why["refused"][0]["row"] == {**GOOD, "_id": "b", "rate": "nan"}


def test_a_refused_row_changes_nothing_else() -> None:
    clean, told = BALMAgent(BOUNDS), BALMAgent(BOUNDS)
    for agent in (clean, told):
        agent.ingest([{**GOOD, "_id": "a"}, {**GOOD, "_id": "b", "power": 90.0, "rate": 36.0}])
    with pytest.raises(IngestError):
        told.ingest([{**GOOD, "_id": "c", "rate": 900.0, "saturated": True}])
    assert told.suggest(3) == clean.suggest(3)
    told.ingest([{**GOOD, "_id": "c"}])  # the same point, measured again with a good crystal
    assert len(told.ledger.y) == 3


def test_a_measured_grid_of_noisy_readings_with_a_drifting_zero() -> None:
    """15 x 15 candidates; the zero of the sensor wanders, also while a rate is measured, and some readings are bad."""
    covered = [drifting_campaign(seed) for seed in (4, 5, 6)]
    assert np.mean(covered) > 0.85


def drifting_campaign(seed: int) -> float:
    """Learn, and check what must hold each time; the part of the grid within its 95 % interval."""
    rng = np.random.default_rng(seed)
    x = grid(BOX, 225)
    agent = BALMAgent(BOUNDS, candidates=x, budget=14, seed=1)
    zero, number, bad = 0.0, 0, 0
    while not agent.should_stop()[0]:
        [point] = agent.suggest()
        row = {**point, "uid": f"run-{number}", "crystal_life": 80.0 - number}
        zero += 0.03 * rng.standard_normal()
        before, after = zero, zero + 0.03 * rng.standard_normal()  # it moves on while the rate is measured
        clean = float(surface(point["power"], point["pressure"]))
        row["rate"] = clean + after - before + float(np.hypot(0.015 * clean, 0.05)) * rng.standard_normal()
        row["rate_std"] = 0.05
        number += 1
        if number in (3, 7):
            spoilt = {**row, "rate": float("nan")} if number == 3 else {**row, "saturated": True}
            with pytest.raises(IngestError):
                agent.ingest([spoilt])
            bad += 1
        agent.ingest([row])
    assert len(agent.refused) == bad == 2
    truth = surface(*x.T)
    mean, std = agent.predict(x)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.03 * truth.mean()
    assert {tuple(p) for p in agent.ledger.x} <= {tuple(p) for p in x}
    return float(np.mean(np.abs(mean - truth) < 1.96 * std))


def plane(power, pressure):
    """Positive where it is read, but on the way to below zero: a straight line down to low power and high pressure."""
    return 0.9 * power - 4.0 * pressure


def negative_agent(**settings) -> BALMAgent:
    agent = BALMAgent(BOUNDS, model="standard", budget=30, **settings)
    agent.suggest(5)  # the initial design was given to somebody else
    read = [(100.0, 4.0), (80.0, 5.0), (60.0, 5.0), (50.0, 7.0), (70.0, 9.0), (90.0, 12.0), (45.0, 8.0)]
    agent.ingest([{"power": w, "pressure": p, "rate": plane(w, p)} for w, p in read])
    return agent


def test_a_predicted_negative_rate_is_measured_next() -> None:
    agent = negative_agent()
    points = agent.open_candidates()
    mean, std = agent.predict(points)
    assert mean.min() < -10.0
    worst = points[np.argmin(mean / std)]
    [point] = agent.suggest()
    why = agent.explain()
    assert why["acquisition"]["name"] == "negative rate"
    assert why["acquisition"]["value"] == pytest.approx((mean / std).min())
    assert (point["power"], point["pressure"]) == (worst[0], worst[1])
    assert "negative rate is predicted at power" in why["findings"][0]
    assert why["prediction"]["mean"] < 0


def test_negative_rates_are_queried_a_few_times_and_never_twice_at_a_place() -> None:
    agent, queried = negative_agent(), []
    for _ in range(8):
        [point] = agent.suggest()
        if agent.explain()["acquisition"]["name"] == "negative rate":
            queried.append((point["power"], point["pressure"]))
        agent.ingest([{**point, "rate": -0.3}])  # the sensor goes on saying so
    assert 1 <= len(queried) <= 3
    gaps = [max(abs(a[0] - b[0]) / 90.0, abs(a[1] - b[1]) / 16.0) for i, a in enumerate(queried) for b in queried[:i]]
    assert all(gap > 0.05 for gap in gaps)


def test_an_agent_rebuilt_remembers_which_queries_it_made() -> None:
    agent, told = negative_agent(), []
    for _ in range(5):
        again = negative_agent()
        again.ingest(told)
        [point] = agent.suggest()
        assert again.suggest() == [point]
        told.append({**point, "rate": -0.3})
        agent.ingest(told[-1:])
    assert agent.ledger.marked("n") > 0


def test_an_outcome_that_may_be_negative_is_left_alone() -> None:
    agent = BALMAgent({"shift": (-1.0, 1.0)}, objective="height", model="standard", initial="random", budget=12)
    names = []
    for _ in range(9):
        [point] = agent.suggest()
        names.append(agent.explain()["acquisition"]["name"])
        agent.ingest([{**point, "height": -2.0 + point["shift"]}])
    assert "negative rate" not in names


def test_a_target_is_not_used_beyond_its_life() -> None:
    agent = RandomAgent(BOUNDS, budget=50, target_life=1.0)
    rng, used = np.random.default_rng(0), 0.0
    while not agent.should_stop()[0]:
        [point] = agent.suggest()
        used += point["power"] / 1000.0
        agent.ingest([{**point, "rate": 0.8 * point["power"] + rng.standard_normal(), "energy": used}])
    stop, reason = agent.should_stop()
    assert stop
    assert "of 1 kWh" in reason
    assert 0.7 < used <= 1.0
    assert len(agent.ledger.y) < 50


def test_target_life_counts_failures_and_begins_anew_with_a_new_target() -> None:
    rule = TargetLife(5.0)
    assert rule.check([]) == (False, "")
    assert rule.check([4.9]) == (False, "")
    assert rule.check([5.0])[0]
    assert rule.check([4.0, 4.6])[0]  # the next one would end at 5.2
    assert not rule.check([4.0, 4.5])[0]  # and here at 5.0
    assert not rule.check([4.0, 4.9, 0.1])[0]
    agent = BALMAgent(BOUNDS, target_life=5.0)
    agent.register_failures([{"power": 50.0, "pressure": 5.0, "energy": 4.99}, {"power": 90.0, "pressure": 5.0}])
    assert not agent.should_stop()[0]
    agent.register_failures([{"power": 50.0, "pressure": 15.0, "energy": 5.01}])
    assert agent.should_stop()[1].startswith("the target has had 5.01 of 5 kWh")
    for bad in (0.0, -1.0, float("inf"), True, "5 kWh"):
        with pytest.raises(OutOfRange, match="target_life"):
            BALMAgent(BOUNDS, target_life=bad)  # type: ignore[arg-type]
