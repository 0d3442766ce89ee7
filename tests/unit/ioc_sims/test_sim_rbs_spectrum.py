"""The end station's spectra against spectra of another program and against closed forms."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc_sims.common.errors import ConfigError
from ioc_sims.rbs import __main__ as program
from ioc_sims.rbs import spectrum

REFERENCE = Path(__file__).resolve().parents[2] / "data" / "rbs"
CASES = json.loads((REFERENCE / "cases.json").read_text())
GOLD = {
    "ion": "4He",
    "E_keV": 2000.0,
    "theta_deg": 165.0,
    "alpha_deg": 0.0,
    "beta_deg": None,
    "slope_keV": 2.0,
    "offset_keV": 0.0,
    "resolution_fwhm_keV": 15.0,
    "fluence_ions": 1e14,
    "solid_angle_msr": 10.0,
    "layers": [{"Au": 1.0}],
}


def reference(name: str) -> np.ndarray:
    return np.loadtxt(REFERENCE / f"{name}.csv", delimiter=",", skiprows=1)[:, 1]


def kinematic_factor(m1: float, m2: float, theta_deg: float) -> float:
    theta = math.radians(theta_deg)
    root = math.sqrt(m2**2 - (m1 * math.sin(theta)) ** 2)
    return ((m1 * math.cos(theta) + root) / (m1 + m2)) ** 2


def rutherford_cm2(z1: int, m1: float, z2: int, m2: float, energy_keV: float, theta_deg: float) -> float:
    """Cross section in the laboratory with Andersen's screening, worked out in the centre of mass."""
    theta = math.radians(theta_deg)
    cm = theta + math.asin(m1 / m2 * math.sin(theta))
    energy_cm = energy_keV * m2 / (m1 + m2)
    e2_keV_cm = 1.43996e-10
    sigma = (z1 * z2 * e2_keV_cm / (4 * energy_cm)) ** 2 / math.sin(cm / 2) ** 4
    x = m1 / m2
    to_laboratory = (1 + 2 * x * math.cos(cm) + x * x) ** 1.5 / abs(1 + x * math.cos(cm))
    v = 0.04873 * z1 * z2 * math.sqrt(z1 ** (2 / 3) + z2 ** (2 / 3)) / energy_cm
    screened = (1 + v / 2) ** 2 / (1 + v + (v / (2 * math.sin(cm / 2))) ** 2) ** 2
    return sigma * to_laboratory * screened


# against another program ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("b_CuSn300_glass", 0.0015), ("c_A_WD_1", 0.003), ("d_B_He3", 0.001), ("e_C_He3", 0.0015)],
)
def test_spectra_agree_with_those_of_another_program(name, tolerance):
    expected = reference(name)
    found = spectrum(CASES[name], channels=len(expected))
    high = expected > 0.01 * expected.max()
    assert high.sum() > 300
    assert np.median(np.abs(found[high] / expected[high] - 1)) < tolerance
    seen = high & (np.arange(len(expected)) * CASES[name]["slope_keV"] > 150)  # below, the two end differently
    assert found[seen].sum() == pytest.approx(expected[seen].sum(), rel=0.002)


@pytest.mark.parametrize("window", [(700, 805), (830, 905)], ids=["Cu", "Sn"])
def test_the_peaks_of_a_thin_film_hold_the_counts_of_another_program(window):
    expected = reference("b_CuSn50_Si")
    found = spectrum(CASES["b_CuSn50_Si"], channels=len(expected))
    assert found[slice(*window)].sum() == pytest.approx(expected[slice(*window)].sum(), rel=1e-4)


# against closed forms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "symbol", "z", "mass"), [(0.0, "Au", 79, 196.97), (60.0, "Au", 79, 196.97), (-40.0, "Al", 13, 26.98)]
)
def test_a_very_thin_film_gives_cross_section_times_areal_density(alpha, symbol, z, mass):
    counts = spectrum({**GOLD, "alpha_deg": alpha, "layers": [{symbol: 0.5}]})
    sigma = rutherford_cm2(2, 4.0026, z, mass, 2000.0, 165.0)
    expected = 1e14 * 0.010 * 0.5e15 / math.cos(math.radians(alpha)) * sigma
    assert counts.sum() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("offset", "slope"), [(0.0, 2.0), (37.3, 2.0), (-11.0, 3.7), (300.0, 1.0)])
def test_a_very_thin_film_lies_at_the_kinematic_energy(offset, slope):
    counts = spectrum({**GOLD, "offset_keV": offset, "slope_keV": slope, "layers": [{"Au": 0.01}]}, channels=2000)
    centre = offset + slope * (np.arange(2000) + 0.5)
    mean = float(counts @ centre / counts.sum())
    assert mean == pytest.approx(2000 * kinematic_factor(4.0026, 197.0, 165.0), abs=slope / 16 + 0.01)
    spread = math.sqrt(float(counts @ (centre - mean) ** 2 / counts.sum()))
    assert spread == pytest.approx(math.hypot(15 / 2.355, slope / math.sqrt(12)), rel=0.03)


