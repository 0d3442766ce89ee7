"""Vegard's law with bowing against the paper's printed numbers, binaries, numeric derivatives and its own inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from sdl_bluesky.errors import OutOfRange, Unidentifiable, UnknownName
from sdl_bluesky.physics.alloys import (
    INP_LATTICE,
    QUATERNARY_GAPS,
    InGaAsP,
    Quaternary,
    Specification,
    Ternary,
    lattice_of,
    mismatch,
    ternary,
)
from sdl_bluesky.physics.alloys.laws import QUATERNARY_LATTICE
from sdl_bluesky.physics.alloys.polynomials import Polynomial, bounds, determinant

PRINTED = [(1180.0, 5.8688, 0.1953, 0.4247), (1100.0, 5.8688, 0.1404, 0.3065), (1175.0, 5.8688, 0.192, 0.4176)]
NAMES = sorted(QUATERNARY_GAPS)


def gap_by_hand(x, y):
    return (
        1.35 + 0.672 * x - 1.091 * y + 0.758 * x**2 + 0.101 * y**2 - 0.157 * x * y - 0.312 * x**2 * y + 0.109 * x * y**2
    )


def lattice_by_hand(x, y):
    return 5.8688 - 0.4176 * x + 0.1896 * y + 0.0125 * x * y


@pytest.mark.parametrize(("wavelength", "lattice", "x", "y"), PRINTED)
def test_printed_pairs_of_the_paper(wavelength, lattice, x, y):
    assert InGaAsP().composition(wavelength, lattice) == pytest.approx((x, y), abs=2e-4)
    assert InGaAsP().properties(x, y) == pytest.approx((wavelength, lattice), rel=2e-4)


def test_forward_pair_of_the_first_sample():
    assert InGaAsP().properties(0.1124, 0.3043) == pytest.approx((1119.97, 5.87998), abs=6e-3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_forward_is_the_printed_formula(x, y):
    wavelength, lattice = InGaAsP().properties(x, y)
    assert wavelength == pytest.approx(1239.842 / gap_by_hand(x, y), rel=1e-13)
    assert lattice == pytest.approx(lattice_by_hand(x, y), rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_random_compositions_come_back(name):
    x, y = np.random.default_rng(1).random((2, 10_000))
    back = InGaAsP(name).composition(*InGaAsP(name).properties(x, y))
    assert np.max(np.abs(np.array(back) - [x, y])) < 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_the_edges_of_the_square_come_back_within_it(name):
    t = np.linspace(0, 1, 101)
    x, y = np.concatenate([[t, 0 * t], [t, 0 * t + 1], [0 * t, t], [0 * t + 1, t]], axis=1)
    back = np.array(InGaAsP(name).composition(*InGaAsP(name).properties(x, y)))
    assert np.max(np.abs(back - [x, y])) < 1e-9
    assert back.min() >= 0
    assert back.max() <= 1


def test_the_inverse_agrees_with_a_scalar_solver():
    for wavelength, lattice in [(1000.0, 5.8688), (1550.0, 5.8688), (1300.0, 5.90), (1200.0, 5.80)]:

        def along(y, lattice=lattice):
            return (5.8688 + 0.1896 * y - lattice) / (0.4176 - 0.0125 * y)

        def excess(y, wavelength=wavelength, along=along):
            return gap_by_hand(along(y), y) - 1239.842 / wavelength

        low = max(0.0, (lattice - 5.8688) / 0.1896)
        y = brentq(excess, low, 1.0, xtol=1e-14)
        assert InGaAsP().composition(wavelength, lattice) == pytest.approx((along(y), y), abs=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_no_two_compositions_share_their_properties(name):
    """The Jacobian's determinant, here by finite differences, has one sign on a fine grid, as the bounds say."""
    alloy, h = InGaAsP(name), 1e-6
    x, y = np.meshgrid(np.linspace(h, 1 - h, 60), np.linspace(h, 1 - h, 60))
    px = [(a - b) / (2 * h) for a, b in zip(alloy.properties(x + h, y), alloy.properties(x - h, y))]
    py = [(a - b) / (2 * h) for a, b in zip(alloy.properties(x, y + h), alloy.properties(x, y - h))]
    numeric = px[0] * py[1] - py[0] * px[1]
    assert np.all(numeric > 0)
    low, high = bounds(determinant(alloy.gap, alloy.lattice_constant))
    by_gap = -numeric * alloy.gap(x, y) ** 2 / 1239.842
    assert low - 1e-6 < by_gap.min() < by_gap.max() < high + 1e-6 < 0


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_is_the_derivative(name):
    alloy, h = InGaAsP(name), 1e-6
    x, y = np.random.default_rng(2).uniform(0.01, 0.99, (2, 40))
    found = alloy.jacobian(x, y)
    assert found.shape == (40, 2, 2)
    by_x = np.subtract(alloy.properties(x + h, y), alloy.properties(x - h, y)) / (2 * h)
    by_y = np.subtract(alloy.properties(x, y + h), alloy.properties(x, y - h)) / (2 * h)
    np.testing.assert_allclose(np.moveaxis(found, 0, -1), np.stack([by_x, by_y], axis=1), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["standard", "adachi", "minch", "vurgaftman"])
