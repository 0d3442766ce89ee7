"""From a material system to a model that is kept: training, resumption, files, set-ups, answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from sdl_bluesky.errors import DataFileError, ModelFileError, ModelMismatch, OutOfRange
from sdl_bluesky.inference.rbs_mdn import (
    Model,
    Recipe,
    answer,
    assess,
    check_setup,
    load_model,
    make_model,
    save_model,
)
from sdl_bluesky.inference.rbs_mdn.examples import draw_examples
from sdl_bluesky.inference.rbs_mdn.features import features_of, merge_of
from sdl_bluesky.inference.rbs_mdn.route import fit_from
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.inference.rbs_mdn.training import counted, rate_at, train
from sdl_bluesky.physics.rbs import CrossSection, Setup, simulate

SETUP = Setup(elements=("Cu", "Sn", "Si", "O"), fluence_ions=1e13)
FILM = MaterialSystem(
    "film",
    SETUP,
    ({"Cu": (50.0, 1000.0), "Sn": (50.0, 1000.0)}, {"Si": 8000.0, "O": 16000.0}),
    ((200, 950),),
    fluence=(0.5, 2.0),
)
TABLE = CrossSection("4He", "O", 165.0, np.array([1500.0, 2500.0]), np.array([60.0, 40.0]))
TINY = Recipe(spectra=4000, steps=400, batch=128, width=64, blocks=2, validation=5000)


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(FILM, TINY)


@pytest.fixture(scope="module")
def trials() -> assess.Trials:
    return assess.draw_trials(replace(FILM, fluence=(1.0, 1.0)), 200, seed=5)


def test_counts_have_poissons_moments_at_all_counts() -> None:
    expected = np.array([0.0, 0.3, 5.0, 59.0, 61.0, 1e4], dtype=np.float32)
    drawn = counted(np.tile(expected, (400_000, 1)), np.random.default_rng(0)).astype(float)
    assert drawn.min() >= 0.0
    assert np.all(drawn[:, 0] == 0.0)
    error = 5.0 * np.sqrt(np.maximum(expected, 1e-9) / 400_000)
    assert np.all(np.abs(drawn.mean(axis=0) - expected) <= error)
    assert drawn.var(axis=0)[1:] == pytest.approx(expected[1:], rel=0.05)


def test_the_rate_goes_up_and_down() -> None:
    rates = [rate_at(k / 1000, 1.0) for k in range(1, 1001)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[99] == max(rates)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(1e-3)


def test_a_training_that_was_interrupted_ends_the_same(tmp_path: Path) -> None:
    recipe = replace(TINY, spectra=600, steps=12)
    merge = merge_of(FILM)
    examples = draw_examples(FILM, recipe.spectra, merge)
    features = features_of(FILM, examples.counts, merge)
    whole = train(features, examples, recipe).network

    class Killed(Exception):
        pass

    def kill(step: int, loss: float) -> None:
        if step == 9:
            raise Killed

    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        train(features, examples, recipe, checkpoint=state, every=4, tell=kill)
    kept = torch.load(state, weights_only=True)
    kept["progress"]["seconds"] += 1e6
    torch.save(kept, state)
    steps: list[int] = []
    again, seconds = train(
        features, examples, recipe, checkpoint=state, every=4, tell=lambda step, loss: steps.append(step)
    )
    assert seconds > kept["progress"]["seconds"], "the parts before an interruption count"
    assert steps == [9, 10, 11, 12]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(DataFileError, match="another recipe"):
        train(features, examples, replace(recipe, rate=1e-3), checkpoint=state)
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(DataFileError, match="remove it"):
        train(features, examples, recipe, checkpoint=state)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": float("nan")}, {"batch": 5000}, {"decay": -1.0}])
def test_a_recipe_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(OutOfRange):
        replace(TINY, **wrong)


def test_a_short_training_beats_the_prior_and_is_calibrated(model: Model) -> None:
    many = assess.draw_trials(FILM, 1000, seed=6)
    posterior = model.predict(many.counts, many.fluence)
    prior = np.median(np.abs(many.truth - 525.0), axis=0)
    assert np.all(np.median(np.abs(posterior.mean - many.truth), axis=0) < 0.2 * prior)
    shares = assess.coverage(posterior, many)
    for level, share in zip(assess.LEVELS, shares, strict=True):
        assert share == pytest.approx([level] * 2, abs=4.5 * np.sqrt(level * (1.0 - level) / len(many)))
    assert np.all(assess.rank_chance(posterior.distribution(many.truth)) > 1e-4)
    tables = model.card["tables"]
    assert tables["unknowns"]["Cu@1"]["efficiency"] == pytest.approx(
        assess.efficiency(posterior.mean, many)[0], rel=0.25
    )
    assert 0.9 < tables["accepted_at_truth"] <= 1.0


def test_bounds_are_those_of_counting_and_the_fit_reaches_them(model: Model, trials: assess.Trials) -> None:
    z = FILM.coordinates(trials.truth[:1])
    step = 0.5
    slopes = []
    for k in range(2):
        values = np.repeat(trials.truth[:1], 2, axis=0)
        values[:, k] += [step, -step]
        high, low = simulate(SETUP, FILM.fill(values))[:, 200:950]
        slopes.append((high - low) / (2.0 * step))
    twice = assess.bounds_of(FILM, z, np.array([2.0]))
    doubled = replace(FILM, setup=replace(SETUP, fluence_ions=2e13))
    assert twice == pytest.approx(assess.bounds_of(doubled, z, np.ones(1)), rel=1e-3)
    expected = FILM.spectra(z, np.ones(1))[0, 200:950]
    jac = np.array(slopes)
    information = (jac / np.maximum(expected, 1e-9)) @ jac.T + np.eye(2) * 12.0 / 950.0**2
    assert trials.bound[0] == pytest.approx(np.sqrt(np.diag(np.linalg.inv(information))), rel=0.03)
    found = fit_from(model, model.predict(trials.counts), trials.counts)
    assert assess.efficiency(found.values, trials) == pytest.approx([1.0, 1.0], abs=0.2)
    assert found.accepted.mean() >= np.mean(trials.true_chi2 < found.limit) - 0.03


def test_a_model_comes_back_from_its_file(model: Model, trials: assess.Trials, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "film.npz"
    save_model(model, file)
    back = load_model(file)
    ours, theirs = (k.predict(trials.counts[:20], 0.7) for k in (model, back))
    assert theirs.quantiles([0.1, 0.5]) == pytest.approx(ours.quantiles([0.1, 0.5]), rel=1e-6)
    assert back.card["tables"] == model.card["tables"]
    assert back.system.digest == FILM.digest
    assert [k.name for k in file.parent.iterdir()] == ["film.npz"]


def _without_card(arrays: dict) -> None:
    del arrays["card"]


def _another_schema(arrays: dict) -> None:
    card = json.loads(arrays["card"].tobytes())
    arrays["card"] = np.frombuffer(json.dumps({**card, "schema": 99}).encode(), np.uint8)


def _another_system(arrays: dict) -> None:
    card = json.loads(arrays["card"].tobytes())
    card["system"]["setup"]["energy_keV"] = 1999.0
    arrays["card"] = np.frombuffer(json.dumps(card).encode(), np.uint8)


def _not_a_number(arrays: dict) -> None:
    arrays["network.enter.bias"] = arrays["network.enter.bias"] * np.nan


def _too_small(arrays: dict) -> None:
    arrays["network.enter.bias"] = arrays["network.enter.bias"][:-1]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without_card, "card"),
        (_another_schema, "schema 99"),
        (_another_system, "definition"),
        (_not_a_number, "no number"),
        (_too_small, "size mismatch"),
    ],
)
def test_a_file_that_is_no_model_is_told(model: Model, tmp_path: Path, damage, told: str) -> None:
    file = tmp_path / "film.npz"
    save_model(model, file)
    with np.load(file) as found:
        arrays = {k: found[k] for k in found.files}
    damage(arrays)
    np.savez(file, **arrays)
    with pytest.raises(ModelFileError, match=told) as fault:
        load_model(file)
    assert str(file) in str(fault.value)


def test_damaged_and_missing_files_are_told(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "film.npz"
    save_model(model, file)
    whole = file.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"no model", whole[:-300], whole[:middle] + b"\0" * 64 + whole[middle + 64 :]):
        file.write_bytes(content)
        with pytest.raises(ModelFileError, match="train"):
            load_model(file)
    with pytest.raises(ModelFileError, match="no such file"):
        load_model(tmp_path / "none.npz")


def test_spectra_and_fluences_that_do_not_fit_are_refused(model: Model, trials: assess.Trials) -> None:
    with pytest.raises(OutOfRange, match="1024 channels"):
        model.predict(trials.counts[:, :-1])
    with pytest.raises(OutOfRange, match=r"trained for 0\.5 to 2"):
        model.predict(trials.counts[:2], [1.0, 3.0])
    bad = trials.counts[:2].copy()
    bad[1, 300] = np.nan
    with pytest.raises(OutOfRange, match="no number"):
        model.predict(bad)


def test_a_measurement_must_be_that_of_the_model() -> None:
    held = np.array([[0.0, 0.0, 0.0, 0.0], [16000.0, 8000.0, 0.0, 0.0]])
    other = replace(SETUP, elements=("O", "Si", "Sn", "Cu"), fluence_ions=1.5e13)
    assert check_setup(FILM, other, held) == pytest.approx(1.5)
    assert check_setup(FILM, replace(SETUP, energy_keV=2000.5)) == 1.0
    wrong = {
        "ion": "p",
        "energy_keV": 2020.0,
        "theta_deg": 160.0,
        "alpha_deg": 7.0,
        "slope_keV": 2.02,
        "offset_keV": 5.0,
        "resolution_fwhm_keV": 18.0,
        "channels": 900,
        "pile_up": 0.01,
        "fluence_ions": 1e14,
        "elements": ("Cu", "Sn", "Al", "O"),
        "cross_sections": (TABLE,),
    }
    for name, value in wrong.items():
        with pytest.raises(ModelMismatch, match=name.split("_")[0]):
            check_setup(FILM, replace(SETUP, **{name: value}))
    with pytest.raises(ModelMismatch) as fault:
        check_setup(FILM, replace(SETUP, energy_keV=2020.0, slope_keV=2.02))
    assert len(fault.value.differences) == 2
    with pytest.raises(ModelMismatch, match="layer 2"):
        check_setup(FILM, other, held * 1.1)


def test_densities_at_the_end_of_their_range_are_no_reason_for_a_person(model: Model) -> None:
    """There the coordinate of a fit is far out, and the density is where the network expects it."""
    rare = np.tile([[50.0, 900.0], [900.0, 50.0], [50.0, 50.0]], (20, 1))
    z = FILM.coordinates(np.concatenate([rare, np.tile(FILM.values(np.zeros(FILM.size))[2:], (60, 1))], axis=1))
    counts = np.random.default_rng(3).poisson(FILM.spectra(z, np.ones(60))).astype(float)
    found = answer(model, counts)
    assert found.fit.at_bound[:, :2].any(axis=1).mean() > 0.3
    assert found.distance.max() < 4.0
    assert found.accepted.mean() >= 0.85


def test_a_spectrum_of_another_world_is_handed_to_a_person(model: Model, trials: assess.Trials) -> None:
    good = answer(model, trials.counts[:40])
    assert good.accepted.mean() >= 0.85
    assert np.all(good.strangeness >= good.excess)
    assert np.abs(good.strangeness).max() < 5.0
    foreign = replace(SETUP, elements=(*SETUP.elements, "Au"))
    layers = np.zeros((40, 2, 5))
    layers[:, :, :4] = FILM.fill(trials.truth[:40])
    layers[:, 0, 4] = 20.0
    counts = np.random.default_rng(1).poisson(simulate(foreign, layers)).astype(float)
    strange = answer(model, counts, restarts=0)
    assert not strange.accepted.any()
    assert all("another element" in k[0] for k in strange.reasons)
    assert np.mean(["Au in layer 1" in k[0] for k in strange.reasons]) > 0.9
    assert strange.strangeness.min() > good.strangeness.max()
    chance = stats.norm.sf(good.excess)
    assert stats.kstest(chance, "uniform").pvalue > 1e-3
