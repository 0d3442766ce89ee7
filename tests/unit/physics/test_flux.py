"""The flux model and its fit: closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from sdl_bluesky.errors import OutOfRange, Unidentifiable, WeakSignal
from sdl_bluesky.physics.flux import deposition_flux, fit_flux
from sdl_bluesky.physics.geometry import SensorGeometry, SourceGeometry

UP = [0.0, 0.0, 1.0]


def tilted(azimuth_deg=0.0, distance=14.0, tilt_deg=30.0):
    t, p = np.radians(tilt_deg), np.radians(azimuth_deg)
    place = distance * np.array([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)])
    return SourceGeometry(tuple(place), tuple(-place / distance))


RING = [SensorGeometry((5.5 * np.cos(a), 5.5 * np.sin(a), 0.0)) for a in np.radians([20, 140, 260])]


def at_sensors(a, n, source, sensors=RING):
    points = [k.position_cm for k in sensors]
    return deposition_flux(a, n, source.position_cm, source.axis, points, UP)


@pytest.mark.parametrize(("n", "expected"), [(0, 1.0), (3, 4.0)])
def test_on_axis(n, expected):
    flux = deposition_flux(200 * np.pi, n, [0, 0, 10], [0, 0, -1], [[0, 0, 0]], UP)
    assert flux == pytest.approx([expected], rel=1e-14)


@pytest.mark.parametrize("n", [0, 0.5, 1, 2.7, 6])
def test_total_over_the_hemisphere_is_the_emitted_rate(n):
    def ring(phi):
        point = [[7 * np.sin(phi), 0, 7 * np.cos(phi)]]
        normal = [-np.sin(phi), 0, -np.cos(phi)]
        return 2 * np.pi * 49 * np.sin(phi) * deposition_flux(3.0, n, [0, 0, 0], UP, point, normal)[0]

    assert quad(ring, 0, np.pi / 2, epsabs=1e-12, epsrel=1e-12)[0] == pytest.approx(3.0, rel=1e-8)


@pytest.mark.parametrize(("n", "ratio"), [(1, 0.25), (2, 0.1767766952966369), (3, 0.125)])
def test_plane_at_45_degrees(n, ratio):
    middle, aside = deposition_flux(1.0, n, [0, 0, 10], [0, 0, -1], [[0, 0, 0], [10, 0, 0]], UP)
    assert aside / middle == pytest.approx(ratio, rel=1e-13)


def test_tilted_source_at_the_centre():
    s = tilted()
    assert deposition_flux(100, 2, s.position_cm, s.axis, [[0, 0, 0]], UP)[0] == pytest.approx(
        0.21096768957466533, rel=1e-13
    )


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 6))
def test_mirrored_sources_give_mirrored_fluxes(x, y, n):
    one, other = tilted(0), tilted(180)
    here = deposition_flux(1, n, one.position_cm, one.axis, [[x, y, 0]], UP)
    there = deposition_flux(1, n, other.position_cm, other.axis, [[-x, y, 0]], UP)
    assert here == pytest.approx(there, rel=1e-12)


@given(st.floats(0.1, 10.0), st.floats(1e-3, 1e3))
def test_scaling(k, strength):
    s = tilted()
    base = at_sensors(strength, 2.0, s)
    far = SourceGeometry(*(tuple(k * np.array(v)) for v in (s.position_cm, s.axis)))
    sensors = [SensorGeometry(tuple(k * np.array(q.position_cm))) for q in RING]
    assert at_sensors(strength, 2.0, far, sensors) * k**2 == pytest.approx(base, rel=1e-12)


def test_nothing_arrives_behind_the_source_or_at_a_back_side():
    assert deposition_flux(1, 0, [0, 0, 10], UP, [[0, 0, 0]], UP)[0] == 0
    assert deposition_flux(1, 2, [0, 0, 10], [0, 0, -1], [[0, 0, 0]], [0, 0, -1])[0] == 0


def test_samples_of_the_parameters_broadcast():
    s = tilted()
    a, n = np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]])
    both = deposition_flux(a, n, s.position_cm, s.axis, [k.position_cm for k in RING], UP)
    assert both.shape == (2, 3)
    assert both[1] == pytest.approx(at_sensors(2.0, 3.0, s))


@given(st.floats(1.0, 1e4), st.floats(0.3, 4.9))
def test_fit_recovers_exact_parameters(a, n):
    s = tilted(10)
    y = at_sensors(a, n, s)
    fit = fit_flux(y, 0.01 * y, s, RING)
    assert (fit.a, fit.n) == (pytest.approx(a, rel=1e-8), pytest.approx(n, abs=1e-8))
    assert fit.chi2 < 1e-10
    assert fit.dof == 1
    assert not fit.findings


def test_error_of_n_and_of_the_flux():
    s = tilted(10)
    y = at_sensors(100.0, 2.0, s)
    fit = fit_flux(y, 0.01 * y, s, RING)
    u = np.array([k.position_cm for k in RING]) - np.array(s.position_cm)
    c = np.log(u @ np.array(s.axis) / np.linalg.norm(u, axis=1))
    assert fit.n_std == pytest.approx(0.01 / np.sqrt(np.sum((c - c.mean()) ** 2)), rel=1e-10)
    assert fit.mean_log_cos == pytest.approx(c.mean())
    rng = np.random.default_rng(0)
    fits = [fit_flux(y * np.exp(0.01 * rng.standard_normal(3)), 0.01 * y, s, RING) for _ in range(400)]
    assert np.cov(np.array([k.mean for k in fits]).T) == pytest.approx(fit.cov, rel=0.25)
    flux = np.array([k.flux(s, [[0, 0, 0.0]], UP)[0][0] for k in fits])
    mean, std = fit.flux(s, [[0, 0, 0.0]], UP)
    assert flux.mean() == pytest.approx(mean[0], rel=0.005)
    assert flux.std() == pytest.approx(std[0], rel=0.15)


def test_a_shared_error_moves_the_strength_only():
    s = tilted(10)
    y = at_sensors(100.0, 2.0, s)
    alone = fit_flux(y, np.diag((0.01 * y) ** 2), s, RING)
    shared = fit_flux(y, np.diag((0.01 * y) ** 2) + 0.05**2 * np.outer(y, y), s, RING)
    assert shared.n_std == pytest.approx(alone.n_std, rel=1e-9)
    assert shared.cov[0, 0] == pytest.approx(alone.cov[0, 0] + 0.05**2, rel=1e-9)


def test_equal_angles_need_a_prior():
    source = SourceGeometry((0, 0, 12), (0, 0, -1))
    y = at_sensors(100.0, 2.0, source)
    with pytest.raises(Unidentifiable, match="equal"):
        fit_flux(y, 0.01 * y, source, RING)
    with pytest.raises(Unidentifiable):
        fit_flux(y[:1], 0.01 * y[:1], source, RING[:1])
    fit = fit_flux(y, 0.01 * y, source, RING, prior=([0.0, 2.0], np.diag([1e6, 0.25])))
    assert fit.n == pytest.approx(2.0, abs=1e-3)
    assert fit.n_std == pytest.approx(0.5, rel=1e-3)


def test_weak_signals_are_never_fitted():
    s = tilted()
    y = at_sensors(100.0, 2.0, s)
    with pytest.raises(WeakSignal, match="sensor 0"):
        fit_flux(y, np.array([0.3, 0.01, 0.01]) * y, s, RING)
    with pytest.raises(WeakSignal, match="longer"):
        fit_flux([-1.0, 1.0, 1.0], [0.01] * 3, s, RING)


def test_what_looks_wrong_is_said():
    s = tilted()
    y = at_sensors(100.0, 7.0, s)
    assert "n = 7.00" in fit_flux(y, 0.01 * y, s, RING).findings[0]


def test_wrong_geometry_is_a_typed_error():
    s = tilted()
    with pytest.raises(OutOfRange, match="do not belong"):
        fit_flux([1.0, 1.0], [0.1, 0.1], s, RING)
    with pytest.raises(OutOfRange, match="cannot see"):
        fit_flux([1.0] * 3, [0.1] * 3, SourceGeometry((0, 0, 10), (0, 0, 1)), RING)
    with pytest.raises(OutOfRange, match="zero"):
        deposition_flux(1, 1, [0, 0, 10], [0, 0, 0], [[0, 0, 0]], UP)
    with pytest.raises(OutOfRange, match="on the source"):
        deposition_flux(1, 1, [0, 0, 0], UP, [[0, 0, 0]], UP)
