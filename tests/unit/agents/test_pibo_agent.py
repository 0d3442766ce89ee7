"""Growth to target through the agent's public calls: a law it can learn, edge cases, memory, batches."""

import json
import math

import numpy as np
import pytest
from scipy.special import expit

from sdl_bluesky.agents.pibo import PIBOAgent
from sdl_bluesky.errors import IngestError, OutOfRange, UnknownName
from sdl_bluesky.physics.alloys import InGaAsP, Specification

BOUNDS = {"f_ga": (2.0, 8.0), "f_as": (4.0, 14.0)}
TARGET = {"wavelength": 1180.0, "lattice": 5.8688}
SLOPES, AT = np.array([[1.4, -0.3], [0.3, 0.75]]), (np.array([5.971, 11.2]), np.array([-1.437, -0.3327]))
FIRST = [(4.4, 8.3), (5.1, 9.4), (5.5, 8.3), (4.5, 8.1), (4.3, 9.3), (4.9, 8.9)]


def composition(flows, offset=0.0):
    """The law: powers through a run of the paper."""
    return expit(np.log(np.asarray(flows) / AT[0]) @ SLOPES.T + AT[1] + offset)


def grown(flows, **more):
    wavelength, lattice = InGaAsP().properties(*composition(flows, more.pop("offset", 0.0)))
    return {"f_ga": flows[0], "f_as": flows[1], "wavelength": float(wavelength), "lattice": float(lattice), **more}


def agent_with(rows=None, **settings):
    agent = PIBOAgent(BOUNDS, settings.pop("target", TARGET), **settings)
    agent.ingest([grown(f) for f in FIRST] if rows is None else rows)
    return agent


def grow_on(agent, **more):
    [point] = agent.suggest()
    agent.ingest([{**point, **grown((point["f_ga"], point["f_as"]), **more)}])
    return point


@pytest.mark.parametrize("settings", [{}, {"acquisition": "probability"}, {"p": 0.5}])
def test_two_targets_outside_the_data(settings):
    agent = agent_with(**settings)
    assert agent.should_stop() == (False, "")
    for wavelength in (1180.0, 1100.0):
        agent.retarget({"wavelength": wavelength, "lattice": 5.8688})
        for _ in range(2):
            if agent.should_stop()[0]:
                break
            grow_on(agent)
        stop, reason = agent.should_stop()
        assert stop
        assert f"{wavelength:g} nm" in reason
        best = agent.get_best_points()[0]
        assert Specification(wavelength).met(best["wavelength"], best["lattice"])


def test_the_published_model_learns_too():
    agent = agent_with(model="published", acquisition="published")
    for _ in range(6):
        if agent.should_stop()[0]:
            break
        grow_on(agent)
    assert agent.should_stop()[1].startswith("a layer is in specification")


def test_predictions_cover_the_law():
    agent = agent_with()
    flows = np.array([[5.97, 11.2], [4.1, 6.9], [3.0, 12.0], [7.0, 6.0]])
    mean, std = agent.predict(flows)
    assert mean.shape == std.shape == (4, 2)
    assert np.all(np.abs(mean - composition(flows)) < 3 * std)
    assert np.all(std < 0.08)


def test_fed_from_its_rows_it_suggests_the_same_point():
    one = agent_with()
    rows = [grown(f) for f in FIRST]
    for _ in range(2):
        point = one.suggest()[0]
        rows.append({**point, **grown((point["f_ga"], point["f_as"] + 0.5))})
        one.ingest(rows[-1:])
    other = PIBOAgent(BOUNDS, TARGET)
    other.ingest(rows)
    assert other.suggest() == one.suggest()
    assert other.explain() == one.explain()
    changed = PIBOAgent(BOUNDS, {"wavelength": 1100.0, "lattice": 5.8688})
    changed.ingest(rows)
    changed.retarget(TARGET)
    assert changed.suggest()[0] == {**one.explain()["point"], "_id": changed.explain()["point"]["_id"]}


