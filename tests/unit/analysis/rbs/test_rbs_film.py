"""From spectra of known films to densities and fractions."""

import re
import subprocess
import sys

import numpy as np
import pytest
from rbs_lab import GLASS, SETUP, by_pyrump, columns, start_document
from rbs_study import coverage, make_film

from sdl_bluesky.analysis.rbs.film import analyse_film, fractions
from sdl_bluesky.analysis.rbs.fitting import region_of
from sdl_bluesky.analysis.rbs.priors import RBSPriors
from sdl_bluesky.analysis.rbs.run import rbs_run
from sdl_bluesky.errors import OutOfRange, WeakSignal

FILM = ("Cu", "Sn")
FILMS = [{"Cu": 120.0, "Sn": 260.0}, {"Cu": 220.0, "Sn": 210.0}, {"Cu": 330.0, "Sn": 150.0}]


def analysed(films, seed=1, *, film=FILM, start=None, priors=None, **changes):
    rows = columns(films, np.random.default_rng(seed), **changes)
    return analyse_film(rbs_run(start or start_document(film), rows), priors)


def std(cov):
    return np.sqrt(np.einsum("pipi->pi", cov))


@pytest.fixture(scope="module")
def three():
    return analysed(FILMS)


def test_films_of_the_model_itself_come_out_within_their_errors(three):
    true = np.array([[k["Cu"], k["Sn"]] for k in FILMS])
    share = true / true.sum(axis=1, keepdims=True)
    assert np.all(np.abs(three.density - true) < 4 * std(three.density_cov))
    assert np.all(np.abs(three.fraction - share) < 4 * std(three.fraction_cov))
    assert np.all(std(three.fraction_cov) < 0.002)
    assert np.all(std(three.density_cov) < 0.012 * true)
    assert three.accepted.all()
    assert three.findings == ()
    assert np.all(three.p_value > 1e-3)
    np.testing.assert_allclose(three.fraction.sum(axis=1), 1.0)
    counted = np.stack([k.counts for k in three.points])[:, slice(*three.region)]
    expected = three.fit[:, slice(*three.region)]
    np.testing.assert_allclose(expected.sum(axis=1), counted.sum(axis=1), rtol=0.005)


def test_densities_err_together_and_fractions_by_themselves(three):
    density = np.einsum("piqj->pq", three.density_cov)
    share = three.fraction_cov[:, 0, :, 0]
    for cov, low, high in ((density, 0.7, 1.0), (share, -0.3, 0.3)):
        s = np.sqrt(np.diag(cov))
        off = (cov / np.outer(s, s))[~np.eye(3, dtype=bool)]
        assert np.all((off > low) & (off < high)), off
    ratio = np.array([1.0, -1.0, 0.0]) / three.density.sum(axis=1)  # of point 1 to point 2, relative
    relative = np.sqrt(ratio @ density @ ratio)
    assert relative < 0.7 * np.sqrt(density[0, 0]) / three.density[0].sum()


def test_fractions_follow_from_densities_with_their_errors():
    """Against sampling."""
    rng = np.random.default_rng(4)
    density = np.array([[200.0, 100.0, 50.0], [80.0, 20.0, 300.0]])
    root = rng.standard_normal((6, 6))
    cov = (root @ root.T) * 0.3
    found, found_cov = fractions(density, cov.reshape(2, 3, 2, 3))
    drawn = rng.multivariate_normal(density.ravel(), cov, size=200_000).reshape(-1, 2, 3)
    share = (drawn / drawn.sum(axis=2, keepdims=True)).reshape(-1, 6)
    np.testing.assert_allclose(found.ravel(), share.mean(axis=0), atol=2e-4)
    np.testing.assert_allclose(found_cov.reshape(6, 6), np.cov(share.T), atol=0.03 * np.diag(np.cov(share.T)).max())
    np.testing.assert_allclose(found_cov.sum(axis=3), 0.0, atol=1e-15)


def test_another_programs_spectra_with_hidden_stopping():
    """Twelve films made by pyrump; 200 of them were run with the script of `rbs_study`."""
    films = [make_film(seed) for seed in range(12)]
    error = np.concatenate([k.fraction_error for k in films])
    spread = np.concatenate([k.fraction_std for k in films])
    total, total_std = (np.concatenate([getattr(k, f"total_{what}") for k in films]) for what in ("error", "std"))
    assert np.abs(error).max() < 0.005
    assert np.sqrt(np.mean(error**2)) < 0.002
    assert np.sqrt(np.mean(total**2)) < 0.012
    assert np.abs(total).max() < 3.2 * 0.01
    assert coverage(np.append(error, total), np.append(spread, total_std)) >= 0.75
    assert 0.5 < np.sqrt(np.mean((error / spread) ** 2)) < 1.5
    assert sum(bool(k.found.findings) for k in films) <= 1


def test_an_empty_spectrum_and_a_bare_substrate_are_left_out_and_told():
    rows = columns([*FILMS[:2], {"Cu": 0.0}, FILMS[2]], np.random.default_rng(3))
    rows["spectrum"][1] = 0.0
    found = analyse_film(rbs_run(start_document(FILM), rows))
    assert [k.x_mm for k in found.points] == [0.0, 30.0]
    assert found.density.shape == (2, 2)
    assert any(k.startswith("empty spectrum at (10, 0) mm, 0 counts") for k in found.findings)
    assert any(k.startswith("no film at (20, 0) mm") for k in found.findings)


