"""A network beside the fits: which is chosen, what it changes, and what becomes of spectra that are not of its world."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from rbs_lab import GLASS, SETUP, columns, start_document

from sdl_bluesky.analysis.rbs import network
from sdl_bluesky.analysis.rbs.film import analyse_film
from sdl_bluesky.analysis.rbs.network import ARRAYS, NONE, model_for, predict
from sdl_bluesky.analysis.rbs.recipe import rbs_metadata, rbs_result
from sdl_bluesky.analysis.rbs.run import rbs_run
from sdl_bluesky.data.analysis import content_key
from sdl_bluesky.data.rbs.system_file import read_system
from sdl_bluesky.errors import ModelFileError, ModelMismatch

FILM = ("Cu", "Sn")
FILMS = [{"Cu": 120.0, "Sn": 260.0}, {"Cu": 220.0, "Sn": 210.0}, {"Cu": 330.0, "Sn": 150.0}]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with a network that was trained for seconds: it points roughly, and knows how roughly."""
    from sdl_bluesky.inference.rbs_mdn import Recipe, make_model, making, save_model

    folder = tmp_path_factory.mktemp("models")
    recipe = Recipe(spectra=3000, steps=150, batch=64, width=64, blocks=1, validation=500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "TRIALS", 50)
        save_model(make_model(read_system("cusn-glass"), recipe), folder / "cusn-glass.npz")
    return folder


@pytest.fixture(autouse=True)
def _only_those_of_the_test(monkeypatch):
    monkeypatch.setattr(network, "shipped_models", dict)


def run_of(films=FILMS, film=FILM, start=None, seed=1, **changes):
    rows = columns(films, np.random.default_rng(seed), **{k: v for k, v in changes.items() if k == "charge_uC"})
    rows |= {k: np.asarray(v, dtype=float) for k, v in changes.items() if k != "charge_uC"}
    return rbs_run(start or start_document(film), rows)


def std(cov):
    return np.sqrt(np.einsum("pipi->pi", cov))


@pytest.fixture(scope="module")
def both(models):
    """The same film without and with a network."""
    run = run_of()
    return analyse_film(run), analyse_film(run, choice=model_for(run, [models]))


def test_the_fit_is_the_answer_wherever_it_began(both):
    without, with_it = both
    assert without.network is None
    np.testing.assert_array_less(np.abs(with_it.density - without.density), 0.1 * std(without.density_cov))
    np.testing.assert_array_less(np.abs(with_it.fraction - without.fraction), 0.1 * std(without.fraction_cov))
    np.testing.assert_allclose(with_it.density_cov, without.density_cov, rtol=0.02)
    assert with_it.findings == without.findings == ()
    assert np.all(np.abs(with_it.strangeness) < 4.0)


def test_the_network_says_what_is_there_as_well_as_it_knows(both):
    said, true = both[1].network, np.array([[k["Cu"], k["Sn"]] for k in FILMS])
    assert np.all(np.abs(said.density - true) < 5.0 * said.density_std)
    assert np.all(np.abs(said.fraction - true / true.sum(axis=1, keepdims=True)) < 5.0 * said.fraction_std)
    assert np.all(said.fraction_std > 0.0)
    assert np.all(said.density_std < 0.2 * 3000.0)  # better than its prior
    np.testing.assert_allclose(said.fraction.sum(axis=1), 1.0)
    np.testing.assert_array_less(said.distance(both[1].density), 4.0)
    far = np.abs(said.distance(said.density + 7.0 * said.density_std) - 7.0)
    assert np.all(far < 1e-9)


def test_elements_come_in_the_order_of_the_run(models):
    one = run_of()
    other = run_of(film=FILM[::-1])
    a, b = (predict(model_for(run, [models]).loaded, run, run.points) for run in (one, other))
    for name in ("best", "density", "density_std", "fraction"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name)[:, ::-1], rtol=0.1)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: run_of(energy=[2000.0, 2010.0, 2000.0]), r"at \(10, 0\) mm: energy_keV is 2010, the model's 2000"),
        (lambda: run_of(tilt=[0.0, 0.0, 7.0]), r"at \(20, 0\) mm: alpha_deg is 7"),
        (lambda: run_of(charge=[5.0, 1.0, 5.0]), r"at \(10, 0\) mm: fluence times solid angle is 0.2 of the model's"),
        (lambda: run_of(start=start_document(FILM, rbs_setup={**SETUP, "theta_deg": 170.0})), r"theta_deg is 170"),
        (
            lambda: run_of(start=start_document(FILM, rbs_setup={**SETUP, "substrate": [{**GLASS, "O": 15000.0}]})),
            r"layer 2 holds other densities",
        ),
    ],
)
def test_a_measurement_that_no_network_knows_is_told(models, made, told):
    choice = model_for(made(), [models])
    assert choice.loaded is None
    assert choice.about == {}
    [finding] = choice.findings
    assert finding.startswith("no network for these spectra: cusn-glass: ")
    assert re.search(told, finding), finding


