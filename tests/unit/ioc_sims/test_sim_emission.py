"""Emission of a source against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc_sims.sputter.emission import N_NODES, coupling, flux_per_strength, node_weights, racetrack
from ioc_sims.sputter.settings import PhysicsSettings, SourceConfig

RING = PhysicsSettings()
POINT = PhysicsSettings(racetrack_radius_cm=0.0, diffuse_fraction=0.0)
UP = (0.0, 0.0, 1.0)


def source(position, axis) -> SourceConfig:
    return SourceConfig(name="cu", element="Cu", pv="S1:", position_cm=position, axis=axis)


def tilted(azimuth_deg: float) -> SourceConfig:
    tilt, azimuth = math.radians(30.0), math.radians(azimuth_deg)
    out = np.array([math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth), math.cos(tilt)])
    return source(tuple(14.0 * out), tuple(-out))


def hemisphere_total(settings: PhysicsSettings, n: float, radius_cm: float) -> float:
    """Flux through a hemisphere in front of a source at the origin that looks along +z (Gauss-Legendre x trapezoid)."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    mu, weights = (nodes + 1) / 2, weights / 2
    phi = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    m, p = np.meshgrid(mu, phi, indexing="ij")
    s = np.sqrt(1 - m**2)
    out = np.stack([s * np.cos(p), s * np.sin(p), m], axis=-1).reshape(-1, 3)
    flux = flux_per_strength(source((0, 0, 0), UP), settings, radius_cm * out, -out, n).reshape(m.shape)
    return float(2 * np.pi * radius_cm**2 * weights @ flux.mean(axis=1))


@pytest.mark.parametrize("n", [0.0, 1.0, 2.0, 3.0, 5.0])
def test_a_point_source_sends_all_its_mass_through_the_hemisphere(n):
    assert hemisphere_total(POINT, n, 7.0) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("n", [0.0, 1.3, 2.2, 4.0])
def test_ring_and_diffuse_flux_conserve_mass(n):
    assert hemisphere_total(RING, n, 1e5) == pytest.approx(1.0, abs=3e-4)


@pytest.mark.parametrize(("n", "flux"), [(0, 1.0), (3, 4.0)])
def test_flux_on_the_axis(n, flux):
    strength = 200 * math.pi
    assert strength * flux_per_strength(source((0, 0, 10), (0, 0, -1)), POINT, (0, 0, 0), UP, n)[0] == pytest.approx(
        flux
    )


@pytest.mark.parametrize(("n", "ratio"), [(1, 0.25), (3, 0.125)])
def test_flux_beside_the_axis(n, ratio):
    axis, beside = flux_per_strength(source((0, 0, 10), (0, 0, -1)), POINT, [(0, 0, 0), (10, 0, 0)], UP, n)
    assert beside / axis == pytest.approx(ratio)


def test_flux_of_a_tilted_source():
    assert 100 * flux_per_strength(tilted(0), POINT, (0, 0, 0), UP, 2)[0] == pytest.approx(
        0.21096768957466533, rel=1e-12
    )


def test_nothing_arrives_behind_the_source_or_behind_the_surface():
    above = source((0, 0, 10), (0, 0, -1))
    behind = flux_per_strength(above, POINT, [(0, 0, 20)], (0, 0, -1), 0.0)
    turned = flux_per_strength(above, POINT, [(0, 0, 0)], (0, 0, -1), 1.0)
    assert behind[0] == turned[0] == 0.0


def test_mirrored_sources_give_mirrored_fluxes():
    points = np.array([(2.0, 1.0, 0.0), (-1.5, -0.7, 0.0), (0.3, 2.4, 0.0)])
    right = flux_per_strength(tilted(0), RING, points, UP, 1.7)
    left = flux_per_strength(tilted(180), RING, points * (-1, 1, 1), UP, 1.7)
    np.testing.assert_allclose(left, right, rtol=1e-9)


def test_the_racetrack_is_a_ring_across_the_axis():
    tilt = tilted(75)
    away = racetrack(tilt, RING) - np.asarray(tilt.position_cm)
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), 1.8)
    np.testing.assert_allclose(away @ np.asarray(tilt.axis), 0, atol=1e-12)
    np.testing.assert_allclose(away.sum(axis=0), 0, atol=1e-12)


@given(n=st.floats(0.0, float(N_NODES[-1])))
def test_interpolation_in_n_is_exact_enough(n):
    points = [(0.0, 0.0, 0.0), (2.5, 2.5, 0.0), (-5.5, 1.0, 0.0)]
    first, weights = node_weights(n)
    assert sum(weights) == pytest.approx(1.0)
    nodes = coupling(tilted(20), RING, points, UP)
    interpolated = np.asarray(weights) @ nodes[first : first + 4]
    np.testing.assert_allclose(interpolated, flux_per_strength(tilted(20), RING, points, UP, n), rtol=2e-5)