def test_no_film_anywhere_is_a_typed_error():
    with pytest.raises(WeakSignal, match="run map: no spectrum shows a film of Cu, Sn"):
        analysed([{"Cu": 0.0}, {"Cu": 0.0}])
    rows = columns(FILMS, np.random.default_rng(0))
    rows["spectrum"][:] = 0.0
    with pytest.raises(WeakSignal, match="every spectrum is empty"):
        analyse_film(rbs_run(start_document(FILM), rows))


def test_an_element_that_is_not_there_is_told():
    found = analysed([{"Cu": 300.0}, {"Cu": 250.0}])
    [finding] = [k for k in found.findings if "Sn" in k]
    assert finding.startswith("Sn is found at no point")
    assert np.all(found.fraction[:, 1] < 0.005)


@pytest.mark.parametrize(
    ("hidden", "told"),
    [({"Au": 1.0}, "above every edge"), ({"Ar": 12.0}, r"an element that is not in the model of the film\? .* Ar")],
)
def test_a_hidden_element_is_told_with_its_energy(hidden, told):
    found = analysed([{**k, **hidden} for k in FILMS])
    assert not found.accepted.any()
    finding = found.findings[-1]
    assert finding.startswith("3 of 3 spectra (3 of them not accepted), worst at (")
    assert re.search(told, finding), finding


def test_a_set_up_that_is_not_as_the_lab_says_is_told():
    true = {**SETUP, "resolution_fwhm_keV": 20.0}
    found = analysed(FILMS, start=start_document(FILM), setup=true)
    [finding] = found.findings
    assert finding.startswith("resolution = 1.3")
    assert np.abs(found.fraction[:, 0] - [k["Cu"] / (k["Cu"] + k["Sn"]) for k in FILMS]).max() < 0.005


def test_protons_are_told_not_to_be_rutherford():
    proton = {**SETUP, "ion": "p"}
    found = analysed(FILMS[:1], start=start_document(FILM, rbs_setup=proton), setup=proton)
    [finding] = [k for k in found.findings if "not Rutherford for p of 2000 keV" in k]
    assert "O (above about 460 keV)" in finding
    assert "R33" in finding


def test_a_busy_detector_is_told():
    rows = columns(FILMS[:1], np.random.default_rng(2)) | {"live_time": np.array([200.0])}
    [finding] = analyse_film(rbs_run(start_document(FILM), rows)).findings
    assert "dead for 20 %" in finding


def test_a_start_is_found_for_thin_thick_and_hidden_films():
    """From a monolayer to films whose signals overlap with each other and with the substrate."""
    for film in ({"Cu": 2.0, "Sn": 1.0}, {"Cu": 1800.0, "Sn": 1500.0}, {"Cu": 6000.0, "Sn": 300.0}):
        found = analysed([film], charge_uC=20.0)
        true = film["Cu"] / (film["Cu"] + film["Sn"])
        assert abs(found.fraction[0, 0] - true) < 4.5 * std(found.fraction_cov)[0, 0], film
        assert found.accepted.all(), film
    light = analysed([{"Al": 400.0, "N": 400.0}], film=("Al", "N"), charge_uC=20.0)
    assert abs(light.fraction[0, 0] - 0.5) < 4.5 * std(light.fraction_cov)[0, 0]


def test_better_knowledge_of_the_lab_makes_smaller_errors():
    sharp = RBSPriors(charge=0.001, solid_angle=0.001, stopping=0.002)
    good, usual = (analysed(FILMS[:1], priors=p) for p in (sharp, RBSPriors()))
    assert std(good.density_cov).max() < 0.5 * std(usual.density_cov).max()


def test_the_region_begins_above_multiple_scattering_and_ends_above_the_last_edge():
    run = rbs_run(start_document(FILM), columns(FILMS[:1], None))
    first, last = region_of(run.points[0].setup)
    assert 2.0 * first == pytest.approx(0.2 * 2000.0, abs=2.0)
    assert 1751.0 + 15.0 < 2.0 * last < 1751.0 + 75.0
    narrow = {**SETUP, "offset_keV": 1900.0, "channels": 16}
    few = columns([{"Cu": 1.0}], None, lambda case: np.ones(case["channels"]), setup=narrow)
    with pytest.raises(OutOfRange, match="no channel"):
        analyse_film(rbs_run(start_document(FILM, rbs_setup=narrow), few))


def test_a_tilted_sample_gives_the_same_film():
    tilted = {**SETUP, "alpha_deg": 30.0}
    rows = columns(FILMS[:1], np.random.default_rng(6), by_pyrump(), setup=tilted)
    found = analyse_film(rbs_run(start_document(FILM), rows))  # the angle comes from the readback
    assert abs(found.fraction[0, 0] - 120.0 / 380.0) < 4 * std(found.fraction_cov)[0, 0]
    assert found.density.sum() == pytest.approx(380.0, rel=0.03)


def test_a_substrate_of_several_layers():
    case = {**SETUP, "substrate": [{"Ti": 60.0}, GLASS]}
    rows = columns(FILMS[:1], np.random.default_rng(6), by_pyrump(), setup=case)
    found = analyse_film(rbs_run(start_document(FILM, rbs_setup=case), rows))
    assert found.accepted.all()
    assert abs(found.fraction[0, 0] - 120.0 / 380.0) < 4 * std(found.fraction_cov)[0, 0]


def test_compiled_code_is_loaded_only_for_spectra():
    code = "import sys, sdl_bluesky.analysis.jobs, sdl_bluesky.analysis.doors; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
