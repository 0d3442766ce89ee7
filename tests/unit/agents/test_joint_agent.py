"""An agent with the model of several sensors."""

import numpy as np
import pytest

from sdl_bluesky.agents import BALMAgent, RandomAgent
from sdl_bluesky.errors import IngestError, OutOfRange, UnknownName

BOX = {"power": (10.0, 100.0), "pressure": (4.0, 20.0)}
SENSORS = {"near": (-0.02, 1.06e-3), "side": (-0.35, 5.3e-4), "far": (-0.8, 1.5e-5)}


def truth(x):
    """Rate at each sensor [n, 3] of a source with n = 1.5."""
    power, pressure = np.asarray(x, dtype=float).T
    strength = 900.0 * power**0.97 / (1.0 + (pressure / 18.0) ** 1.5)
    return np.stack([strength * np.exp(1.5 * c) * reach for c, reach in SENSORS.values()], axis=1)


def learned(agent, n=8, all_sensors=True):
    rng = np.random.default_rng(0)
    for _ in range(n):
        [point] = agent.suggest()
        rate = truth([[point["power"], point["pressure"]]])[0]
        rate = rate * (1 + 0.015 * rng.standard_normal(3)) + 0.05 * rng.standard_normal(3)
        names = SENSORS if all_sensors else ["far"]
        agent.ingest([{**point, **{f"{k}_rate": r for k, r in zip(SENSORS, rate) if k in names}}])
    q = np.random.default_rng(1).uniform([10, 4], [100, 20], (200, 2))
    mean, _ = agent.predict(q)
    return float(np.sqrt(np.mean((mean - truth(q)[:, 2]) ** 2)) / truth(q)[:, 2].mean())


def test_a_weak_sensor_is_learned_from_all_of_them():
    joint = learned(BALMAgent(BOX, "far_rate", "joint", sensors=SENSORS))
    alone = learned(BALMAgent(BOX, "far_rate"), all_sensors=False)
    assert joint < 0.04
    assert joint < 0.5 * alone


def test_the_same_rows_give_the_same_next_point():
    agent = BALMAgent(BOX, "near_rate", "joint", sensors=SENSORS, acquisition="nipv")
    learned(agent, 7)
    again = BALMAgent(BOX, "near_rate", "joint", sensors=SENSORS, acquisition="nipv")
    keys = [f"{k}_rate" for k in SENSORS]
    for x, y, row in zip(agent.ledger.x, agent.ledger.all_y, agent.ledger.rows):
        again.ingest([{"power": x[0], "pressure": x[1], **dict(zip(keys, y)), "_id": row["_id"]}])
    assert again.suggest() == agent.suggest()


def test_a_sensor_that_gave_nothing_is_left_out():
    agent = RandomAgent(BOX, "near_rate", "joint", sensors=SENSORS)
    for power, pressure in ((20.0, 5.0), (60.0, 15.0), (90.0, 8.0)):
        near, side, _ = truth([[power, pressure]])[0]
        agent.ingest([{"power": power, "pressure": pressure, "near_rate": near, "side_rate": side, "far_rate": np.nan}])
    assert agent.predict([[50.0, 10.0]])[0] == pytest.approx(truth([[50.0, 10.0]])[:, 0], rel=0.1)
    with pytest.raises(IngestError, match="side_rate"):
        agent.ingest([{"power": 50.0, "pressure": 9.0, "near_rate": 20.0, "side_rate": "much"}])
    assert len(agent.ledger.x) == len(agent.ledger.y) == len(agent.ledger.all_y) == 3


def test_settings_that_cannot_be_used():
    with pytest.raises(OutOfRange, match="needs `sensors`"):
        BALMAgent(BOX, model="joint")
    with pytest.raises(OutOfRange, match="no other model"):
        BALMAgent(BOX, sensors=SENSORS)
    with pytest.raises(UnknownName, match="near_rate"):
        BALMAgent(BOX, "rate", "joint", sensors=SENSORS)
    with pytest.raises(OutOfRange, match="'power'"):
        BALMAgent({"current": (1.0, 2.0)}, "near_rate", "joint", sensors=SENSORS)