def test_binaries_have_their_textbook_gaps(name):
    """Room-temperature direct gaps of InP, InAs, GaP, GaAs."""
    gaps = 1239.842 / InGaAsP(name).properties([0, 0, 1, 1], [0, 1, 0, 1])[0]
    np.testing.assert_allclose(gaps, [1.35, 0.36, 2.77, 1.42], atol=0.03)
    matched = (
        1239.842 / InGaAsP(name).properties(*InGaAsP(name).composition(InGaAsP(name).range_at(5.8688)[1], 5.8688))[0]
    )
    assert matched == pytest.approx(0.75, abs=0.02)  # Ga0.47In0.53As


def test_vurgaftman_reduces_to_its_ternaries():
    alloy, t = InGaAsP("vurgaftman"), np.linspace(0, 1, 5)
    for x, y, a, b, c in [
        (t, 0 * t + 1, 0.3537, 1.4225, 0.477),  # GaInAs
        (t, 0 * t, 1.3529, 2.7770, 0.65),  # GaInP
        (0 * t, t, 1.3529, 0.3537, 0.10),  # InAsP
        (0 * t + 1, t, 2.7770, 1.4225, 0.19),  # GaAsP
    ]:
        np.testing.assert_allclose(alloy.gap(x, y), (1 - t) * a + t * b - c * t * (1 - t), atol=1e-12)


def test_vurgaftman_binaries_follow_from_varshni():
    def varshni(e0, alpha_meV, beta):
        return e0 - alpha_meV * 1e-3 * 300.0**2 / (300.0 + beta)

    gap = 2.886 + 0.1081 * (1 - 1 / np.tanh(164 / 300))
    want = [varshni(1.4236, 0.363, 162), varshni(0.417, 0.276, 93), gap, varshni(1.519, 0.5405, 204)]
    np.testing.assert_allclose(InGaAsP("vurgaftman").gap([0, 0, 1, 1], [0, 1, 0, 1]), want, atol=1e-4)


def test_reachable_range_at_the_lattice_match_and_elsewhere():
    assert InGaAsP().range_at(5.8688) == pytest.approx((918.4, 1653.7), abs=0.05)
    for lattice in np.linspace(5.4512, 6.0584, 13):
        low, high = InGaAsP().range_at(lattice)
        y = np.linspace(0, 1, 4001)
        x = (5.8688 + 0.1896 * y - lattice) / (0.4176 - 0.0125 * y)
        inside = (x >= -1e-9) & (x <= 1 + 1e-9)
        along = 1239.842 / gap_by_hand(x[inside], y[inside])
        if along.size:  # at the two corners the segment is a point between grid values
            assert low - 1e-9 <= along.min() <= along.max() <= high + 1e-9
            assert along.min() - low < 2.0
            assert high - along.max() < 2.0


