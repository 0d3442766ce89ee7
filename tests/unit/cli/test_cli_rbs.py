"""`sdl rbs` from files to files: what goes well is written, what fails is named, and the exit status says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from sdl_bluesky.cli import main
from sdl_bluesky.data.rbs.spectra import read_spectrum, write_spectrum

DATA = Path(__file__).parents[2] / "data" / "rbs"
FILM = {
    "ion": "4He",
    "E_keV": 2000,
    "theta_deg": 165,
    "slope_keV": 2.0,
    "resolution_fwhm_keV": 15.0,
    "fluence_ions": 1e13,
    "solid_angle_msr": 10.0,
    "layers": [{"Cu": 180.0, "Sn": 120.0}, {"O": 16000.0, "Si": 8000.0}],
}


@pytest.fixture
def cases(tmp_path):
    def write(**content):
        path = tmp_path / "cases.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_simulate_writes_a_csv_for_each_case(tmp_path, cases, capsys):
    assert main(["rbs", "simulate", "--cases", cases(a=FILM, b=FILM), "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "b.csv"]
    lines = (tmp_path / "out" / "a.csv").read_text().splitlines()
    assert lines[0] == "channel,counts"
    assert [line.partition(",")[0] for line in lines[1:]] == [str(i) for i in range(1020)]
    assert lines[-1] == "1019,0"
    assert "2 spectra" in capsys.readouterr().out


def test_simulate_agrees_with_another_program(tmp_path):
    """JaBS, with the same stopping, straggling and screening: see tests/data/rbs/README.md."""
    assert main(["rbs", "simulate", "--cases", str(DATA / "cases.json"), "--out", str(tmp_path)]) == 0
    for name in ("b_CuSn150_Si", "b_CuSn300_glass", "d_B_He3"):
        theirs = read_spectrum(DATA / f"{name}.csv").counts
        ours = read_spectrum(tmp_path / f"{name}.csv").counts
        high = theirs > 0.01 * theirs.max()
        assert ours.size >= theirs.size
        assert np.median(np.abs(ours[: theirs.size][high] / theirs[high] - 1.0)) < 1e-3


def test_one_bad_case_is_named_and_the_others_are_written(tmp_path, cases, capsys):
    bad = {**FILM, "E_keV": "2 MeV", "theta_deg": 190}
    table = {**FILM, "cross_sections": ["none.r33"]}
    assert (
        main(["rbs", "simulate", "--cases", cases(a=FILM, bad=bad, table=table), "--out", str(tmp_path / "out")]) == 1
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.csv"]
    told = capsys.readouterr().err
    for what in ("sdl: bad: CaseFileError", "write 2000", "theta_deg", "sdl: table: CrossSectionFileError", "none.r33"):
        assert what in told
    assert "2 case(s) failed, 1 went well" in told


def test_a_file_that_is_no_json_is_a_typed_fault(tmp_path, capsys):
    (tmp_path / "cases.json").write_text('{"a": {"ion": ')
    assert main(["rbs", "simulate", "--cases", str(tmp_path / "cases.json"), "--out", str(tmp_path / "out")]) == 1
    assert "sdl: CaseFileError" in capsys.readouterr().err


def test_what_is_odd_is_told_once_for_all_cases(tmp_path, cases, capsys):
    hot = {**FILM, "E_keV": 3000, "note": "x"}
    assert main(["rbs", "simulate", "--cases", cases(a=hot, b=hot), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert told.count("not Rutherford") == 1
    assert "note: a and 1 more: " in told
    assert "'note' is not known" in told


@pytest.fixture
def measured(tmp_path, cases):
    """Three spectra with counting noise of two films, and one that was cut short."""
    other = {**FILM, "layers": [{"Cu": 90.0, "Sn": 260.0}, {"O": 16000.0, "Si": 8000.0}]}
    path = cases(a=FILM, b=other, cut=FILM, c=FILM)
    assert main(["rbs", "simulate", "--cases", path, "--out", str(tmp_path / "spectra")]) == 0
    chance = np.random.default_rng(3)
    for file in sorted((tmp_path / "spectra").iterdir()):
        write_spectrum(file, chance.poisson(read_spectrum(file).counts))
    text = (tmp_path / "spectra" / "cut.csv").read_text()
    (tmp_path / "spectra" / "cut.csv").write_text(text[: text.index("\n700,")])
    return path


def fit(tmp_path, path, *more):
    out = tmp_path / "fit.json"
    words = ["rbs", "fit", "--cases", path, "--spectra", str(tmp_path / "spectra"), "--out", str(out), *more]
    return main(words), json.loads(out.read_text()) if out.exists() else None


@pytest.mark.parametrize("start", ["case", "mid"])
def test_fit_finds_the_layers_and_one_cut_file_costs_no_other(tmp_path, measured, start, capsys):
    status, found = fit(tmp_path, measured, "--start", start)
    assert status == 1
    assert list(found) == ["a", "b", "cut", "c"]
    assert "sdl: cut: SpectrumFileError" in capsys.readouterr().err
    assert "cut short" in found["cut"]["error"]
    for name, copper, tin in (("a", 180.0, 120.0), ("b", 90.0, 260.0), ("c", 180.0, 120.0)):
        film, substrate = found[name]["layers"]
        errors = found[name]["layers_std"][0]
        assert film["Cu"] == pytest.approx(copper, rel=0.03)
        assert film["Sn"] == pytest.approx(tin, rel=0.03)
        assert abs(film["Cu"] - copper) < 4 * errors["Cu"] < 0.05 * copper
        assert abs(film["Sn"] - tin) < 4 * errors["Sn"] < 0.05 * tin
        assert substrate == {"O": 16000.0, "Si": 8000.0}
        assert found[name]["layers_std"][1] == {"O": 0.0, "Si": 0.0}
        assert found[name]["nu"] == 1020 - 48
        assert found[name]["pass_quantile"] == pytest.approx(chi2.isf(0.05, 972))
        assert found[name]["accepted"] is (found[name]["chi2"] < found[name]["pass_quantile"]) is True
        assert found[name]["at_bound"] == []


def test_fit_from_an_earlier_result_with_nuisance_parameters(tmp_path, measured):
    _, first = fit(tmp_path, measured)
    (tmp_path / "start.json").write_text(json.dumps({name: first[name] for name in "ab"}))
    status, found = fit(
        tmp_path, measured, "--start", str(tmp_path / "start.json"), "--free", "fluence=0.02", "stopping"
    )
    assert status == 1
    assert "error" in found["c"], "the start file has no c"
    names = ["fluence", "stopping:Cu", "stopping:Sn", "stopping:O", "stopping:Si"]
    assert list(found["a"]["nuisance"]) == names
    assert 0.0 < found["a"]["nuisance_std"]["fluence"] < 0.02
    assert found["a"]["nuisance"]["fluence"] == pytest.approx(1.0, abs=0.08)
    assert found["a"]["layers_std"][0]["Cu"] > first["a"]["layers_std"][0]["Cu"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--free", "luck"], "unknown nuisance parameter 'luck'"),
        (["--free", "slope=-1"], "--free slope=-1"),
        (["--free", "slope=much"], "--free slope=much"),
        (["--box", "500", "50"], "the smaller first"),
        (["--restarts", "-1"], "--restarts -1"),
        (["--start", "none.json"], "none.json"),
        (["--spectra", "nowhere"], "no such folder"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_fitted(tmp_path, cases, words, what, capsys):
    (tmp_path / "spectra").mkdir()
    status, found = fit(tmp_path, cases(a=FILM), *words)
    assert (status, found) == (1, None)
    assert what in capsys.readouterr().err
