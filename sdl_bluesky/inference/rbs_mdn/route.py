"""From a spectrum to an answer: network, fit from where it points, goodness of the fit; accepted, or handed to a person.

How strange a spectrum is says the deviance that is left after the fit, which may move everything that the system does not
know exactly: an element or a calibration that the system does not hold cannot hide in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.inference.rbs_fit import FitResult, fit
from sdl_bluesky.inference.rbs_fit.goodness import expected_deviance
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

RESTARTS = 6
STRANGE = 4.0
"""Standard deviations of the deviance from which on a spectrum is not of this world."""
FAR = 4.0
"""Distance of network and fit, in standard deviations of the network, from which on a person should look."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a batch of spectra.

    Attributes:
        posterior: of the network.
        fit: from its most probable values.
        strangeness: deviance after the fit less what it should be, in standard deviations [b].
        distance: largest difference of network and fit among the densities, in the network's standard deviations [b].
        accepted: whether the fit describes the spectrum, and nothing is strange [b].
        reasons: why it is handed to a person; empty if it is not.
    """

    posterior: Posterior
    fit: FitResult
    strangeness: Array
    distance: Array
    accepted: NDArray[np.bool_]
    reasons: tuple[tuple[str, ...], ...]


def answer(
    model: Model,
    counts: ArrayLike,
    fluence: float = 1.0,
    *,
    restarts: int = RESTARTS,
    progress: Callable[[int, int], None] | None = None,
) -> Answer:
    """Analyse spectra that were taken with one and the same fluence.

    Args:
        model: of their material system.
        counts: [b, channel].
        fluence: factor on that of the system's set-up.
        restarts: searches from elsewhere for a spectrum that is not described.
        progress: called with (spectra done, spectra).

    Raises:
        OutOfRange: see `Model.predict`.
    """
    spectra = np.asarray(counts, dtype=float)
    posterior = model.predict(spectra, fluence)
    found = fit_from(model, posterior, spectra, fluence, restarts=restarts, progress=progress)
    strange = strangeness(found)
    d = model.system.densities
    z = model.system.coordinates(found.values)
    distance = np.max(np.abs(z - posterior.modes[:, 0])[:, :d] / posterior.std_z[:, :d], axis=1)
    reasons = tuple(_reasons(found, strange, distance, k) for k in range(len(spectra)))
    return Answer(posterior, found, strange, distance, np.array([not k for k in reasons]), reasons)


def fit_from(
    model: Model,
    posterior: Posterior,
    counts: Array,
    fluence: float = 1.0,
    *,
    restarts: int = RESTARTS,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Levenberg-Marquardt from the network's most probable densities, in the box of the prior."""
    system = model.system
    begin = system.fill(posterior.best[:, : system.densities])
    return fit(
        setup_at(model, fluence),
        counts,
        begin,
        free=system.free,
        bounds=system.bounds,
        roi=list(system.roi),
        nuisance=system.nuisance,
        restarts=restarts,
        confirm=0,
        coarse=False,
        progress=progress,
    )


def setup_at(model: Model, fluence: float) -> Setup:
    """The set-up with another fluence."""
    return replace(model.system.setup, fluence_ions=model.system.setup.fluence_ions * fluence)


def strangeness(found: FitResult) -> Array:
    """Deviance less its expectation, in standard deviations [b]."""
    rows = np.arange(len(found.values))
    mean, variance = expected_deviance(found.problem.expected(found.values, rows))
    return (found.deviance - mean) / np.sqrt(variance)


def _reasons(found: FitResult, strange: Array, distance: Array, row: int) -> tuple[str, ...]:
    told = []
    if strange[row] > STRANGE:
        told.append(
            f"the spectrum is not of this system (deviance {strange[row]:.1f} standard deviations over what counting "
            "gives): look for another element, another substrate, the calibration, pile-up"
        )
    elif not found.accepted[row]:
        told.append(f"the fit does not describe the spectrum: chi2 {found.chi2[row]:.0f} over {found.limit:.0f}")
    if distance[row] > FAR:
        told.append(f"network and fit differ by {distance[row]:.1f} of the network's standard deviations")
    return tuple(told)
