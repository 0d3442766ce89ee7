"""The study of learning: its counts by hand, its landscapes, its figures."""

import numpy as np
import pytest

from sdl_bluesky.bench import balm, landscapes
from sdl_bluesky.inference.design import grid

POINTS = grid(list(landscapes.BOUNDS.values()))


def curve(*errors):
    return [[5.0 + k, e, e, 1.0] for k, e in enumerate(errors)]


def test_experiments_until_the_error_stays_under():
    curves = np.array([curve(4.0, 2.9, 3.1, 2.0), curve(2.0, 2.0, 2.0, 2.0), curve(4.0, 4.0, 4.0, 4.0)])
    assert balm.experiments_to(curves, 3.0).tolist() == [8.0, 5.0, 9.0]  # never: one more than the campaign has


@pytest.mark.parametrize("name", [*landscapes.LANDSCAPES, *landscapes.HARDER])
def test_landscapes_are_positive_and_continuous(name):
    law = {**landscapes.LANDSCAPES, **landscapes.HARDER}[name]
    assert law(POINTS).min() > 0
    for fixed, axis in (([10.0, 55.0, 100.0], 0), ([4.0, 12.0, 20.0], 1)):
        for value in fixed:
            line = np.empty((4001, 2))
            line[:, axis] = value
            line[:, 1 - axis] = np.linspace(*list(landscapes.BOUNDS.values())[1 - axis], 4001)
            assert np.max(np.abs(np.diff(law(line)))) < 2e-3 * law(line).max()


def test_the_feature_is_sharp_and_the_weak_rate_noisy():
    """A second difference over a millitorr is over five times that of the strong landscape; noise over mean is 2 to 4 %."""
    line = np.array([[10.0, p] for p in (4.0, 4.5, 5.0)])
    bend = [
        abs(float(np.diff(law(line), 2)[0])) / float(law(line)[1]) for law in (landscapes.feature, landscapes.strong)
    ]
    assert bend[0] > 5 * bend[1]
    assert 0.02 < landscapes.ABSOLUTE / landscapes.weak(POINTS).mean() < 0.04


def test_sensors_beside_the_first_one_follow_cos_n():
    x = POINTS[::100]
    rates = landscapes.at_sensors(landscapes.strong, x)
    assert rates["rate"] == pytest.approx(landscapes.strong(x))
    c, reach = np.array(list(landscapes.SENSORS.values())).T
    n = np.log(rates["qcm2"] / rates["rate"] * reach[0] / reach[1]) / (c[1] - c[0])
    assert n == pytest.approx(landscapes.exponent(x))


def test_a_curve_is_that_of_its_seed_and_falls():
    task = balm.Task("strong", balm.DEFAULT, 3, 8)
    found = balm.curve(task)
    assert np.array_equal(found, balm.curve(task))
    assert found[:, 0].tolist() == [5, 6, 7, 8]
    assert found[-1, 2] < found[0, 2]
    assert found[-1, 1] < 3.0
    assert np.all((found[:, 3] >= 0) & (found[:, 3] <= 1))


def test_figures_are_pictures():
    drawn = balm.draw(2, True, lambda _: None)
    assert sorted(drawn) == ["hyperparameters.png", "learning-curves.png", "parity.png"]
    assert all(data.startswith(b"\x89PNG") and len(data) > 5000 for data in drawn.values())
