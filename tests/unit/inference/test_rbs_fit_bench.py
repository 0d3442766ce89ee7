"""The study of fits, made small: its sets are those that are published, its rows say what they claim."""

import numpy as np
import pytest

from sdl_bluesky.bench import rbs_fit as study
from sdl_bluesky.bench.rbs_coverage import coverage_rows
from sdl_bluesky.bench.rbs_paper import PAPER, PERCENTILES
from sdl_bluesky.bench.rbs_sets import SETS
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.physics.rbs import simulate


@pytest.mark.parametrize(
    ("name", "parameters", "channels", "layers"), [("A", 4, 700, 3), ("B", 15, 880, 3), ("C", 30, 2200, 5)]
)
def test_the_sets_have_the_size_that_is_published(name, parameters, channels, layers):
    data = SETS[name]
    drawn = data.draw(200, np.random.default_rng(0))
    assert data.size == len(data.names) == parameters
    assert data.roi[1] - data.roi[0] == channels
    assert drawn.shape == (200, layers, len(data.setup.elements))
    free = data.densities(drawn)
    assert free.min() >= 50
    assert free.max() <= 5000
    assert free.mean() == pytest.approx(2525, rel=0.05)
    assert np.count_nonzero(drawn[0]) == parameters + (name == "A")


def test_the_bounds_of_the_sets_are_those_of_their_prototypes():
    rng = np.random.default_rng(0)
    median = {}
    for name in ("A", "B"):
        data = SETS[name]
        layers = data.draw(50, rng)
        bound = rbs_fit.cramer_rao(data.setup, layers, free=data.free, roi=[data.roi]) / data.densities(layers)
        median |= {f"{name} {k}": v for k, v in zip(data.names, 0.6745 * np.median(bound, axis=0), strict=True)}
    for name, value in [("A D@1", 0.0133), ("A W@1", 0.0052), ("A D@2", 0.0141), ("B Li@1", 0.047), ("B Ni@1", 0.012)]:
        assert median[name] == pytest.approx(value, rel=0.35), name


def test_the_printed_tables_are_whole():
    for name, rows in PAPER.items():
        assert [row["method"].removeprefix("paper: ") for row in rows][-1] == "ideal chi2"
        for row in rows:
            values = [row[f"p{k}"] for k in PERCENTILES]
            assert values == sorted(values)
            assert row["nu"] == {"A": 700, "B": 1310, "C": 2200}[name]


def test_rows_of_a_small_study():
    told = []
    rows = study._rows_of(SETS["A"], 1, 12, 1, told.append)
    by = {row["method"]: row for row in rows}
    rng = np.random.default_rng([0, ord("A")])
    layers = SETS["A"].draw(12, rng)
    counts = SETS["A"].measure(layers, rng)[:, 100:800]
    chi2 = rbs_fit.paper_chi2(counts, simulate(SETS["A"].setup, layers)[:, 100:800])
    assert by["truth"]["p50"] == pytest.approx(np.median(chi2))
    assert by["truth"]["pass"] == np.mean(chi2 < rbs_fit.chi2_limit(700))
    best = by["LM, mid-range, restarts"]
    assert best["pass"] >= by["LM, mid-range, no coarse start, no restarts"]["pass"]
    assert best["p50"] < by["truth"]["p50"] + 1
    assert best["ms_p90"] >= best["ms_median"] > 0
    assert by["Nelder-Mead, mid-range, 200 D"]["spectra"] == 1
    assert by["paper: Autofit"]["p95"] == 15380
    assert any("seed 0" in text for text in told)


def test_errors_beside_the_bound_are_of_each_density():
    rows = [row for row in study._rows_of(SETS["B"], 1, 24, 1, lambda text: None) if "error_poisson" in row]
    assert [row["case"] for row in rows] == [*(f"B {name}" for name in SETS["B"].names), "B worst"]
    worst = rows.pop()
    assert worst["error_poisson"] == max(row["error_poisson"] for row in rows)
    assert 0.75 < np.median([row["error_poisson"] for row in rows]) < 1.25
    lithium = [row for row in rows if "Li" in row["case"]]
    assert all(row["bias_chi2"] < -0.5 for row in lithium)
    assert all(abs(row["bias_poisson"]) < 0.6 for row in lithium)


def test_intervals_hold_only_with_nuisance_parameters():
    rows = coverage_rows(20)
    assert [row["coverage"] >= 0.8 for row in rows] == [True, True, False, False]
