"""Readings made before: they are data, use no budget, and a factor between then and now is one unknown for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from sdl_bluesky.agents import BALMAgent, make_agent
from sdl_bluesky.errors import IngestError

BOUNDS = {"power": (10.0, 100.0), "pressure": (4.0, 20.0)}
GRID = np.array([[p, q] for p in (15.0, 40.0, 90.0) for q in (5.0, 9.0, 18.0)])


def rate(x: np.ndarray) -> np.ndarray:
    """Not the learner's form."""
    return 0.7 * x[:, 0] ** 1.03 / (1 + 0.02 * (x[:, 1] - 8.0) ** 2 / x[:, 1])


def rows(x: np.ndarray, factor: float = 1.0, noise: float = 0.0, **more: Any) -> list[dict[str, Any]]:
    noisy = factor * rate(x) * (1 + noise * np.random.default_rng(len(x)).standard_normal(len(x)))
    return [
        {"power": p, "pressure": q, "rate": y, "rate_std": 0.003 * y, "uid": f"u{k}-{len(x)}", **more}
        for k, ((p, q), y) in enumerate(zip(x.tolist(), noisy.tolist()))
    ]


def spread(n: int) -> np.ndarray:
    unit = qmc.Sobol(2, rng=np.random.default_rng(1)).random(n)
    return np.exp(np.log([10.0, 4.0]) + unit * np.log([10.0, 5.0]))


def test_earlier_readings_are_data_and_use_no_budget() -> None:
    agent = BALMAgent(BOUNDS, budget=2)
    agent.ingest(rows(np.array([[100.0, 4.0], [100.0, 20.0], [30.0, 9.0]]), earlier="copper"))
    [point] = agent.suggest()
    told = agent.explain()
    assert told["acquisition"]["name"] == "balm"  # what was to begin with has been measured
    assert told["based_on"] == ["u0-3", "u1-3", "u2-3"]
    agent.ingest([{**point, "rate": 20.0}])
    assert not agent.should_stop()[0]
    agent.register_failures([agent.suggest()[0]])
    assert agent.should_stop()[1].startswith("budget of 2 experiments used: 1 measured, 1 failed")


def test_readings_of_the_same_setting_are_readings_like_any_other() -> None:
    one, other = make_agent("balm", bounds=BOUNDS), make_agent("balm", bounds=BOUNDS)
    one.ingest(rows(spread(8), earlier="copper", earlier_scale=0.0))
    other.ingest(rows(spread(8)))
    assert np.array_equal(one.predict(GRID), other.predict(GRID))


@pytest.mark.parametrize("model", ["power-scaled", "standard"])
def test_a_common_factor_is_learned_from_few_readings_of_today(model: str) -> None:
    today = np.array([[80.0, 6.0], [50.0, 15.0], [90.0, 9.0]])
    found = {}
    for scale in (0.0, 0.1):
        agent = make_agent("balm", bounds=BOUNDS, model=model)
        agent.ingest(rows(spread(16), factor=1.1, noise=0.01, earlier="old target", earlier_scale=scale))
        before, doubt = agent.predict(GRID)
        agent.ingest(rows(today))
        found[scale] = agent.predict(GRID)[0] / rate(GRID)
        if scale:
            assert np.all(doubt[3:] > 0.07 * before[3:])  # before today, nobody knows the factor
            assert np.all(agent.predict(GRID)[1][3:] < 0.04 * before[3:])
    assert np.sqrt(np.mean((found[0.1] - 1) ** 2)) < 0.025
    assert np.sqrt(np.mean((found[0.0] - 1) ** 2)) > 0.05


def test_an_unknown_factor_moves_what_is_believed_by_less_than_the_doubt_that_it_makes() -> None:
    for scale in (0.05, 0.1, 0.2):
        agent = make_agent("balm", bounds=BOUNDS)
        agent.ingest(rows(spread(32), noise=0.03, earlier="old", earlier_scale=scale))
        mean, doubt = agent.predict(GRID)
        assert np.all(np.abs(mean - rate(GRID)) < doubt)
        assert np.all(doubt < 1.5 * scale * mean)


def test_two_settings_have_factors_of_their_own() -> None:
    agent = make_agent("balm", bounds=BOUNDS)
    x = spread(16)
    agent.ingest(rows(x[:8], factor=1.15, earlier="a", earlier_scale=0.1))
    agent.ingest([{**row, "uid": f"b{k}"} for k, row in enumerate(rows(x[8:], 0.9, earlier="b", earlier_scale=0.1))])
    agent.ingest(rows(np.array([[80.0, 6.0], [50.0, 15.0], [90.0, 9.0]])))
    assert agent.predict(GRID)[0] == pytest.approx(rate(GRID), rel=0.05)


@pytest.mark.parametrize(
    "more",
    [
        {"earlier": "a", "earlier_scale": float("nan")},
        {"earlier": "a", "earlier_scale": -0.1},
        {"earlier": "a", "earlier_scale": 5.0},
        {"earlier": "a", "earlier_scale": "5 %"},
        {"earlier_scale": 0.05},
    ],
)
def test_a_scale_that_is_none_is_refused(more: dict[str, Any]) -> None:
    agent = make_agent("balm", bounds=BOUNDS)
    with pytest.raises(IngestError, match="earlier"):
        agent.ingest(rows(np.array([[50.0, 8.0]]), **more))
    agent.ingest(rows(np.array([[50.0, 8.0]])))
    assert len(agent.ledger.y) == len(agent.ledger.origins) == 1
