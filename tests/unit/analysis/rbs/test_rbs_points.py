import numpy as np
import pytest

from sdl_bluesky.analysis.rbs.points import DISAGREE_SIGMA, CompositionPoints, check_map, points_of
from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.errors import CatalogueError, OutOfRange

X = Y = np.linspace(-25.0, 25.0, 11)
PLACES = np.array([(x, y) for y in (-20.0, 0.0, 20.0) for x in (-20.0, 0.0, 20.0)])


def copper(x, y):
    return 0.5 + 0.004 * x - 0.002 * y + 2e-5 * x * y


def film_map(std=0.005, shift=0.0, elements=("Cu", "Sn")):
    value = copper(X[None, :], Y[:, None]) + shift
    both = {"Cu": value, "Sn": 1.0 - value}
    arrays = {"composition": np.stack([both.get(k, 0.0 * value) for k in elements]), "x": X, "y": Y}
    arrays["composition_std"] = np.full_like(arrays["composition"], std)
    return Analysis("m", {"elements": list(elements)}, arrays, {})


def points(error=0.0, std=0.002, accepted=None, places=PLACES):
    cu = copper(places[:, 0], places[:, 1]) + error
    fraction = np.stack([cu, 1.0 - cu], axis=1)
    cov = np.kron(np.eye(len(cu)), std**2 * np.array([[1.0, -1.0], [-1.0, 1.0]]))
    good = np.ones(len(cu), dtype=bool) if accepted is None else np.asarray(accepted)
    return CompositionPoints(("Cu", "Sn"), *places.T, fraction, cov, 400 * fraction, 400**2 * cov, good)


def test_a_true_map_agrees_within_the_errors():
    rng = np.random.default_rng(2)
    found = check_map(film_map(), points(0.002 * rng.standard_normal(9)))
    assert found.findings == ()
    assert found.values == 9
    assert found.rms_percent < 0.5
    np.testing.assert_allclose(found.map_fraction[:, 0], copper(*PLACES.T), atol=1e-9)
    np.testing.assert_allclose(found.map_std, 0.005, rtol=1e-9)
    assert set(found.numbers()) == {"map_rms_percent", "map_rms_sigma", "map_worst_sigma", "map_chi2", "map_values"}


def test_residuals_are_measured_in_the_errors_of_both():
    found = check_map(film_map(std=0.003, shift=-0.01), points(std=0.004))
    np.testing.assert_allclose(found.residual[:, 0], 0.01, atol=1e-9)
    np.testing.assert_allclose(found.sigma[:, 0], 2.0, rtol=1e-6)
    np.testing.assert_allclose(found.sigma[:, 1], -2.0, rtol=1e-6)
    assert found.rms_percent == pytest.approx(1.0)
    assert found.chi2 == pytest.approx(9 * 4.0)
    assert found.findings == ()  # one error of two sigma that all pixels share is no contradiction


def test_a_map_of_another_film_is_told():
    found = check_map(film_map(std=0.003, shift=0.05), points())
    [finding] = found.findings
    assert "5.00 at. % (rms)" in finding
    assert abs(found.worst_sigma) > DISAGREE_SIGMA


def test_points_that_were_not_accepted_do_not_count():
    good = np.arange(9) != 4
    error = np.where(good, 0.0, 0.3)
    found = check_map(film_map(), points(error, accepted=good))
    assert found.findings == ()
    assert (found.values, found.rms_percent < 1e-6) == (8, True)
    assert abs(found.residual[4, 0]) == pytest.approx(0.3)
    assert check_map(film_map(), points(error, accepted=np.zeros(9, bool))).findings != ()


def test_common_errors_of_the_points_are_not_counted_nine_times():
    together = points(0.006)
    shared = 0.006**2 * np.kron(np.ones((9, 9)), np.array([[1.0, -1.0], [-1.0, 1.0]]))
    honest = CompositionPoints(**{**vars(together), "fraction_cov": together.fraction_cov + shared})
    assert check_map(film_map(std=1e-4), honest).chi2 == pytest.approx(1.0, rel=0.02)
    assert check_map(film_map(std=1e-4), together).chi2 > 50


def test_elements_in_another_order_and_one_that_the_map_lacks():
    assert check_map(film_map(elements=("Sn", "Cu")), points()).rms_percent == pytest.approx(0.0, abs=1e-9)
    found = check_map(film_map(elements=("Cu",)), points())
    np.testing.assert_allclose(found.residual[:, 1], 1.0 - copper(*PLACES.T), atol=1e-9)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(OutOfRange, match="the map is of Ni"):
        check_map(film_map(elements=("Ni",)), points())
    with pytest.raises(OutOfRange, match="beyond the map"):
        check_map(film_map(), points(places=PLACES * 1.3))
    check_map(film_map(), points(places=PLACES * 1.26))  # 25.2 mm: as exactly as a stage stands


def test_points_are_read_from_a_result():
    p = points()
    arrays = {"x": p.x_mm, "y": p.y_mm, "fraction": p.fraction, "density": p.density, "accepted": np.ones(9)}
    arrays |= {"fraction_joint_cov": p.fraction_cov, "density_joint_cov": p.density_cov}
    meta = {"elements": ["Cu", "Sn"], "substrate_number": 3, "based_on": "film"}
    found = points_of(Analysis("key", meta, arrays, {}))
    assert (found.elements, found.substrate_number, found.based_on, found.key) == (("Cu", "Sn"), 3, "film", "key")
    np.testing.assert_allclose(found.fraction_std, 0.002)
    np.testing.assert_allclose(found.density_std, 0.8)
    assert found.accepted.dtype == bool
    del arrays["fraction_joint_cov"]
    with pytest.raises(CatalogueError, match="'key' holds no measured points"):
        points_of(Analysis("key", meta, arrays, {}))
