"""The forward model against spectra of an independent program (tests/data/rbs, see its README).

Compared above 100 keV: where the ions are nearly stopped each program ends its last slice elsewhere.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from sdl_bluesky.physics.rbs import Setup, layers_of, simulate

DATA = Path(__file__).parents[3] / "data" / "rbs"
CASES = json.loads((DATA / "cases.json").read_text())
FROM_KEV = 100.0


def crossing(counts, start, height):
    """Channel, with its fraction, at which counts fall through a height, going up from a channel."""
    k = start
    while counts[k] > height:
        k += 1
    return k - 1 + (counts[k - 1] - height) / (counts[k - 1] - counts[k])


def highest_plateau(counts):
    k = int(np.flatnonzero(counts > 0.01 * counts.max())[-1])
    while k > 0 and counts[k - 1] >= counts[k]:
        k -= 1
    return k


@pytest.mark.parametrize("name", list(CASES))
def test_spectrum_is_that_of_the_other_program(name):
    expected = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1)[:, 1]
    setup = Setup.from_case(CASES[name], channels=len(expected))
    found = simulate(setup, layers_of(CASES[name]))
    above = setup.edges_keV()[:-1] >= FROM_KEV
    assert found[above].sum() == pytest.approx(expected[above].sum(), rel=5e-4)
    seen = above & (expected > 0.01 * expected.max())
    assert np.median(np.abs(found[seen] / expected[seen] - 1.0)) < 1e-3
    top = highest_plateau(expected)
    height = expected[top] / 2.0
    assert crossing(found, top, height) == pytest.approx(crossing(expected, top, height), abs=0.1)


@pytest.mark.parametrize("name", list(CASES))
def test_nothing_is_counted_below_the_lowest_energy(name):
    setup = Setup.from_case(CASES[name])
    counts = simulate(setup, layers_of(CASES[name]))
    assert np.all(counts[setup.edges_keV()[1:] <= 50.0] == 0.0)
    assert np.all(np.isfinite(counts))
    assert np.all(counts >= 0.0)