@pytest.mark.parametrize("wavelength", [1900.0, 900.0, 918.3, 1653.8, 0.0, -1180.0, np.nan, np.inf])
def test_unreachable_wavelengths_name_the_range(wavelength):
    with pytest.raises(OutOfRange, match=r"918\.4 to 1653\.7 nm"):
        InGaAsP().composition(wavelength, 5.8688)


@given(st.floats(200, 5000), st.floats(5.2, 6.3))
@settings(max_examples=100)
def test_every_target_has_a_composition_or_a_refusal(wavelength, lattice):
    alloy = InGaAsP()
    if alloy.reachable(wavelength, lattice):
        x, y = alloy.composition(wavelength, lattice)
        assert 0 <= x <= 1
        assert 0 <= y <= 1
        assert alloy.properties(x, y) == pytest.approx((wavelength, lattice), rel=1e-9)
    else:
        with pytest.raises(OutOfRange, match=" to "):
            alloy.composition(wavelength, lattice)


@pytest.mark.parametrize("lattice", [5.45, 6.06, np.nan, np.inf, -5.8688])
def test_unreachable_lattices_name_the_range(lattice):
    with pytest.raises(OutOfRange, match=r"5\.4512 to 6\.0584 Angstrom"):
        InGaAsP().composition(1180.0, lattice)
    with pytest.raises(OutOfRange, match=r"5\.4512 to 6\.0584 Angstrom"):
        InGaAsP().range_at(lattice)


def test_a_row_that_cannot_be_is_named():
    with pytest.raises(OutOfRange, match=r"1700 nm.*index \(2,\), 1 of 3"):
        InGaAsP().composition([1100.0, 1180.0, 1700.0], 5.8688)
    assert InGaAsP().reachable([1100.0, np.nan, 1700.0], 5.8688).tolist() == [True, False, False]


@pytest.mark.parametrize(("x", "y"), [(-0.01, 0.5), (0.5, 1.01), (np.nan, 0.5), (0.2, np.inf)])
def test_compositions_outside_the_square_are_refused(x, y):
    with pytest.raises(OutOfRange, match=r"\[0, 1\]"):
        InGaAsP().properties(x, y)
    with pytest.raises(OutOfRange, match=r"\[0, 1\]"):
        InGaAsP().jacobian(x, y)


def test_arguments_broadcast():
    x, y = InGaAsP().composition(np.array([[1100.0], [1180.0]]), np.array([5.8688, 5.87, 5.86]))
    assert x.shape == y.shape == (2, 3)
    wavelength, _ = InGaAsP().properties(x, y)
    np.testing.assert_allclose(wavelength, [[1100.0] * 3, [1180.0] * 3], rtol=1e-12)
    assert InGaAsP().jacobian(0.2, [0.3, 0.4, 0.5]).shape == (3, 2, 2)
    assert InGaAsP().composition([], []).x.shape == (0,)
    assert isinstance(float(InGaAsP().composition(1180, 5.8688).x), float)
    with pytest.raises(ValueError, match="broadcast"):
        InGaAsP().composition([1100.0, 1180.0], [5.8688] * 3)


def test_a_law_that_is_not_one_to_one_is_refused():
    with pytest.raises(Unidentifiable, match="two compositions"):
        Quaternary("folded", Polynomial(((1.35, -1.091), (0.0, 0.0), (3.0, 0.0))), QUATERNARY_LATTICE)
    with pytest.raises(OutOfRange, match="not positive"):
        Quaternary("closed", Polynomial(((0.3, -1.0),)), QUATERNARY_LATTICE)
    with pytest.raises(OutOfRange, match="2 x 2"):
        Quaternary("bent", QUATERNARY_GAPS["standard"], Polynomial(((5.8, 0.1, 0.2), (-0.4, 0.0, 0.0))))
    with pytest.raises(OutOfRange, match="rise or fall"):
        Quaternary("turning", QUATERNARY_GAPS["standard"], Polynomial(((5.8, 0.1), (-0.4, 0.9))))
    with pytest.raises(UnknownName, match="choose one of 'standard'"):
        InGaAsP("vegard")


