"""Areal densities and atomic fractions of a film at the points where backscattering spectra were taken.

Each spectrum is fitted by itself (`fitting`), from where a network points if there is one for the measurement (`network`);
what all spectra share is then made common (`pool`), so that errors are correlated between the points as they are; last it is
looked at what the fits leave over (`verdict`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.rbs.fitting import fit_points, layers_of_film, region_of
from sdl_bluesky.analysis.rbs.level import level
from sdl_bluesky.analysis.rbs.network import FAR, NONE, Choice, Prediction, predict
from sdl_bluesky.analysis.rbs.pool import Pooled, pool
from sdl_bluesky.analysis.rbs.priors import RBSPriors
from sdl_bluesky.analysis.rbs.run import RBSPoint, RBSRun
from sdl_bluesky.analysis.rbs.verdict import judge
from sdl_bluesky.data.rbs.checks import findings as odd_setup
from sdl_bluesky.errors import WeakSignal
from sdl_bluesky.physics.geometry import Array

LEAST_COUNTS = 100.0
"""In the region of interest, for a spectrum to be fitted."""
LEAST_SIGMA = 5.0
"""A film whose areal density is fewer standard errors than this from nothing has no composition."""
MOST_DEAD = 0.1


@dataclass(frozen=True, eq=False)
class FilmPoints:
    """What the spectra of a film say.

    Attributes:
        points: the spectra that were fitted [p].
        film: its elements [e].
        density: [p, e], 1e15 at/cm2; `density_cov`: [p, e, p, e].
        fraction: [p, e]; `fraction_cov`: [p, e, p, e].
        chi2, nu: sum (x - fit)^2 / (x + 1) over the region of interest, and its channels [p].
        accepted: whether chi2 is below the 95 % quantile for nu [p].
        p_value: probability of a larger deviance if the model is right [p], see `inference.rbs_fit.goodness`.
        nuisance, nuisance_std: [p, k], as the spectra have them (what the fluence means for densities: `level`);
            `nuisance_names`: [k].
        common: mean and standard deviation of what all spectra share, by name.
        fit: expected counts [p, channel].
        region: channels of the region of interest, the first and one after the last.
        findings: what a person should look at.
        strangeness: deviance that each separate fit leaves, less what counting gives, in standard deviations of it [p].
        network: what the network says of the spectra; None without one.
    """

    points: tuple[RBSPoint, ...]
    film: tuple[str, ...]
    density: Array
    density_cov: Array
    fraction: Array
    fraction_cov: Array
    chi2: Array
    nu: Array
    accepted: NDArray[np.bool_]
    p_value: Array
    nuisance: Array
    nuisance_std: Array
    nuisance_names: tuple[str, ...]
    common: Mapping[str, tuple[float, float]]
    fit: Array
    region: tuple[int, int]
    findings: tuple[str, ...]
    strangeness: Array
    network: Prediction | None = None


def analyse_film(run: RBSRun, priors: RBSPriors | None = None, seed: int = 0, choice: Choice = NONE) -> FilmPoints:
    """Areal densities and fractions of a film from the spectra of a run.

    Args:
        run: from `rbs_run`.
        priors: of the nuisance parameters.
        seed: of the restarts of the fits.
        choice: the model for its spectra, from `network.model_for`; the fits are the answer with and without one.

    Raises:
        WeakSignal: no spectrum shows a film.
        OutOfRange: the set-up cannot be, or a fit does not determine its parameters.
    """
    region = region_of(run.points[0].setup)
    points, findings = _with_counts(run, region)
    assumed = priors or RBSPriors()
    known = assumed.parameters(run.elements)
    said = None if choice.loaded is None else predict(choice.loaded, run, points)
    fits = fit_points(run, points, region, known, seed, None if said is None else said.best)
    seen, film = _shown(fits.mean, fits.cov, len(run.film)), len(run.film)
    findings += [f"no film at {points[i]}: left out" for i in range(len(points)) if i not in seen]
    if not seen:
        raise WeakSignal(f"run {run.uid}: no spectrum shows a film of {', '.join(run.film)}: {'; '.join(findings)}")
    points, said = [points[i] for i in seen], None if said is None else said.at(seen)
    findings += [*choice.findings, *_of_fits(points, [fits.findings[i] for i in seen])]
    findings += [] if said is None else _apart(points, said, fits.mean[seen, :film])
    strangeness = fits.strangeness[seen]
    pooled = pool(fits.names, fits.mean[seen], fits.cov[seen], known)
    density, cov = level(pooled, film, assumed.solid_angle, assumed.model)
    fraction, fraction_cov = fractions(density, cov)
    layers = layers_of_film(run, np.clip(pooled.mean[:, :film], 0.0, None))
    verdict = judge(run, points, layers, pooled, known, region, None if said is None else strangeness)
    findings += [
        *odd_setup(points[0].setup, layers.max(axis=0)),
        *_absent(run, points, density, pooled.std[:, :film]),
        *verdict.findings,
    ]
    return FilmPoints(
        points=tuple(points),
        film=run.film,
        density=density,
        density_cov=cov,
        fraction=fraction,
        fraction_cov=fraction_cov,
        chi2=verdict.chi2,
        nu=verdict.nu,
        accepted=verdict.accepted,
        p_value=verdict.p_value,
        nuisance=pooled.mean[:, film:],
        nuisance_std=pooled.std[:, film:],
        nuisance_names=tuple(known),
        common=_common(pooled, assumed.model),
        fit=verdict.fit,
        region=region,
        findings=tuple(findings),
        strangeness=strangeness,
        network=said,
    )


def _common(pooled: Pooled, model: float) -> dict[str, tuple[float, float]]:
    """Common factors with their errors; the model's own error is in those of fluence and stopping."""
    std = np.sqrt(np.diag(pooled.common_cov))
    more = [0.0 if name == "resolution" else model for name in pooled.names]
    return {k: (float(v), float(np.hypot(s, m))) for k, v, s, m in zip(pooled.names, pooled.common, std, more)}


