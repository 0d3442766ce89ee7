"""Fits of spectra whose samples are known: errors, coverage, bias, restarts, several spectra at once."""

import numpy as np
import pytest

from sdl_bluesky.bench.rbs_sets import SETS
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.physics.rbs import Nuisance, Setup, simulate

A, B = SETS["A"], SETS["B"]
BOX = (50.0, 5000.0)
SETUP = Setup(elements=("Cu", "Sn", "Si", "O"), fluence_ions=2e13, channels=1000)
FREE = np.array([[True, True, False, False], [False, False, False, False]])
ROI = [(60, 1000)]


def film(copper, tin):
    layers = np.zeros((len(copper), 2, 4))
    layers[:, 0, 0], layers[:, 0, 1] = copper, tin
    layers[:, 1] = 0.0, 0.0, 8000.0, 16000.0
    return layers


def started(layers, value=1000.0):
    return np.where(FREE, value, layers)


@pytest.fixture(scope="module")
def fitted_b():
    rng = np.random.default_rng(3)
    layers = B.draw(60, rng)
    counts = B.measure(layers, rng)
    found = rbs_fit.fit(B.setup, counts, B.middle(60), free=B.free, bounds=BOX, roi=[B.roi])
    return layers, counts, found


def test_a_mid_range_start_finds_hidden_densities_within_their_cramer_rao_errors():
    rng = np.random.default_rng(5)
    layers = A.draw(12, rng)
    counts = A.measure(layers, rng)
    found = rbs_fit.fit(A.setup, counts, A.middle(12), free=A.free, bounds=BOX, roi=[A.roi])
    truth = rbs_fit.paper_chi2(counts[:, 100:800], simulate(A.setup, layers)[:, 100:800])
    assert found.nu == 700
    assert np.array_equal(found.accepted, found.chi2 < found.limit)
    assert found.accepted[truth < found.limit].all()
    bound = rbs_fit.cramer_rao(A.setup, layers, free=A.free, roi=[A.roi])
    off = np.abs(found.layers[:, A.free] - layers[:, A.free]) / bound
    inside = np.all((layers[:, A.free] > 300) & (layers[:, A.free] < 4700), axis=1)
    assert inside.sum() >= 4
    assert off[inside].max() < 4.5
    assert np.all(found.layers[:, 2, 1] == 60000.0)  # held


def test_stated_errors_cover_what_they_should(fitted_b):
    layers, _, found = fitted_b
    assert found.accepted.all()
    z = (found.values - layers[:, B.free]) / np.sqrt(np.diagonal(found.cov, axis1=1, axis2=2))
    assert 0.92 < np.mean(np.abs(z) < 1.96) < 0.985
    assert 0.60 < np.mean(np.abs(z) < 1.0) < 0.76


def test_errors_reach_the_cramer_rao_bound(fitted_b):
    layers, _, found = fitted_b
    bound = rbs_fit.cramer_rao(B.setup, layers, free=B.free, roi=[B.roi])
    ratio = np.median(np.abs(found.values - layers[:, B.free]) / bound, axis=0) / 0.6745
    assert np.median(ratio) < 1.15
    assert ratio.max() < 1.7  # 60 spectra


def test_goodness_of_right_fits_is_spread_evenly(fitted_b):
    found = fitted_b[2]
    assert 0.3 < np.median(found.goodness) < 0.7
    assert np.mean(found.goodness < 0.05) < 0.2


def test_a_spectrum_is_fitted_as_it_is_alone(fitted_b):
    _, counts, found = fitted_b
    for row in (0, 17, 59):
        alone = rbs_fit.fit(B.setup, counts[row], B.middle(1), free=B.free, bounds=BOX, roi=[B.roi])
        assert alone.values[0] == pytest.approx(found.values[row], rel=1e-6)


def test_the_same_seed_gives_the_same_densities():
    rng = np.random.default_rng(8)
    counts = A.measure(A.draw(6, rng), rng)
    first, second = (
        rbs_fit.fit(A.setup, counts, A.middle(6), free=A.free, bounds=BOX, roi=[A.roi], seed=4) for _ in range(2)
    )
    assert np.array_equal(first.values, second.values)


