"""Steps in simulated rates that are smooth functions of their own kind, and the false alarms where there is none."""

import numpy as np
import pytest

from sdl_bluesky.analysis.health.discontinuity import LEAST_RUNS, find_jump
from sdl_bluesky.errors import OutOfRange, WeakSignal


def runs(seed, count, step=0.0, axis=1, at=9.0, noise=0.01):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.uniform(10, 100, count), rng.uniform(4, 20, count)])
    exponent, best, width = rng.uniform(0.9, 1.1), rng.uniform(6, 14), rng.uniform(0.7, 1.3)
    rate = 0.8 * x[:, 0] ** exponent * np.exp(-0.5 * (np.log(x[:, 1] / best) / width) ** 2)
    rate *= 1 - 0.0015 * x[:, 0] * np.sqrt(x[:, 1] / 20)  # bends towards high power
    rate *= 1 + step * (x[:, axis] > at)
    return x, rate * (1 + noise * rng.standard_normal(count)), np.full(count, 0.003) * rate


def test_smooth_surfaces_raise_no_alarm():
    alarms = [find_jump(*runs(seed, 12)).found for seed in range(60)]
    assert np.mean(alarms) <= 0.05


def test_a_step_is_found_with_its_place_and_size():
    found = [find_jump(*runs(seed, 20, step=0.3)) for seed in range(20)]
    assert np.mean([k.found for k in found]) >= 0.8
    sure = [k for k in found if k.found]
    assert all(k.axis == "pressure" for k in sure)
    assert np.mean([k.between[0] - 1.0 <= 9.0 <= k.between[1] + 1.0 for k in sure]) >= 0.8
    assert np.median([k.size for k in sure]) == pytest.approx(0.3, abs=0.06)
    assert np.mean([abs(k.size - 0.3) < 3 * k.std for k in sure]) >= 0.9


def test_a_step_in_power_is_told_from_one_in_pressure():
    found = [find_jump(*runs(seed, 20, step=-0.3, axis=0, at=45.0)) for seed in range(10)]
    assert sum(k.found and k.axis == "power" for k in found) >= 7


def test_the_same_runs_give_the_same_answer():
    data = runs(3, 12, step=0.2)
    assert find_jump(*data) == find_jump(*data)


def test_faults_are_refused():
    x, y, e = runs(0, 8)
    with pytest.raises(WeakSignal):
        find_jump(x[: LEAST_RUNS - 1], y[: LEAST_RUNS - 1], e[: LEAST_RUNS - 1])
    with pytest.raises(WeakSignal, match="one setting"):
        find_jump(np.tile(x[:1], (8, 1)), y, e)
    with pytest.raises(OutOfRange, match="belong"):
        find_jump(x, y[:-1], e)
    with pytest.raises(OutOfRange, match="positive"):
        find_jump(x, np.where(np.arange(8) == 2, -y, y), e)
    with pytest.raises(OutOfRange, match="positive"):
        find_jump(x, np.where(np.arange(8) == 2, np.nan, y), e)
