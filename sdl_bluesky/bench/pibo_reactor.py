"""A reactor by its mechanisms, for a study of learners that do not know them. No form of a learner is used.

Gallium is lost to the walls until they are covered, and to adducts with arsine; what is left diffuses through a boundary
layer that total flow makes thinner, as indium does, and is incorporated but for what a hot surface returns. Group V is
abundant: arsenic and phosphorus compete for sites in the manner of Langmuir, each with the part of its hydride that is
cracked, and a surface of more gallium binds more arsenic:

    j_Ga = D (F_Ga - w F_Ga / (F_Ga + k)) / (1 + c F_As/F_P) / sqrt(total flow),   j_In = F_In / sqrt(total flow)
    x = e j_Ga / (e j_Ga + j_In)
    y = K / (1 + K),   K = (1 + g x) (cracked F_As)^r (1 + n F_As/F_P) / (cracked F_P)

Temperature moves both cracked parts and e. Two free scales put the middle of the runs of the paper in the middle of its
compositions, with a spread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

from sdl_bluesky.physics.geometry import Array

F_IN, F_P, F_H2 = 12.0, 60.0, 300.0
T_K, GAS = 923.15, 8.314e-3
MIDDLE_FLOWS, MIDDLE_XY = np.array([[5.0, 9.0]]), np.array([0.166, 0.362])
SCATTER = 0.05


def mechanistic(rng: np.random.Generator) -> Callable[[Array], Array]:
    """The law of a random reactor: flows [n, 2] to the logarithm of the odds of x and y [n, 2], without noise."""
    temperature = T_K + rng.normal(0.0, 6.0)
    diffusion, adduct = rng.uniform(0.9, 1.2), rng.uniform(1.0, 6.0)
    walls, cover = rng.uniform(0.5, 2.5), rng.uniform(1.0, 4.0)
    gallium, order, more = rng.uniform(1.0, 6.0), rng.uniform(0.7, 0.95), rng.uniform(-0.6, 0.3)
    arsine_crack, phosphine_crack = (np.exp(-e / GAS * (1 / temperature - 1 / T_K)) for e in (60.0, 140.0))
    kept = 1.0 - 0.1 * np.exp(-80.0 / GAS * (1 / temperature - 1 / T_K))

    def odds(flows: Array) -> Array:
        ga, arsine = flows.T
        layer = np.sqrt(F_H2 + F_IN + F_P + ga + arsine)
        j_ga = diffusion * (ga - walls * ga / (ga + cover)) / (1.0 + adduct * arsine / F_P) / layer
        x = kept * j_ga / (kept * j_ga + F_IN / layer)
        cracked = 1.0 - np.exp(-1.5 * arsine_crack * np.sqrt(F_H2) / layer)
        sites = (cracked * arsine) ** order / (F_P * (1.0 - np.exp(-0.6 * phosphine_crack)))
        k = (1.0 + gallium * x) * sites * (1.0 + more * arsine / F_P)
        return np.stack([logit(x), np.log(k)], axis=1)

    scale = logit(MIDDLE_XY) + rng.normal(0.0, SCATTER, 2) - odds(MIDDLE_FLOWS)[0]

    def law(flows: Array) -> Array:
        return scale + odds(np.asarray(flows, dtype=float))

    return law


def slopes(law: Callable[[Array], Array], flows: Array) -> Array:
    """Derivatives [2, 2] of the composition (x, y), rows, by the flows [2] (F_Ga, F_As), columns [1/sccm]."""
    step = 1e-4
    at = flows + step * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    xy = expit(law(at))
    return np.stack([xy[0] - xy[1], xy[2] - xy[3]], axis=1) / (2 * step)
