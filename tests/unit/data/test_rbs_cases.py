"""The file of cases: every fault is told with its field, and good cases are kept beside bad ones."""

from __future__ import annotations

import json

import pytest
from rbs_samples import CASE, R33_LITHIUM, R33_OXYGEN_RATIO

from sdl_bluesky.data.rbs.case_file import read_cases
from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.errors import CaseFileError, CrossSectionFileError


@pytest.fixture
def read(tmp_path):
    def one(**changes):
        path = tmp_path / "cases.json"
        path.write_text(json.dumps({"good": CASE, "changed": {**CASE, **changes}}), encoding="utf-8")
        return read_cases(path)

    return one


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"E_keV": "2 MeV"}, ["E_keV: '2 MeV' is text: numbers stand here bare, in keV; write 2000"]),
        ({"E_keV": "2000"}, ["E_keV: '2000' is text: numbers stand here bare, in keV; write 2000"]),
        ({"E_keV": 2.0}, ["E_keV: 2 keV is no energy for this method (100 to 20000 keV): is it in MeV? Write 2000"]),
        ({"E_keV": True}, ["E_keV: must be a number in keV"]),
        ({"E_keV": None}, ["E_keV: must be a number in keV"]),
        ({"slope_keV": 0.002}, ["slope_keV: 0.002 keV per channel cannot be (0.05 to 200): is it in MeV? Write 2"]),
        ({"theta_deg": 190}, ["theta_deg: 190 is out of range: a scattering angle is over 0 and at most 180 deg"]),
        ({"theta_deg": 0}, ["theta_deg: 0 is out of range: a scattering angle is over 0 and at most 180 deg"]),
        ({"theta_deg": "2.88 rad"}, ["theta_deg: '2.88 rad' is text: numbers stand here bare, in deg; write 165.012"]),
        ({"solid_angle_msr": "0.01 sr"}, ["solid_angle_msr: '0.01 sr' is text: numbers stand here bare, in msr; write 10"]),
        ({"ion": "12C"}, ["ion: unknown ion '12C': choose one of '1H', '2H', '3H', '3He', '4He'"]),
        ({"layers": []}, ["layers: is empty: name at least one entry"]),
        ({"layers": [{"Cu": 1}, {}]}, ["layers.1: is empty: name at least one element with its density"]),
        ({"layers": [{"Cu": 0.0}]}, ["layers.0 is empty: give a density over 0, or leave the layer out"]),
        ({"layers": [{"Cu": -3}]}, ["layers.0.Cu: -3 is negative: an areal density in 1e15 at/cm2 is 0 or more"]),
        (
            {"layers": [{"Cu": 5.9e17}]},
            ["layers.0.Cu: 5.9e+17 is too much: is it in at/cm2? Densities are in 1e15 at/cm2: write 590"],
        ),
        ({"layers": [{"D": 1, "2H": 2}]}, ["layers.0: 2H and D are the same: name it once"]),
        ({"roi": [[300, 100]]}, ["roi.0: [300, 100] is empty: write [first channel, channel after the last]"]),
        ({"roi": [[10, 30], [20, 40]]}, ["roi: [[10, 30], [20, 40]] overlap: a channel counts once"]),
        ({"roi": [[10, 300]], "channels": 200}, ["roi: it ends at 300, the detector has 200 channels"]),
        ({"offset_keV": 2500}, ["offset_keV 2500 lies above the beam energy: no edge is on the detector"]),
        ({"chanels": 1024}, ["'chanels' is not known: is channels meant?"]),
        (
            {"nuisance": {"slope": -1}},
            ["nuisance.slope: -1 is out of range: a standard deviation is over 0 (relative; offset: keV)"],
        ),
        ({"nuisance": {"stopping:W": 0.02}}, ["nuisance.stopping:W: W is not in the layers (Cu, Sn, O, Si)"]),
    ],
)  # fmt: skip
def test_a_fault_names_its_field_and_what_to_write(read, changes, faults):
    file = read(**changes)
    assert list(file.cases) == ["good"]
    fault = file.faults["changed"]
    assert isinstance(fault, CaseFileError)
    assert list(fault.faults) == faults
    assert "case 'changed'" in str(fault)


def test_every_fault_of_a_case_is_listed(read):
    file = read(E_keV="2 MeV", theta_deg=190, layers=[{"Xx": 1, "Cu": -1}], slope_keV=-1.0)
    text = str(file.faults["changed"])
    assert all(field in text for field in ("E_keV", "theta_deg", "layers.0.Xx", "layers.0.Cu", "slope_keV"))
    assert "5 fault(s)" in text


