"""The study of networks, made small: its rows are those it promises, and say what they claim."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sdl_bluesky.bench import rbs_mdn, rbs_mdn_methods, rbs_mdn_models, rbs_mdn_paper, rbs_mdn_strange
from sdl_bluesky.bench.rbs_mdn_rows import calibration_rows
from sdl_bluesky.bench.rbs_paper import PAPER, PERCENTILES
from sdl_bluesky.bench.rbs_sets import SETS
from sdl_bluesky.errors import ModelFileError
from sdl_bluesky.inference.rbs_fit import paper_chi2
from sdl_bluesky.inference.rbs_mdn import assess, making
from sdl_bluesky.inference.rbs_mdn.assess import Trials
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.published import Layout
from sdl_bluesky.inference.rbs_mdn.recalibration import Recalibration
from sdl_bluesky.inference.rbs_mdn.training import Recipe
from sdl_bluesky.physics import rbs

METHODS = [
    "truth",
    "network, mean",
    "network, most probable",
    "LM, mid-range, restarts",
    "network, then LM, no restarts",
    "network, then LM, restarts, verdict",
    "Nelder-Mead, mid-range, 200 D",
    "network, then Nelder-Mead, 50 D",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Everything of the study, less of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(rbs_mdn_models.CACHE, str(tmp_path_factory.mktemp("networks")))
        patch.setattr(making, "TRIALS", 40)
        patch.setattr(
            rbs_mdn_models, "TINY", Recipe(spectra=3000, steps=250, batch=128, width=64, blocks=1, validation=1000)
        )
        patch.setattr(rbs_mdn, "TEST_QUICK", 40)
        patch.setattr(rbs_mdn, "FITS_QUICK", {"A": 40, "B": 15, "C": 3})
        patch.setattr(rbs_mdn, "STRANGE_QUICK", 12)
        patch.setattr(rbs_mdn_methods, "PER_PARAMETER", 30)
        patch.setattr(rbs_mdn_methods, "QUARTER", 10)
        yield patch


@pytest.fixture(scope="module")
def rows(small):
    told = []
    found = rbs_mdn.run(None, True, told.append)
    assert any("step 250" in text for text in told)
    return found


def _with(rows, key):
    return [row for row in rows if key in row]


def test_every_method_has_a_profile_beside_the_printed_ones(rows):
    for name in SETS:
        mine = [row for row in _with(rows, "p50") if row["case"] == name]
        assert [row["method"] for row in mine] == [*METHODS, *(row["method"] for row in PAPER[name])]
        by = {row["method"]: row for row in mine}
        for row in mine[: len(METHODS)]:
            values = [row[f"p{k}"] for k in PERCENTILES]
            assert values == sorted(values)
            assert 0 <= row["pass"] <= 1
            assert (row["ms"] is None) == (row["method"] == "truth")
        assert by["network, then LM, restarts, verdict"]["p50"] < by["network, mean"]["p50"]
        assert by["network, then LM, restarts, verdict"]["p50"] < 1.2 * by["truth"]["p50"]
        assert by["network, mean"]["ms"] < by["network, then LM, restarts, verdict"]["ms"]
        assert by["Nelder-Mead, mid-range, 200 D"]["spectra"] == rbs_mdn.SIMPLEX_QUICK[name]
    assert {row["ms"] for row in _with(rows, "p50") if row["method"] == "paper: Autofit"} == {2700, 27000, 54000}


def test_the_profile_of_the_truth_is_that_of_the_spectra(rows):
    trials = rbs_mdn_models.trials_of("B", 40, 0)
    system = trials.system
    expected = rbs.simulate(system.setup, system.fill(trials.truth))
    chi2 = paper_chi2(trials.counts[:, system.channels], expected[:, system.channels])
    row = next(row for row in rows if row["case"] == "B" and row["method"] == "truth")
    assert row["p50"] == pytest.approx(np.median(chi2))


def test_every_density_has_a_row_and_a_fit_from_the_network_is_as_good_as_the_counts_allow(rows):
    parameters = [row for row in _with(rows, "efficiency") if row["method"] == "network"]
    assert [row["case"] for row in parameters] == [f"{k} {name}" for k, v in SETS.items() for name in v.names]
    for row in parameters:
        if row["case"].startswith("A"):
            assert 0.5 < row["efficiency_lm"] < 1.8
            assert row["relative_error_lm"] < row["relative_error"]
        assert row["efficiency"] > 0.7
        assert 0 < row["sd_over_prior"] < 1.5
        assert 0 < row["bound_over_prior"] <= 1.0 + 1e-9
        assert row["coverage_68"] <= row["coverage_90"] <= row["coverage_95"]
        assert 0 <= row["rank_chance"] <= 1
    printed = {row["case"]: row for row in _with(rows, "efficiency") if row["method"].startswith("paper")}
    assert list(printed) == ["A W@1", "A D@1", "B Ni@1", "B F@3", "C La@1", "C H@1"]
    assert (printed["B F@3"]["relative_error"], printed["B F@3"]["coverage_score"]) == (0.0306, 0.208)


def test_calibration_times_and_training_sizes_have_rows(rows):
    calibration = _with(rows, "rank_chance_pooled")
    assert [row["method"] for row in calibration] == ["network", "network, sd x 1.3", "network, sd x 0.77"] * 3
    for told, wide, narrow in zip(*(calibration[k::3] for k in range(3)), strict=True):
        assert narrow["coverage_90"] < told["coverage_90"] < wide["coverage_90"]
        assert 0.75 < told["coverage_90"] < 0.99
    times = {(row["method"], row["case"]): row for row in _with(rows, "drawing_s")}
    assert len(times) == 6
    assert times["paper: Table 1", "C"]["hybrid_ms"] == 16200
    ours = times["network", "A"]
    assert ours["network_ms"] < ours["hybrid_ms"]
    assert ours["drawn"] == 3000
    assert ours["training_s"] > 0
    sizes = [(row["method"], row["case"], row["training_spectra"]) for row in _with(rows, "training_spectra")]
    assert sizes[:6] == [("network", name, spectra) for name in SETS for spectra in (1000, 3000)]
    small = [row["case"] for row in _with(rows, "efficiency") if row["method"] == "network, 1k"]
    assert small == [f"{k} {name}" for k, v in SETS.items() for name in v.names]
    assert ("paper: MDN", "B", 50_000) in sizes


def test_what_is_not_of_the_system_is_seen(rows):
    strange = {row["method"]: row for row in _with(rows, "handed_over")}
    own = strange.pop("of the system")
    assert own["strange"] <= 0.1
    assert own["error"] < 0.1
    assert list(strange) == [
        *(f"{k} in layer 1" for k in ("C", "O", "F", "Fe", "Mo", "Ta")),
        *(f"{k} in layer 2" for k in ("C", "Fe")),
        *("gain + 0.5 %", "pile-up 1 %", "substrate Mo", "substrate Ta"),
    ]
    for name in ("C in layer 1", "Fe in layer 1", "Mo in layer 1", "gain + 0.5 %", "substrate Mo"):
        assert strange[name]["auroc"] > 0.95
        assert strange[name]["handed_over"] > 0.8
    assert strange["C in layer 1"]["auroc"] > strange["C in layer 1"]["auroc_deviance"]


def test_networks_are_not_trained_twice_and_a_damaged_one_is_named(rows, small, monkeypatch):
    assert rows
    recipe, told = rbs_mdn_models.recipe_of("A", True), []
    monkeypatch.setattr(rbs_mdn_models, "make_model", None)
    known = rbs_mdn_models.trained("A", recipe, told.append)
    assert known.card["recipe"]["steps"] == 250
    assert "network from" in told[0]
    with pytest.raises(TypeError):
        rbs_mdn_models.trained("A", replace(recipe, seed=1), told.append)
    file = rbs_mdn_models.folder() / f"{rbs_mdn_models._stem(known.system, {'steps': 1})}.npz"
    file.write_bytes(b"no network")
    monkeypatch.setattr(rbs_mdn_models, "asdict", lambda recipe: {"steps": 1})
    with pytest.raises(ModelFileError):
        rbs_mdn_models.trained("A", recipe, told.append)


def test_figures_are_drawn(rows, small):
    found = rbs_mdn.draw(None, True, lambda text: None)
    assert rows
    assert sorted(found) == sorted(
        [
            f"rbs-mdn-{k}.png"
            for k in ("spectra", "calibration", *(f"{k}-{n}" for k in ("ratio", "training-size") for n in SETS))
        ]
    )
    assert all(data.startswith(b"\x89PNG") for data in found.values())


def test_worlds_hold_what_they_say():
    system = SETS["A"].system
    found = rbs_mdn_strange.worlds(system)
    trials = rbs_mdn_models.trials_of("A", 3, 0)
    own = system.spectra(system.coordinates(trials.truth), np.ones(3))
    same = rbs_mdn_strange.World(system.setup, np.zeros(system.free.shape))
    assert rbs_mdn_strange.expected(system, same, trials) == pytest.approx(own)
    tungsten = int(0.918 * 3000 / 3.5) - 6
    bare = replace(trials, truth=np.tile([50.0, 50.0, 50.0, 50.0], (3, 1)))
    mo = rbs_mdn_strange.expected(system, found["substrate Mo"], bare)
    w = rbs_mdn_strange.expected(system, same, bare)
    more = (rbs_mdn_strange.expected(system, found["Fe in layer 1"], bare) - w)[0]
    assert more[625:640].mean() > 0.5 * (more[580:600].mean() + more[660:680].mean()) + 300  # 3 MeV x 0.75 over 3.5 keV
    assert np.all(mo[:, 750] < 0.05 * w[:, 750])
    assert np.all(w[:, tungsten] > 1000)
    assert found["pile-up 1 %"].setup.pile_up == 0.01
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 50), rng.normal(0, 1, 70)
    labels = np.repeat([1, 0], [50, 70])
    assert rbs_mdn_strange.auroc(a, b) == pytest.approx(roc_auc_score(labels, np.concatenate([a, b])))


def test_the_rank_test_accepts_what_is_calibrated_and_rejects_a_factor_of_1_3():
    system, n = SETS["A"].system, 2000
    rng = np.random.default_rng(5)
    mean, sd = 0.8 * rng.standard_normal((n, 4)), rng.uniform(0.2, 0.6, (n, 4))
    truth = system.values(mean + sd * rng.standard_normal((n, 4)))
    factor = np.zeros((n, 1, 4, 4))
    factor[:, 0, range(4), range(4)] = 1.0 / sd
    told = Posterior(system, np.ones((n, 1)), mean[:, None], factor, Recalibration.none(4))
    trials = Trials(system, truth, np.ones(n), np.zeros((n, 1)), np.ones((n, 4)), np.zeros(n))
    good, wide, narrow = calibration_rows(lambda k: assess.scaled(told, k), trials, {"method": "network", "seed": 0})
    assert good["rejected_1_percent"] == 0
    assert min(good["rank_chance_pooled"], good["rank_chance_least"]) > 0.01
    assert good["coverage_off_most"] < 4.0 < 10.0 < min(wide["coverage_off_most"], narrow["coverage_off_most"])
    assert (good["coverage_68"], good["coverage_95"]) == pytest.approx((0.68, 0.95), abs=0.015)
    for row in (wide, narrow):
        assert row["rejected_1_percent"] == 4
        assert max(row["rank_chance_pooled"], row["rank_chance_least"]) < 1e-6
    assert wide["coverage_68"] == pytest.approx(0.804, abs=0.02)  # normal within 0.994 x 1.3
    assert narrow["coverage_68"] == pytest.approx(0.556, abs=0.02)


def test_the_published_network_and_its_ablations_have_rows(small, monkeypatch):
    tiny = Layout(((6, 7, 3), (4, 5, 3)), (20,), (), 2, hidden=8)
    ablations = {
        "CNN, no GRU": replace(tiny, recurrent=False),
        "5 components": replace(tiny, components=5),
        "regression to a point": replace(tiny, components=1, density=False),
    }
    assert list(rbs_mdn_paper.ABLATIONS) == list(ablations)
    assert [k.recurrent for k in rbs_mdn_paper.ABLATIONS.values()] == [False, True, True]
    assert [k.components for k in rbs_mdn_paper.ABLATIONS.values()] == [1, 5, 1]
    monkeypatch.setattr(rbs_mdn_paper, "ABLATIONS", ablations)
    monkeypatch.setattr(rbs_mdn_paper, "layout_of", lambda name: tiny)
    monkeypatch.setattr(rbs_mdn_paper, "TEST_QUICK", 12)
    rows = rbs_mdn_paper.run(None, True, lambda text: None)
    ours = [row for row in _with(rows, "training_spectra") if row["method"].startswith("published")]
    assert [(row["case"], row["method"]) for row in ours] == [
        ("A", "published network, 0.3k"),
        *(("A", f"published network, {k}, 0.3k") for k in ablations),
        *((k, "published network, 0.6k") for k in SETS),
    ]
    assert all(row["relative_error_least"] > 0 for row in ours)
    with_uncertainty = {row["method"] for row in _with(rows, "rank_chance_pooled")}
    assert not any("point" in k for k in with_uncertainty)
    assert "published network, 0.6k, sd x 1.3" in with_uncertainty
