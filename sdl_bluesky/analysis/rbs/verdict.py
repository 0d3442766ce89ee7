"""How well the parameters of a film describe its spectra, and what a person should look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.rbs.fitting import calibrated, nuisance_of
from sdl_bluesky.analysis.rbs.network import STRANGE
from sdl_bluesky.analysis.rbs.pool import Pooled, Prior
from sdl_bluesky.analysis.rbs.residual import Misfit, find_misfit
from sdl_bluesky.analysis.rbs.run import RBSPoint, RBSRun
from sdl_bluesky.physics.geometry import Array

UNLIKELY = 1e-3
FAR = 4.0
"""Standard deviations of its prior from which on a nuisance parameter is told."""
_SPREAD = "a poor fit all over the spectrum: check calibration, stopping, substrate and layers"


@dataclass(frozen=True, eq=False)
class Verdict:
    """Attributes: fit [p, channel]; chi2, nu, accepted, p_value [p]; findings. See `film.FilmPoints`."""

    fit: Array
    chi2: Array
    nu: Array
    accepted: NDArray[np.bool_]
    p_value: Array
    findings: tuple[str, ...]


def judge(
    run: RBSRun,
    points: Sequence[RBSPoint],
    layers: Array,
    pooled: Pooled,
    known: Mapping[str, Prior],
    region: tuple[int, int],
    strangeness: Array | None = None,
) -> Verdict:
    """Spectra as the parameters give them, and how well they describe what was counted.

    Args:
        run: whose points they are.
        points: with counts.
        layers: of the film and its substrate [p, layer, element].
        pooled: densities and nuisance parameters.
        known: priors of the nuisance parameters.
        region: from `fitting.region_of`.
        strangeness: of the separate fits [p], to be told with what the residuals show; None: it is not asked for.
    """
    from sdl_bluesky.inference.rbs_fit import chi2_limit, deviance, paper_chi2
    from sdl_bluesky.inference.rbs_fit.goodness import goodness
    from sdl_bluesky.physics.rbs import simulate

    film, where, std = len(run.film), slice(*region), pooled.std
    width = np.array([prior.total for prior in known.values()])
    fit = np.empty((len(points), points[0].setup.channels))
    misfits: list[Misfit | None] = []
    for i, point in enumerate(points):
        values = dict(zip(known, pooled.mean[i, film:]))
        fit[i] = simulate(point.setup, layers[i], nuisance_of(values, run.elements))
        misfits.append(find_misfit(calibrated(point.setup, values), point.counts, fit[i], region[0], run.film))
    x, mu = np.stack([k.counts for k in points])[:, where], fit[:, where]
    told = np.clip(
        1.0 - (std[:, film:] / width) ** 2, 0.0, 1.0
    )  # nuisance parameters that the counts determine, by parts
    chance = goodness(deviance(x, mu), mu, film + told.sum(axis=1))
    chi2, channels = paper_chi2(x, mu), region[1] - region[0]
    accepted = chi2 < chi2_limit(channels)
    nu = np.full(len(points), float(channels))
    strange = np.zeros(len(points)) if strangeness is None else strangeness
    findings = (*_far(points, pooled.mean[:, film:], known), *_complaints(points, accepted, chance, misfits, strange))
    return Verdict(fit, chi2, nu, accepted, chance, findings)


def _far(points: Sequence[RBSPoint], values: Array, known: Mapping[str, Prior]) -> list[str]:
    """Nuisance parameters that had to go far from what the lab says."""
    found = []
    for k, (name, prior) in enumerate(known.items()):
        off = (values[:, k] - prior.mean) / prior.total
        i = int(np.argmax(np.abs(off)))
        if abs(off[i]) > FAR:
            unit = " keV" if name == "offset" else ""
            found.append(
                f"{name} = {values[i, k]:.4g}{unit} at {points[i]}, {off[i]:+.1f} standard deviations from the set-up: "
                "the set-up is not as the lab says, or the fit bends to what the model lacks"
            )
    return found


def _complaints(
    points: Sequence[RBSPoint],
    accepted: NDArray[np.bool_],
    chance: Array,
    misfits: Sequence[Misfit | None],
    strangeness: Array,
) -> list[str]:
    """Findings of the fits; what is the same at several points is told once."""
    groups: dict[str, list[int]] = {}
    for i, misfit in enumerate(misfits):
        if misfit is not None:
            groups.setdefault(misfit.kind, []).append(i)
        elif not accepted[i] or chance[i] < UNLIKELY or strangeness[i] > STRANGE:
            groups.setdefault("", []).append(i)
    found = []
    for rows in groups.values():
        worst = max(rows, key=lambda i: abs(misfit.sigma) if (misfit := misfits[i]) else -chance[i])
        misfit = misfits[worst]
        refused = sum(not accepted[i] for i in rows)
        state = f"{refused} of them not accepted" if refused else "accepted all the same"
        over = max(strangeness[i] for i in rows)
        if over > STRANGE:
            state += f", strange by up to {over:.1f} standard deviations of the deviance"
        what = misfit.words if misfit is not None else _SPREAD
        found.append(f"{len(rows)} of {len(points)} spectra ({state}), worst at {points[worst]}: {what}")
    return found
