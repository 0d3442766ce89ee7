"""Where elements are counted, against kinematics at 180 degrees, and when a measurement has enough."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.rbs_windows import Window, check_edges, next_portion, relative_error, surface_edge_keV, windows

BACK = RBSSettings(theta_deg=180.0)
HE4 = 4.002603
MASSES = {"65Cu": 64.927790, "124Sn": 123.905274, "30Si": 29.973770, "18O": 17.99916}  # AME, u


def straight_back(mass_u: float) -> float:
    """K at 180 degrees: ((m2 - m1) / (m2 + m1))^2."""
    return ((mass_u - HE4) / (mass_u + HE4)) ** 2


@pytest.mark.parametrize(("element", "heaviest"), [("Cu", "65Cu"), ("Sn", "124Sn"), ("Si", "30Si")])
def test_edges_are_those_of_the_heaviest_common_isotope(element: str, heaviest: str) -> None:
    expected = 2000.0 * straight_back(MASSES[heaviest])
    assert surface_edge_keV(BACK.setup(), element) == pytest.approx(expected, rel=1e-6)
    assert surface_edge_keV(replace(BACK, energy_keV=1000.0).setup(), element) == pytest.approx(expected / 2, rel=1e-6)


def test_windows_reach_from_one_edge_down_to_the_next() -> None:
    found = windows(BACK.setup(), ("Cu", "Sn"), ("O", "Si"))
    tops = [2000.0 * straight_back(MASSES[name]) + 15.0 for name in ("124Sn", "65Cu", "30Si")]
    assert [w.elements for w in found] == [("Sn",), ("Cu",)]
    assert [w.last for w in found] == [math.ceil(t / 2.0) for t in tops[:2]]  # 2 keV a channel
    assert [w.first for w in found] == [math.ceil(t / 2.0) for t in tops[1:]]


def test_elements_that_the_detector_cannot_tell_apart_share_a_window() -> None:
    [window] = windows(BACK.setup(), ("Ni", "Cu"), ("O", "Si"))
    assert set(window.elements) == {"Ni", "Cu"}
    sharp = replace(BACK, resolution_fwhm_keV=1.0)
    assert [w.elements for w in windows(sharp.setup(), ("Ni", "Cu"), ("O", "Si"))] == [("Cu",), ("Ni",)]


def test_an_element_within_the_substrate_has_no_window(caplog: pytest.LogCaptureFixture) -> None:
    found = windows(BACK.setup(), ("Al", "Cu"), ("O", "Si"))
    assert [w.elements for w in found] == [("Cu",)]
    assert "Al cannot be told from the substrate" in caplog.text
    assert windows(BACK.setup(), ("Al",), ("O", "Si")) == ()
    assert math.isnan(relative_error(np.ones(1024), ()))


@pytest.mark.parametrize(
    ("settings", "film", "error", "match"),
    [
        (replace(BACK, energy_keV=3000.0), ["Cu"], OutOfRange, r"edge of Cu at 23\d\d keV is off the detector"),
        (replace(BACK, channels=400), ["Cu"], OutOfRange, "400 channels end at 800 keV"),
        (replace(BACK, offset_keV=-800.0), ["Sn"], OutOfRange, "off the detector"),
        (BACK, ["H", "Cu"], OutOfRange, "H is too light"),
        (BACK, ["Xx"], UnknownName, "Xx"),
        (BACK, ["cu"], UnknownName, "cu"),
        (replace(BACK, substrate=({"Quartz": 1.0},)), ["Cu"], UnknownName, "Quartz"),
        (replace(BACK, ion="40Ar"), ["Cu"], UnknownName, "40Ar"),
    ],
)
def test_a_film_that_cannot_be_seen_is_refused(
    settings: RBSSettings, film: list[str], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        check_edges(settings.setup(), film, settings.substrate_elements())


def test_the_least_populated_window_is_what_counts() -> None:
    spectrum = np.zeros(100)
    spectrum[10:20], spectrum[20:30] = 10.0, 1.0
    both = (Window(("a",), 10, 20), Window(("b",), 20, 30))
    assert relative_error(spectrum, both) == pytest.approx(1 / math.sqrt(10.0))
    assert relative_error(spectrum, both[:1]) == pytest.approx(0.1)
    assert relative_error(np.zeros(100), both) == math.inf


@given(
    st.floats(1.0, 1e7), st.floats(0.01, 10.0), st.floats(1.0, 10.0), st.floats(1e-3, 0.2), st.integers(0, 2**32 - 1)
)
def test_portions_reach_the_precision_or_the_longest_charge(
    rate: float, charge: float, factor: float, precision: float, seed: int
) -> None:
    """Counts are Poisson with a mean in proportion to the charge."""
    settings = RBSSettings(charge_uC=charge, longest_uC=charge * factor, precision=precision)
    chance = np.random.default_rng(seed)
    asked, portion, counts, portions = 0.0, charge, 0, 0
    while portion > 0:
        counts += int(chance.poisson(rate * portion))
        asked, portions = asked + portion, portions + 1
        error = 1 / math.sqrt(counts) if counts else math.inf
        portion = next_portion(error, asked, settings)
        assert asked + portion <= settings.longest_uC * (1 + 1e-9)
        assert portion == 0 or portion >= min(0.1 * charge, settings.longest_uC - asked) * (1 - 1e-9)
        assert portions < 150
    assert counts * precision**2 >= 1 - 1e-9 or asked == pytest.approx(settings.longest_uC)


def test_without_windows_the_charge_is_what_was_asked_for() -> None:
    assert next_portion(math.nan, 5.0, RBSSettings()) == 0.0
    assert next_portion(math.inf, 5.0, RBSSettings()) == 15.0


def test_the_case_of_the_document_is_the_set_up_of_the_physics() -> None:
    settings = RBSSettings(theta_deg=160.0, tilt_deg=7.0, slope_keV=1.5, channels=2048, resolution_fwhm_keV=12.0)
    case = settings.case()
    assert set(case) >= {
        "ion", "E_keV", "theta_deg", "slope_keV", "offset_keV", "resolution_fwhm_keV", "solid_angle_msr", "channels",
        "substrate",
    }  # fmt: skip
    setup = settings.setup(("Cu",))
    assert (setup.alpha_deg, setup.beta_deg) == (7.0, 13.0)  # IBM: alpha + beta + theta = 180
    assert (setup.channels, setup.elements, setup.resolution_fwhm_keV) == (2048, ("Cu",), 12.0)
