"""SIMNRA's files: nothing of what matters is lost on the way in, and what we write we read back."""

from __future__ import annotations

import numpy as np
import pytest
from rbs_samples import CASE, XNRA

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.xnra import read_xnra, write_xnra
from sdl_bluesky.errors import OutOfRange, SpectrumFileError


@pytest.fixture
def write(tmp_path):
    def put(text: str):
        path = tmp_path / "w.xnra"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def test_experiment_sample_and_spectrum_come_over(write):
    found = read_xnra(write(XNRA))
    case = found.case
    assert (case["ion"], case["E_keV"]) == ("3He", pytest.approx(2500.0))
    assert (case["theta_deg"], case["alpha_deg"], case["beta_deg"]) == pytest.approx((160.0, 7.0, 13.0))
    assert (case["offset_keV"], case["slope_keV"], case["quadratic_keV"]) == (35.0, 4.25, 1e-4)
    assert case["resolution_fwhm_keV"] == 18.0
    assert case["fluence_ions"] * case["solid_angle_msr"] == pytest.approx(1.2e12)
    assert case["layers"] == [{"2H": pytest.approx(3000.0), "W": pytest.approx(2000.0)}, {"28Si": pytest.approx(2e4)}]
    assert found.spectrum is not None
    assert found.spectrum.counts.tolist() == [10.0, 0.0, 7.0, 2.0]
    assert (found.spectrum.first_channel, found.spectrum.end, case["channels"]) == (3, 7, 7)
    assert found.simulation is None
    assert found.findings == ("layer 1: roughness ignored",)
    assert found.to_case().elements == ("2H", "W", "28Si")


@pytest.mark.parametrize("tag", ["beamenergy", "beamfluence", "scatteringangle", "exitangle", "resolutionparameter"])
def test_a_quantity_that_is_missing_is_a_fault_not_a_default(write, tag):
    beginning, end = XNRA.index(f"<{tag}"), XNRA.index(f"</{tag}>")
    with pytest.raises(SpectrumFileError, match="no "):
        read_xnra(write(XNRA[:beginning] + XNRA[end + len(tag) + 3 :]))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("</idf>", "", "no .xnra"),
        ("<y>10 0 7 2</y>", "<y>10 0 7</y>", "3 counts"),
        ("<y>10 0 7 2</y>", "<y>10 0 -7 2</y>", "channel 5 holds -7 counts"),
        ("<y>10 0 7 2</y>", "<y>10 0 nan 2</y>", "channel 5 holds nan counts"),
        ("<x>3 4 5 6</x>", "<x>3 4 6 7</x>", "not consecutive"),
        ("<x>3 4 5 6</x>", "<x>-3 -2 -1 0</x>", "begin at -3"),
        ('units="MeV">2.5', 'units="mile">2.5', "unit 'mile'"),
        ("2.50000000000000E+0000", "two", "'two'"),
        (">xnra<", ">idf<", "generic IDF"),
        ("<name>W</name>", "<name>Kryptonite</name>", "Kryptonite"),
        ("<beamZ>2</beamZ>", "<beamZ>1e400</beamZ>", "no .xnra"),
    ],
)
def test_a_broken_file_is_a_typed_fault_with_its_reason(write, old, new, what):
    assert old in XNRA
    with pytest.raises(SpectrumFileError, match=what) as fault:
        read_xnra(write(XNRA.replace(old, new)))
    assert "w.xnra" in str(fault.value)


def test_what_is_written_is_read_back(tmp_path):
    case = Case.model_validate({**CASE, "quadratic_keV": 2e-5, "alpha_deg": 20.0, "beta_deg": 30.0, "E_keV": 1800.0})
    counts, simulation = np.arange(40.0), np.linspace(0.0, 5.0, 40)
    write_xnra(tmp_path / "a.xnra", case, counts, simulation, title="film 3")
    found = read_xnra(tmp_path / "a.xnra")
    again = found.to_case()
    np.testing.assert_allclose(found.require_spectrum().counts, counts)
    assert found.simulation is not None
    np.testing.assert_allclose(found.simulation.counts, simulation)
    assert again.densities() == pytest.approx(case.densities())
    assert again.elements == case.elements
    for name in ("ion", "E_keV", "theta_deg", "alpha_deg", "beta_deg", "slope_keV", "offset_keV", "quadratic_keV"):
        assert getattr(again, name) == pytest.approx(getattr(case, name)), name
    dose = case.fluence_ions * case.solid_angle_msr
    assert again.fluence_ions * again.solid_angle_msr == pytest.approx(dose)
    assert (found.case["desc"], found.findings) == ("film 3", ())


def test_a_simulation_alone_is_no_measurement(tmp_path):
    case = Case.model_validate({**CASE, "ion": "p"})
    write_xnra(tmp_path / "s.xnra", case, simulation=[1.0, 2.0])
    found = read_xnra(tmp_path / "s.xnra")
    assert found.to_case().ion == "1H"
    with pytest.raises(SpectrumFileError, match="no measured spectrum"):
        found.require_spectrum()
    with pytest.raises(OutOfRange, match="counts, or a simulation"):
        write_xnra(tmp_path / "n.xnra", case)
