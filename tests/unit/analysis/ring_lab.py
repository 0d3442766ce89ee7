"""A forward model of its own for the tests: ring sources with a diffuse part, computed by summing over the ring.

It shares no code with the package: the package knows cos^n points, linear mismatch shapes and Gaussian processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MASS = {"Cu": 63.546, "Sn": 118.71, "Ni": 58.6934}
AZIMUTH = (0.0, 90.0, 180.0)
SENSORS = np.array([[5.5 * np.cos(t), 5.5 * np.sin(t), 0.0] for t in np.radians([20.0, 140.0, 260.0])])
MAP_MM = np.linspace(-25.0, 25.0, 11)
_X, _Y = np.meshgrid(MAP_MM / 10, MAP_MM / 10)
WAFER = np.stack([_X.ravel(), _Y.ravel(), np.zeros(_X.size)], axis=1)
CENTRE = len(WAFER) // 2


def place(azimuth: float) -> tuple[np.ndarray, np.ndarray]:
    """Position [cm] and axis of a source 14 cm away, tilted by 30 degrees."""
    t, a = np.radians(30.0), np.radians(azimuth)
    out = np.array([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)])
    return 14.0 * out, -out


def ring(position, axis, points, n, radius, steps=48):
    """Flux per unit of emitted mass [m, cm^-2]: mean over a ring of emitters with a cos^n law."""
    u = np.cross(axis, [0.3, -0.5, 0.8])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    angle = 2 * np.pi * np.arange(steps) / steps
    emitters = position + radius * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v)
    ray = points[None] - emitters[:, None]
    r = np.sqrt((ray**2).sum(-1))
    cos_phi, cos_theta = (ray @ axis) / r, -ray[..., 2] / r
    return (n + 1) / (2 * np.pi) * (cos_phi**n * cos_theta / r**2).mean(axis=0)


@dataclass(frozen=True)
class RingSource:
    """Rate over power P [W] and pressure p [mTorr]; `scale` is the flux at the middle at 40 W and the best pressure."""

    azimuth: float
    radius: float
    diffuse: float
    scale: float
    exponent: float = 1.02
    best: float = 9.0
    width: float = 1.0
    n0: float = 1.6
    n1: float = 0.3

    def flux(self, power, pressure, points):
        position, axis = place(self.azimuth)
        n = self.n0 + self.n1 * np.log(pressure / 8.0)
        emitted = self.scale * (power / 40.0) ** self.exponent
        emitted *= np.exp(-0.5 * (np.log(pressure / self.best) / self.width) ** 2) * (
            1 - 0.0015 * power * (pressure / 20) ** 0.5
        )
        middle = ring(position, axis, np.zeros((1, 3)), n, self.radius)
        return emitted * ((1 - self.diffuse) * ring(position, axis, points, n, self.radius) / middle + self.diffuse)


def random_source(rng, azimuth, radius, diffuse, scale):
    exponent, best, width = rng.uniform(0.9, 1.1), rng.uniform(6, 14), rng.uniform(0.8, 1.3)
    n0, n1 = rng.uniform(0.9, 3.2), rng.uniform(-0.2, 0.8)
    return RingSource(azimuth, radius, diffuse, scale, exponent, best, width, n0, n1)


def runs(rng, source, tooling, relative=0.015, absolute=0.05, slope=0.005, count=10):
    """Settings [n, 2], rates [n, q] as the sensors read them, and the standard errors that the slopes admit [n, q]."""
    corners = [[10, 4], [10, 20], [100, 4], [100, 20], [55, 12]]
    others = np.column_stack([rng.uniform(10, 100, count - 5), rng.uniform(4, 20, count - 5)])
    points = np.concatenate([np.array(corners, dtype=float), others])
    true = np.array([source.flux(p, q, SENSORS) for p, q in points]) * tooling
    rates = true * (1 + relative * rng.standard_normal(true.shape)) + absolute * rng.standard_normal(true.shape)
    std = slope * true
    return points, rates + std * rng.standard_normal(true.shape), std


def fractions(fluxes, elements):
    """Atomic fractions [e, m] of mass fluxes [e, m]."""
    moles = np.array([flux / MASS[element] for flux, element in zip(fluxes, elements)])
    return moles / moles.sum(axis=0)
