"""The derivatives against differences of the forward model."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl_bluesky.physics.rbs import CrossSection, Nuisance, Setup, jacobian, layers_of, simulate

CASES = json.loads((Path(__file__).parents[3] / "data" / "rbs" / "cases.json").read_text())
STEP = 3.0  # 1e15 at/cm2
FINE = (0.3, 0.006)  # slices: a difference of two spectra also sees a slice more or less


@pytest.fixture(autouse=True)
def fine_slices(monkeypatch):
    monkeypatch.setattr("sdl_bluesky.physics.rbs.forward.SLICES", FINE)


FILMS = ["a_Au590_Si", "b_CuSn150_Si", "b_CuSn300_glass", "c_A_WD_2", "d_B_p3", "d_B_He3", "e_C_He3", "e_C_p3"]


def distance(setup, found, expected):
    """Relative distance of two derivatives above 200 keV, where no ion is nearly stopped; 0 where both are nothing."""
    seen = setup.edges_keV()[:-1] > 200.0
    found, expected = found[seen], expected[seen]
    scale = np.linalg.norm(expected)
    return np.linalg.norm(found - expected) / scale if scale > 0 else np.linalg.norm(found)


def differences(setup, layers, index):
    up, down = layers.copy(), layers.copy()
    up[index] += STEP
    down[index] = max(down[index] - STEP, 0.0)
    high, low = simulate(setup, np.stack([up, down]))
    return (high - low) / (up[index] - down[index])


@pytest.mark.parametrize("name", FILMS)
def test_every_areal_density(name):
    setup = Setup.from_case(CASES[name])
    layers = layers_of(CASES[name])
    found = jacobian(setup, layers)
    film = layers.sum(axis=1) < 20000.0  # a substrate that stops the beam has no thickness to be known
    for index in np.ndindex(layers.shape):
        if film[index[0]]:
            expected = differences(setup, layers, index)
            assert distance(setup, found.layers[0][index], expected) < 0.015, (index, setup.elements[index[1]])


@pytest.mark.parametrize("name", FILMS)
def test_every_nuisance_parameter(name):
    setup = Setup.from_case(CASES[name])
    layers = layers_of(CASES[name])
    found = jacobian(setup, layers)
    steps = {"fluence": 0.01, "slope": 2e-4, "offset": 0.3, "resolution": 0.01}
    nominal = {"fluence": 1.0, "slope": 1.0, "offset": 0.0, "resolution": 1.0}
    for k, parameter in enumerate(setup.nuisance_names):
        if parameter in steps:
            h = steps[parameter]
            high, low = (simulate(setup, layers, Nuisance(**{parameter: nominal[parameter] + s * h})) for s in (1, -1))
        else:
            h = 0.004
            one = np.eye(len(setup.elements))[k - 4]
            high, low = (simulate(setup, layers, Nuisance(stopping=1.0 + s * h * one)) for s in (1, -1))
        assert distance(setup, found.nuisance[0, k], (high - low) / (2.0 * h)) < 0.012, parameter


@settings(max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.floats(50.0, 3000.0), min_size=3, max_size=3), min_size=1, max_size=3),
    st.floats(-50.0, 50.0),
    st.sampled_from(["4He", "p", "3He"]),
)
def test_any_film_tilt_and_ion(film, alpha, ion):
    setup = Setup(
        ion=ion,
        energy_keV=2500.0,
        alpha_deg=alpha,
        beta_deg=15.0,
        elements=("O", "Cu", "Au"),
        channels=1300,
    )
    layers = np.array(film)
    found = jacobian(setup, layers)
    for index in np.ndindex(layers.shape):
        assert distance(setup, found.layers[0][index], differences(setup, layers, index)) < 0.02, index


def test_what_is_not_there_yet():
    """An element that a layer lacks, and an empty layer, have derivatives: what would come if it were there."""
    setup = Setup(elements=("O", "Cu", "Au"), channels=1024)
    layers = np.array([[0.0, 500.0, 0.0], [0.0, 0.0, 0.0], [4000.0, 100.0, 0.0]])
    found = jacobian(setup, layers)
    for index in [(0, 0), (0, 2), (2, 2)]:
        assert distance(setup, found.layers[0][index], differences(setup, layers, index)) < 0.03, index
    for element in range(3):  # the edges of a layer of nothing have no width: the yield is what can be compared
        expected = differences(setup, layers, (1, element))
        assert found.layers[0, 1, element, 300:].sum() == pytest.approx(expected[300:].sum(), rel=0.02)


def test_a_reaction_has_derivatives():
    table = CrossSection("p", "7Li", 165.0, np.array([500.0, 3500.0]), np.array([2.0, 2.0]), "4He", 17346.0)
    setup = Setup(
        ion="p", energy_keV=2974.0, slope_keV=2.637, resolution_fwhm_keV=20.0, channels=3000, elements=("Li", "C", "Ni"),
        cross_sections=(table,),
    )  # fmt: skip
    layers = np.array([[2000.0, 500.0, 900.0], [1000.0, 900.0, 500.0]])
    found = jacobian(setup, layers)
    for index in np.ndindex(layers.shape):
        expected = differences(setup, layers, index)
        assert distance(setup, found.layers[0][index], expected) < 0.02, index


def test_nuisance_of_each_spectrum():
    setup = Setup(elements=("Cu", "Au"))
    layers = np.array([[[300.0, 200.0]], [[100.0, 400.0]]])
    each = Nuisance(
        fluence=np.array([0.9, 1.1]), offset=np.array([3.0, -2.0]), stopping=np.array([[1.0, 1.1], [0.9, 1.0]])
    )
    together = simulate(setup, layers, each)
    for b in range(2):
        one = Nuisance(fluence=each.fluence[b], offset=each.offset[b], stopping=each.stopping[b])
        np.testing.assert_array_equal(together[b], simulate(setup, layers[b], one))


def test_only_the_columns_that_are_asked_for():
    setup = Setup(elements=("O", "Cu", "Au"))
    layers = np.array([[0.0, 500.0, 100.0], [4000.0, 100.0, 0.0]])
    everything = jacobian(setup, layers).matrix
    for column in range(everything.shape[1]):
        wanted = np.arange(everything.shape[1]) == column
        found = jacobian(setup, layers, columns=wanted).matrix
        np.testing.assert_array_equal(found[:, column], everything[:, column])
        assert not found[:, ~wanted].any()
