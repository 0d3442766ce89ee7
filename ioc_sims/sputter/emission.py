"""Where the atoms go: a racetrack of many small emitters, each cos^n, and a cloud of atoms that the gas has scattered.

An element of area at x with unit normal u receives from an emitter of strength q [ng/s] at s with unit axis v

    F = q (n + 1) / (2 pi) * max(0, cos phi)^n * max(0, cos theta) / r^2

with cos phi = v.(x - s)/r and cos theta = u.(s - x)/r,

which sums to q over a hemisphere. The racetrack carries 1 - d of the strength on equal emitters round a ring; d leaves
with n = 0 from a point on the axis. Sums over many points are slow, so that each place keeps them for a few n and
interpolates (cubic in n; the relative error stays below 1e-5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ioc_sims.sputter.settings import PhysicsSettings, SourceConfig

Floats = NDArray[np.float64]

N_STEP = 0.5
N_NODES: Floats = np.arange(0.0, 6.0 + N_STEP / 2, N_STEP)


def racetrack(source: SourceConfig, settings: PhysicsSettings) -> Floats:
    """Positions of the emitters round the ring, [elements, 3] in cm."""
    axis = np.asarray(source.axis)
    helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
    e1 = np.cross(axis, helper)
    e1 /= np.linalg.norm(e1)
    e2 = np.cross(axis, e1)
    phase = 2 * np.pi * np.arange(settings.racetrack_elements) / settings.racetrack_elements
    ring = np.cos(phase)[:, None] * e1 + np.sin(phase)[:, None] * e2
    return np.asarray(source.position_cm) + settings.racetrack_radius_cm * ring


def flux_per_strength(
    source: SourceConfig, settings: PhysicsSettings, points: ArrayLike, normals: ArrayLike, n: float
) -> Floats:
    """Flux at each point for an emitted rate of 1 ng/s.

    Args:
        source: position and axis.
        settings: ring and diffuse part.
        points: [m, 3] in cm.
        normals: unit normals, [m, 3] or [3].
        n: angular exponent of the emitters.

    Returns:
        [m], in cm^-2 (so that times ng/s it is ng cm^-2 s^-1).
    """
    points = np.atleast_2d(np.asarray(points, float))
    normals = np.broadcast_to(np.asarray(normals, float), points.shape)
    axis = np.asarray(source.axis)
    direct = np.zeros(len(points))
    for emitter in racetrack(source, settings):
        direct += _emitter(emitter, axis, points, normals, n)
    cloud = np.asarray(source.position_cm) + settings.diffuse_distance_cm * axis
    scattered = _emitter(cloud, axis, points, normals, 0.0)
    diffuse = settings.diffuse_fraction
    return (1 - diffuse) * direct / settings.racetrack_elements + diffuse * scattered


def coupling(source: SourceConfig, settings: PhysicsSettings, points: ArrayLike, normals: ArrayLike) -> Floats:
    """The flux factor at every node of n, [nodes, m] in cm^-2."""
    return np.stack([flux_per_strength(source, settings, points, normals, float(n)) for n in N_NODES])


def node_weights(n: float) -> tuple[int, tuple[float, float, float, float]]:
    """Cubic Lagrange weights over four neighbouring nodes.

    Returns:
        (first node, its weight and those of the next three); their sum is 1. n is held inside the nodes.
    """
    place = min(max(n, 0.0), float(N_NODES[-1])) / N_STEP
    first = min(max(int(place) - 1, 0), len(N_NODES) - 4)
    t = place - first
    return first, (
        -(t - 1) * (t - 2) * (t - 3) / 6,
        t * (t - 2) * (t - 3) / 2,
        -t * (t - 1) * (t - 3) / 2,
        t * (t - 1) * (t - 2) / 6,
    )


def _emitter(origin: Floats, axis: Floats, points: Floats, normals: Floats, n: float) -> Floats:
    away = points - origin
    r2 = np.einsum("ij,ij->i", away, away)
    r = np.sqrt(r2)
    cos_phi = away @ axis / r
    cos_theta = -np.einsum("ij,ij->i", away, normals) / r
    lobe = np.where(cos_phi > 0, np.maximum(cos_phi, 0.0) ** n, 0.0)
    return (n + 1) / (2 * np.pi) * lobe * np.maximum(cos_theta, 0.0) / r2