def test_a_false_minimum_is_left():
    layers = A.fill(np.array([[1331.0, 1246.0, 4446.0, 1168.0], [1567.0, 1195.0, 3271.0, 1360.0]]))
    counts = A.measure(layers, np.random.default_rng(1))
    truth = rbs_fit.paper_chi2(counts[:, 100:800], simulate(A.setup, layers)[:, 100:800])
    given = {"free": A.free, "bounds": BOX, "roi": [A.roi]}
    plain = rbs_fit.fit(A.setup, counts, A.middle(2), **given, coarse=False, restarts=0)
    assert not plain.accepted.any()
    assert "not accepted" in plain.findings[0][-1]
    found = rbs_fit.fit(A.setup, counts, A.middle(2), **given)
    assert np.all(found.chi2 < truth + 1.0)
    restarted = rbs_fit.fit(A.setup, counts, plain.layers, **given)
    assert np.all(restarted.chi2 < truth + 1.0)


def test_the_paper_s_weights_bias_low_counts_and_poisson_does_not():
    weak = Setup(elements=("Cu", "Sn", "Si", "O"), fluence_ions=4e10, channels=1000)
    layers = film(np.full(60, 300.0), np.full(60, 200.0))
    counts = np.random.default_rng(0).poisson(simulate(weak, layers)).astype(float)
    assert counts[:, 600:900].max() < 60
    off = {}
    for name in ("poisson", "chi2"):
        found = rbs_fit.fit(weak, counts, started(layers), free=FREE, roi=[(600, 1000)], likelihood=name)
        z = (rbs_fit.total(found)[0] - 500.0) / rbs_fit.total(found)[1]
        off[name] = z.mean() * np.sqrt(60)
    assert abs(off["poisson"]) < 3.5
    assert off["chi2"] < -8


def test_two_spectra_of_a_sample_add_their_information():
    rng = np.random.default_rng(2)
    layers = film(rng.uniform(100, 800, 12), rng.uniform(100, 800, 12))
    tilted = Setup(elements=SETUP.elements, fluence_ions=3e13, channels=1000, alpha_deg=40.0, beta_deg=40.0)
    counts = [rng.poisson(simulate(k, layers)).astype(float) for k in (SETUP, tilted)]
    both = rbs_fit.fit_joint([SETUP, tilted], counts, started(layers), free=FREE, roi=[ROI, ROI])
    alone = [
        rbs_fit.fit(k, x, started(layers), free=FREE, roi=ROI) for k, x in zip((SETUP, tilted), counts, strict=True)
    ]
    assert both.nu == 2 * alone[0].nu
    assert both.accepted.all()
    added = np.linalg.inv(alone[0].cov) + np.linalg.inv(alone[1].cov)
    assert np.linalg.inv(both.cov) == pytest.approx(added, rel=0.05)
    truth = layers[:, FREE]
    assert np.mean(np.abs(both.values - truth) < 1.96 * np.sqrt(np.diagonal(both.cov, axis1=1, axis2=2))) > 0.8


def test_spectra_share_the_stopping_and_nothing_else():
    layers = film(np.array([300.0]), np.array([200.0]))
    counts = [simulate(SETUP, layers), simulate(SETUP, layers)]
    found = rbs_fit.fit_joint(
        [SETUP, SETUP], counts, started(layers), free=FREE, nuisance={"fluence": 0.05, "stopping:Cu": 0.02}
    )
    assert found.nuisance_names == ("fluence#1", "stopping:Cu", "fluence#2")
    assert found.nuisance[0] == pytest.approx(1.0, abs=1e-3)


