"""What is written of a measured film: arrays, metadata, and the comparison with its map."""

import json

import numpy as np
import pytest
from rbs_lab import SETUP, columns, start_document

from sdl_bluesky.analysis.kinds import KINDS, kind_of
from sdl_bluesky.analysis.rbs.points import points_of
from sdl_bluesky.analysis.rbs.recipe import ARRAYS, rbs_metadata, rbs_result
from sdl_bluesky.analysis.rbs.run import rbs_run
from sdl_bluesky.data.analysis import REQUIRED, Analysis, content_key
from sdl_bluesky.errors import CatalogueError

FILM = ("Cu", "Sn")
PLACES = [(-20.0, 0.0), (0.0, 10.0), (20.0, -20.0)]
X = np.linspace(-25.0, 25.0, 11)


def copper(x, y):
    return 0.5 + 0.003 * x + 0.001 * y


def film_map(shift=0.0, reach=1.0, key="map"):
    value = copper(*np.meshgrid(X, X)) + shift
    both = np.stack([value, 1.0 - value])
    arrays = {"composition": both, "composition_std": np.full_like(both, 0.004), "x": reach * X, "y": reach * X}
    return Analysis(key, {"elements": ["Cu", "Sn"], "content": "abc"}, arrays, {})


@pytest.fixture(scope="module")
def run():
    films = [{"Cu": 400 * copper(x, y), "Sn": 400 * (1 - copper(x, y))} for x, y in PLACES]
    rows = columns(films, np.random.default_rng(5), places=PLACES)
    return rbs_run(start_document(FILM, based_on="film", plan_name="measure_rbs"), rows)


@pytest.fixture(scope="module")
def result(run):
    return rbs_result(run, film_map())


def test_every_array_has_its_dimensions_and_is_finite(result):
    sizes = {}
    assert set(result.arrays) == set(ARRAYS)
    for name, array in result.arrays.items():
        values, dims = np.asarray(array), result.dims[name]
        assert values.ndim == len(dims), name
        assert values.dtype.kind != "f" or np.all(np.isfinite(values)), name
        for dim, size in zip(dims, values.shape):
            assert sizes.setdefault(dim, size) == size, (name, dim)
    assert sizes == {"point": 3, "element": 2, "element_2": 2, "row": 6, "row_2": 6, "parameter": 8, "channel": 1024}


def test_covariances_of_a_point_are_blocks_of_the_joint_one(result):
    a = result.arrays
    for name in ("density", "fraction"):
        joint = a[f"{name}_joint_cov"].reshape(3, 2, 3, 2)
        for p in range(3):
            np.testing.assert_array_equal(a[f"{name}_cov"][p], joint[p, :, p])
        np.testing.assert_allclose(a[f"{name}_std"] ** 2, np.einsum("pii->pi", a[f"{name}_cov"]))
        assert np.linalg.eigvalsh(a[f"{name}_joint_cov"]).min() > -1e-9 * a[f"{name}_joint_cov"].max()


def test_metadata_say_what_it_is_and_are_plain(run):
    about = rbs_metadata(run, film_map())
    assert json.loads(json.dumps(about)) == about
    assert set(REQUIRED) <= set(about)
    assert (about["run"], about["based_on"], about["derived_from"]) == ("map", "film", ["map", "film"])
    assert (about["campaign"], about["sample"], about["substrate_number"]) == ("c", "s", 3)
    assert about["elements"] == ["Cu", "Sn"]
    assert about["parameters"]["priors"]["stopping"] == 0.02
    assert about["units"]["density"] == "1e15 at/cm2"
    assert {"numba", "pyrump", "numpy", "scipy"} <= set(about["software"])
    assert set(about["units"]) <= set(ARRAYS)


def test_a_new_map_or_another_accuracy_is_another_result(run):
    def key(film_map=None, **setup):
        changed = rbs_run({**run.start, "rbs_setup": {**SETUP, **setup}}, columns([{"Cu": 1.0}], None))
        return content_key("rbs", rbs_metadata(changed, film_map))

    assert key() == key()
    assert len({key(), key(film_map()), key(accuracy={"charge": 0.01})}) == 3


def test_a_map_of_the_film_is_compared(result):
    checks, about = result.metadata["checks"], result.metadata
    assert about["findings"] == []
    assert about["composition"] == "map"
    assert checks["map_rms_percent"] < 0.4
    assert abs(checks["map_worst_sigma"]) < 4
    assert {"fluence_common", "stopping:Sn_common_std"} <= set(checks)
    np.testing.assert_allclose(result.arrays["map_fraction"][:, 0], [copper(x, y) for x, y in PLACES], atol=1e-9)


def test_a_map_of_another_film_is_a_finding_and_one_too_small_is_told(run):
    [finding] = rbs_result(run, film_map(shift=0.1)).metadata["findings"]
    assert finding.startswith("map and points disagree: 10.")
    small = rbs_result(run, film_map(reach=0.5))
    [finding] = small.metadata["findings"]
    assert finding.startswith("not compared with the composition map: a point lies beyond the map")
    assert "map_fraction" not in small.arrays


def test_without_a_map_nothing_is_compared(run):
    found = rbs_result(run, None)
    assert "map_fraction" not in found.arrays
    assert not any(k.startswith("map_") for k in found.metadata["checks"])
    assert found.metadata["composition"] == ""
    assert rbs_metadata(run, None)["parameters"]["map"] == ""


def test_what_is_written_can_be_read_as_points(run, result):
    about = {**rbs_metadata(run, None), **result.metadata}
    found = points_of(Analysis("k", about, {k: np.asarray(v) for k, v in result.arrays.items()}, {}))
    assert (found.elements, found.substrate_number, found.based_on) == (FILM, 3, "film")
    np.testing.assert_allclose(found.fraction_std, result.arrays["fraction_std"])
    np.testing.assert_allclose(found.density_std, result.arrays["density_std"])
    assert found.accepted.all()


def test_a_run_of_spectra_is_of_this_kind():
    assert kind_of(start_document(FILM)) == "rbs"
    assert "rbs" in KINDS


def test_an_odd_accuracy_is_told_before_anything_is_fitted(run):
    odd = rbs_run({**run.start, "rbs_setup": {**SETUP, "accuracy": {"gain": 1.0}}}, columns([{"Cu": 1.0}], None))
    with pytest.raises(CatalogueError, match="run map: 'accuracy'"):
        rbs_metadata(odd, None)
