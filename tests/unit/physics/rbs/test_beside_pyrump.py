"""The forward model beside pyrump: tilted samples, other ions, thin and buried films, heavy and light elements.

pyrump has stopping from a polynomial (within 0.5 % of the formula), its own way with straggling (edges up to 0.5 keV higher)
and ends at 3 % of the beam's energy: agreement is good to that.
"""

import numpy as np
import pytest

from ioc_sims.rbs import spectrum
from sdl_bluesky.physics.rbs import Setup, layers_of, simulate, surface_edge_keV

GLASS = {"O": 16000.0, "Si": 8000.0}
CASE = {
    "ion": "4He",
    "E_keV": 2000.0,
    "theta_deg": 165.0,
    "alpha_deg": 0.0,
    "slope_keV": 2.0,
    "offset_keV": 0.0,
    "resolution_fwhm_keV": 15.0,
    "fluence_ions": 1e14,
    "solid_angle_msr": 10.0,
    "layers": [{"Cu": 180.0, "Sn": 120.0}, GLASS],
}
CASES = {
    "film on glass": {},
    "tilted by 60 deg": {"alpha_deg": 60.0, "theta_deg": 110.0},
    "tilted by -40 deg": {"alpha_deg": -40.0, "beta_deg": 55.0},
    "helium 3, tilted": {"ion": "3He", "alpha_deg": 50.0, "beta_deg": 65.0, "theta_deg": 150.0},
    "protons": {"ion": "p"},
    "deuterons": {"ion": "D"},
    "a trace of gold": {"layers": [{"Au": 1.0}, {"Si": 25000.0}]},
    "a trace of two": {"layers": [{"Cu": 0.6, "Sn": 0.4}, {"Si": 25000.0}]},
    "a trace under silicon": {"layers": [{"Si": 500.0}, {"Au": 1.0}, {"Si": 25000.0}]},
    "uranium oxide": {"E_keV": 3500.0, "layers": [{"U": 300.0, "O": 600.0}, {"C": 30000.0}]},
    "800 keV": {"E_keV": 800.0, "slope_keV": 1.0, "layers": [{"Cu": 50.0}, {"Si": 20000.0}]},
}


@pytest.mark.parametrize("name", list(CASES))
def test_beside_pyrump(name):
    case = {**CASE, **CASES[name]}
    setup = Setup.from_case(case)
    found, expected = simulate(setup, layers_of(case)), spectrum(case, channels=setup.channels)
    energy = setup.edges_keV()[:-1]
    above = energy > max(200.0, 0.1 * setup.energy_keV)
    assert found[above].sum() == pytest.approx(expected[above].sum(), rel=3e-3)
    seen = above & (expected > 0.01 * expected.max())
    assert np.median(np.abs(found[seen] / expected[seen] - 1.0)) < 6e-3


@pytest.mark.parametrize("name", ["a trace of gold", "a trace of two", "800 keV"])
def test_area_and_place_of_a_peak(name):
    case = {**CASE, **CASES[name]}
    setup = Setup.from_case(case)
    found, expected = simulate(setup, layers_of(case)), spectrum(case, channels=setup.channels)
    energy = setup.edges_keV()[:-1]
    peak = np.abs(energy - max(surface_edge_keV(setup, k) for k in setup.elements)) < 60.0
    assert found[peak].sum() == pytest.approx(expected[peak].sum(), rel=5e-5)
    centres = [energy[peak] @ k[peak] / k[peak].sum() for k in (found, expected)]
    assert centres[0] == pytest.approx(centres[1], abs=0.6)
