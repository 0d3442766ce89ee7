"""What a set-up, a sample or a table cannot be is said before anything is computed."""

import os
import re

import numpy as np
import pytest

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.rbs import CrossSection, Nuisance, Setup, StoppingTable, simulate
from sdl_bluesky.physics.rbs.kernels.compile import forget_stale


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"energy_keV": float("nan")}, "energy_keV"),
        ({"energy_keV": "2 MeV"}, "energy_keV"),
        ({"energy_keV": 40.0}, "energy_keV"),
        ({"theta_deg": 200.0}, "theta_deg"),
        ({"alpha_deg": 90.0}, "alpha_deg"),
        ({"theta_deg": 60.0}, "beta_deg"),
        ({"slope_keV": -1.0}, "slope_keV"),
        ({"resolution_fwhm_keV": 0.0}, "resolution"),
        ({"fluence_ions": -1.0}, "fluence"),
        ({"channels": 0}, "channels"),
        ({"quadratic_keV": -0.01}, "calibration"),
        ({"elements": ("Cu", "Cu")}, "twice"),
        ({"elements": ("Tc",)}, "natural"),
        ({"pile_up": 0.6}, "pile_up"),
    ],
)
def test_set_up(wrong, word):
    with pytest.raises(OutOfRange, match=word):
        Setup(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ion": "16O"},
        {"ion": "xx"},
        {"ion": "3T"},
        {"elements": ("Xx",)},
        {"elements": ("Np",)},
        {"elements": ("999Cu",)},
        {"elements": ("1D",)},
        {"elements": ("0Si",)},
        {"elements": ("\u0666Li",)},
    ],
)
def test_unknown_names(wrong):
    with pytest.raises(UnknownName):
        Setup(**wrong)


@pytest.mark.parametrize(
    "layers", [[[1.0]], [1.0, 2.0], [[-1.0, 1.0]], [[np.nan, 1.0]], [[np.inf, 1.0]], np.zeros((2, 0, 2))]
)
def test_layers(layers):
    with pytest.raises(OutOfRange, match=re.compile("layers|areal")):
        simulate(Setup(elements=("Cu", "Si")), layers)


@pytest.mark.parametrize(
    "wrong", [{"fluence": -1.0}, {"slope": 0.0}, {"offset": np.nan}, {"stopping": np.ones(3)}, {"fluence": np.ones(4)}]
)
def test_nuisance(wrong):
    with pytest.raises(OutOfRange):
        simulate(Setup(elements=("Cu", "Si")), [[1.0, 1.0]], Nuisance(**wrong))


def test_a_case_that_lacks_something():
    with pytest.raises(OutOfRange, match="E_keV, theta_deg"):
        Setup.from_case({"ion": "4He", "slope_keV": 2.0, "resolution_fwhm_keV": 15.0})


@pytest.mark.parametrize(
    ("energy", "value"),
    [
        ([1.0], [1.0]),
        ([1.0, 2.0], [1.0]),
        ([2.0, 1.0], [1.0, 1.0]),
        ([1.0, 2.0], [1.0, -1.0]),
        ([1.0, np.nan], [1.0, 1.0]),
    ],
)
def test_cross_section(energy, value):
    with pytest.raises(OutOfRange, match="cross section"):
        CrossSection("4He", "16O", 165.0, np.array(energy), np.array(value))


def test_stopping_table_that_ends_too_early():
    table = StoppingTable({("4He", "Cu"): (np.array([500.0, 1000.0]), np.array([60.0, 55.0]))})
    with pytest.raises(OutOfRange, match="tabulated from 500 to 1000 keV"):
        simulate(Setup(elements=("Cu",), stopping=table), [[100.0]])


def test_stopping_table_replaces_the_default():
    energy = np.geomspace(5.0, 4000.0, 200)
    twice = StoppingTable({("4He", "Cu"): (energy, np.full_like(energy, 100.0))})
    counts = simulate(Setup(elements=("Cu",), stopping=twice, channels=1000), [[500.0]])
    width = 500.0 * 0.1  # keV lost on the way in with 100 eV/(1e15 at/cm2)
    seen = np.flatnonzero(counts > counts.max() / 2.0)
    k = 0.78  # of copper, about
    assert 2.0 * (seen[-1] - seen[0]) == pytest.approx(width * (k + 1.0 / np.cos(np.radians(15.0))), rel=0.05)


def test_compiled_kernels_older_than_a_source_are_dropped(tmp_path):
    source, kept, fresh = tmp_path / "a.py", tmp_path / "__pycache__" / "a.nbi", tmp_path / "__pycache__" / "b.nbc"
    kept.parent.mkdir()
    for path, when in ((kept, 100.0), (source, 200.0), (fresh, 300.0)):
        path.write_text("")
        os.utime(path, (when, when))
    assert forget_stale(tmp_path) == 1
    assert not kept.exists()
    assert fresh.exists()
