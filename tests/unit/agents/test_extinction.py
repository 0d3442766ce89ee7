"""Extinction as an agent meets it: one plasma let go out, then none; a fixed pressure; rows and failures that tell of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdl_bluesky.agents import BALMAgent, RandomAgent, make_agent
from sdl_bluesky.agents.extinction import SAFE
from sdl_bluesky.errors import IngestError, OutOfRange
from sdl_bluesky.inference.design import grid

BOUNDS = {"power": (10.0, 100.0), "pressure": (2.0, 20.0)}
BOX = tuple(BOUNDS.values())


def falling(power):
    return 2.1 + 2.2 * np.exp(-np.asarray(power) / 30.0)


def level(power):
    return np.full_like(np.asarray(power, dtype=float), 2.9)


def rate(power, pressure, boundary):
    near = 1.0 - 0.3 * np.exp(-np.maximum(pressure - boundary(power), 0.0) / 2.0)
    return 0.8 * power * near / (1.0 + (pressure / 18.0) ** 1.5)


def experiment(point, boundary, rng, bracket=True):
    """Lit high, brought down in steps of 4 %; what a plan would tell of it."""
    power, asked = point["power"], point["pressure"]
    if asked < boundary(power):
        steps = 14.0 * 0.96 ** np.arange(60)
        k = int(np.argmax(steps < boundary(power)))
        seen = {"lit_pressure": float(steps[k - 1]), "out_pressure": float(steps[k])} if bracket else {}
        return {**point, "plasma": 0, **seen}
    clean = float(rate(power, asked, boundary))
    noisy = clean + float(np.hypot(0.015 * clean, 0.05)) * rng.standard_normal()
    return {**point, "plasma": 1, "pressure": asked * (1 + 0.002 * rng.standard_normal()), "rate": noisy}


def campaign(agent, boundary, seed=0, bracket=True):
    rng, rows = np.random.default_rng(seed), []
    while not agent.should_stop()[0]:
        rows += [experiment(point, boundary, rng, bracket) for point in agent.suggest()]
        agent.ingest(rows[-1:])
    return rows


@pytest.mark.parametrize(("boundary", "seed"), [(falling, 0), (level, 1)])
def test_ten_experiments_learn_rate_and_boundary_with_one_extinction(boundary, seed) -> None:
    agent = BALMAgent(BOUNDS, budget=10, extinction="learn", seed=seed)
    rows = campaign(agent, boundary, seed)
    assert sum(row["plasma"] == 0 for row in rows) == 1
    x = grid(BOX, 3721)
    burns = x[:, 1] >= boundary(x[:, 0])
    truth = rate(*x[burns].T, boundary)
    assert np.sqrt(np.mean((agent.predict(x[burns])[0] - truth) ** 2)) < 0.035 * truth.mean()
    assert np.mean((agent.lit_probability(x) > 0.5) == burns) > 0.97
    cut = BALMAgent(BOUNDS, budget=10, extinction=4.0, seed=seed)
    campaign(cut, boundary, seed)
    fixed = np.sqrt(np.mean((cut.predict(x[burns])[0] - truth) ** 2))
    assert np.sqrt(np.mean((agent.predict(x[burns])[0] - truth) ** 2)) < fixed


def test_after_an_extinction_every_suggestion_is_safe_and_before_it_all_but_one() -> None:
    agent = BALMAgent(BOUNDS, extinction="learn")
    points = agent.suggest(4)
    risky = agent.lit_probability([[p["power"], p["pressure"]] for p in points]) < SAFE
    assert risky.tolist() == [True, False, False, False]
    assert points[0]["pressure"] == 2.0
    agent.ingest([experiment(points[0], falling, np.random.default_rng(0))])
    agent.ingest([experiment(p, falling, np.random.default_rng(k)) for k, p in enumerate(points[1:])])
    for _ in range(6):
        [point] = agent.suggest()
        assert agent.lit_probability([[point["power"], point["pressure"]]])[0] >= SAFE
        agent.ingest([experiment(point, falling, np.random.default_rng(9))])


def test_corners_in_the_likely_dark_are_moved_up_and_named_once() -> None:
    agent = BALMAgent(BOUNDS, extinction="learn", initial="corners")
    rng = np.random.default_rng(0)
    corners = []
    for _ in range(6):
        [point] = agent.suggest()
        corners.append((point["_id"].rsplit("-", 1)[-1], point["power"], point["pressure"]))
        agent.ingest([experiment(point, falling, rng)])
    assert [name for name, *_ in corners[1:]] == ["i0", "i1", "i2", "i3", "i4"]
    low = {power: pressure for name, power, pressure in corners if name in ("i0", "i3")}
    assert set(low) == {10.0, 100.0}
    assert all(falling(power) < pressure < 12.0 for power, pressure in low.items())


def test_where_nothing_can_go_out_none_is_let_go_out() -> None:
    agent = BALMAgent({"power": (10.0, 100.0), "pressure": (14.0, 30.0)}, extinction="learn")
    [point] = agent.suggest()
    assert agent.explain()["acquisition"]["name"] == "initial ends"
    assert agent.lit_probability([[10.0, 14.0]])[0] > 0.98
    assert point["pressure"] >= 14.0


def test_a_plasma_that_burns_down_to_the_bottom_is_a_rate_and_another_power_is_tried() -> None:
    agent = BALMAgent(BOUNDS, extinction="learn", budget=8)
    rows = campaign(agent, lambda power: 0.5 * np.ones_like(np.asarray(power, dtype=float)))
    assert all(row["plasma"] == 1 for row in rows)
    dives = [row for row in rows if row["pressure"] < 2.1]
    assert 2 <= len(dives) <= 5
    assert np.mean(agent.lit_probability(grid(BOX))) > 0.98


@pytest.mark.parametrize("bracket", [True, False])
def test_an_agent_rebuilt_from_rows_and_failures_suggests_the_same(bracket) -> None:
    agent = BALMAgent(BOUNDS, extinction="learn", budget=7, seed=2)
    rng, told = np.random.default_rng(1), []
    while not agent.should_stop()[0]:
        [point] = agent.suggest()
        again = BALMAgent(BOUNDS, extinction="learn", budget=7, seed=2)
        for row in told:
            (again.ingest if row["plasma"] else again.register_failures)([json.loads(json.dumps(row))])
        assert again.suggest() == [point]
        told.append(experiment(point, falling, rng, bracket))
        (agent.ingest if told[-1]["plasma"] else agent.register_failures)([told[-1]])
    assert agent.ledger.failed == 1


def test_without_a_bracket_it_stays_safe() -> None:
    agent = BALMAgent(BOUNDS, extinction="learn", budget=10)
    assert sum(row["plasma"] == 0 for row in campaign(agent, falling, bracket=False)) == 1


def test_measured_candidates_with_their_plasma_flag() -> None:
    """A list of measured points, of which the dark ones are known to be dark, instead of a domain."""
    x = grid(BOX, 225)
    agent = BALMAgent(BOUNDS, candidates=[dict(zip(BOUNDS, row)) for row in x], extinction="learn", budget=10)
    rows = campaign(agent, falling)
    asked = {(row["power"], round(row["pressure"], 1)) for row in rows if not row["plasma"]}
    assert len(asked) == 1
    listed = {tuple(row) for row in x}
    assert all(any(np.isclose(p, (r["power"], r["pressure"]), rtol=0.02).all() for p in listed) for r in rows)
    assert np.mean((agent.lit_probability(x) > 0.5) == (x[:, 1] >= falling(x[:, 0]))) > 0.97


def test_a_fixed_pressure_is_kept_by_every_agent() -> None:
    for name in ("balm", "random", "sobol"):
        agent = make_agent(name, bounds=BOUNDS, budget=9, extinction=5.0)
        points = agent.suggest(9)
        assert min(p["pressure"] for p in points) >= 5.0
        assert agent.lit_probability([[50.0, 4.9], [50.0, 5.1]]).tolist() == [0.0, 1.0]
    agent = BALMAgent(BOUNDS, extinction=5.0, initial="corners")
    assert {p["pressure"] for p in agent.suggest(5)} == {5.0, 20.0, 11.0}


def test_none_is_as_before() -> None:
    plain, none = BALMAgent(BOUNDS), BALMAgent(BOUNDS, extinction=None)
    assert plain.suggest(6) == none.suggest(6)
    assert plain.lit_probability([[50.0, 2.0]]).tolist() == [1.0]
    plain.register_failures([{"power": 10.0, "pressure": 2.0, "plasma": 0}])
    assert not plain.allowed(np.array([[10.0, 2.5]]))[0]
    assert plain.careful_below({"power": 10.0, "pressure": 2.0}) is None


def test_random_points_are_safe_too() -> None:
    agent = RandomAgent(BOUNDS, extinction="learn", budget=20)
    assert all(row["plasma"] for row in campaign(agent, falling))


def test_going_down_is_careful_where_the_boundary_may_be() -> None:
    agent = BALMAgent(BOUNDS, extinction="learn")
    before = agent.careful_below({"power": 40.0, "pressure": 2.0})
    agent.register_failures([{"power": 40.0, "pressure": 2.0, "plasma": 0, "lit_pressure": 2.8, "out_pressure": 2.7}])
    after = agent.careful_below({"power": 40.0, "pressure": 2.0})
    assert before is not None
    assert after is not None
    assert 2.8 < after < 3.8 < before < 20.0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"plasma": 2}, "plasma = 2"),
        ({"plasma": "off"}, "plasma = 'off'"),
        ({"plasma": float("nan")}, "plasma"),
        ({"plasma": 0, "power": 0.0}, "not the readback"),
        ({"plasma": 0, "lit_pressure": -1.0}, "no pressure"),
        ({"plasma": 0, "lit_pressure": 3.0, "out_pressure": 4.0}, "lies above"),
        ({"plasma": 0, "out_pressure": float("nan")}, "not finite"),
    ],
)
def test_what_cannot_be_is_refused(change, match) -> None:
    agent = BALMAgent(BOUNDS, extinction="learn")
    row = {"_id": "a", "power": 40.0, "pressure": 2.0, "rate": 1.0, **change}
    with pytest.raises(IngestError, match=match):
        agent.ingest([row])
    with pytest.raises(IngestError, match=match):
        agent.register_failures([row])
    assert agent.ledger.failed == 0
    assert agent.ledger.extinctions == []


def test_an_extinction_counts_once() -> None:
    agent = BALMAgent(BOUNDS, extinction="learn", budget=3)
    row = {"_id": "a", "uid": "u", "power": 40.0, "pressure": 2.0, "plasma": False, "lit_pressure": 3.0}
    agent.ingest([row])
    with pytest.raises(IngestError, match="before"):
        agent.ingest([row])
    assert (agent.ledger.failed, len(agent.ledger.y)) == (1, 0)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"extinction": "maybe"}, "'learn'"),
        ({"extinction": True}, "'learn'"),
        ({"extinction": float("nan")}, "no candidate"),
        ({"extinction": 30.0}, "no candidate"),
        ({"extinction": "learn", "bounds": {"power": (10.0, 100.0), "flow": (1.0, 2.0)}}, "'pressure'"),
        ({"extinction": 4.0, "bounds": {"power": (1.0, 2.0), "a_pressure": (1.0, 9.0), "pressure": (1.0, 9.0)}}, "e'"),
        ({"extinction": "learn", "model": "standard", "bounds": {"power": (0.0, 9.0), "pressure": (1.0, 9.0)}}, "above 0"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(settings, match) -> None:
    with pytest.raises(OutOfRange, match=match):
        BALMAgent(**{"bounds": BOUNDS, **settings})


def test_inputs_may_be_named_after_the_source() -> None:
    agent = BALMAgent({"cu_power": (10.0, 100.0), "cu_pressure": (2.0, 20.0)}, extinction="learn")
    assert agent.suggest()[0]["cu_pressure"] == 2.0
    with pytest.raises(OutOfRange, match="shape"):
        agent.lit_probability([50.0, 3.0])