def test_hidden_stopping_and_calibration_are_in_the_errors_only_as_nuisance_parameters():
    rng = np.random.default_rng(11)
    n = 40
    layers = film(rng.uniform(100, 800, n), rng.uniform(100, 800, n))
    truth = Nuisance(
        fluence=1 + 0.01 * rng.normal(size=n),
        slope=1 + 0.002 * rng.normal(size=n),
        offset=rng.normal(size=n),
        stopping=1 + 0.02 * rng.normal(size=(n, 4)),
    )
    counts = rng.poisson(simulate(SETUP, layers, truth)).astype(float)
    priors = {"fluence": 0.01, "slope": 0.002, "offset": 1.0, **{f"stopping:{k}": 0.02 for k in SETUP.elements}}
    covered = {}
    for name, nuisance in (("with", priors), ("without", {})):
        found = rbs_fit.fit(
            SETUP, counts, started(layers), free=FREE, roi=ROI, nuisance=nuisance, restarts=6 if nuisance else 0
        )
        density, std = rbs_fit.total(found, layers=[0])
        part = rbs_fit.composition(found, layers=[0], elements=["Cu", "Sn"])
        true_part = layers[:, 0, 0] / layers[:, 0].sum(axis=1)
        covered[name] = (
            np.mean(np.abs(density - layers[:, 0].sum(axis=1)) < 1.96 * std),
            np.mean(np.abs(part.fraction[:, 0] - true_part) < 1.96 * part.std[:, 0]),
        )
        if nuisance:
            assert found.accepted.all()
            assert np.abs(density / layers[:, 0].sum(axis=1) - 1).max() < 0.03
            assert np.abs(part.fraction[:, 0] - true_part).max() < 0.005
            off = (found.nuisance[:, 1] - np.asarray(truth.slope)) / found.nuisance_std[:, 1]
            assert np.mean(np.abs(off) < 1.96) > 0.8
    assert min(covered["with"]) >= 0.85
    assert max(covered["without"]) < 0.5


def test_narrow_channels_are_merged_on_the_way_and_counted_at_the_end():
    narrow = Setup(elements=SETUP.elements, fluence_ions=2e13, slope_keV=0.5, channels=4000)
    layers = film(np.array([300.0, 700.0, 90.0]), np.array([200.0, 100.0, 400.0]))
    counts = np.random.default_rng(3).poisson(simulate(narrow, layers)).astype(float)
    found = rbs_fit.fit(narrow, counts, started(layers), free=FREE, roi=[(240, 4000)])
    bound = rbs_fit.cramer_rao(narrow, layers, free=FREE, roi=[(240, 4000)])
    assert found.nu == 3760
    assert found.accepted.all()
    assert found.converged.all()
    assert np.abs((found.values - layers[:, FREE]) / bound).max() < 3.5
    best = rbs_fit.fit(narrow, counts, found.layers, free=FREE, roi=[(240, 4000)], coarse=False)
    assert found.deviance == pytest.approx(best.deviance, abs=0.1)


def test_a_narrow_prior_wins():
    layers = film(np.array([300.0]), np.array([200.0]))
    counts = simulate(SETUP, layers)
    prior = (np.where(FREE, [[250.0, 0.0, 0.0, 0.0]], 0.0), np.array([[0.01, np.inf, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))
    found = rbs_fit.fit(SETUP, counts, started(layers), free=FREE, roi=ROI, priors=prior)
    assert found.layers[0, 0, 0] == pytest.approx(250.0, abs=0.1)
    assert found.layers_std[0, 0, 0] == pytest.approx(0.01, rel=0.01)
    assert found.layers[0, 0, 1] > 210.0  # tin makes up for copper's stopping


def test_a_density_outside_its_bounds_ends_at_the_bound():
    layers = film(np.array([300.0, 300.0]), np.array([200.0, 200.0]))
    counts = np.random.default_rng(0).poisson(simulate(SETUP, layers)).astype(float)
    upper = np.full((2, 4), 5000.0)
    upper[0, 0] = 250.0
    found = rbs_fit.fit(SETUP, counts, started(layers, 100.0), free=FREE, bounds=(0.0, upper), roi=ROI, restarts=1)
    assert np.all(found.layers[:, 0, 0] == 250.0)
    assert found.at_bound.tolist() == [[True, False]] * 2
    assert found.findings[0][0].startswith("at a bound: Cu@1")
    assert not found.accepted.any()


def test_a_start_at_a_bound_is_left():
    layers = film(np.array([300.0]), np.array([200.0]))
    counts = np.random.default_rng(0).poisson(simulate(SETUP, layers)).astype(float)
    for corner in (0.0, 5000.0):
        found = rbs_fit.fit(SETUP, counts, started(layers, corner), free=FREE, roi=ROI)
        assert found.accepted.all()
        assert np.abs(found.values - [300.0, 200.0]).max() < 5.0


def test_progress_counts_to_the_end():
    layers = film(np.array([300.0] * 3), np.array([200.0] * 3))
    told = []
    rbs_fit.fit(
        SETUP, simulate(SETUP, layers), started(layers), free=FREE, roi=ROI, progress=lambda a, b: told.append((a, b))
    )
    assert told[-1] == (3, 3)
