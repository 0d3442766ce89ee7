"""Spectra in files, read by a network: results that hold, and a reason for each that has none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdl_bluesky.data.rbs import predict_files as files_module
from sdl_bluesky.data.rbs.case_file import read_cases
from sdl_bluesky.data.rbs.predict_files import PredictOptions, open_model, predict_files
from sdl_bluesky.data.rbs.spectra import write_spectrum
from sdl_bluesky.errors import (
    DataFileError,
    ModelFileError,
    ModelMismatch,
    OutOfRange,
    SpectrumFileError,
    UnknownName,
)
from sdl_bluesky.inference.rbs_mdn import MaterialSystem, Model, Recipe, make_model, save_model
from sdl_bluesky.physics.rbs import Setup, simulate

SETUP = Setup(
    elements=("Cu", "Sn", "O", "Si"), fluence_ions=1e13, slope_keV=4.0, resolution_fwhm_keV=20.0, channels=512
)
FILM = MaterialSystem(
    "film",
    SETUP,
    ({"Cu": (50.0, 1000.0), "Sn": (50.0, 1000.0)}, {"O": 16000.0, "Si": 8000.0}),
    ((110, 480),),
    fluence=(0.5, 2.0),
)
TRUTH = np.array([[300.0, 200.0, 0.0, 0.0], [0.0, 0.0, 16000.0, 8000.0]])
CASE = {
    "ion": "4He",
    "E_keV": 2000,
    "theta_deg": 165,
    "slope_keV": 4,
    "resolution_fwhm_keV": 20,
    "fluence_ions": 1e13,
    "solid_angle_msr": 10,
    "layers": [{"Cu": 100, "Sn": 100}, {"O": 16000, "Si": 8000}],
    "channels": 512,
}
NETWORK_ONLY = PredictOptions(fit=False)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)  # threads of small products wait for one another where tests run side by side
    return make_model(FILM, Recipe(spectra=3000, steps=150, batch=128, width=32, blocks=1, validation=400))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "measured"
    place.mkdir()
    return place


def counted(fluence: float = 1.0, seed: int = 0, layers: np.ndarray = TRUTH, setup: Setup = SETUP) -> np.ndarray:
    exact = simulate(replace(setup, fluence_ions=fluence * setup.fluence_ions), layers)
    return np.random.default_rng(seed).poisson(exact).astype(float)


def cases_of(path: Path, **cases: dict):
    (path / "cases.json").write_text(json.dumps(cases))
    return read_cases(path / "cases.json").cases


def test_the_network_alone_says_what_the_model_says(model: Model, folder: Path) -> None:
    spectra = {"a": counted(seed=1), "b": counted(seed=2)}
    write_spectrum(folder / "a.csv", spectra["a"])
    np.savetxt(folder / "b.txt", spectra["b"], fmt="%d")
    (folder / "notes.md").write_text("not a spectrum")
    found, outcome = predict_files(model, folder, options=replace(NETWORK_ONLY, composition=("Cu", "Sn")))
    assert outcome.done == list(found) == ["a", "b"]
    posterior = model.predict(np.stack(list(spectra.values())))
    for k, one in enumerate(found.values()):
        told = one["posterior"]
        assert [told[name]["mean"] for name in ("Cu@1", "Sn@1")] == pytest.approx(posterior.mean[k])
        assert told["Sn@1"]["q05"] < told["Sn@1"]["q50"] < told["Sn@1"]["q95"]
        values = [one["layers"][0][name] for name in ("Cu", "Sn")]
        assert values == pytest.approx(posterior.best[k])
        assert one["layers"][1] == {"O": 16000.0, "Si": 8000.0}
        assert one["layers_std"][1] == {"O": 0.0, "Si": 0.0}
        layers = np.array(TRUTH)
        layers[0, :2] = values
        counts, mu = list(spectra.values())[k][110:480], simulate(SETUP, layers)[110:480]
        assert one["chi2"] == pytest.approx(np.sum((counts - mu) ** 2 / (counts + 1.0)))
        assert (one["nu"], one["distance"]) == (370, None)
        shares = [one["composition"][name]["fraction"] for name in ("Cu", "Sn")]
        assert sum(shares) == pytest.approx(1.0)
        assert one["areal_density"]["value"] == pytest.approx(sum(posterior.mean[k]), rel=0.05)
        assert one["model"] == {"name": "film", "digest": FILM.digest}


def test_a_fit_from_the_network_finds_the_truth_at_each_fluence(model: Model, folder: Path) -> None:
    levels = {"short": 0.5, "middle": 1.0, "long": 2.0}
    for name, level in levels.items():
        write_spectrum(folder / f"{name}.csv", counted(level, seed=5))
    cases = cases_of(folder, **{name: {**CASE, "fluence_ions": 1e13 * k} for name, k in levels.items()})
    found, outcome = predict_files(model, folder, cases, PredictOptions(composition=("Cu", "Sn")))
    assert not outcome.faults
    for one in found.values():
        assert one["accepted"], one["reasons"]
        for element, truth in (("Cu", 300.0), ("Sn", 200.0)):
            assert abs(one["layers"][0][element] - truth) < 4.5 * one["layers_std"][0][element]
        share, density = one["composition"]["Cu"], one["areal_density"]
        assert abs(share["fraction"] - 0.6) < 4.5 * share["std"] < 0.05
        assert abs(density["value"] - 500.0) < 4.5 * density["std"]
    errors = [found[name]["layers_std"][0]["Cu"] for name in levels]
    assert errors[0] / errors[2] == pytest.approx(2.0, rel=0.2)


def test_each_that_cannot_be_used_has_its_reason_and_the_others_are_kept(model: Model, folder: Path) -> None:
    good = counted()
    write_spectrum(folder / "good.csv", good)
    write_spectrum(folder / "short.csv", good[:300])
    write_spectrum(folder / "long.csv", np.append(good, np.zeros(512)))
    (folder / "nan.txt").write_text("\n".join(["1"] * 511 + ["nan", ""]))
    (folder / "late.txt").write_text("".join(f"{k} 1\n" for k in range(200, 512)))
    (folder / "empty.dat").write_text("")
    found, outcome = predict_files(model, folder, options=NETWORK_ONLY)
    assert outcome.done == ["good"]
    assert set(found) == {"good", "short", "long", "nan", "late", "empty"}
    assert {type(fault) for fault in outcome.faults.values()} == {SpectrumFileError}
    for name, told in (
        ("short", "ends at channel 300"),
        ("long", "1024 channels"),
        ("nan", "line 512"),
        ("late", "200"),
    ):
        assert told in found[name]["error"], found[name]


def test_cases_of_other_measurements_are_refused_one_by_one(model: Model, folder: Path) -> None:
    other = {
        "angle": {**CASE, "theta_deg": 150},
        "gain": {**CASE, "slope_keV": 4.1},
        "substrate": {**CASE, "layers": [{"Cu": 100, "Sn": 100}, {"O": 16000, "Si": 4000}]},
        "element": {**CASE, "layers": [{"Cu": 100, "In": 100}, {"O": 16000, "Si": 8000}]},
        "bright": {**CASE, "fluence_ions": 2.1e13},
        "dim": {**CASE, "solid_angle_msr": 4.9},
        "channels": {**CASE, "channels": 500},
    }
    for name in ("good", *other):
        write_spectrum(folder / f"{name}.csv", counted())
    found, outcome = predict_files(model, folder, cases_of(folder, good=CASE, missing=CASE, **other), NETWORK_ONLY)
    assert outcome.done == ["good"]
    assert isinstance(outcome.faults.pop("missing"), SpectrumFileError)
    assert {type(fault) for fault in outcome.faults.values()} == {ModelMismatch}
    told = {"angle": "theta_deg", "gain": "slope_keV", "substrate": "layer 2", "element": "In", "bright": "0.5 to 2"}
    for name, what in {**told, "dim": "0.49", "channels": "500"}.items():
        assert what in found[name]["error"]
        assert "train one for this set-up" in found[name]["error"], "it says what to do"


def test_with_a_case_more_channels_than_it_has_are_a_finding(model: Model, folder: Path) -> None:
    write_spectrum(folder / "a.csv", np.append(counted(), np.zeros(512)))
    found, outcome = predict_files(model, folder, cases_of(folder, a=CASE), NETWORK_ONLY)
    assert outcome.done == ["a"]
    assert "1024 channels" in found["a"]["findings"][0]


def test_an_element_that_the_model_does_not_have_is_handed_to_a_person(model: Model, folder: Path) -> None:
    setup = replace(SETUP, elements=("Cu", "Sn", "O", "Si", "Zr"))
    write_spectrum(folder / "a.csv", counted(layers=np.c_[TRUTH, [[60.0], [0.0]]], setup=setup))
    for options in (PredictOptions(restarts=1), NETWORK_ONLY):
        found, _ = predict_files(model, folder, options=options)
        assert not found["a"]["accepted"]
        assert found["a"]["reasons"]
        assert found["a"]["strangeness"] > 4.0


def test_what_is_asked_for_must_be_there(model: Model, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutOfRange, match="no spectrum in this folder"):
        predict_files(model, folder)
    with pytest.raises(DataFileError, match="cannot be read"):
        predict_files(model, tmp_path / "none")
    for name in ("Zr", "Si"):  # silicon is of the substrate, which nobody asks the spectrum for
        with pytest.raises(UnknownName, match="'Cu', 'Sn'"):
            predict_files(model, folder, options=PredictOptions(composition=(name,)))
    write_spectrum(folder / "a.csv", counted())
    far = replace(model, system=replace(FILM, fluence=(2.0, 4.0)))
    with pytest.raises(OutOfRange, match="--cases"):
        predict_files(far, folder)


def test_ctrl_c_keeps_what_is_there(model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MOST_AT_ONCE", 1)
    for name in "abc":
        write_spectrum(folder / f"{name}.csv", counted())
    done = []

    def advance(count: int) -> None:
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    found, outcome = predict_files(model, folder, options=NETWORK_ONLY, advance=advance)
    assert outcome.interrupted
    assert outcome.done == ["a", "b"]
    assert "interrupted" in found["c"]["error"]


def test_models_by_file_and_by_name(model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = folder / "models"
    save_model(model, shipped / "film.npz")
    with pytest.raises(UnknownName, match=r"unknown model .*'film'"):
        open_model("film")
    monkeypatch.setattr(files_module, "shipped_models", lambda: {"film": shipped / "film.npz"})
    for where in ("film", shipped / "film.npz"):
        assert open_model(where).system.digest == FILM.digest
    with pytest.raises(UnknownName, match="choose one of 'film'"):
        open_model("flim")
    with pytest.raises(ModelFileError, match="there is no such file"):
        open_model(folder / "flim.npz")