@given(st.lists(st.floats(-2, 2), min_size=9, max_size=9), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60)
def test_bounds_enclose_a_polynomial(c, x, y):
    p = Polynomial((tuple(c[:3]), tuple(c[3:6]), tuple(c[6:])))
    low, high = bounds(p)
    assert low - 1e-9 <= float(p(x, y)) <= high + 1e-9
    assert float(p(x, y)) == pytest.approx(np.polynomial.polynomial.polyval2d(x, y, p.array), abs=1e-12)


def test_specification_is_the_stop_rule():
    wanted = Specification(1180.0)
    assert wanted.met([1190.0, 1170.0, 1190.1, 1180.0], 5.8688).tolist() == [True, True, False, True]
    assert wanted.met(1180.0, 5.8688 * (1 + np.array([5e-4, -5e-4, 5.1e-4]))).tolist() == [True, True, False]
    assert wanted.met([np.nan, 1180.0], [5.8688, np.nan]).tolist() == [False, False]
    assert wanted.met_by(InGaAsP(), [0.1953, 0.192, 0.1404, -0.1], [0.4247, 0.4176, 0.3065, 0.4]).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_specification_in_composition_is_a_sheared_parallelogram():
    x, y = Specification(1180.0).corners(InGaAsP())
    corners = np.stack([x, y], axis=1)
    diagonal = [np.linalg.norm(corners[k] - corners[k + 2]) for k in (0, 1)]
    assert max(diagonal) / min(diagonal) == pytest.approx(4.5, abs=0.5)
    middle = corners.mean(axis=0)
    inside = middle + 0.99 * (corners - middle)
    assert np.all(Specification(1180.0).met_by(InGaAsP(), *inside.T))
    assert not np.any(Specification(1180.0).met_by(InGaAsP(), *(middle + 1.02 * (corners - middle)).T))
    with pytest.raises(OutOfRange, match="wavelength_tolerance"):
        Specification(1180.0, wavelength_tolerance=0.0)


def test_mismatch_is_in_percent_of_inp():
    assert mismatch(5.8688) == 0
    assert mismatch(5.87998) == pytest.approx(0.1905, abs=1e-4)
    assert lattice_of(mismatch([5.85, 5.9])).tolist() == pytest.approx([5.85, 5.9])
    assert INP_LATTICE == 5.8688


def test_algaas_from_the_table():
    alloy = ternary("AlGaAs")
    assert alloy.range() == pytest.approx((1239.842 / (1.424 + 1.247 * 0.45), 1239.842 / 1.424))
    x = np.random.default_rng(4).uniform(0, 0.45, 1000)
    wavelength, lattice = alloy.properties(x)
    np.testing.assert_allclose(lattice, 5.6533 + 0.0078 * x)
    np.testing.assert_allclose(alloy.composition(wavelength), x, atol=1e-9)
    assert alloy.composition(780.0) == pytest.approx((1239.842 / 780 - 1.424) / 1.247)
    with pytest.raises(OutOfRange, match=r"624\.6 to 870\.7 nm"):
        alloy.composition([700.0, 500.0])
    with pytest.raises(OutOfRange, match=r"0\.45"):
        alloy.properties(0.6)
    with pytest.raises(UnknownName, match="AlGaAs"):
        ternary("AlGaN")


def test_a_ternary_of_ones_own_with_bowing():
    alloy = Ternary("GaInAs", (0.3537, 0.5918, 0.477), (6.0583, -0.40505))
    assert alloy.properties(0.47).wavelength == pytest.approx(1239.842 / 0.7372, rel=1e-3)
    assert alloy.composition(alloy.properties(0.3).wavelength) == pytest.approx(0.3, abs=1e-12)
    with pytest.raises(Unidentifiable, match="rise or fall"):
        Ternary("folded", (1.0, -1.0, 1.0), (5.6,))
    with pytest.raises(Unidentifiable, match="rise or fall"):
        Ternary("flat", (1.0, 0.0), (5.6,))
    with pytest.raises(OutOfRange, match="not positive"):
        Ternary("closed", (1.0, -2.0), (5.6,))