def test_what_is_missing_is_named(tmp_path):
    path = tmp_path / "cases.json"
    path.write_text('{"x": {"ion": "p"}}')
    needed = {"E_keV", "theta_deg", "slope_keV", "resolution_fwhm_keV", "fluence_ions", "solid_angle_msr", "layers"}
    fault = read_cases(path).faults["x"]
    assert isinstance(fault, CaseFileError)
    assert set(fault.faults) == {f"{name}: is missing" for name in needed}


def test_an_unknown_key_is_told_and_not_used(read):
    file = read(operator="A. Person")
    assert not file.faults
    assert file.findings["changed"] == ("key 'operator' is not known here and was not used",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("{", "cut short"),
        ('{"a": {"ion": "p"', "cut short"),
        ("[]", "must be an object"),
        ("{}", "no case"),
        ('{"a": {}, "a": {}}', "'a' stands twice"),
        ('{"a": {"E_keV": NaN}}', "NaN is no number"),
        ("[" * 100000, "cannot be used"),
        ('{"a": ' + "9" * 10000 + "}", "cannot be used"),
    ],
)
def test_a_file_that_holds_no_cases_says_why(tmp_path, text, what):
    path = tmp_path / "cases.json"
    path.write_text(text)
    with pytest.raises(CaseFileError, match=what):
        read_cases(path)


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x" * 200])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({name: CASE}))
    assert "used for files" in str(read_cases(path).faults[name])


def test_channels_reach_the_beam_energy_or_that_of_the_fastest_product(tmp_path):
    """7Li(p,a) at 3 MeV and 165 deg: E = 7.71 MeV, from energy and momentum conservation by hand below."""
    assert Case.model_validate(CASE).setup().channels == 1020
    (tmp_path / "li.r33").write_text(R33_LITHIUM)
    changes = {"ion": "p", "E_keV": 3000, "layers": [{"Li": 1e3}, {"Ni": 1e4}], "cross_sections": ["li.r33"]}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"x": {**CASE, **changes}}))
    setup = read_cases(path).cases["x"].setup()
    m1, m3, m4, energy, q = 1.007825, 4.002603, 4.002603, 3000.0, 17346.0
    speed = (m1 * m3 * energy) ** 0.5 * -0.9659258
    speed += (speed**2 + (m3 + m4) * (m4 * q + (m4 - m1) * energy)) ** 0.5
    highest = (speed / (m3 + m4)) ** 2
    assert setup.channels == pytest.approx(1.02 * highest / 2.0, abs=2)
    assert setup.cross_sections[0].product == "4He"


def test_tables_are_looked_for_beside_the_file_of_cases(tmp_path):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"x": {**CASE, "cross_sections": ["o.r33"]}}))
    case = read_cases(path).cases["x"]
    with pytest.raises(CrossSectionFileError, match=r"o\.r33.*cannot be read"):
        case.setup()
    (tmp_path / "o.r33").write_text(R33_OXYGEN_RATIO)
    assert case.setup().cross_sections[0].target == "16O"


def test_beta_null_is_ibm_geometry():
    setup = Case.model_validate({**CASE, "alpha_deg": 40.0, "beta_deg": None}).setup()
    assert setup.beta_deg == pytest.approx(180.0 - 165.0 - 40.0)


def test_stopping_alone_means_every_element_that_has_no_prior_of_its_own():
    case = Case.model_validate({**CASE, "nuisance": {"stopping": 0.02, "stopping:Cu": 0.01, "offset": 1.5}})
    expected = {"offset": 1.5, "stopping:Cu": 0.01, "stopping:Sn": 0.02, "stopping:O": 0.02, "stopping:Si": 0.02}
    assert case.priors() == expected


def test_cases_that_differ_in_densities_only_have_one_key():
    one = Case.model_validate(CASE)
    other = Case.model_validate({**CASE, "layers": [{"Cu": 1.0, "Sn": 2.0}, {"O": 3.0, "Si": 4.0}], "desc": "x"})
    assert one.key() == other.key()
    for changes in ({"E_keV": 2100}, {"layers": [{"Cu": 1.0}, {"O": 3.0, "Si": 4.0}]}, {"roi": [[100, 200]]}):
        assert Case.model_validate({**CASE, **changes}).key() != one.key()
