"""What other agents would have picked, against what they pick when they are asked directly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_campaign_parts import spec
from test_growth_campaign import Reactor, campaign, run

from sdl_bluesky.agents import BALMAgent, PIBOAgent, RandomAgent
from sdl_bluesky.errors import CampaignError
from sdl_bluesky.plans.campaign import agent_for
from sdl_bluesky.plans.counterfactual import RATE_OTHERS, others, summarised
from sdl_bluesky.plans.history import History, Step

BOUNDS = {"power": (10.0, 90.0), "pressure": (4.0, 20.0)}


def rate(power: float, pressure: float) -> float:
    return 1.1 * power**0.97 * math.exp(-pressure / 25.0)


def learned(count: int, source: str = "cu") -> History:
    """A source learned by the agent of the campaign file, without noise."""
    history, agent = History("c", "c"), agent_for(spec(), source)
    for k in range(1, count + 1):
        [point] = agent.suggest(1)
        name = str(point.pop("_id"))
        row = {"_id": name, **point, "rate": rate(**point), "rate_std": 0.0}
        agent.ingest([row])
        history.steps.append(Step(k, f"learn:{source}", name, dict(point), "success", f"u{k}", row))
    return history


def test_each_agent_is_asked_what_it_would_do_with_what_was_known() -> None:
    history = learned(7)
    found = [one for one in others(spec(), history) if one.step == 6]
    assert [one.agent for one in found] == list(RATE_OTHERS)
    nipv = BALMAgent(BOUNDS, acquisition="nipv", budget=10, seed=4 * 1009)
    random = RandomAgent(BOUNDS, budget=10, seed=4 * 1009)
    for agent, one in ((nipv, found[0]), (random, found[2])):
        for step in history.steps[:5]:
            agent.ingest([step.row])
        [point] = agent.suggest(1)
        assert one.point == pytest.approx({k: point[k] for k in BOUNDS})
        away = [abs(point[k] - history.steps[5].inputs[k]) / (high - low) for k, (low, high) in BOUNDS.items()]
        assert one.disagreement == pytest.approx(max(away))


def test_regret_is_zero_where_the_same_point_is_picked_and_tells_bad_points() -> None:
    history = learned(9)
    found = list(others(spec(), history))
    first = [one for one in found if one.step <= 2 and one.agent in ("nipv", "bald")]
    assert [one.disagreement for one in first] == [0.0] * 4  # the same initial design
    assert all(math.isnan(one.regret) for one in first)  # there is no model yet
    same = [one.regret for one in found if one.step > 2 and one.disagreement == 0.0]
    assert same == [0.0] * len(same)
    table = {row.agent: row for row in summarised(found)}
    assert {row.decisions for row in table.values()} == {9}
    assert table["random"].disagreement > table["nipv"].disagreement
    late = [one.regret for one in found if one.agent == "random" and 2 < one.step <= 5]
    assert np.mean(late) > 0


def test_growth_is_judged_by_the_model_that_knows_all_layers() -> None:
    history, _ = run(Reactor(), campaign())
    found = list(others(campaign(), history))
    assert {one.stage for one in found} == {"grow:1180", "grow:1100"}
    first = next(s for s in history.steps if s.stage == "grow:1180")
    plain = PIBOAgent({"f_ga": (2.0, 8.0), "f_as": (4.0, 14.0)}, {"wavelength": 1180.0, "lattice": 5.8688}, model="gp")
    for step in history.of("preliminary"):
        plain.ingest([step.row])
    [point] = plain.suggest(1)
    one = next(k for k in found if k.step == first.step and k.agent == "plain GP")
    assert one.point == pytest.approx({k: point[k] for k in ("f_ga", "f_as")})
    random = [k for k in found if k.agent == "random"]
    assert len(random) == len(history.of("grow:1180")) + len(history.of("grow:1100"))
    assert all(0 < k.regret <= 1 for k in random)  # random flows in a plane hardly ever meet two tolerances


def test_a_campaign_without_decisions_says_so() -> None:
    with pytest.raises(CampaignError, match="no decision"):
        list(others(spec(), History("c", "c")))
