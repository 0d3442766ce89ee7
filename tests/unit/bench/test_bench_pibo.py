"""The study of growth to target: its reactors, its counting, a few campaigns."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit, logit

from sdl_bluesky.bench import pibo
from sdl_bluesky.bench.pibo_learners import LEARNERS
from sdl_bluesky.bench.pibo_reactor import mechanistic, slopes
from sdl_bluesky.bench.pibo_worlds import (
    ANCHOR_FLOWS,
    ANCHOR_XY,
    BOUNDS,
    WORLDS,
    linear,
    log_odds,
    maintain,
    preliminary,
    reactor,
)


@pytest.mark.parametrize("law", [log_odds(1.5, 0.7), linear(1.5, 0.7)])
def test_laws_pass_through_the_runs_of_the_paper(law):
    assert expit(law(ANCHOR_FLOWS)) == pytest.approx(ANCHOR_XY, abs=1e-9)


@pytest.mark.parametrize("world", WORLDS)
def test_reactors_are_those_of_their_seed_and_hold_both_targets(world):
    one, other = reactor(world, 1001), reactor(world, 1001)
    flows = preliminary(one)
    assert np.array_equal(flows, preliminary(other))
    assert one.grow(flows[0]) == other.grow(flows[0])
    low, high = np.array(list(BOUNDS.values())).T
    for wavelength in pibo.TARGETS_NM:
        at = one.solve(wavelength, 5.8688)
        assert np.all((at > low) & (at < high))
        found = one.true(at)
        assert float(found[0][0]) == pytest.approx(wavelength, abs=1e-3)
        assert float(found[1][0]) == pytest.approx(5.8688, abs=1e-6)
    wavelengths = one.true(flows)[0]
    assert np.all((wavelengths > 1120.0) & (wavelengths < 1163.5))
    before = one.odds(flows).copy()
    maintain(one)
    assert np.allclose(one.odds(flows) - before, one.offset)


def test_the_mechanistic_reactor_has_the_hidden_trend_and_no_form_of_a_learner():
    """More As lowers x, more Ga raises y; neither straight in the flows nor in their logarithms."""
    bent = []
    for seed in range(1000, 1020):
        law = mechanistic(np.random.default_rng(seed))
        (ga_x, as_x), (ga_y, as_y) = slopes(law, np.array([5.0, 9.0]))
        assert ga_x > 0 > as_x
        assert min(as_y, ga_y) > 0
        ga = np.geomspace(2.0, 8.0, 9)
        z = law(np.stack([ga, np.full(9, 9.0)], axis=1))[:, 0]
        line = np.polyval(np.polyfit(np.log(ga), z, 1), np.log(ga))
        straight = np.polyval(np.polyfit(ga, expit(z), 1), ga)
        bent.append((np.abs(z - line).max(), np.abs(logit(np.clip(straight, 1e-3, 1)) - z).max()))
    assert np.median(bent, axis=0).min() > 0.01


@pytest.mark.parametrize("learner", ["default", "published", "oracle"])
def test_a_campaign_is_that_of_its_seed(learner):
    one = pibo.grow(pibo.Task("log-odds", learner, 1003))
    assert one.runs == pibo.grow(pibo.Task("log-odds", learner, 1003)).runs
    assert all(1 <= n <= pibo.CAP + 1 for n in one.runs)
    if learner in ("default", "oracle"):
        assert max(one.runs) <= 4


@pytest.mark.parametrize("name", list(LEARNERS))
def test_every_learner_asks_within_the_bounds_and_the_same_again(name):
    asked = []
    for _ in range(2):
        plant = reactor("log-odds", 1003)
        learner = LEARNERS[name](5, plant)
        for flows in preliminary(plant):
            learner.tell(flows, plant.grow(flows))
        learner.aim_at(1100.0, "first")
        asked.append(learner.next())
    low, high = np.array(list(BOUNDS.values())).T
    assert np.all((asked[0] >= low) & (asked[0] <= high))
    assert asked[0] == pytest.approx(asked[1], rel=1e-9)


def test_the_study_runs_and_orders_random_default_and_oracle(monkeypatch):
    monkeypatch.setattr(pibo, "WORLDS", ("linear",))
    monkeypatch.setattr(pibo, "CAP", 6)
    monkeypatch.setattr(pibo.os, "cpu_count", lambda: 1)
    rows = {row["method"]: row for row in pibo.run(None, True, lambda text: None)}
    assert set(rows) == {"default", "published", "random", "oracle", "trend"}
    assert rows["oracle"]["runs_1180"] <= rows["default"]["runs_1180"] + 1 < rows["random"]["runs_1180"]
    assert rows["default"]["failed"] == 0
    assert rows["default"]["worse_1180"] == 0.0


def test_rows_count_misses_and_pairs():
    trend = np.array([[-0.3, 0.3], [0.1, 0.3], [-0.2, 0.2]])
    default = [pibo.Outcome((1, 2), 0.5, 3, trend), pibo.Outcome((2, 1), 0.5, 3, trend)]
    other = [pibo.Outcome((4, 16), 0.4, 19, trend), pibo.Outcome((4, 1), 0.4, 5, trend)]
    row = pibo._row("hard", "other", other, default)
    assert (row["runs_1180"], row["runs_1100"], row["failed"]) == (4.0, 8.5, 1)
    assert (row["worse_1180"], row["worse_1180_se"]) == (2.5, pytest.approx(0.5))
    assert row["worse_1100"] == 7.0
    told = pibo._trend_row("hard", default)
    assert told["x_with_as_sign_sure"] == 1.0
    assert told["y_with_ga_sign_sure"] == 0.0
    assert told["y_with_ga_coverage_90"] == 1.0
    better = pibo._row("hard", "better", [pibo.Outcome((1, 1), 0.1, 2, trend)] * 2, other)
    assert pibo.better_than_default([row, better]) == ["better in hard, 1180 nm: -3.00 runs"]


def test_the_agent_needs_no_torch_to_be_imported():
    code = "import sys, sdl_bluesky.agents.pibo; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