def test_explanations_can_be_written():
    agent = agent_with([{**grown(f), "uid": f"u{k}"} for k, f in enumerate(FIRST)])
    assert agent.explain() == {}
    point = agent.suggest()[0]
    told = agent.explain()
    json.dumps(told, allow_nan=False)
    assert told["point"] == point
    assert told["based_on"] == [f"u{k}" for k in range(6)]
    assert told["acquisition"]["name"] == "distance"
    assert 0 < told["prediction"]["in_specification"] <= 1
    x, y = composition((point["f_ga"], point["f_as"]))
    assert told["prediction"]["mean"] == pytest.approx([x, y], abs=4 * max(told["prediction"]["std"]))
    assert all(a["value"] >= told["acquisition"]["value"] for a in told["alternatives"])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_points(n):
    agent = agent_with([grown(f) for f in FIRST[:n]])
    points = [agent.suggest()[0] for _ in range(3)]
    flows = np.array([[p["f_ga"], p["f_as"]] for p in points])
    assert np.all((flows >= [2, 4]) & (flows <= [8, 14]))
    assert np.ptp(flows, axis=0).min() > 1.0  # both vary
    assert "fewer than 3" in agent.explain()["findings"][0]
    assert agent.should_stop() == (False, "")


@pytest.mark.parametrize("model", ["log-odds", "published"])
def test_a_flow_that_never_varied(model):
    """Nothing is learned of the slope with it: the published slope is 0 and not what rounding makes."""
    rows = [grown((f, 8.1)) for f in (4.1, 4.4, 4.7, 5.1, 5.6)]
    agent = agent_with(rows, model=model)
    agent.suggest()
    assert any(f.startswith("f_as never varied") for f in agent.explain()["findings"])
    posterior = agent.posterior()
    if model == "published":
        assert posterior.lines[1].a == 0.0
        assert posterior.lines[1].b == pytest.approx(np.mean([r["y"] for r in agent.ledger.rows]))
    else:
        mean, std = posterior.slopes()
        assert std[1, 1] > 0.9 * agent.model.prior.own[1]  # as unknown as before
        assert abs(mean[1, 1] - agent.model.prior.own[0]) < 0.1


def test_rows_with_nan_are_refused_and_the_others_kept():
    rows = [grown(f) for f in FIRST]
    rows[1]["lattice"] = math.nan
    rows[4]["f_ga"] = math.inf
    agent = PIBOAgent(BOUNDS, TARGET)
    with pytest.raises(IngestError) as caught:
        agent.ingest(rows)
    assert sorted(caught.value.rows) == [1, 4]
    assert len(agent.ledger.y) == 4
    clean = agent_with([r for k, r in enumerate(rows) if k not in (1, 4)])
    assert agent.suggest() == clean.suggest()
    assert [r["row"]["f_as"] for r in agent.explain()["refused"]] == [FIRST[1][1], FIRST[4][1]]


@pytest.mark.parametrize(
    "fault",
    [
        {"wavelength": 2500.0},
        {"lattice": 5.6688},
        {"wavelength_std": -1.0},
        {"f_ga": 80.0},
        {"wavelength": None},
        {"f_as": 0.0},
    ],
)
def test_rows_of_no_composition(fault):
    agent = agent_with()
    with pytest.raises(IngestError):
        agent.ingest([{**grown((5.0, 9.0)), **fault}, grown((5.2, 9.1))])
    assert len(agent.ledger.y) == len(agent.ledger.xy) == len(agent.ledger.campaigns) == 7


def test_a_gross_outlier_is_named_and_has_little_weight():
    rows = [{**grown(f), "uid": f"u{k}"} for k, f in enumerate(FIRST)]
    flows = np.array([[5.97, 11.2]])
    good = agent_with(rows).predict(flows)[0]
    bad = agent_with([*rows, {**grown((5.0, 9.0)), "offset": 0, "uid": "bad"}])
    x, y = composition((5.0, 9.0), 0.5)
    wavelength, lattice = InGaAsP().properties(x, y)
    bad = agent_with([*rows, {"f_ga": 5.0, "f_as": 9.0, "wavelength": wavelength, "lattice": lattice, "uid": "bad"}])
    assert np.max(np.abs(bad.predict(flows)[0] - good)) < 0.004
    bad.suggest()
    assert any("run bad does not fit" in f for f in bad.explain()["findings"])
    naive = agent_with(bad.ledger.rows, model="published").predict(flows)[0]
    assert np.max(np.abs(naive - good)) > 0.02


