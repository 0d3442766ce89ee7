import numpy as np
import pytest
from ring_lab import SENSORS, WAFER, place, ring

from sdl_bluesky.analysis.maps.pattern import CLOUD_CM, Prior, design
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import SourceGeometry

UP = [0.0, 0.0, 1.0]


def source_at(azimuth):
    position, axis = place(azimuth)
    return SourceGeometry(tuple(position), tuple(axis))


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 235.0])
def test_a_point_source_is_exact(azimuth):
    points = np.concatenate([SENSORS, WAFER])
    matrix, offset = design(source_at(azimuth), points, UP, 2.0)
    ln_flux = matrix @ [np.log(50.0 * (1.7 + 1)), 1.7, 0.0, 0.0] + offset
    np.testing.assert_allclose(np.exp(ln_flux), 50.0 * ring(*place(azimuth), points, 1.7, 0.0), rtol=1e-12)


@pytest.mark.parametrize("n", [0.8, 2.0, 3.5])
def test_the_extended_target_is_that_of_a_summed_ring(n):
    points = np.concatenate([SENSORS, WAFER])
    matrix, _ = design(source_at(30.0), points, UP, n)
    position, axis = place(30.0)
    for radius, tolerance in ((0.1, 3e-4), (1.8, 0.06)):  # second order: exact for a small ring
        change = ring(position, axis, points, n, radius) / ring(position, axis, points, n, 0.0) - 1.0
        np.testing.assert_allclose(radius**2 * matrix[:, 3], change, rtol=tolerance)


def test_the_extended_target_takes_tilted_surfaces():
    point, normal = np.array([[5.0, 1.0, 0.5]]), np.array([0.3, -0.2, 0.9])
    position, axis = place(0.0)

    def flux(at):  # of one emitter, a surface of any direction
        ray = point[0] - at
        r = np.linalg.norm(ray)
        return (ray @ axis / r) ** 2 * (-ray @ normal / r) / r**2

    u = np.cross(axis, [0.0, 1.0, 0.0])
    u /= np.linalg.norm(u)
    v, h = np.cross(axis, u), 1e-2
    laplacian = sum(flux(position + h * d) + flux(position - h * d) - 2 * flux(position) for d in (u, v)) / h**2
    matrix, _ = design(SourceGeometry(tuple(position), tuple(axis)), point, normal, 2.0)
    assert matrix[0, 3] == pytest.approx(laplacian / 4 / flux(position), rel=1e-4)


def test_scattered_atoms_come_from_a_cloud_on_the_axis():
    matrix, _ = design(source_at(0.0), np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [-5.0, 0.0, 0.0]]), UP, 2.0)
    assert matrix[0, 2] == pytest.approx(1.0)
    position, axis = place(0.0)
    places = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [-5.0, 0.0, 0.0]])
    scattered, direct = ring(position + CLOUD_CM * axis, axis, places, 0.0, 0.0), ring(position, axis, places, 2.0, 0.0)
    np.testing.assert_allclose(matrix[:, 2], scattered / scattered[0] * direct[0] / direct, rtol=1e-12)


@pytest.mark.parametrize("points", [[[0.0, 0.0, 20.0]], [[30.0, 0.0, 30.0]]])
def test_what_a_point_cannot_see_is_refused(points):
    with pytest.raises(OutOfRange, match="cannot see"):
        design(source_at(0.0), points, UP, 2.0)


def test_sizes_of_the_mismatch_have_a_common_part():
    mean, cov = Prior(shared=0.9).mismatch(3)
    std = np.sqrt(np.diag(cov))
    correlation = cov / np.outer(std, std)
    assert np.all(np.linalg.eigvalsh(cov) > 0)
    assert correlation[0, 1] == pytest.approx(0.9)
    assert correlation[3, 5] == pytest.approx(0.9)
    assert correlation[0, 3] == 0.0
    assert mean.tolist() == [0.07] * 3 + [3.0] * 3
    with pytest.raises(OutOfRange, match="shared"):
        Prior(shared=1.2)


def test_exponents_are_alike_in_one_gas_and_of_one_source():
    prior = Prior(n=(2.0, 0.8), n_shared=0.5, n_same=0.9)
    mean, cov = prior.exponents([0, 1, 0, 1], [0, 0, 1, 1])
    expected = [[1.0, 0.5, 0.9, 0.45], [0.5, 1.0, 0.45, 0.9], [0.9, 0.45, 1.0, 0.5], [0.45, 0.9, 0.5, 1.0]]
    np.testing.assert_allclose(cov, 0.64 * np.array(expected))
    assert mean.tolist() == [2.0] * 4
