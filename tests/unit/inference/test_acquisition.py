"""Acquisitions against their definitions, and the initial designs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.inference import acquisition, design
from sdl_bluesky.inference.gp import FullyBayesianGP, Noise, PowerScaledGP, Prior
from sdl_bluesky.inference.posterior import Components

BOX = ((10.0, 100.0), (4.0, 20.0))


class Fixed:
    """A posterior of two nodes with the given predictions."""

    def __init__(self, mean, variance, noise):
        self.parts = Components(*(np.array(k, dtype=float) for k in (mean, variance, noise)), np.array([0.5, 0.5]))

    def components(self, x):
        return self.parts


def test_entropies_by_hand():
    two = Fixed([[0, 1], [0, 3]], [[1, 1], [3, 1]], [[0.5, 0.5], [0.5, 0.5]])
    log = 0.5 * np.log(2 * np.pi * np.e)
    assert acquisition.balm_published(two, None, None) == pytest.approx(log + 0.5 * np.log([2.5, 2.5]))
    assert acquisition.alm(two, None, None) == pytest.approx(log + 0.5 * np.log([2.5, 1.5]))
    first = 0.5 * np.log(2.5) - 0.25 * (np.log(1.5) + np.log(3.5))
    second = 0.5 * np.log(2.5) - 0.5 * np.log(1.5)
    assert acquisition.bald(two, None, None) == pytest.approx([first, second])


def test_the_published_entropy_does_not_follow_the_noise():
    same = Fixed([[5, 50], [5, 50]], [[1, 1], [1, 1]], [[0.1, 9], [0.1, 9]])
    value = acquisition.balm_published(same, None, None)
    assert value[0] == pytest.approx(value[1])


def test_nipv_is_what_a_fantasy_reading_leaves():
    prior = Prior(noise=Noise((1e-6, 1e-6), (0.5, 0.3)))
    rng = np.random.default_rng(0)
    low, high = np.array(BOX).T
    x = low + rng.random((6, 2)) * (high - low)
    posterior = FullyBayesianGP(BOX, prior, nodes=16).fit(x, 0.4 * x[:, 0])
    domain = design.sobol(BOX, 32)
    for point in domain[:3]:
        after = posterior.believe(point[None]).components(domain)
        now = posterior.components(domain)
        left = float((now.weight @ after.variance + now.spread).mean())
        assert acquisition.nipv(posterior, point[None], domain)[0] == pytest.approx(-left, rel=1e-6)


def test_balm_is_what_a_reading_takes_off_the_entropy_of_the_range():
    """One node: the variance after a fantasy reading by conditioning, averaged over the domain."""
    rng = np.random.default_rng(1)
    low, high = np.array(BOX).T
    x = low + rng.random((6, 2)) * (high - low)
    posterior = PowerScaledGP(BOX).fit(x, 0.4 * x[:, 0]).thinned(1)
    domain, points = design.sobol(BOX, 32), design.grid(BOX, 49)
    both = np.concatenate([points, domain])
    cov, noise = posterior.covariance(both), posterior.components(points).noise[0]
    found = acquisition.balm(posterior, points, domain)
    for k in range(len(points)):
        after = cov - np.outer(cov[:, k], cov[k]) / (cov[k, k] + noise[k])
        now, then = (np.trace(c[len(points) :, len(points) :]) / len(domain) for c in (cov, after))
        assert found[k] == pytest.approx(0.5 * np.log(now / then), rel=1e-6)


def test_balm_counts_what_the_nodes_disagree_on():
    """Two sure nodes that disagree at one place: reading there settles the domain as far as the noise lets it."""

    class Two(Fixed):
        def thinned(self, nodes):
            return self

        def node_covariance(self, x1, x2):
            return np.zeros((2, len(x1), len(x2)))

    two = Two([[1.0, 5.0], [3.0, 5.0]], [[0.0, 0.0]] * 2, [[0.25, 0.25]] * 2)
    found = acquisition.balm(two, [[0.0], [1.0]], [[0.0], [1.0]])
    assert found == pytest.approx([0.5 * np.log(1.0 / (1.0 - 1.0 / 1.25)), 0.0])


def test_balm_stays_away_from_the_edges_where_the_published_one_goes():
    corners = design.corners(BOX)
    posterior = PowerScaledGP(BOX).fit(corners, 0.4 * corners[:, 0])
    points, domain = design.grid(BOX), design.sobol(BOX, 96)
    low, high = np.array(BOX).T

    def from_edge(name):
        best = points[np.argmax(acquisition.acquisition(name)(posterior, points, domain))]
        return float(np.min(np.minimum(best - low, high - best) / (high - low)))

    assert from_edge("balm-published") == 0.0
    assert from_edge("balm") > 0.05


@pytest.mark.parametrize("name", acquisition.ACQUISITIONS)
def test_a_measured_place_is_worth_less_than_a_far_one(name):
    x = np.array([[20.0, 5.0], [20.0, 5.5], [25.0, 5.0], [22.0, 6.0]])
    posterior = PowerScaledGP(BOX).fit(x, 0.4 * x[:, 0])
    near, far = acquisition.acquisition(name)(posterior, [[21.0, 5.2], [95.0, 18.0]], design.grid(BOX, 100))
    assert far > near


def test_unknown_names():
    with pytest.raises(UnknownName, match="balm"):
        acquisition.acquisition("ei")
    with pytest.raises(UnknownName, match="corners"):
        design.initial_design("grid", BOX)


def test_corners_and_centre():
    points = design.initial_design("corners", BOX).tolist()
    assert len(points) == 5
    assert points[-1] == [55.0, 12.0]
    assert {tuple(p) for p in points[:4]} == {(10, 4), (10, 20), (100, 4), (100, 20)}
    assert [len(design.corners([(0.0, 1.0)] * d)) for d in (1, 2, 3)] == [3, 5, 9]


def test_ends_are_the_corners_at_the_highest_power_and_need_a_power():
    box = [(4.0, 20.0), (10.0, 100.0), (0.0, 5.0)]
    found = design.initial_design("ends", box, power=1)
    assert {tuple(p) for p in found} == {(p, 100.0, f) for p in (4.0, 20.0) for f in (0.0, 5.0)}
    assert np.array_equal(design.initial_design("ends", box), design.corners(box))


@given(low=st.floats(0.01, 10.0), width=st.floats(0.01, 1000.0), d=st.integers(1, 4))
def test_ends_are_there_whatever_the_bounds_round_to(low, width, d):
    found = design.ends([(low, low + width), *[(0.1, 0.3)] * (d - 1)], 0)
    assert found.shape == (2 ** (d - 1), d)
    assert found[:, 0] == pytest.approx(low + width)


@pytest.mark.parametrize("name", ["sobol", "random"])
def test_sequences(name):
    draw = getattr(design, name)
    points = design.initial_design(name, BOX, seed=2)
    assert points.shape == (5, 2)
    assert np.all((points >= np.array(BOX)[:, 0]) & (points <= np.array(BOX)[:, 1]))
    assert np.array_equal(points, draw(BOX, 5, seed=2))
    assert draw(BOX, 20, seed=2)[7:12] == pytest.approx(draw(BOX, 5, seed=2, first=7))
    assert not np.allclose(points, draw(BOX, 5, seed=3))


def test_grid():
    assert design.grid(BOX).shape == (961, 2)
    assert design.grid(BOX)[0].tolist() == [10.0, 4.0]
    assert design.grid(BOX)[-1].tolist() == [100.0, 20.0]
    assert design.grid(BOX[:1]).shape == (1000, 1)
    assert design.grid([(0.0, 1.0)] * 3).shape == (1000, 3)