@pytest.mark.parametrize(
    ("film", "elements"),
    [({"Cu": 100.0, "Ni": 50.0}, ("Cu", "Ni")), ({"Cu": 9.0, "Sn": 50.0, "O": 9.0}, ("Cu", "Sn", "O"))],
)
def test_networks_for_other_films_are_not_spoken_of(models, film, elements):
    choice = model_for(run_of([film], elements), [models])
    assert (choice.loaded, choice.findings) == (None, ())


def test_without_models_nothing_is_told(tmp_path):
    choice = model_for(run_of(), [tmp_path, tmp_path / "missing"])
    assert (choice.loaded, choice.findings) == (None, ())


def test_a_damaged_file_is_told_and_the_analysis_goes_on(models, tmp_path):
    whole = (models / "cusn-glass.npz").read_bytes()
    (tmp_path / "a-torn.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b-empty.npz").write_bytes(b"")
    (tmp_path / "c-folder.npz").mkdir()
    (tmp_path / "d.1234.tmp.npz").write_bytes(whole[:100])  # just being written
    run = run_of(FILMS[:1])
    choice = model_for(run, [tmp_path])
    assert choice.loaded is None
    assert len(choice.findings) == 3
    assert all(k.startswith("model left out: ") for k in choice.findings)
    found = rbs_result(run, None, choice)
    assert found.metadata["findings"][:3] == list(choice.findings)
    assert not set(ARRAYS) & set(found.arrays)
    assert rbs_metadata(run, None, choice)["network"] == ""
    assert model_for(run, [tmp_path, models]).loaded is not None  # the next one is taken


def test_a_file_is_read_once_until_it_changes(models, tmp_path, monkeypatch):
    file = tmp_path / "own.npz"
    shutil.copy(models / "cusn-glass.npz", file)
    first = network.load(file)
    assert network.load(file) is first
    with np.load(file) as arrays:
        np.savez(tmp_path / "new.npz", **{k: arrays[k] for k in reversed(arrays.files)})
    os.replace(tmp_path / "new.npz", file)
    second = network.load(file)
    assert second.digest != first.digest
    run = run_of()
    monkeypatch.setattr(network, "shipped_models", lambda: {"cusn-glass": models / "cusn-glass.npz"})
    new, old = (model_for(run, folders) for folders in ([tmp_path], []))
    contents = {content_key("rbs", rbs_metadata(run, None, choice)) for choice in (new, old, NONE)}
    assert len(contents) == 3, "another model makes another result"
    file.unlink()
    with pytest.raises(ModelFileError):
        network.load(file)


def test_a_result_says_which_network(models):
    run = run_of(FILMS[:1])
    choice = model_for(run, [models])
    about = rbs_metadata(run, None, choice)
    assert json.loads(json.dumps(about)) == about
    assert about["network"] == about["parameters"]["network"] == choice.about
    assert about["network"]["name"] == "cusn-glass"
    assert about["network"]["system"] == read_system("cusn-glass").digest
    assert set(ARRAYS) <= set(about["units"])
    plain = rbs_metadata(run, None)
    assert plain["network"] == ""
    assert "network" not in plain["parameters"]  # results without one stay what they were
    assert not set(ARRAYS) & set(plain["units"])
    found = rbs_result(run, None, choice)
    for name, (dims, _) in ARRAYS.items():
        assert found.dims[name] == dims
        assert np.shape(found.arrays[name]) == tuple({"point": 1, "element": 2}[k] for k in dims)
        assert np.all(np.isfinite(found.arrays[name]))


def test_an_element_that_is_not_in_the_film_makes_a_spectrum_strange(models):
    """Nickel beside copper; what is strange and which element it may be is one finding."""
    run = run_of([{**FILMS[1], "Ni": 60.0}])
    found = analyse_film(run, choice=model_for(run, [models]))
    assert found.strangeness[0] > 10.0
    assert not found.accepted[0]
    [strange] = [k for k in found.findings if "strange" in k]
    assert strange.startswith("1 of 1 spectra (1 of them not accepted, strange by up to ")
    assert "from" in strange
    assert "keV" in strange


def test_what_was_not_asked_for_is_refused(models):
    run = run_of(energy=[2000.0, 2010.0, 2000.0])
    loaded = model_for(run_of(), [models]).loaded
    with pytest.raises(ModelMismatch, match="2010"):
        predict(loaded, run, run.points)
