"""Fits of spectra: one for each sample, or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_fit import checks
from sdl_bluesky.inference.rbs_fit.box import joined
from sdl_bluesky.inference.rbs_fit.likelihood import likelihood as likelihood_of
from sdl_bluesky.inference.rbs_fit.parameters import SMALLEST, WIDE, Parameters, extras_of
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.inference.rbs_fit.result import FitResult, chi2_limit, collect
from sdl_bluesky.inference.rbs_fit.search import Plan, search
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

Bounds = tuple[ArrayLike, ArrayLike]
BLOCK = 256
"""Samples that are searched together: memory does not grow with the batch but for the result."""


def fit(
    setup: Setup,
    spectra: ArrayLike,
    start: ArrayLike,
    *,
    free: ArrayLike,
    bounds: Bounds = (0.0, 5000.0),
    roi: checks.Roi | None = None,
    likelihood: str = "poisson",
    nuisance: Mapping[str, float] | None = None,
    priors: tuple[ArrayLike, ArrayLike] | None = None,
    restarts: int = 6,
    confirm: int = 1,
    coarse: bool = True,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Areal densities from spectra, one spectrum for each sample, a batch of samples at once.

    Args:
        setup: beam, geometry, detector.
        spectra: counts [b, channel] (or [channel]), as measured, nothing taken off.
        start: densities [b, layer, element] (or one set for all) in 1e15 at/cm2; those that are not free are held there.
        free: which densities are fitted, bool [layer, element].
        bounds: (lower, upper) of the free densities, each a number or [layer, element].
        roi: channels that count: [(first, last + 1), ...] or bool [channel]; by default all but those near the lowest energy
            of the model.
        likelihood: "poisson" (default), or "chi2" (weights 1 / (x + 1), which biases low counts), "pearson", "anscombe".
        nuisance: standard deviation of the normal prior of each nuisance parameter that is fitted, by its name in
            `setup.nuisance_names`; its mean is the set-up as it is written.
        priors: (mean, standard deviation) of normal priors on densities, each [layer, element], the mean also
            [b, layer, element]; standard deviation inf: none.
        restarts: most further searches for a spectrum whose chi2 is not accepted.
        confirm: coarse fits from further starts for every spectrum; a second minimum that is about as good goes on, too.
        coarse: begin with the spectrum as a poor detector sees it, which finds the right minimum from far away; without it
            only restarts do, for a start that is good in most cases.
        seed: of the restarts.
        progress: called with (spectra done, spectra).

    Raises:
        OutOfRange: shapes do not fit, a count is negative or not finite, the region is empty, a start is outside its bounds,
            nothing is free.
        UnknownName: a nuisance parameter or a likelihood that there is not.
    """
    regions = None if roi is None else [roi]
    return fit_joint(
        [setup], [spectra], start, free=free, bounds=bounds, roi=regions, likelihood=likelihood, nuisance=nuisance,
        priors=priors, restarts=restarts, confirm=confirm, coarse=coarse, seed=seed, progress=progress,
    )  # fmt: skip


