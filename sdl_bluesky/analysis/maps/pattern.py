"""The emission pattern of a real source: cos^n and how far from it sources are.

ln F(x) = lnS + n ln cos(phi) + ln(cos(theta) / (2 pi r^2)) + d g_d(x) + q g_q(x) + rest

with lnS = ln a(n+1). The last three terms are the model mismatch. Two effects that every magnetron has are known by
their shape and only roughly by their size:

* an extended target: atoms leave a racetrack, not a point. To second order in (size / distance) the flux changes by
  q g_q, q = mean square radius of the erosion groove [cm^2], g_q = (1/4) (Laplacian of F across the axis) / F;
* scattered atoms: part of the atoms loses its direction in the gas within some mean free paths and diffuses from there.
  What a point source at a height h above an absorbing plane sends to it is h / (2 pi r^3) = cos(theta) / (2 pi r^2) of its
  strength: an emitter of n = 0. So d g_d, d = scattered over direct flux at the middle of the wafer, g_d = the flux of
  an n = 0 emitter on the axis, `CLOUD_CM` in front of the target, over the direct flux, and 1 at the middle.

Both are nearly straight lines in ln cos(phi) over the sensors: three sensors do not separate them from n, but the way
from the sensors to the wafer depends on the split. So they are carried as nuisances with wide priors. Sources of one
chamber are of one make in one gas: most of their sizes is common, and that cancels in atomic fractions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.flux import view
from sdl_bluesky.physics.geometry import Array, SourceGeometry, unit_vector

PARAMETERS = 4
"""Numbers per source: lnS, n, d, q."""
CLOUD_CM = 5.0
"""Where scattered atoms come from: a few mean free paths (1 to 5 cm at 2 to 20 mTorr) in front of the target."""
_UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Prior:
    """What is assumed of sources before any data: stated assumptions, not fits to one machine.

    Attributes:
        n: mean and standard deviation of the exponent (published sources: 0.9 to 4 between 4 and 20 mTorr).
        n_shared: correlation of n between the sources of a chamber at one setting: a gas bends them all, and what is left
            is that of their elements, 0.26 each (a choice: see decision 24).
        n_same: correlation of n of one source at two settings.
        diffuse: mean and standard deviation of d.
        square_radius_cm2: the same of q (grooves of two- and three-inch targets: 1 to 2.5 cm radius, so 1 to 6 cm^2).
        shared: correlation of d, and of q, between the sources of a chamber: sizes are alike within a fifth or so.
        rest: relative standard deviation of what is left at a place, independent from place to place.
    """

    n: tuple[float, float] = (2.0, 1.0)
    n_shared: float = 0.93
    n_same: float = 0.9
    diffuse: tuple[float, float] = (0.07, 0.04)
    square_radius_cm2: tuple[float, float] = (3.0, 1.5)
    shared: float = 0.95
    rest: float = 0.003

    def __post_init__(self) -> None:
        for name in ("n_shared", "n_same", "shared"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise OutOfRange(f"{name} = {getattr(self, name)}: give a correlation from 0 to 1")

    def mismatch(self, sources: int) -> tuple[Array, Array]:
        """Mean [2 * sources] and covariance of (d of every source, q of every source)."""
        mean = np.repeat([self.diffuse[0], self.square_radius_cm2[0]], sources)
        alike = self.shared * np.ones((sources, sources)) + (1.0 - self.shared) * np.eye(sources)
        sizes = np.diag([self.diffuse[1] ** 2, self.square_radius_cm2[1] ** 2])
        return mean, np.asarray(np.kron(sizes, alike), dtype=np.float64)

    def exponents(self, source: ArrayLike, setting: ArrayLike) -> tuple[Array, Array]:
        """Mean [k] and covariance [k, k] of n of sources, by number [k], at settings, by number [k]."""
        s, f = np.asarray(source), np.asarray(setting)
        alike = np.where(s[:, None] == s[None], 1.0, self.n_shared) * np.where(f[:, None] == f[None], 1.0, self.n_same)
        return np.full(s.shape, self.n[0], dtype=np.float64), np.asarray(self.n[1] ** 2 * alike, dtype=np.float64)


def design(source: SourceGeometry, points: ArrayLike, normals: ArrayLike, n0: float) -> tuple[Array, Array]:
    """Linear model of ln F at points: matrix [m, 4] for (lnS, n, d, q), and the offset ln(cos(theta) / (2 pi r^2)) [m].

    Args:
        source: where the source is.
        points: [m, 3], cm.
        normals: [m, 3] or [3].
        n0: exponent at which the two mismatch shapes are taken.

    Raises:
        OutOfRange: a point cannot see the source, or see `physics.flux.view`.
    """
    cos_phi, reach = view(source.position_cm, source.axis, points, normals)
    middle_cos, middle_reach = view(source.position_cm, source.axis, np.zeros((1, 3)), _UP)
    if min(cos_phi.min(), reach.min(), middle_cos.min(), middle_reach.min()) <= 0:
        raise OutOfRange("a sensor or a point of the map cannot see the source: check positions, axes and normals")
    c, offset = np.log(cos_phi), np.log(reach)
    position = np.asarray(source.position_cm, dtype=float)
    cloud = position + min(CLOUD_CM, 0.5 * float(np.linalg.norm(position))) * unit_vector(source.axis)
    scattered = view(cloud, source.axis, points, normals)[1] / view(cloud, source.axis, np.zeros((1, 3)), _UP)[1]
    diffuse = scattered * np.exp(n0 * np.log(middle_cos) + np.log(middle_reach) - n0 * c - offset)
    extended = _extended(source, np.asarray(points, dtype=float), normals, n0)
    return np.stack([np.ones_like(c), c, diffuse, extended], axis=1), offset


def _extended(source: SourceGeometry, points: Array, normals: ArrayLike, n0: float) -> Array:
    """(1/4) (Laplacian across the axis of F) / F at points [m], cm^-2: what a unit mean square radius changes.

    F = (u.a)^n (-u.N) / |u|^k with u from source to point, k = n + 3; u.a does not change across the axis.
    """
    axis, normal = unit_vector(source.axis), unit_vector(normals)
    u = points - np.asarray(source.position_cm, dtype=float)
    r2 = np.sum(u**2, axis=-1)
    along = np.sum(u * axis, axis=-1)
    facing = -np.sum(u * normal, axis=-1)
    normal_u = -facing - along * np.sum(normal * axis, axis=-1)  # N.u across the axis
    k = n0 + 3.0
    return (2.0 * k * normal_u / (r2 * facing) - 2.0 * k / r2 + k * (k + 2.0) * (r2 - along**2) / r2**2) / 4.0