@pytest.mark.parametrize(
    ("wavelength", "bound"), [(1420.0, "upper bound of f_as, 14"), (960.0, "lower bound of f_ga, 2")]
)
def test_a_target_outside_the_box_stops_and_names_the_bound(wavelength, bound):
    agent = agent_with(target={"wavelength": wavelength, "lattice": 5.8688})
    stop, reason = agent.should_stop()
    assert stop
    assert bound in reason
    [point] = agent.suggest()
    assert 2 <= point["f_ga"] <= 8
    assert any(bound in f for f in agent.explain()["findings"])


@pytest.mark.parametrize(
    "target", [{"wavelength": 1900.0, "lattice": 5.8688}, {"wavelength": 900.0, "lattice": 5.8688}]
)
def test_a_target_outside_the_alloy(target):
    with pytest.raises(OutOfRange, match=r"918.*1654|9\d\d"):
        PIBOAgent(BOUNDS, target)
    agent = agent_with()
    before = agent.suggest()
    with pytest.raises(OutOfRange):
        agent.retarget(target)
    assert agent.aim.specification.wavelength == 1180.0
    assert agent.explain()["point"] == before[0]


def test_budget_counts_what_was_asked_for():
    agent = agent_with(target={"wavelength": 1180.0, "lattice": 5.8688, "mismatch_tolerance": 1e-6}, budget=3)
    for _ in range(2):
        point = agent.suggest()[0]
        agent.ingest([{**point, **grown((point["f_ga"], point["f_as"]), offset=0.02)}])
        assert not agent.should_stop()[0]
    agent.register_failures(agent.suggest())
    assert agent.should_stop() == (True, "budget of 3 experiments used: 2 measured, 1 failed")
    agent.retarget(TARGET)
    assert "budget" not in agent.should_stop()[1]


def test_failures_keep_away_unless_the_place_was_not_to_blame():
    agent = agent_with()
    point = agent.suggest()[0]
    agent.register_failures([{**point, "exclude": False}])
    again = agent.suggest()[0]
    assert {k: v for k, v in again.items() if k != "_id"} == {k: v for k, v in point.items() if k != "_id"}
    agent.register_failures([again])
    away = agent.suggest()[0]
    assert max(abs(away["f_ga"] - point["f_ga"]) / 6, abs(away["f_as"] - point["f_as"]) / 10) >= 0.03


def test_points_of_a_batch_are_apart_and_ids_match_in_any_order():
    agent = agent_with()
    points = agent.suggest(3)
    flows = np.array([[p["f_ga"], p["f_as"]] for p in points]) / [6, 10]
    assert min(np.max(np.abs(flows[i] - flows[j])) for i in range(3) for j in range(i)) >= 0.0099
    agent.ingest([{**p, **grown((p["f_ga"], p["f_as"]))} for p in reversed(points)])
    assert not agent.ledger.pending
    assert agent.should_stop()[0]
    noted = agent.register_suggestions([{"f_ga": 5.0, "f_as": 9.0}])
    assert noted[0]["_id"] in agent.ledger.pending


def test_a_campaign_after_maintenance_has_its_own_offset():
    """The first run is off by the offset, the second one hits: one run tells it."""
    agent = agent_with()
    agent.retarget({"wavelength": 1100.0, "lattice": 5.8688}, "after maintenance")
    known = agent.predict(np.array([[4.1, 6.9]]))[1]
    offset = np.array([0.12, -0.10])
    runs = 0
    while not agent.should_stop()[0]:
        grow_on(agent, offset=offset)
        runs += 1
    assert runs <= 3
    assert agent.get_best_points()[0]["campaign"] == "after maintenance"
    same = agent_with()
    same.retarget({"wavelength": 1100.0, "lattice": 5.8688})
    assert np.all(known > 1.5 * same.predict(np.array([[4.1, 6.9]]))[1])