def test_a_tilt_towards_the_detector_shortens_the_way_out():
    film = {**GOLD, "layers": [{"Au": 1000.0}], "resolution_fwhm_keV": 5.0}

    def depth(alpha: float, beta: float | None) -> float:
        counts = spectrum({**film, "alpha_deg": alpha, "beta_deg": beta})
        return float((counts > counts.max() / 2).sum())

    assert depth(15.0, None) == depth(15.0, 0.0)
    assert depth(-45.0, None) == depth(-45.0, 60.0)
    assert depth(-45.0, None) > 1.2 * depth(45.0, None)


def test_stopping_sets_the_height_of_a_thick_target_and_the_width_of_a_film():
    bulk = {**GOLD, "layers": [{"Si": 25000.0}]}
    nominal, scaled = spectrum(bulk), spectrum(bulk, stopping={"Si": 1.1})
    assert scaled[500] / nominal[500] == pytest.approx(1 / 1.1, rel=1e-2)  # near the surface, at 1001 keV
    film = {**GOLD, "layers": [{"Cu": 150.0, "Sn": 150.0}, {"C": 3000.0}]}
    nominal, scaled = spectrum(film), spectrum(film, stopping={"Cu": 1.1, "Zn": 3.0})
    tin = slice(830, 905)
    assert scaled[tin].sum() == pytest.approx(nominal[tin].sum(), rel=5e-3)
    width = [(counts[tin] > counts[tin].max() / 2).sum() for counts in (nominal, scaled)]
    assert width[1] > width[0]
    np.testing.assert_array_equal(spectrum(film, stopping={"Cu": 1.0}), nominal)


@settings(max_examples=10)
@given(st.floats(1e8, 1e16), st.floats(0.1, 100.0))
def test_counts_are_proportional_to_fluence_and_solid_angle(fluence, angle):
    other = spectrum({**GOLD, "fluence_ions": fluence, "solid_angle_msr": angle})
    np.testing.assert_allclose(other, spectrum(GOLD) * (fluence / 1e14) * (angle / 10), rtol=1e-9)


def test_isotopes_are_labelled_and_what_is_lighter_than_the_ion_does_not_scatter():
    assert not spectrum({**GOLD, "layers": [{"H": 1000.0}]}).any()
    hidden = {**GOLD, "layers": [{"H": 5000.0}, {"Au": 1.0}]}
    where = [float(spectrum(case) @ np.arange(1024) / spectrum(case).sum()) for case in (GOLD, hidden)]
    assert where[1] < where[0] - 5
    proton = {**GOLD, "ion": "p", "layers": [{"7Li": 10.0}]}
    assert float(spectrum(proton) @ np.arange(1024) / spectrum(proton).sum()) == pytest.approx(
        1000 * kinematic_factor(1.00783, 7.016, 165.0), abs=2
    )
    np.testing.assert_array_equal(
        spectrum({**GOLD, "ion": "p", "layers": [{"D": 100.0}]}),
        spectrum({**GOLD, "ion": "1H", "layers": [{"2H": 100.0}]}),
    )


def test_an_edge_beyond_the_last_channel_loses_nothing_below():
    whole = spectrum({**GOLD, "layers": [{"Au": 3000.0}]})
    np.testing.assert_allclose(spectrum({**GOLD, "layers": [{"Au": 3000.0}]}, channels=800), whole[:800], rtol=1e-12)
    raised = spectrum({**GOLD, "layers": [{"Au": 3000.0}], "offset_keV": 1600.0})
    np.testing.assert_allclose(raised[:200], whole[800:1000], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layers": [{"Xx": 1.0}]}, "Xx"),
        ({"layers": [{"copper": 1.0}]}, "copper"),
        ({"layers": [{"My": 1.0}]}, "My"),
        ({"layers": [{"H": 1.0}, {"D": 1.0}]}, "two isotopes"),
        ({"layers": [{"Cu": -1.0}]}, "0 or more"),
        ({"layers": [{"Cu": math.nan}]}, "0 or more"),
        ({"layers": [{"Cu": 0.0}]}, "above 0"),
        ({"layers": []}, "0 or more"),
        ({"ion": "7Li"}, "7Li"),
        ({"alpha_deg": 95.0}, "alpha_deg"),
        ({"alpha_deg": -80.0}, "beta_deg"),
        ({"theta_deg": 30.0}, "backscattering"),
        ({"slope_keV": "wide"}, "wide"),
        ({"slope_keV": 0.0}, "slope_keV"),
        ({"E_keV": -5.0}, "E_keV"),
        ({"resolution_fwhm_keV": 150.0}, "resolution_fwhm_keV"),
    ],
)
def test_a_case_that_cannot_be_is_told(change, told):
    with pytest.raises(ConfigError, match=told):
        spectrum({**GOLD, **change})


def test_a_case_without_a_key_is_told():
    with pytest.raises(ConfigError, match="E_keV"):
        spectrum({key: value for key, value in GOLD.items() if key != "E_keV"})


def test_the_program_writes_spectra_and_times(tmp_path, capsys):
    cases = {"gold": {**GOLD, "channels": 1000}, "none": {**GOLD, "ion": "x"}}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    assert program.main([str(path), "--out", str(tmp_path / "out"), "--repeat", "2"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["gold"]["seconds"] > 0
    assert "'x'" in told["none"]["error"]
    written = np.loadtxt(tmp_path / "out" / "gold.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(written[:, 1], spectrum(cases["gold"]), rtol=1e-9)
    assert program.main([str(tmp_path / "no.json")]) == 2
