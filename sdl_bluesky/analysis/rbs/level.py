"""How far the height of the substrate may tell the charge: not further than the model is right.

The film's counts give areal density times fluence. The fluence is known twice: from charge and solid angle, and from height
and shape of the substrate's signal. The second has little statistical error when nine spectra are taken together, but is
only as good as the model: two programs with the same stopping data take fluences from one spectrum that differ by about 2 %.
That error is common to all points, and no nuisance parameter holds it.

So the fit's common factor g' on the fluence is taken as the true one g plus a discrepancy, g' = g + delta with
delta ~ N(0, m^2), while g ~ N(1, s^2) from the solid angle. Given g', g = 1 + (1 - k)(g' - 1) with k = m^2 / (m^2 + s^2)
and variance k s^2, and since the film's counts stand,

    n = n' g' / g = n' (1 + k (g' - 1)) to first order, with one more variance k s^2 n n^T that all points share.

What the substrate says of the charges of the points relative to each other is kept in full.
"""

from __future__ import annotations

import numpy as np

from sdl_bluesky.analysis.rbs.pool import Pooled
from sdl_bluesky.physics.geometry import Array

FLUENCE = "fluence"


def level(pooled: Pooled, film: int, solid_angle: float, model: float) -> tuple[Array, Array]:
    """Areal densities [p, e] and their covariance [p, e, p, e].

    Args:
        pooled: fitted with the prior hypot(solid_angle, model) on the common part of the fluence.
        film: the first so many parameters are areal densities.
        solid_angle: standard deviation s.
        model: standard deviation m.
    """
    density = np.clip(pooled.mean[:, :film], 0.0, None)
    cov = pooled.cov[:, :film, :, :film]
    if FLUENCE not in pooled.names or not model > 0.0:
        return density, cov
    g = pooled.names.index(FLUENCE)
    k = model**2 / (model**2 + solid_angle**2)
    moved = density * (1.0 + k * (pooled.common[g] - 1.0))
    cross = np.einsum("pic,c,qj->piqj", pooled.slopes[:, :film], pooled.common_cov[:, g], k * density)
    own = np.multiply.outer(density, density) * (k**2 * pooled.common_cov[g, g] + k * solid_angle**2)
    return moved, cov + cross + cross.transpose(2, 3, 0, 1) + own
