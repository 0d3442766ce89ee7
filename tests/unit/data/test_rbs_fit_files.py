"""Fits of files: how cases are put together and taken apart again. (The fit itself is tested where it lives.)"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from rbs_samples import CASE

from sdl_bluesky.data.rbs import fit_files
from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.fit_files import FitOptions, fit_cases, write_results
from sdl_bluesky.data.rbs.fit_input import Starts
from sdl_bluesky.data.rbs.spectra import write_spectrum
from sdl_bluesky.errors import DataFileError, OutOfRange, SpectrumFileError

UNLUCKY = 13.0


class FakeFit:
    """Ends at the sum of each spectrum for Cu, at the upper bound for Sn; refuses a spectrum that begins with 13."""

    def __init__(self):
        self.calls = []
        self.interrupt_at = None

    def __call__(self, setup, spectra, start, *, free, bounds, roi, likelihood, nuisance, restarts, seed):
        self.calls.append(
            SimpleNamespace(
                setup=setup, size=len(spectra), start=start, free=free, bounds=bounds, roi=roi, priors=nuisance
            )
        )
        if self.interrupt_at == len(self.calls):
            raise KeyboardInterrupt
        if np.any(spectra[:, 0] == UNLUCKY):
            raise OutOfRange("13 brings bad luck")
        layers = np.array(start)
        layers[:, 0, 0], layers[:, 0, 1] = spectra.sum(axis=1), bounds[1]
        std = np.where(free, 2.0, np.zeros_like(layers))
        std[:, 0, 1] = np.inf
        names = tuple(nuisance or {})
        values = np.arange(len(spectra) * len(names), dtype=float).reshape(len(spectra), len(names))
        return SimpleNamespace(
            layers=layers,
            layers_std=std,
            chi2=spectra[:, 0],
            nu=sum(hi - lo for lo, hi in roi),
            limit=321.0,
            accepted=spectra.sum(axis=1) < 2000.0,
            goodness=spectra[:, 0] / 100.0,
            nuisance=values,
            nuisance_std=values + 0.5,
            nuisance_names=names,
            at_bound=np.array([[False, True] + [True] * len(names)] * len(spectra)),
            findings=tuple((f"found {row[0]:g}",) for row in spectra),
        )


@pytest.fixture
def fake(monkeypatch):
    found = FakeFit()
    monkeypatch.setattr(fit_files.rbs_fit, "fit", found, raising=False)
    return found


def case(**changes) -> Case:
    return Case.model_validate({**CASE, **changes})


def put(folder, name, first=1.0, total=500.0, channels=1000):
    counts = np.zeros(channels)
    counts[0], counts[1] = first, total - first
    write_spectrum(folder / f"{name}.csv", counts)


def run(cases, folder, start="mid", **options):
    return fit_cases(cases, folder, Starts(start), FitOptions(**options))


def test_an_entry_says_everything_about_its_own_spectrum(tmp_path, fake):
    put(tmp_path, "a", first=4.0, total=500.0)
    put(tmp_path, "b", first=5.0, total=2500.0)
    found, outcome = run({"a": case(), "b": case(roi=None)}, tmp_path)
    assert outcome.done == ["a", "b"]
    assert [call.size for call in fake.calls] == [2]
    entry = found["a"]
    assert entry["layers"] == [{"Cu": pytest.approx(500.0), "Sn": 5000.0}, {"O": 16000.0, "Si": 8000.0}]
    assert entry["layers_std"] == [{"Cu": 2.0, "Sn": None}, {"O": 0.0, "Si": 0.0}]
    assert (entry["chi2"], entry["nu"], entry["accepted"]) == (4.0, 952, True)
    assert (entry["pass_quantile"], entry["goodness"]) == (321.0, 0.04)
    assert entry["roi"] == [[48, 1000]]
    assert entry["at_bound"] == [{"layer": 0, "element": "Sn", "bound": "upper"}]
    assert "nuisance" not in entry
    assert found["b"]["layers"][0]["Cu"] == pytest.approx(2500.0)
    assert not found["b"]["accepted"]
    assert (entry["findings"], found["b"]["findings"]) == (["found 4"], ["found 5"])
    json.dumps(found, allow_nan=False)


def test_what_is_held_and_free_reaches_the_fit(tmp_path, fake):
    put(tmp_path, "a")
    run({"a": case(roi=[[300, 500], [600, 700]])}, tmp_path, "case", likelihood="chi2")
    [call] = fake.calls
    assert call.free.tolist() == [[True, True, False, False], [False] * 4]
    assert call.start[0].tolist() == case().densities().tolist()
    assert (call.roi, call.bounds, call.priors) == ([(300, 500), (600, 700)], (0.0, 5000.0), None)
    assert call.setup.channels == 1000


def test_priors_of_a_case_come_before_those_of_the_command(tmp_path, fake):
    put(tmp_path, "a")
    found, _ = run({"a": case(nuisance={"slope": 0.001})}, tmp_path, priors={"slope": 0.5, "stopping": 0.02})
    expected = {"slope": 0.001, **{f"stopping:{e}": 0.02 for e in ("Cu", "Sn", "O", "Si")}}
    assert fake.calls[0].priors == expected
    assert list(found["a"]["nuisance"]) == list(expected)
    assert found["a"]["nuisance"]["slope"] == 0.0
    assert found["a"]["nuisance_std"]["stopping:Si"] == 4.5


def test_a_start_outside_the_box_begins_at_its_edge(tmp_path, fake):
    put(tmp_path, "a")
    run({"a": case()}, tmp_path, "case", box=(150.0, 170.0))
    assert fake.calls[0].bounds == (150.0, 360.0)
    assert fake.calls[0].start[0].tolist() == [[180.0, 150.0, 0.0, 0.0], [0.0, 0.0, 16000.0, 8000.0]]


def test_one_that_fails_is_named_and_no_other_is_lost(tmp_path, fake):
    cases = {name: case() for name in ("a", "cut", "b", "unlucky", "none", "c")}
    for name in ("a", "b", "c"):
        put(tmp_path, name)
    put(tmp_path, "unlucky", first=UNLUCKY)
    put(tmp_path, "cut", channels=500)
    found, outcome = run(cases, tmp_path)
    assert list(found) == list(cases)
    assert sorted(outcome.done) == ["a", "b", "c"]
    assert {name: type(fault) for name, fault in outcome.faults.items()} == {
        "cut": SpectrumFileError,
        "none": SpectrumFileError,
        "unlucky": OutOfRange,
    }
    assert found["unlucky"] == {"error": "OutOfRange: 13 brings bad luck"}
    assert "cut short" in found["cut"]["error"]
    assert all("layers" in found[name] for name in ("a", "b", "c"))


def test_an_interrupt_keeps_what_is_fitted(tmp_path, fake):
    cases = {"a": case(), "b": case(roi=[[100, 200]]), "c": case(roi=[[100, 300]])}
    for name in cases:
        put(tmp_path, name)
    fake.interrupt_at = 2
    found, outcome = run(cases, tmp_path)
    assert outcome.interrupted
    assert outcome.done == ["a"]
    assert "layers" in found["a"]
    assert all("interrupted" in found[name]["error"] for name in ("b", "c"))


def test_cases_of_another_box_or_length_are_fitted_apart(tmp_path, fake):
    cases = {
        "a": case(),
        "long": case(),
        "thick": case(layers=[{"Cu": 4000.0, "Sn": 1.0}, {"O": 16000.0, "Si": 8000.0}]),
    }
    for name in ("a", "thick"):
        put(tmp_path, name)
    put(tmp_path, "long", channels=1024)
    run(cases, tmp_path, box=(0.0, 3000.0))
    assert sorted((call.setup.channels, call.bounds) for call in fake.calls) == [
        (1000, (0.0, 3000.0)),
        (1000, (0.0, 8000.0)),
        (1024, (0.0, 3000.0)),
    ]


def test_results_are_complete_or_not_there(tmp_path):
    path = tmp_path / "new" / "fit.json"
    write_results(path, {"a": {"chi2": 1.0}})
    assert json.loads(path.read_text()) == {"a": {"chi2": 1.0}}
    with pytest.raises(ValueError, match="JSON"):
        write_results(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": {"chi2": 1.0}}
    assert [p.name for p in path.parent.iterdir()] == ["fit.json"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataFileError, match="cannot be written"):
        write_results(tmp_path / "folder", {})
