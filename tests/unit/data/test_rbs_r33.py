"""Cross sections in R33: identity of the reaction, units, and every way a file can be wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rbs_samples import R33_LITHIUM, R33_OXYGEN_RATIO

from sdl_bluesky.data.rbs.r33 import R33, format_r33, parse_r33, read_r33, write_r33
from sdl_bluesky.data.rbs.reactions import Reaction, from_name
from sdl_bluesky.errors import CrossSectionFileError
from sdl_bluesky.physics.rbs.cross_section import CrossSection


def test_a_nuclear_reaction_has_its_product_and_its_energy():
    found = parse_r33(R33_LITHIUM)
    section = found.cross_section()
    assert (section.ion, section.target, section.product, section.q_keV) == ("1H", "7Li", "4He", 17346.0)
    assert section.theta_deg == 165.0
    assert section.energy_keV.tolist() == [500.0, 1000.0, 3000.0]
    assert section.value_mb_sr.tolist() == [1.25, 2.5, 5.5]
    assert found.energy_std_keV.tolist() == [1.0] * 3
    assert found.value_std.tolist() == [0.1, 0.2, 0.2]
    assert found.comment == "Digitised from a figure.\nAccuracy 5 %."
    assert section.source == "A. Person, J. Tests 1 (1990) 1"
    assert found.findings == ()


def test_the_energy_released_follows_from_the_masses():
    """17346.24 keV: atomic mass evaluation, 7Li + 1H - 2 4He."""
    assert Reaction("1H", "7Li", "4He").q_ground_keV() == pytest.approx(17346.24, abs=0.1)
    assert Reaction("3He", "2H", "1H").q_ground_keV() == pytest.approx(18353.05, abs=0.2)


def test_a_ratio_to_rutherford_is_multiplied_with_rutherford():
    """Rutherford in the laboratory frame, written out here for 4He on 16O at 170 deg: Chu, Mayer, Nicolet eq. 2.22."""
    section = parse_r33(R33_OXYGEN_RATIO).cross_section()
    m1, m2, theta = 4.002603, 15.994915, math.radians(170.0)
    x = m1 / m2 * math.sin(theta)
    root = math.sqrt(1 - x * x)
    for energy, ratio, value in zip(section.energy_keV, (1.0, 20.0), section.value_mb_sr, strict=True):
        coulomb = (2 * 8 * 1.43996448e-10 / (4 * energy)) ** 2 * 1e27
        expected = coulomb * 4 / math.sin(theta) ** 4 * (root + math.cos(theta)) ** 2 / root
        assert value == pytest.approx(ratio * expected, rel=1e-5)
    assert section.product is None
    assert not section.is_reaction


def test_a_ratio_for_a_natural_element_takes_the_mean_of_its_isotopes():
    natural = R33_OXYGEN_RATIO.replace("16O(a,a0)16O", "nat.Cu(a,a0)Cu").replace("16.0", "63.5").replace("8", "29")
    isotopes = [
        R33_OXYGEN_RATIO.replace("16O", f"{a}Cu").replace("16.0", f"{a}.0").replace("8", "29") for a in (63, 65)
    ]
    mean, light, heavy = (parse_r33(text).cross_section().value_mb_sr for text in (natural, *isotopes))
    np.testing.assert_allclose(mean, 0.6915 * light + 0.3085 * heavy, rtol=1e-5)
    assert light[0] != heavy[0]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("12C(p,p0)12C", ("1H", "12C", "1H")),
        ("natSi(4He,4He)natSi", ("4He", "Si", "4He")),
        ("Si(alpha,alpha)Si", ("4He", "Si", "4He")),
        ("D(3He,p)4He", ("3He", "D", "1H")),
        ("14N(d,a1)12C", ("2H", "14N", "4He")),
        ("16O(D,P1)17O", ("2H", "16O", "1H")),
        ("Si(H,H)Si", ("1H", "Si", "1H")),
        ("1H(4He,1H)4He", ("4He", "1H", "1H")),
        ("2D(3He,p)4He", ("3He", "D", "1H")),
        ("something else", None),
    ],
)
def test_names_of_reactions(name, found):
    reaction = from_name(name)
    assert found == (reaction and (reaction.ion, reaction.target, reaction.product))


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        ("Units: mb", "Units: b/sr", [1250.0, 2500.0, 5500.0]),
        ("Sigfactors: 1.0", "Sigfactors: 2.0", [2.5, 5.0, 11.0]),
        (" 500.0, 1.0, 1.25, 0.1\n", "500.0 1.25\n", [1.25, 2.5, 5.5]),
        (" 500.0, 1.0, 1.25, 0.1\n", "3000.0, 1, 7.5, 0.1\n500 0 1.25 0\n", [1.25, 2.5, 6.5]),
    ],
)
def test_units_factors_and_order(old, new, values):
    found = parse_r33(R33_LITHIUM.replace(old, new))
    assert found.cross_section().value_mb_sr.tolist() == values


def test_energies_in_mev_come_with_their_factor_or_are_refused():
    rows = {"500.0, 1.0": "0.5, 0.001", "1000.0, 1.0": "1.0, 0.001", "3000.0, 1.0": "3.0, 0.001"}
    text = R33_LITHIUM
    for old, new in rows.items():
        text = text.replace(old, new)
    with pytest.raises(CrossSectionFileError, match="MeV"):
        parse_r33(text)
    found = parse_r33(text.replace("Enfactors: 1.0", "Enfactors: 1000.0"))
    np.testing.assert_allclose(found.energy_keV, [500.0, 1000.0, 3000.0])
    np.testing.assert_allclose(found.energy_std_keV, 1.0)


def test_zeds_in_another_order_are_told_and_the_reaction_counts():
    found = parse_r33(R33_LITHIUM.replace("1, 3, 2, 2", "3, 1, 2, 2"))
    assert found.reaction == Reaction("1H", "7Li", "4He")
    assert "order" in found.findings[0]


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("Theta: 165.00\n", "", None, "no Theta"),
        ("Units: mb\n", "", None, "no Units"),
        ("Units: mb", "Units: tot", 17, "total cross section"),
        ("Units: mb", "Units: furlong", 17, "'furlong' cannot be used"),
        ("Theta: 165.00", "Theta: 190", 15, "one angle in degrees"),
        ("Theta: 165.00", "Theta: 2.9 rad", 15, "is no number"),
        ("Distribution: Energy", "Distribution: Angle", 11, "angular distribution"),
        ("7Li(p,a)4He", "7Li(p,g)8Be", 10, "hydrogen and helium"),
        ("7Li(p,a)4He", "Xx(p,a)4He", 10, "'Xx'"),
        ("7Li(p,a)4He", "1D(p,a)4He", 10, "'1D'"),
        ("7Li(p,a)4He", "27Al(p,a)24Mg", 13, "Reaction says"),
        ("Qvalue: 17346.0, 0.0, 0.0, 0.0, 0.0\n", "", None, "17346"),
        ("17346.0", "17.346", 14, "MeV"),
        ("Enfactors: 1.0, 0.0", "Enfactors: 1.0, 5.0", 18, "first factor"),
        ("Sigfactors: 1.0", "Sigfactors: -1.0", 16, "positive"),
        ("1000.0, 1.0, 2.5, 0.2", "1000.0, 1.0, -2.5, 0.2", 21, "not negative"),
        ("1000.0, 1.0, 2.5, 0.2", "1000.0, 1.0, 2,5, 0.2", 21, "5 columns"),
        ("1000.0, 1.0, 2.5, 0.2", "1000.0, 1.0, x, 0.2", 21, "'x' is no number"),
        ("EndData:\n", "", 22, "cut short"),
        ("Data:\n 500", "Date:\n 500", None, "cut short"),
        ("EndData:\n", "EndData:\nTheta: 150\nData:\n1 2\n", 25, "second table"),
        ("Theta: 165.00", "Theta: 165.00\nTheta: 150", 16, "again"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old, new, line, what):
    assert old in R33_LITHIUM
    with pytest.raises(CrossSectionFileError) as fault:
        parse_r33(R33_LITHIUM.replace(old, new), "li.r33")
    assert fault.value.line == line
    assert what in str(fault.value)
    assert "li.r33" in str(fault.value)


def test_without_a_name_of_the_reaction_charges_and_masses_tell_it():
    found = parse_r33(R33_LITHIUM.replace("Reaction: 7Li(p,a)4He\n", ""))
    assert found.reaction == Reaction("1H", "7Li", "4He")


def test_old_files_in_latin_1_are_read(tmp_path):
    path = tmp_path / "old.r33"
    path.write_bytes(R33_LITHIUM.replace("A. Person", "Å. Perçon").encode("latin-1"))
    assert read_r33(path).source.startswith("Å. Perçon")


@settings(max_examples=50)
@given(
    energies=st.lists(st.floats(50.0, 2e4), min_size=2, max_size=8, unique=True),
    values=st.lists(st.floats(0.0, 1e6), min_size=8, max_size=8),
    q=st.floats(-2e4, 2e4).filter(lambda q: q == 0.0 or abs(q) > 100.0),
    theta=st.floats(0.1, 180.0),
    source=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12),
)
def test_what_is_written_is_read_back_exactly(tmp_path_factory, energies, values, q, theta, source):
    rising = np.sort(energies)
    known = CrossSection("p", "14N", theta, rising, np.array(values[: rising.size]), "4He", q, source)
    path = tmp_path_factory.getbasetemp() / "round-trip.r33"
    write_r33(path, known, comment="two\nlines")
    found = read_r33(path)
    section = found.cross_section()
    np.testing.assert_array_equal(section.energy_keV, known.energy_keV)
    np.testing.assert_array_equal(section.value_mb_sr, known.value_mb_sr)
    assert (section.ion, section.target, section.product) == ("1H", "14N", "4He")
    assert (section.q_keV, section.theta_deg) == (known.q_keV, known.theta_deg)
    assert found.comment == "two\nlines"
    assert " ".join(source.split()) == found.source
    assert format_r33(found) == path.read_text(encoding="utf-8")


def test_a_ratio_stays_a_ratio_when_it_is_written():
    found = parse_r33(R33_OXYGEN_RATIO)
    again = parse_r33(format_r33(found))
    assert again.unit == "rr"
    assert isinstance(again, R33)
    np.testing.assert_array_equal(again.value, [1.0, 20.0])
    assert "Reaction: 16O(a,a)16O" in format_r33(found)
