"""Spectra from cases: one file each, the same alone or in company, and a case that fails leaves the others alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rbs_samples import CASE, R33_LITHIUM

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.checks import edges, findings, seen
from sdl_bluesky.data.rbs.groups import grouped, simulate_cases
from sdl_bluesky.data.rbs.spectra import read_spectrum
from sdl_bluesky.errors import CrossSectionFileError, DataFileError


def case(**changes) -> Case:
    return Case.model_validate({**CASE, **changes})


def told(one: Case) -> tuple[str, ...]:
    return findings(one.setup(), one.densities())


def test_a_thin_film_gives_rutherfords_counts(tmp_path):
    """Counts of 10e15 Au/cm2 = ions x sr x atoms x cross section; screening of 4He on Au at 2 MeV takes 1.9 %."""
    outcome = simulate_cases({"gold": case(layers=[{"Au": 10.0}, {"C": 5000.0}])}, tmp_path / "new" / "folder")
    assert outcome.done == ["gold"]
    counts = read_spectrum(tmp_path / "new" / "folder" / "gold.csv").counts
    theta, x = math.radians(165.0), 4.0026 / 196.9666 * math.sin(math.radians(165.0))
    root = math.sqrt(1 - x * x)
    barn = (2 * 79 * 1.43996e-10 / 4 / 2000.0) ** 2 * 4 / math.sin(theta) ** 4 * (root + math.cos(theta)) ** 2 / root
    potential = 0.04873 * 2 * 79 * math.sqrt(2 ** (2 / 3) + 79 ** (2 / 3))
    screened = 1.0 - potential / (2000.0 * 196.97 / 200.97)  # to first order, at a large angle
    assert counts[800:].sum() == pytest.approx(1e14 * 0.01 * 10e15 * barn * screened, rel=2e-3)


def test_alone_or_in_company_a_case_gives_the_same_file(tmp_path):
    cases = {f"film{i}": case(layers=[{"Cu": 50.0 * i, "Sn": 30.0}, {"O": 16000.0, "Si": 8000.0}]) for i in (1, 2, 3)}
    cases["other"] = case(E_keV=1900.0)
    assert [names for _, names in grouped(cases)] == [["film1", "film2", "film3"], ["other"]]
    advanced: list[int] = []
    outcome = simulate_cases(cases, tmp_path, advanced.append)
    assert (sorted(outcome.done), sum(advanced)) == (sorted(cases), 4)
    for name, one in cases.items():
        simulate_cases({name: one}, tmp_path / "alone")
        assert (tmp_path / "alone" / f"{name}.csv").read_text() == (tmp_path / f"{name}.csv").read_text()


def test_a_case_that_fails_is_named_and_the_others_are_written(tmp_path):
    outcome = simulate_cases({"bad": case(cross_sections=[tmp_path / "none.r33"]), "good": case()}, tmp_path)
    assert outcome.done == ["good"]
    assert isinstance(outcome.faults["bad"], CrossSectionFileError)
    assert [path.name for path in tmp_path.iterdir()] == ["good.csv"]


def test_a_folder_that_cannot_be_made_is_a_typed_fault(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataFileError, match="cannot be made"):
        simulate_cases({"a": case()}, tmp_path / "file")


def test_edges_lie_where_energy_and_momentum_are_conserved():
    found = {e.element: e for e in edges(case(layers=[{"Cu": 1.0, "O": 1.0}, {"W": 1.0}]).setup())}
    for element, mass in (("Cu", 64.927790), ("O", 15.994915), ("W", 185.954364)):  # the heaviest one over 1 %
        after = found[element].energy_keV
        before_p, after_p = math.sqrt(2 * 4.002603 * 2000.0), math.sqrt(2 * 4.002603 * after)
        recoil = before_p**2 + after_p**2 - 2 * before_p * after_p * math.cos(math.radians(165.0))
        assert 2000.0 - after == pytest.approx(recoil / (2 * mass), rel=1e-6)
        assert found[element].channel == pytest.approx(after / 2.0)
    curved = case(layers=[{"Cu": 1.0}], quadratic_keV=1e-4, channels=1000).setup()
    place = edges(curved)[0].channel
    assert 2.0 * place + 1e-4 * place**2 == pytest.approx(found["Cu"].energy_keV, abs=1e-2)


def test_an_edge_off_the_detector_is_told():
    short = case(channels=700)
    assert any("edge of Cu" in text and "beyond the detector's 700" in text for text in told(short))
    low = case(offset_keV=800.0)
    assert any("edge of O" in text and "below the detector" in text for text in told(low))
    assert seen(short.setup(), short.densities())
    blind = case(channels=100)
    assert not seen(blind.setup(), blind.densities())


def test_what_only_slows_ions_down_is_told():
    assert any(text.startswith("D scatters nothing") for text in told(case(layers=[{"D": 100.0, "W": 50.0}])))


def test_energies_beyond_rutherford_are_told_unless_a_table_is_there(tmp_path):
    """Rule of thumb for 4He: 0.25 Z + 0.4 MeV, so O (2.4 MeV) but not Si (3.9 MeV) at 3 MeV."""
    assert told(case()) == ()
    [text] = told(case(E_keV=3000))
    assert "O (above about 2400 keV)" in text
    assert "Si" not in text
    (tmp_path / "li.r33").write_text(R33_LITHIUM)
    lithium = {"ion": "p", "E_keV": 3000, "layers": [{"Li": 1000.0}, {"Ta": 3000.0}]}
    assert any("Li (at any energy)" in text for text in told(case(**lithium)))
    assert told(case(**lithium, cross_sections=[tmp_path / "li.r33"])) == ()


def test_a_table_that_does_not_fit_is_told(tmp_path):
    (tmp_path / "li.r33").write_text(R33_LITHIUM)
    tables = {"cross_sections": [tmp_path / "li.r33"]}
    texts = " ".join(told(case(E_keV=3500, theta_deg=150, beta_deg=30, **tables)))
    for what in ("another ion than 4He", "the sample has not", "measured at 165 deg", "ends at 3000 keV"):
        assert what in texts


def test_counts_never_come_out_negative(tmp_path):
    simulate_cases({"w": case(E_keV=3000, slope_keV=3.5, layers=[{"D": 100.0, "W": 4900.0}, {"W": 9800.0}])}, tmp_path)
    assert np.all(read_spectrum(tmp_path / "w.csv").counts >= 0.0)
