"""Lines in a spectrum against spectra that were made from known areas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.errors import OutOfRange, UnknownName, WeakSignal
from sdl_bluesky.physics.emission import (
    ARGON_NM,
    STRONG_LINES_NM,
    Line,
    actinometric_ratio,
    line_intensity,
    strong_line_nm,
)
from sdl_bluesky.physics.oxides import OXYGEN_PER_METAL, oxygen_limit

X = np.arange(300.0, 830.0, 0.5)
FWHM = 1.2


def spectrum(lines, level=200.0, slope=0.0, width=FWHM):
    """Expected counts of lines whose width in the spectrum, pixels included, is `width`."""
    y = level + slope * (X - 550.0)
    for place, area in lines.items():
        shape = np.exp(-4.0 * np.log(2.0) * ((X - place) / width) ** 2)
        y = y + area * 0.5 * shape / (width * np.sqrt(np.pi / (4.0 * np.log(2.0))))
    return y


@given(
    area=st.floats(10.0, 1e7),
    level=st.floats(0.0, 1e4),
    slope=st.floats(-2.0, 2.0),
    place=st.floats(310.0, 815.0),
)
def test_an_area_is_found_on_any_straight_background(area, level, slope, place):
    y = np.maximum(spectrum({place: area}, level + 700.0, slope), 0.0)
    assert line_intensity(X, y, place, FWHM).intensity == pytest.approx(area, rel=1e-6, abs=1e-6 * level)


def test_errors_are_those_of_counting():
    rng = np.random.default_rng(5)
    mean = spectrum({324.8: 900.0})
    found = [line_intensity(X, rng.poisson(mean), 324.8, FWHM) for _ in range(600)]
    pulls = np.array([(k.intensity - 900.0) / k.std for k in found])
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.15)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    assert np.mean([k.chi2 for k in found]) == pytest.approx(1.0, abs=0.1)


def test_a_line_beside_it_is_told_apart_when_it_is_named():
    mean = spectrum({452.5: 1e5, 453.3 + 1.0: 5e4})
    alone, together = line_intensity(X, mean, 452.5, FWHM), line_intensity(X, mean, 452.5, FWHM, [454.3])
    assert alone.chi2 > 30.0
    assert together.intensity == pytest.approx(1e5, rel=1e-6)
    assert together.chi2 < 1e-6


def test_a_width_that_is_not_quite_right_cancels_in_the_ratio():
    y = spectrum({324.8: 1e5, 811.5: 4e5}, width=1.05 * FWHM)
    metal, argon = (line_intensity(X, y, k, FWHM) for k in (324.8, 811.5))
    assert metal.intensity < 0.998e5
    assert actinometric_ratio(metal, argon)[0] == pytest.approx(0.25, rel=2.5e-3)


def test_the_ratio_carries_both_errors():
    ratio, std = actinometric_ratio(Line(200.0, 6.0, 1.0), Line(1000.0, 40.0, 1.0))
    assert ratio == 0.2
    rng = np.random.default_rng(0)
    drawn = rng.normal(200.0, 6.0, 200_000) / rng.normal(1000.0, 40.0, 200_000)
    assert std == pytest.approx(drawn.std(), rel=0.02)
    with pytest.raises(WeakSignal, match="reference line"):
        actinometric_ratio(Line(200.0, 6.0, 1.0), Line(10.0, 6.0, 1.0))


@pytest.mark.parametrize(
    ("x", "y", "place", "width", "match"),
    [
        (X, -np.ones_like(X), 400.0, FWHM, "negative"),
        (X, np.full_like(X, np.nan), 400.0, FWHM, "no numbers"),
        (X, np.ones(3), 400.0, FWHM, "no spectrum"),
        (X[::-1], np.ones_like(X), 400.0, FWHM, "rising"),
        (X, np.ones_like(X), 299.0, FWHM, "outside the spectrum"),
        (X, np.ones_like(X), 400.0, 0.0, "resolution"),
        (X, np.ones_like(X), 400.0, 0.2, "too few"),
        (X, np.ones_like(X), float("nan"), FWHM, "outside the spectrum"),
    ],
)
def test_what_is_no_spectrum_is_refused(x, y, place, width, match):
    with pytest.raises(OutOfRange, match=match):
        line_intensity(x, y, place, width)


def test_lines_and_oxides_are_known_by_element():
    assert strong_line_nm("Cu") == 324.8
    with pytest.raises(OutOfRange, match="no line of He"):
        strong_line_nm("He")
    assert all(300.0 < nm < 820.0 and abs(nm - ARGON_NM) > 5.0 for nm in STRONG_LINES_NM.values())
    # masses of the pure compounds: Al2O3 47.07 % O, CuO 20.11 %, TiO2 40.05 % (CRC Handbook)
    for element, percent in {"Al": 47.07, "Cu": 20.11, "Ti": 40.05}.items():
        limit = oxygen_limit(element)
        assert 100 * limit / (1 + limit) == pytest.approx(percent, abs=0.02)
    assert oxygen_limit("Au") == 0.0
    assert oxygen_limit("Os") > max(oxygen_limit(k) for k in OXYGEN_PER_METAL if k in ("W", "Re", "Pb"))
    with pytest.raises(UnknownName):
        oxygen_limit("Xx")