def fit_joint(
    setups: Sequence[Setup],
    spectra: Sequence[ArrayLike],
    start: ArrayLike,
    *,
    free: ArrayLike,
    bounds: Bounds = (0.0, 5000.0),
    roi: Sequence[checks.Roi] | None = None,
    likelihood: str = "poisson",
    nuisance: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    priors: tuple[ArrayLike, ArrayLike] | None = None,
    restarts: int = 6,
    confirm: int = 1,
    coarse: bool = True,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Areal densities from several spectra of each sample: two detectors, two angles, two beams.

    Args:
        setups: one for each spectrum of a sample, with the same elements.
        spectra: counts [b, channel] for each set-up.
        start: as in `fit`.
        free: as in `fit`.
        bounds: as in `fit`.
        roi: a region of interest for each spectrum.
        likelihood: as in `fit`.
        nuisance: as in `fit`, one mapping for all spectra or one for each. Every spectrum has its own fluence, calibration
            and resolution; the factors on the stopping are shared by the spectra of one ion.
        priors: as in `fit`.
        restarts: as in `fit`.
        confirm: as in `fit`.
        coarse: as in `fit`.
        seed: as in `fit`.
        progress: as in `fit`.

    Raises:
        OutOfRange, UnknownName: as `fit`; numbers of set-ups, spectra and regions differ; elements differ.
    """
    distance = likelihood_of(likelihood)
    problem, layers = _problem(setups, spectra, start, free, bounds, roi, nuisance, priors)
    parameters = problem.parameters
    if restarts < 0 or confirm < 0:
        raise OutOfRange(f"restarts {restarts}, confirm {confirm}: numbers of searches, 0 or more")

    nominal = np.broadcast_to([extra.nominal for extra in parameters.extras], (len(layers), len(parameters.extras)))
    begin = np.concatenate([layers[:, parameters.free], nominal], axis=1)
    plan = Plan(distance, chi2_limit(problem.counts.shape[1]), restarts, coarse, confirm if coarse else 0, seed)
    found, used = [], []
    for first in range(0, len(begin), BLOCK):
        rows = slice(first, first + BLOCK)
        minimum, count = search(problem.part(rows), begin[rows], plan)
        found.append(minimum)
        used.append(count)
        if progress is not None:
            progress(min(rows.stop, len(begin)), len(begin))
    return collect(problem, joined(found), np.concatenate(used), likelihood)


def _problem(
    setups: Sequence[Setup],
    spectra: Sequence[ArrayLike],
    start: ArrayLike,
    free: ArrayLike,
    bounds: Bounds,
    roi: Sequence[checks.Roi] | None,
    nuisance: Mapping[str, float] | Sequence[Mapping[str, float]] | None,
    priors: tuple[ArrayLike, ArrayLike] | None,
) -> tuple[Problem, Array]:
    """Everything checked; the problem, and the densities to start from [b, layer, element]."""
    given = [None] * len(setups) if roi is None else list(roi)
    if not setups or len(spectra) != len(setups) or len(given) != len(setups):
        raise OutOfRange(
            f"{len(setups)} set-ups, {len(spectra)} spectra, {len(given)} regions: one of each for every spectrum"
        )
    elements = setups[0].elements
    if any(setup.elements != elements for setup in setups):
        raise OutOfRange("the set-ups of one sample must have the same elements in the same order")
    channels = [checks.channels_of(k, setup) for k, setup in zip(given, setups, strict=True)]
    counts = [checks.spectra_of(k, setup) for k, setup in zip(spectra, setups, strict=True)]
    count = len(counts[0])
    if any(len(k) != count for k in counts):
        raise OutOfRange(f"{' and '.join(str(len(k)) for k in counts)} spectra: every sample must have one of each")
    inside = checks.free_of(free, elements)
    names = [f"{elements[e]}@{layer + 1}" for layer, e in np.argwhere(inside)]
    lower, upper = checks.box_of(bounds, inside, names)
    layers = checks.start_of(start, inside, count, (lower, upper), names)
    mean, precision = checks.priors_of(priors, inside, count, names)
    wanted = [nuisance or {}] * len(setups) if nuisance is None or isinstance(nuisance, Mapping) else list(nuisance)
    if len(wanted) != len(setups):
        raise OutOfRange(
            f"{len(setups)} set-ups, {len(wanted)} sets of nuisance parameters: one for all or one for each"
        )
    extras = extras_of(setups, wanted)
    nominal = np.array([extra.nominal for extra in extras])
    sd = np.array([extra.sd for extra in extras])
    least = np.array([-np.inf if extra.name == "offset" else SMALLEST for extra in extras])
    parameters = Parameters(
        setups=tuple(setups),
        free=inside,
        extras=extras,
        lower=np.concatenate([lower, np.maximum(nominal - WIDE * sd, least)]),
        upper=np.concatenate([upper, nominal + WIDE * sd]),
        mean=np.concatenate([mean, np.broadcast_to(nominal, (count, len(extras)))], axis=1),
        precision=np.concatenate([precision, 1.0 / sd**2]),
    )
    roi_counts = np.concatenate([x[:, k] for x, k in zip(counts, channels, strict=True)], axis=1)
    return Problem(parameters, layers, tuple(channels), roi_counts), layers
