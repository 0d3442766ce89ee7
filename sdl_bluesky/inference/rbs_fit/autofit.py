"""The Autofit of the literature, to compare with: adaptive Nelder-Mead on chi2, one spectrum after the other.

After Muzakka et al. (the mixture-density-network paper on backscattering): scipy's adaptive simplex (Gao and Han, Comput.
Optim. Appl. 51, 259, 2012), at most 200 evaluations for each parameter, begun anew from its best point every 500.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_fit import checks
from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.inference.rbs_fit.likelihood import paper_chi2
from sdl_bluesky.inference.rbs_fit.result import chi2_limit
from sdl_bluesky.physics import rbs
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

PER_PARAMETER = 200
RESTART_EVERY = 500
NOTHING = 1e-6
"""Part of chi2: a restart that brings less is the last."""


@dataclass(frozen=True, eq=False)
class Autofit:
    """What Autofit found.

    Attributes:
        layers: densities [b, layer, element] in 1e15 at/cm2.
        chi2: [b].
        nu: channels of the region of interest.
        accepted: whether chi2 is below the 95 % quantile of chi2 with nu degrees of freedom [b].
        evaluations: of the model [b].
    """

    layers: Array
    chi2: Array
    nu: int
    accepted: Mask
    evaluations: Indices


def autofit(
    setup: Setup,
    spectra: ArrayLike,
    start: ArrayLike,
    *,
    free: ArrayLike,
    bounds: tuple[ArrayLike, ArrayLike] = (0.0, 5000.0),
    roi: checks.Roi | None = None,
    per_parameter: int = PER_PARAMETER,
    restart_every: int = RESTART_EVERY,
    progress: Callable[[int, int], None] | None = None,
) -> Autofit:
    """Fit by adaptive Nelder-Mead; arguments and errors as in `fit`.

    Args:
        setup: beam, geometry, detector.
        spectra: counts [b, channel].
        start: densities [b, layer, element], or one set for all.
        free: which densities are fitted.
        bounds: of the free densities.
        roi: channels that count.
        per_parameter: most evaluations for each parameter.
        restart_every: evaluations after which a new simplex is begun.
        progress: called with (spectra done, spectra).

    Raises:
        OutOfRange: as `fit`; a number of evaluations under 1.
    """
    if per_parameter < 1 or restart_every < 1:
        raise OutOfRange(
            f"{per_parameter} evaluations a parameter, a restart every {restart_every}: both must be 1 or more"
        )
    channels = checks.channels_of(roi, setup)
    counts = checks.spectra_of(spectra, setup)[:, channels]
    inside = checks.free_of(free, setup.elements)
    names = [f"{setup.elements[e]}@{layer + 1}" for layer, e in np.argwhere(inside)]
    box = checks.box_of(bounds, inside, names)
    layers = checks.start_of(start, inside, len(counts), box, names)
    evaluations = np.zeros(len(counts), dtype=int)
    chi2 = np.empty(len(counts))
    for row, x in enumerate(counts):

        def distance(theta: Array, row: int = row, x: Array = x) -> float:
            layers[row, inside] = theta
            return float(paper_chi2(x, rbs.simulate(setup, layers[row])[channels]))

        best, chi2[row], evaluations[row] = _simplex(distance, layers[row, inside], box, per_parameter, restart_every)
        layers[row, inside] = best
        if progress is not None:
            progress(row + 1, len(counts))
    nu = counts.shape[1]
    return Autofit(layers, chi2, nu, chi2 < chi2_limit(nu), evaluations)


def _simplex(
    distance: Callable[[Array], float], start: Array, box: tuple[Array, Array], per_parameter: int, restart_every: int
) -> tuple[Array, float, int]:
    most, used = per_parameter * len(start), 0
    best, value = np.array(start), np.inf
    while used < most:
        options = {"adaptive": True, "maxfev": min(restart_every, most - used)}
        found = minimize(distance, best, method="Nelder-Mead", bounds=np.stack(box, axis=1), options=options)
        used += int(found.nfev)
        gain = value - float(found.fun)
        if gain > 0.0:
            best, value = np.array(found.x), float(found.fun)
        if found.success and gain <= NOTHING * value:
            break
    return best, value, used
