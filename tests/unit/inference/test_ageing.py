"""Ageing of a learned rate, against closed forms and against drifts that were drawn from nothing it knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.ageing import AgedRate, AgeingPrior, Anchor, energy_of_a_run

POWER, PRESSURE = (10.0, 100.0), (4.0, 20.0)
GRID = np.array([[p, q] for p in np.linspace(10, 100, 7) for q in np.linspace(4, 20, 7)])


def truth(x):
    return 0.8 * x[:, 0] * (x[:, 1] / 8.0) ** -0.5


def learned(std=0.01):
    return lambda x: (truth(x), std * truth(x))


def test_a_new_model_is_what_was_learned():
    model = AgedRate(learned(), POWER, PRESSURE)
    mean, std = model.predict(GRID, 0.0, 0.0)
    np.testing.assert_allclose(mean, truth(GRID))
    np.testing.assert_allclose(std, 0.01 * truth(GRID))
    assert model.error(0.0, 0.0) == pytest.approx(0.01 * np.sqrt(np.mean(GRID_RATE**2)) / GRID_RATE.mean(), rel=0.02)


GRID_RATE = truth(np.array([[p, q] for p in np.linspace(10, 100, 9) for q in np.linspace(4, 20, 9)]))


def test_one_anchor_moves_the_level_by_the_kriging_weight():
    """In the middle, without tilts and walks: weight = (a E)^2 / ((a E)^2 + s^2) on ln of the ratio, a closed form."""
    prior = AgeingPrior(trend_per_kWh=0.1, walk_per_root_kWh=0.0, tilt=0.0, gauge_per_root_day=0.0)
    model = AgedRate(learned(0.0), POWER, PRESSURE, prior)
    here, elsewhere = np.array([[40.0, 8.0]]), np.array([[90.0, 15.0]])
    model = model.observe([Anchor(40.0, 8.0, 2.0, 0.0, float(np.log(0.8 * truth(here)[0])), 0.05)])
    weight = 0.2**2 / (0.2**2 + 0.05**2)
    for x in (here, elsewhere):
        mean, std = model.predict(x, 2.0, 0.0)
        assert mean[0] == pytest.approx(truth(x)[0] * 0.8**weight)
        assert std[0] / mean[0] == pytest.approx(0.2 * np.sqrt(1 - weight))
    later, late_std = model.predict(here, 4.0, 0.0)  # a steady change goes on
    assert later[0] == pytest.approx(truth(here)[0] * 0.8 ** (2 * weight))
    assert late_std[0] / later[0] == pytest.approx(0.4 * np.sqrt(1 - weight))


def test_a_gauge_that_drifts_acts_through_the_slope_in_pressure():
    """ln rate has the slope -1/2 in ln p: a drift of sd 0.04 after 16 days makes 0.02."""
    prior = AgeingPrior(0.0, 0.0, 0.0, gauge_per_root_day=0.01)
    mean, std = AgedRate(learned(0.0), POWER, PRESSURE, prior).predict(GRID, 5.0, 16.0)
    np.testing.assert_allclose(std / mean, 0.5 * 0.04, rtol=1e-6)


@settings(max_examples=40, derandomize=True)
@given(st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.floats(0.0, 100.0))
def test_errors_grow_with_age_and_shrink_with_readings(first, more, days):
    model = AgedRate(learned(), POWER, PRESSURE)
    young, old = model.error(first, days), model.error(first + more, days)
    assert old >= young - 1e-12
    read = model.observe([Anchor(50.0, 8.0, first + more, days, 3.0, 0.02)])
    assert read.error(first + more, days) <= old + 1e-12
    _, cov = read.predict_log(GRID, first + more, days)
    assert np.linalg.eigvalsh(cov).min() > -1e-9


def test_drifts_of_another_make_are_covered_after_two_anchors():
    """Any loss from -10 to 30 % with a tilt of its own: 120 chambers; error and 95 % intervals over the whole range."""
    errors, covered, before = [], [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        loss = rng.uniform(-0.3, 0.1)
        tilt = rng.normal(0.0, 0.015, 2)
        z = np.log(GRID / np.array([31.6, 8.9]))
        model = AgedRate(learned(0.012), POWER, PRESSURE)
        now_true = truth(GRID) * np.exp(loss + z @ tilt)
        for run in model.cheapest_anchors(0.02, 2.4, 1.0, most=2, std=0.012):
            x = np.log([run.power_W / 31.6, run.pressure_mTorr / 8.9])
            rate = truth(np.array([[run.power_W, run.pressure_mTorr]]))[0] * np.exp(loss + x @ tilt)
            reading = Anchor(
                run.power_W, run.pressure_mTorr, 2.4, 1.0, float(np.log(rate) + 0.012 * rng.normal()), 0.012
            )
            model = model.observe([reading])
        mean, std = model.predict(GRID, 2.4, 1.0)
        before.append(np.sqrt(np.mean((truth(GRID) - now_true) ** 2)) / now_true.mean())
        errors.append(np.sqrt(np.mean((mean - now_true) ** 2)) / now_true.mean())
        covered.append(np.mean(np.abs(mean - now_true) < 1.96 * std))
    assert np.quantile(before, 0.75) > 0.15
    assert np.quantile(errors, 0.95) < 0.04
    assert np.mean(covered) > 0.9


def test_expiry_says_why():
    model = AgedRate(learned(), POWER, PRESSURE)
    assert model.expired(0.03, 0.1, 1.0)[0] is False
    expired, reason = model.expired(0.03, 2.4, 1.0)
    assert expired
    assert "target has worn" in reason
    assert "2.4 kWh" in reason
    expired, reason = model.expired(0.03, 0.0, 400.0)
    assert expired
    assert "gauge may have drifted" in reason
    expired, reason = AgedRate(learned(0.05), POWER, PRESSURE).expired(0.03, 0.0, 0.0)
    assert expired
    assert "was learned to" in reason


def test_the_energy_that_is_left_is_where_the_error_passes():
    model = AgedRate(learned(), POWER, PRESSURE)
    left = model.energy_left(0.03, 0.1, 0.0)
    assert left > 0
    assert model.error(0.1 + 0.99 * left, 0.0) < 0.03 < model.error(0.1 + 1.01 * left, 0.0)
    assert model.energy_left(0.03, 5.0, 0.0) == 0.0
    still = AgedRate(learned(), POWER, PRESSURE, AgeingPrior(0.0, 0.0, 0.0, 0.0))
    assert still.energy_left(0.03, 0.0, 0.0, most_kWh=7.0) == 7.0


def test_anchors_are_the_cheapest_that_do_it():
    model = AgedRate(learned(), POWER, PRESSURE)
    assert model.cheapest_anchors(0.03, 0.1, 0.0) == ()
    [run] = model.cheapest_anchors(0.03, 1.0, 0.0, std=0.015, cost=energy_of_a_run)
    assert run.error_after <= 0.03
    after = model.observe([Anchor(run.power_W, run.pressure_mTorr, 1.0, 0.0, 3.0, 0.015)])
    assert after.error(1.0, 0.0) == pytest.approx(run.error_after, rel=0.02)
    everywhere = model.cheapest_anchors(0.03, 1.0, 0.0, std=0.015)
    assert run.power_W < everywhere[0].power_W  # low power costs less energy
    costs = {(p, q): 1.0 if p > 50 else 2.0 for p, q in map(tuple, GRID)}
    [dear] = model.cheapest_anchors(0.03, 1.0, 0.0, cost=lambda p, q: costs[p, q], candidates=GRID)
    assert dear.power_W > 50
    assert dear.cost == 1.0
    two = model.cheapest_anchors(0.001, 3.0, 0.0, most=2)
    assert len(two) == 2
    assert two[1].error_after < two[0].error_after
    assert two[1].error_after > 0.001
    high = model.cheapest_anchors(0.03, 1.0, 0.0, allowed=lambda p, q: q > 15)
    assert all(k.pressure_mTorr > 15 for k in high)


def test_known_errors_of_the_surface_are_read_away_where_they_are_shared():
    """A level known to 5 % only, the same error everywhere: one precise reading takes it away; independent errors stay."""
    shared = AgedRate(lambda x: (truth(x), 0.05**2 * np.outer(truth(x), truth(x))), POWER, PRESSURE)
    alone = AgedRate(learned(0.05), POWER, PRESSURE)
    reading = Anchor(52.0, 11.0, 0.0, 0.0, 3.0, 0.005)
    assert shared.observe([reading]).error(0.0, 0.0) < 0.01
    assert alone.observe([reading]).error(0.0, 0.0) > 0.045


@pytest.mark.parametrize("numbers", [(-1.0, 0.0), (0.0, -1.0), (np.nan, 0.0)])
def test_ages_that_are_none_are_refused(numbers):
    with pytest.raises(OutOfRange, match="went back"):
        AgedRate(learned(), POWER, PRESSURE).predict(GRID, *numbers)


def test_faults_are_refused():
    model = AgedRate(learned(), POWER, PRESSURE)
    with pytest.raises(OutOfRange):
        AgedRate(learned(), (100.0, 10.0), PRESSURE)
    with pytest.raises(OutOfRange):
        AgeingPrior(trend_per_kWh=-0.1)
    with pytest.raises(OutOfRange):
        model.observe([Anchor(50.0, 8.0, 1.0, 0.0, np.nan, 0.01)])
    with pytest.raises(OutOfRange):
        model.observe([Anchor(50.0, 8.0, 1.0, 0.0, 3.0, 0.0)])
    with pytest.raises(OutOfRange):
        model.predict([[0.0, 8.0]], 1.0, 0.0)
    with pytest.raises(OutOfRange):
        model.expired(0.0, 1.0, 0.0)
    with pytest.raises(OutOfRange):
        model.cheapest_anchors(0.03, 2.0, 0.0, allowed=lambda p, q: False)
    with pytest.raises(OutOfRange):
        model.cheapest_anchors(0.03, 2.0, 0.0, std=0.0)
    with pytest.raises(OutOfRange, match="logarithm"):
        AgedRate(lambda x: (-truth(x), truth(x)), POWER, PRESSURE).predict(GRID, 0.0, 0.0)
