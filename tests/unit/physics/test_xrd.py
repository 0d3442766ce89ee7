"""Bragg's law, strain and critical thickness against the textbook, numeric derivatives and direct solution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.xrd import (
    INP_TWO_THETA,
    angle_from_lattice,
    angle_std,
    critical_thickness,
    elastic_constants,
    lattice_from_angle,
    lattice_std,
    relaxed_lattice,
    spacing,
    strained_lattice,
    stretch,
)


def test_inp_stands_where_it_should():
    assert angle_from_lattice(5.8688) == pytest.approx(INP_TWO_THETA, abs=5e-4)
    assert lattice_from_angle(INP_TWO_THETA) == pytest.approx(5.8688, abs=5e-5)
    assert spacing(2 * np.degrees(np.arcsin(0.5))) == pytest.approx(1.5406)


@given(st.floats(5.4, 6.1))
def test_angle_and_lattice_are_inverse_to_each_other(lattice):
    assert lattice_from_angle(angle_from_lattice(lattice)) == pytest.approx(lattice, rel=1e-12)


def test_errors_are_the_derivative():
    h = 1e-5
    numeric = (lattice_from_angle(63.4 - h) - lattice_from_angle(63.4 + h)) / (2 * h)
    assert lattice_std(63.4, 1.0) == pytest.approx(numeric, rel=1e-6)
    assert angle_std(lattice_from_angle(63.4), lattice_std(63.4, 0.002)) == pytest.approx(0.002)
    # 0.005 % of the lattice constant are 0.0035 deg in 2 theta
    assert angle_std(5.8688, 5.8688 * 5e-5) == pytest.approx(0.0035, abs=1e-4)


@pytest.mark.parametrize("angle", [0.0, 180.0, -3.0, np.nan, [63.0, np.inf]])
def test_angles_that_are_none(angle):
    with pytest.raises(OutOfRange, match="between 0 and 180"):
        spacing(angle)


@pytest.mark.parametrize("lattice", [3.0, 0.0, -5.8, np.nan])
def test_lattices_without_a_reflection(lattice):
    with pytest.raises(OutOfRange, match="needs more than 3"):
        angle_from_lattice(lattice)


def test_stretch_of_a_coherent_layer():
    assert stretch() == pytest.approx(2.11, abs=1e-3)
    assert stretch([0, 1, 1], [1, 0, 1]) == pytest.approx(
        [1 + 2 * 45.26 / 83.29, 1 + 2 * 62.03 / 140.5, 1 + 2 * 56.6 / 122.1]
    )
    c11, c12 = elastic_constants(0.5, 0.5)
    assert (c11, c12) == pytest.approx((np.mean([101.1, 83.29, 140.5, 122.1]), np.mean([56.1, 45.26, 62.03, 56.6])))


def test_the_stretch_is_that_of_least_elastic_energy():
    """In-plane strain fixed, the strain across minimises C11 (2 p2 + z2) / 2 + C12 (p2 + 2 p z)."""
    c11, c12 = elastic_constants(0.2, 0.42)
    own, substrate = 5.88, 5.8688
    plane = substrate / own - 1
    z = np.linspace(-0.01, 0.01, 200_001)
    energy = c11 * (2 * plane**2 + z**2) / 2 + c12 * (plane**2 + 2 * plane * z)
    across = own * (1 + z[energy.argmin()])
    assert strained_lattice(own, "coherent", stretch(0.2, 0.42)) == pytest.approx(across, abs=1e-6)


@given(st.floats(5.8, 5.95), st.floats(1.8, 2.2))
def test_strain_is_undone(lattice, factor):
    across = strained_lattice(lattice, "coherent", factor)
    assert relaxed_lattice(across, "coherent", factor) == pytest.approx(lattice, rel=1e-13)
    assert relaxed_lattice(lattice, "relaxed") == lattice == strained_lattice(lattice, "relaxed")


def test_unknown_strain():
    with pytest.raises(UnknownName, match="'relaxed', 'coherent'"):
        relaxed_lattice(5.87, "tense")  # type: ignore[arg-type]


@pytest.mark.parametrize("capped", [True, False])
@pytest.mark.parametrize("percent", [0.02, 0.1, -0.5, 1.5])
def test_critical_thickness_balances_force_and_tension(percent, capped):
    """Force on a threading segment against the line tension, both per shear modulus, solved directly."""
    b, nu, strain = 0.58688 / np.sqrt(2), 56.1 / (101.1 + 56.1), abs(percent) / 100

    def excess(h):
        force = 2 * (1 + nu) / (1 - nu) * b * h * strain * 0.5
        tension = b**2 / (4 * np.pi * (1 - nu)) * (1 - nu / 4) * (np.log(h / b) + 1)
        return force - (2 if capped else 1) * tension

    # the larger of two roots: the other lies below the radius of the core
    want = brentq(excess, b * max(1.0, tension_peak(b, nu, strain, capped) / b), 1e6)
    assert critical_thickness(percent, capped=capped) == pytest.approx(want, rel=1e-6)


def tension_peak(b, nu, strain, capped):
    """Where tension less force is largest: the derivative is zero."""
    return (2 if capped else 1) * b * (1 - nu / 4) / (4 * np.pi * strain * (1 + nu))


def test_limits_of_the_critical_thickness():
    assert critical_thickness(0.0) == np.inf
    assert np.all(np.diff(critical_thickness([0.01, 0.1, 1.0, 10.0])) < 0)
    assert critical_thickness(50.0) == pytest.approx(0.58688 / np.sqrt(2))
    assert critical_thickness([0.1, 0.2], 0.2, 0.4).shape == (2,)
    with pytest.raises(OutOfRange, match="finite"):
        critical_thickness(np.nan)
