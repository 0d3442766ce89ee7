"""What is told of a misfit, on spectra of known composition; expected counts without the element that is hidden."""

import numpy as np
import pytest
from rbs_lab import GLASS, IONS_PER_UC, SETUP, by_package

from sdl_bluesky.analysis.rbs.residual import ABOVE, AT_EDGE, FOREIGN, LACKING, find_misfit, surface_edge_keV
from sdl_bluesky.physics.rbs import Setup

FILM = {"Cu": 250.0, "Sn": 200.0}
FIRST = 200
SETTING = Setup.from_case({**SETUP, "fluence_ions": 1.0}, ("Cu", "Sn", "O", "Si"))


def counts(more=None, **changes):
    case = {**SETUP, "fluence_ions": 5.0 * IONS_PER_UC, "layers": [{**FILM, **(more or {})}, GLASS], **changes}
    return by_package(case)


EXPECTED = counts()


def misfit(true, seed=0):
    return find_misfit(SETTING, np.random.default_rng(seed).poisson(true).astype(float), EXPECTED, FIRST, tuple(FILM))


def test_a_good_fit_is_left_alone():
    assert [misfit(EXPECTED, seed) for seed in range(300)] == [None] * 300


def test_edges_are_those_of_kinematics():
    # K = ((m1 cos t + sqrt(m2^2 - m1^2 sin^2 t)) / (m1 + m2))^2 with standard atomic masses
    for name, mass in {"Cu": 63.546, "Sn": 118.71, "O": 15.999}.items():
        sin, cos = np.sin(np.radians(165.0)), np.cos(np.radians(165.0))
        k = ((4.0026 * cos + np.sqrt(mass**2 - (4.0026 * sin) ** 2)) / (4.0026 + mass)) ** 2
        assert surface_edge_keV(SETTING, name) == pytest.approx(2000.0 * k, abs=0.2)


@pytest.mark.parametrize(
    ("hidden", "kind"),
    [
        ({"Au": 0.3}, ABOVE),
        ({"Bi": 0.3}, ABOVE),
        ({"Ar": 10.0}, FOREIGN),
        ({"Ti": 8.0}, FOREIGN),
        ({"S": 9.0}, FOREIGN),
    ],
)
def test_a_hidden_element_is_among_those_that_are_named(hidden, kind):
    found = misfit(counts(hidden))
    assert found is not None
    assert found.kind == kind
    assert found.sigma > 10
    [name] = hidden
    assert name in found.elements
    assert found.elements[0] in found.words
    edges = [surface_edge_keV(SETTING, k) for k in found.elements]
    assert np.ptp(edges) <= 1.2 * SETTING.resolution_fwhm_keV
    edge = surface_edge_keV(SETTING, name)
    assert found.low_keV - 15.0 <= edge <= found.high_keV


@pytest.mark.parametrize("gain", [0.998, 1.002])
def test_a_wrong_gain_is_told_as_a_shift(gain):
    found = misfit(counts(slope_keV=2.0 * gain))
    assert found is not None
    assert found.kind == AT_EDGE
    middle = 0.5 * (found.low_keV + found.high_keV)
    shift = float(found.words.split("were ")[1].split(" keV")[0])
    assert shift == pytest.approx(middle * 0.002, rel=0.25)
    assert ("lower" if gain > 1 else "higher") in found.words  # wider channels: the edge comes earlier


def test_too_little_substrate_is_too_few_counts():
    true = EXPECTED.copy()
    true[300:420] *= 0.9
    found = misfit(true)
    assert found is not None
    assert (found.kind, found.low_keV < 700.0 < found.high_keV) == (LACKING, True)
    assert found.sigma < -10