def test_rows_of_earlier_campaigns_by_name():
    rows = [{**grown(f, offset=0.15), "campaign": "last year"} for f in FIRST]
    now = [grown((5.0, 9.0)), grown((4.6, 8.7))]
    agent = agent_with([*rows, *now])
    mean, std = agent.predict(np.array([[5.97, 11.2]]))
    assert np.all(np.abs(mean - composition([[5.97, 11.2]])) < 3 * std)
    assert np.all(std < 0.02)


def test_forbidden_regions_are_never_suggested():
    def forbidden(flows):
        return np.where(flows[:, 1] > 10.0, np.inf, 0.0)

    agent = agent_with(phase=forbidden)
    assert all(p["f_as"] <= 10.0 for p in agent.suggest(3))
    empty = PIBOAgent(BOUNDS, TARGET, phase=lambda f: f[:, 0] < 3.0)  # bools: feasible
    assert all(p["f_ga"] < 3.0 for p in empty.suggest(3))
    table = {"f_ga": [2, 5, 8], "f_as": [4, 9, 14], "penalty": [[0, 0, math.inf]] * 3}
    assert agent_with(phase=table).suggest()[0]["f_as"] <= 9.0
    away = agent_with(phase=lambda f: f[:, 1] < 8.0, target={"wavelength": 1250.0, "lattice": 5.8688})
    assert away.should_stop()[1].endswith("the edge of what the phase diagram allows")
    assert agent_with(phase=lambda f: f[:, 1] < 0.0).should_stop()[0]
    with pytest.raises(OutOfRange, match="nothing may be suggested"):
        agent_with(phase=lambda f: np.full(len(f), np.inf)).suggest()
    for bad in ({"f_ga": [2, 8], "f_as": [4, 14], "penalty": [[0]]}, lambda f: np.full(len(f), -1.0)):
        with pytest.raises(OutOfRange):
            agent_with(phase=bad).suggest()


def test_a_simulator_as_prior_mean_saves_runs():
    """With two runs more would be needed; a simulation that is off by an offset knows the slopes."""
    rows = [grown(f) for f in FIRST[:3]]
    at = np.array([[5.97, 11.2], [4.1, 6.9]])
    plain = agent_with(rows).predict(at)
    told = agent_with(rows, simulator=lambda f: composition(f, 0.2)).predict(at)
    assert np.all(told[1] < plain[1])
    assert np.max(np.abs(told[0] - composition(at))) < 0.01


def test_a_recipe_that_is_sure_enough_stops():
    agent = agent_with([grown((f, a)) for f in (4.5, 5.2, 6.0, 6.6) for a in (9.5, 10.8, 12.0)], stop_probability=0.6)
    stop, reason = agent.should_stop()
    assert stop
    assert "P = " in reason


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"model": "linear"}, UnknownName),
        ({"acquisition": "ei"}, UnknownName),
        ({"p": 1.0}, OutOfRange),
        ({"p": (0.1, 0.2)}, OutOfRange),
        ({"budget": 0}, OutOfRange),
        ({"seed": -1}, OutOfRange),
        ({"campaign": ""}, OutOfRange),
        ({"exclude": math.nan}, OutOfRange),
        ({"stop_probability": 2.0}, OutOfRange),
        ({"simulator": 3}, OutOfRange),
        ({"model": "published", "simulator": composition}, OutOfRange),
        ({"target": {"wavelength": 1180.0}}, OutOfRange),
        ({"target": {"wavelength": 1180.0, "lattice": math.nan}}, OutOfRange),
        ({"target": {**TARGET, "colour": 1}}, UnknownName),
        ({"bounds": {"f_ga": (0.0, 8.0), "f_as": (4.0, 14.0)}}, OutOfRange),
        ({"bounds": {"f_ga": (2.0, 8.0)}}, OutOfRange),
    ],
)
def test_settings_that_cannot_be_used(settings, error):
    with pytest.raises(error):
        PIBOAgent(**{"bounds": BOUNDS, "target": TARGET, **settings})
    assert PIBOAgent(BOUNDS, TARGET).suggest(1)
    with pytest.raises(OutOfRange):
        PIBOAgent(BOUNDS, TARGET).suggest(0)