def fractions(density: Array, cov: Array) -> tuple[Array, Array]:
    """Atomic fractions [p, e] and their covariance [p, e, p, e] from areal densities, to first order.

    f_i = n_i / N with N = sum n; df_i / dn_j = (delta_ij - f_i) / N.
    """
    total = density.sum(axis=1, keepdims=True)
    fraction = density / total
    slope = (np.eye(density.shape[1])[None] - fraction[:, :, None]) / total[:, :, None]
    return fraction, np.einsum("pij,pjqk,qlk->piql", slope, cov, slope)


def _with_counts(run: RBSRun, region: tuple[int, int]) -> tuple[list[RBSPoint], list[str]]:
    good: list[RBSPoint] = []
    findings = list(run.findings)
    for point in run.points:
        counts = point.counts[slice(*region)].sum()
        if counts < LEAST_COUNTS:
            findings.append(f"empty spectrum at {point}, {counts:.0f} counts: left out; is the beam on the sample?")
            continue
        if point.dead > MOST_DEAD:
            findings.append(
                f"the detector was dead for {100 * point.dead:.0f} % of the time at {point}: expect pile-up"
            )
        good.append(point)
    if not good:
        raise WeakSignal(f"run {run.uid}: every spectrum is empty: {'; '.join(findings)}")
    return good, findings


def _shown(mean: Array, cov: Array, film: int) -> list[int]:
    """Which fits find a film."""
    total = mean[:, :film].sum(axis=1)
    std = np.sqrt(np.maximum(cov[:, :film, :film].sum(axis=(1, 2)), 0.0))
    return [i for i in range(len(mean)) if total[i] > LEAST_SIGMA * std[i] and total[i] > 0.0]


def _absent(run: RBSRun, points: Sequence[RBSPoint], density: Array, std: Array) -> list[str]:
    """Elements that the run says are in the film, and the spectra do not show."""
    weak = density < 2.0 * std
    found = []
    for k, name in enumerate(run.film):
        if weak[:, k].any():
            where = "no point" if weak[:, k].all() else f"{weak[:, k].sum()} of {len(points)} points"
            what = "is found at no point" if weak[:, k].all() else f"is not found at {where}"
            found.append(f"{name} {what}: its areal density is 0 within the error")
    return found


def _apart(points: Sequence[RBSPoint], said: Prediction, density: Array) -> list[str]:
    """Spectra of which network and separate fit say different things."""
    distance = said.distance(density)
    far = np.flatnonzero(distance > FAR)
    if not far.size:
        return []
    worst = int(np.argmax(distance))
    return [
        f"network and fit differ at {far.size} of {len(points)} points, worst at {points[worst]} by {distance[worst]:.1f} "
        "standard deviations of the network; the fit counts: is the film within what the network was trained for?"
    ]


def _of_fits(points: Sequence[RBSPoint], findings: Sequence[Sequence[str]]) -> list[str]:
    """Findings of the separate fits, each told once."""
    where: dict[str, list[str]] = {}
    for point, told in zip(points, findings):
        for text in told:
            where.setdefault(text, []).append(str(point))
    return [f"{len(k)} of {len(points)} fits, the first at {k[0]}: {text}" for text, k in where.items()]
