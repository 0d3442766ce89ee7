"""What a fit of files begins with: the right spectrum, start, box and region, or the reason why there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rbs_samples import CASE

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.fit_input import Starts, box_of, find_spectrum, free_of, layer_dicts, prepare
from sdl_bluesky.data.rbs.spectra import Spectrum, write_spectrum
from sdl_bluesky.data.rbs.xnra import write_xnra
from sdl_bluesky.errors import CaseFileError, OutOfRange, SpectrumFileError


def case(**changes) -> Case:
    return Case.model_validate({**CASE, **changes})


def spectrum(channels: int = 1000, first: int = 0) -> Spectrum:
    return Spectrum(np.ones(channels), first, (), "film.csv")


def test_everything_that_the_case_names_is_free_but_the_substrate():
    free = free_of(case(layers=[{"Cu": 1.0}, {"Cu": 0.0, "Sn": 2.0}, {"O": 1.0, "Si": 2.0}]))
    assert free.tolist() == [[True, False, False, False], [True, True, False, False], [False] * 4]


def test_held_densities_stay_as_the_case_has_them():
    one = case()
    ready = prepare(one, spectrum(), np.full((2, 4), 777.0))
    assert ready.start.tolist() == [[777.0, 777.0, 0.0, 0.0], [0.0, 0.0, 16000.0, 8000.0]]
    assert (ready.setup.channels, ready.counts.size) == (1000, 1000)


def test_without_a_region_all_that_the_model_describes_is_fitted():
    """From 50 keV + 3 x 15 keV: channel 47.5 at 2 keV per channel."""
    assert prepare(case(), spectrum(), np.ones((2, 4))).roi == ((48, 1000),)
    assert prepare(case(), spectrum(900, first=100), np.ones((2, 4))).roi == ((100, 1000),)
    assert prepare(case(roi=[[300, 500], [600, 700]]), spectrum(), np.ones((2, 4))).roi == ((300, 500), (600, 700))


@pytest.mark.parametrize(
    ("changes", "given", "what"),
    [
        ({}, spectrum(800), "ends at channel 800, the edge of Cu lies at 784|ends at channel 800, the edge of Sn"),
        ({"channels": 1024}, spectrum(1000), "the case has 1024 channels: it was cut short"),
        ({"roi": [[500, 1010]]}, spectrum(1000), "region of interest"),
        ({"roi": [[50, 900]]}, spectrum(900, first=100), "region of interest"),
        ({"lowest_keV": 1999}, spectrum(1000), "no element of the sample is on the detector"),
    ],
)
def test_a_spectrum_that_does_not_belong_to_the_case_is_refused(changes, given, what):
    with pytest.raises((SpectrumFileError, OutOfRange), match=what) as fault:
        prepare(case(**changes), given, np.ones((2, 4)))
    assert "film.csv" in str(fault.value)


def test_more_channels_than_the_case_has_are_told_and_left_out():
    ready = prepare(case(channels=950), spectrum(1024), np.ones((2, 4)))
    assert ready.counts.size == 950
    assert "the rest was not used" in ready.findings[0]


def test_a_case_of_a_substrate_alone_has_nothing_to_fit():
    with pytest.raises(OutOfRange, match="put a layer before it"):
        prepare(case(layers=[{"Si": 1e4}]), spectrum(), np.ones((1, 1)))


def test_a_spectrum_is_found_by_name_csv_first(tmp_path):
    with pytest.raises(SpectrumFileError, match="no spectrum of this name"):
        find_spectrum(tmp_path, "film")
    write_xnra(tmp_path / "film.xnra", case(), [4.0, 4.0])
    assert find_spectrum(tmp_path, "film").counts.tolist() == [4.0, 4.0]
    (tmp_path / "film.dat").write_text("0 3\n1 3\n")
    assert find_spectrum(tmp_path, "film").counts.tolist() == [3.0, 3.0]
    (tmp_path / "film.txt").write_text("2\n2\n")
    assert find_spectrum(tmp_path, "film").counts.tolist() == [2.0, 2.0]
    write_spectrum(tmp_path / "film.csv", [1.0, 1.0])
    assert find_spectrum(tmp_path, "film").counts.tolist() == [1.0, 1.0]


def test_starts(tmp_path):
    one = case()
    assert Starts("case").of("film", one).tolist() == one.densities().tolist()
    assert Starts("mid").of("film", one)[0, 0] == (50 + 5000) / 2
    path = tmp_path / "start.json"
    path.write_text(json.dumps({"film": {"layers": [{"Cu": 150, "Sn": 90.5}], "chi2": 3}}))
    assert Starts(str(path)).of("film", one).tolist() == [[150.0, 90.5, 0.0, 0.0], [0.0, 0.0, 16000.0, 8000.0]]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({}, "must be"),
        ({"film": {"error": "x"}}, "must be"),
        ({"film": {"layers": [{"Cu": 1}] * 3}}, "3 layers, the case has 2"),
        ({"film": {"layers": [{"W": 1}, {}]}}, "no 'W' in this layer"),
        ({"film": {"layers": [{"Cu": None}, {}]}}, r"layers\.0\.Cu: must be a number"),
        ({"film": {"layers": [{"Cu": -1}, {}]}}, r"layers\.0\.Cu: -1 is negative"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(tmp_path, content, what):
    path = tmp_path / "start.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CaseFileError, match=what):
        Starts(str(path)).of("film", case())


def test_a_start_file_that_is_not_there_is_a_typed_fault(tmp_path):
    with pytest.raises(CaseFileError, match="cannot be read"):
        Starts(str(tmp_path / "none.json"))


def test_the_box_grows_with_what_the_case_names_but_not_with_its_substrate():
    assert box_of(case()) == (0.0, 5000.0)
    assert box_of(case(layers=[{"Cu": 7000.0}, {"Si": 1e5}])) == (0.0, 14000.0)


def test_what_a_layer_does_not_name_is_not_written():
    values = np.array([[1.0, float("nan"), 5.0, 6.0], [9.0, 9.0, 3.0, 4.0]])
    assert layer_dicts(values, case()) == [{"Cu": 1.0, "Sn": None}, {"O": 3.0, "Si": 4.0}]
