"""From a spectrum to an answer: network, fit from where it points, goodness of the fit; accepted, or handed to a person.

The fit may move everything that the system does not know exactly. How strange a spectrum is says what is left then: the
deviance, which anything may raise, and scores for what could be missing (`rbs_fit.suspects`), which see less of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.inference.rbs_fit import FitResult, Suspects, fit, suspects
from sdl_bluesky.inference.rbs_fit.goodness import excess
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

RESTARTS = 6
STRANGE = 4.0
"""Standard deviations from which on a spectrum is not of this world."""
FAR = 4.0
"""Distance of network and fit, in standard deviations of the network, from which on a person should look."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a batch of spectra.

    Attributes:
        posterior: of the network.
        fit: from its most probable values.
        excess: deviance after the fit less what it should be, in standard deviations [b].
        suspects: what the system may lack.
        distance: largest difference of network and fit among the densities, in the network's standard deviations [b].
        accepted: whether the fit describes the spectrum, and nothing is strange [b].
        reasons: why it is handed to a person; empty if it is not.
    """

    posterior: Posterior
    fit: FitResult
    excess: Array
    suspects: Suspects
    distance: Array
    accepted: NDArray[np.bool_]
    reasons: tuple[tuple[str, ...], ...]

    @property
    def strangeness(self) -> Array:
        """Standard deviations of the deviance or of the worst suspect, whichever are more [b]."""
        return np.maximum(self.excess, self.suspects.worst)


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
    over = excess(found.deviance, found.problem.expected(found.values, np.arange(len(spectra))))
    missing = suspects(found)
    distance = _distance(posterior, found)
    reasons = tuple(_reasons(found, over, missing, distance, k) for k in range(len(spectra)))
    return Answer(posterior, found, over, missing, distance, np.array([not k for k in reasons]), reasons)


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


def _distance(posterior: Posterior, found: FitResult) -> Array:
    """Of densities, not of coordinates, which run away at the ends of the box [b]."""
    d = posterior.system.densities
    return np.max((np.abs(found.values - posterior.mean) / posterior.std)[:, :d], axis=1)


def _reasons(found: FitResult, over: Array, missing: Suspects, distance: Array, row: int) -> tuple[str, ...]:
    told = []
    if max(over[row], missing.worst[row]) > STRANGE:
        told.append(
            f"the spectrum is not of this system (deviance {over[row]:.1f} standard deviations over what counting gives): "
            "look for another element, another substrate, the calibration, pile-up; in first order it is most like "
            f"{missing.words(row)}, standard deviations in brackets"
        )
    elif not found.accepted[row]:
        told.append(f"the fit does not describe the spectrum: chi2 {found.chi2[row]:.0f} over {found.limit:.0f}")
    if distance[row] > FAR:
        told.append(f"network and fit differ by {distance[row]:.1f} of the network's standard deviations")
    return tuple(told)
