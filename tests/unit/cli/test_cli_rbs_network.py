"""`sdl rbs train` and `sdl rbs predict`: from the file of a system to results in files, and what is said on the way."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from sdl_bluesky.cli import main
from sdl_bluesky.data.rbs.room import check_room
from sdl_bluesky.data.rbs.spectra import write_spectrum
from sdl_bluesky.data.rbs.system_file import read_system
from sdl_bluesky.errors import DataFileError
from sdl_bluesky.inference.rbs_mdn import load_model, training
from sdl_bluesky.physics.rbs import simulate

SYSTEM = """\
schema: 1
name: ni-al
layers: [{Ni: [20, 1000], Al: [20, 1000]}, {Si: 30000}]
experiment: {ion: 4He, E_keV: 2000, theta_deg: 165, slope_keV: 4, resolution_fwhm_keV: 20, fluence_ions: 3.0e+13,
  solid_angle_msr: 10, channels: 512, roi: [[100, 430]]}
training: {spectra: 2000, steps: 80, batch: 64, width: 16, blocks: 1, validation: 400}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of a system, and the spectra of its training once they are drawn."""
    folder = tmp_path_factory.mktemp("network")
    (folder / "ni-al.yml").write_text(SYSTEM)
    return folder


def train(place: Path, *options: str) -> int:
    """`sdl rbs train` with options; one thread, since tests run side by side."""
    given = ["rbs", "train", str(place / "ni-al.yml"), "--cache", str(place / "cache"), "--device", "cpu"]
    return main([*given, "--threads", "1", *options])


@pytest.fixture(scope="module")
def model(place: Path) -> Path:
    assert train(place, "--out", str(place / "model.npz")) == 0
    return place / "model.npz"


@pytest.fixture
def measured(place: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "measured"
    folder.mkdir()
    setup = read_system(place / "ni-al.yml").setup
    exact = simulate(setup, np.array([[300.0, 100.0, 0.0], [0.0, 0.0, 30000.0]]))
    for k, name in enumerate(("a", "b")):
        write_spectrum(folder / f"{name}.csv", np.random.default_rng(k).poisson(exact))
    return folder


def predict(model: Path | str, measured: Path, *options: str) -> int:
    out = str(measured.parent / "found.json")
    return main(["rbs", "predict", "--model", str(model), "--spectra", str(measured), "--out", out, *options])


def found_in(measured: Path) -> dict:
    return json.loads((measured.parent / "found.json").read_text())


def test_train_then_predict(model: Path, place: Path, measured: Path, capsys) -> None:
    assert load_model(model).card["recipe"]["steps"] == 80
    assert not list((place / "cache").glob("*.state")), "the state is not needed any more"
    assert predict(model, measured, "--composition", "Ni, Al") == 0
    assert "2 spectra, 2 accepted" in capsys.readouterr().out
    for one in found_in(measured).values():
        assert abs(one["layers"][0]["Ni"] - 300.0) < 4.5 * one["layers_std"][0]["Ni"]
        assert abs(one["composition"]["Al"]["fraction"] - 0.25) < 4.5 * one["composition"]["Al"]["std"]
    assert predict(model, measured, "--no-fit") == 0
    assert found_in(measured)["a"]["distance"] is None


def test_options_come_before_the_file_and_the_table_tells_the_card(place: Path, capsys, tmp_path: Path) -> None:
    assert train(place, "--steps", "20", "--rate", "0.003", "--out", str(tmp_path / "new" / "m.npz")) == 0
    card = load_model(tmp_path / "new" / "m.npz").card
    assert (card["recipe"]["steps"], card["recipe"]["rate"], card["recipe"]["width"]) == (20, 0.003, 16)
    told = capsys.readouterr().out
    assert "step 20 of 20" in told
    for name, one in card["tables"]["unknowns"].items():
        row = next(line for line in told.splitlines() if name in line)
        for figure in (100 * one["relative_error"], 100 * one["relative_bound"], one["efficiency"]):
            assert f"{figure:.2f}" in row
        assert f"{100 * one['coverage_90']:.1f}" in row
    assert f"the truth itself {100 * card['tables']['accepted_at_truth']:.1f} %" in told


def test_after_ctrl_c_the_same_command_goes_on_to_the_same_weights(
    model: Path, place: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, out = tmp_path / "train.state", tmp_path / "again.npz"
    options = ("--checkpoint", str(state), "--out", str(out))
    asked, reached = training.rate_at, []

    def interrupted(part: float, largest: float) -> float:
        if part > 0.6:
            raise KeyboardInterrupt
        return asked(part, largest)

    def watched(part: float, largest: float) -> float:
        reached.append(part)
        return asked(part, largest)

    with monkeypatch.context() as patch:
        patch.setattr(training, "rate_at", interrupted)
        assert train(place, *options) == 130
    told = capsys.readouterr().err
    assert "stopped at step 48 of 80" in told
    assert f"the last state is in {state}: the same command goes on" in told
    assert not out.exists()
    monkeypatch.setattr(training, "rate_at", watched)
    assert train(place, *options) == 0
    assert reached[0] == 49 / 80, "Ctrl-C wrote the state"
    first, second = (load_model(k).network.state_dict() for k in (model, out))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert state.exists(), "a file that was named is the user's"
    assert train(place, *options, "--seed", "1") == 1
    assert "another recipe" in capsys.readouterr().err


def test_ctrl_c_before_a_state_says_so(place: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(part: float, largest: float) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "rate_at", interrupted)
    assert train(place, "--out", str(place / "never.npz")) == 130
    assert "no state was kept yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--threads", "0"), "OutOfRange: --threads 0"),
        (("--device", "cuda"), "torch sees no CUDA device"),
        (("--steps", "0"), "steps = 0"),
        (("--batch", "4000"), "a batch of 4000 from 2000"),
        (("--out", "."), "this is a folder"),
        (("--out", "{file}/model.npz"), "cannot be made"),
        (("--cache", "{file}"), "cannot be made"),
        (("--checkpoint", "/proc/none/state"), "cannot be made"),
        (("--cluster", "nonsense://"), "no dask scheduler answers at nonsense://"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_drawn(
    place: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, options: tuple[str, str], told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    option, value = options[0], options[1].format(file=place / "ni-al.yml")
    assert train(place, "--cache", str(tmp_path / "cache"), option, value) == 1
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npz"))


def test_a_disk_that_is_too_full_is_told_before(place: Path, tmp_path: Path, capsys) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses the space in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        check_room(tmp_path / "small", 400_000)
        with pytest.raises(DataFileError, match="1 MB cannot be written here"):
            check_room(tmp_path / "large", 600_000)
        assert train(place, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "m.npz")) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "make room, or choose another folder" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_unknown_system_is_told(capsys) -> None:
    assert main(["rbs", "train", "nickel"]) == 1
    assert "UnknownName: unknown material system" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--composition", "Fe"), "unknown element of the layers that ni-al determines 'Fe'"),
        (("--no-fit", "--restarts", "2"), "--restarts are those of the fit"),
        (("--restarts", "-1"), "--restarts -1: 0 or more"),
        (("--spectra", "nowhere"), "there is no such folder"),
        (("--cases", "none.json"), "CaseFileError"),
        (("--model", "nickel"), "UnknownName: unknown model"),
        (("--model", "none.npz"), "ModelFileError: none.npz: there is no such file"),
    ],
)
def test_predictions_that_cannot_be_are_refused(
    model: Path, measured: Path, capsys, options: tuple[str, ...], told: str
) -> None:
    assert predict(model, measured, *options) == 1
    assert told in capsys.readouterr().err
    assert not (measured.parent / "found.json").exists()


def test_files_that_are_no_model_are_told(model: Path, measured: Path, tmp_path: Path, capsys) -> None:
    whole = model.read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("model")
    np.savez(tmp_path / "foreign.npz", weights=np.zeros(3))
    for name in ("half", "text", "foreign"):
        assert predict(tmp_path / f"{name}.npz", measured) == 1
        told = capsys.readouterr().err
        assert "ModelFileError" in told
        assert "train it again" in told


def test_bad_spectra_and_cases_are_named_and_the_others_written(
    model: Path, place: Path, measured: Path, capsys
) -> None:
    write_spectrum(measured / "cut.csv", np.ones(100))
    assert predict(model, measured, "--no-fit") == 1
    told = capsys.readouterr().err
    assert "sdl: cut: SpectrumFileError" in told
    assert "1 case(s) failed, 2 went well" in told
    assert "it ends at channel 100" in found_in(measured)["cut"]["error"]
    case = {
        "ion": "4He",
        "E_keV": 2000,
        "theta_deg": 165,
        "slope_keV": 4,
        "resolution_fwhm_keV": 20,
        "fluence_ions": 3e13,
        "solid_angle_msr": 10,
        "layers": [{"Ni": 1, "Al": 1}, {"Si": 30000}],
        "channels": 512,
    }
    cases = {"a": case, "b": {**case, "fluence_ions": 4e13}, "cut": {**case, "E_keV": "2 MeV"}}
    (measured.parent / "cases.json").write_text(json.dumps(cases))
    assert predict(model, measured, "--no-fit", "--cases", str(measured.parent / "cases.json")) == 1
    told = capsys.readouterr().err
    assert "sdl: b: ModelMismatch" in told
    assert "sdl: cut: CaseFileError" in told
    found = found_in(measured)
    assert "fluence times solid angle is 1.33" in found["b"]["error"]
    assert "posterior" in found["a"]
