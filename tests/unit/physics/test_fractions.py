"""Atomic fractions and their errors: laws and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.composition import (
    atomic_fractions,
    atomic_mass,
    atomic_masses,
    fractions_std,
    sampled_fractions,
)
from sdl_bluesky.physics.flux import deposition_flux

MASSES = atomic_masses(["Cu", "Sn", "Al"])
RATES = arrays(float, (3, 4), elements=st.floats(1e-3, 1e3))


def test_atomic_masses():
    assert pytest.approx([63.546, 118.71, 26.9815], rel=1e-4) == MASSES
    with pytest.raises(UnknownName, match="Xx"):
        atomic_mass("Xx")


@given(RATES, st.floats(1e-3, 1e3))
def test_fractions_sum_to_one_and_know_no_scale(rates, k):
    x = atomic_fractions(rates, MASSES)
    assert x.sum(axis=0) == pytest.approx(np.ones(4), rel=1e-12)
    assert atomic_fractions(k * rates, MASSES) == pytest.approx(x, rel=1e-9)
    assert atomic_fractions(rates[::-1], MASSES[::-1])[::-1] == pytest.approx(x, rel=1e-12)


def test_equal_moles():
    assert atomic_fractions(MASSES, MASSES) == pytest.approx([1 / 3] * 3)


def test_nothing_arrives():
    x = atomic_fractions([[0.0, 1.0], [0.0, 0.0]], MASSES[:2])
    assert np.isnan(x[:, 0]).all()
    assert x[:, 1] == pytest.approx([1.0, 0.0])


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(0, 5))
def test_mirrored_confocal_sources(x, y, n):
    place = 14 * np.array([0.5, 0.0, np.sqrt(0.75)])
    mirror = place * [-1, 1, 1]

    def fraction(point):
        rates = [deposition_flux(1, n, s, -s, [point], [0, 0, 1])[0] for s in (place, mirror)]
        return atomic_fractions(rates, [63.5, 63.5])[0]

    assert fraction([0, y, 0]) == pytest.approx(0.5, rel=1e-12)
    assert fraction([x, y, 0]) == pytest.approx(1 - fraction([-x, y, 0]), abs=1e-12)


@given(RATES)
def test_a_common_error_cancels(rates):
    x = atomic_fractions(rates, MASSES)
    assert fractions_std(x, 0.05**2 * np.ones((3, 3))) == pytest.approx(np.zeros((3, 4)), abs=1e-7)


def test_first_order_errors_agree_with_samples():
    rates = np.array([30.0, 20.0, 5.0])
    root = np.array([[0.01, 0, 0], [0.004, 0.012, 0], [0.002, -0.003, 0.02]])
    rng = np.random.default_rng(0)
    samples = rates * np.exp(rng.standard_normal((40000, 3)) @ root.T)
    mean, std = sampled_fractions(samples, MASSES)
    x = atomic_fractions(rates, MASSES)
    assert mean == pytest.approx(x, rel=1e-3)
    assert std == pytest.approx(fractions_std(x, root @ root.T), rel=0.02)
    grid = np.broadcast_to(x[:, None, None], (3, 2, 5))
    assert fractions_std(grid, root @ root.T)[:, 1, 2] == pytest.approx(fractions_std(x, root @ root.T))


def test_two_elements_have_the_textbook_error():
    x = atomic_fractions([10.0, 10.0], [1.0, 1.0])
    assert fractions_std(x, np.diag([0.01**2, 0.01**2])) == pytest.approx([0.25 * np.sqrt(2) * 0.01] * 2)


def test_wrong_numbers_are_typed_errors():
    with pytest.raises(OutOfRange, match="negative"):
        atomic_fractions([-1.0, 1.0, 1.0], MASSES)
    with pytest.raises(OutOfRange, match="per element"):
        atomic_fractions([1.0, 1.0], MASSES)
    with pytest.raises(OutOfRange, match="samples"):
        sampled_fractions([1.0, 1.0], MASSES)
    with pytest.raises(OutOfRange, match="covariance"):
        fractions_std([0.5, 0.5], np.eye(3))
