"""How good a posterior is, beside truths that the training has not seen: error, efficiency, coverage, ranks.

Efficiency is the median of |error| over 0.6745 times the Cramer-Rao standard deviation of that parameter and spectrum, the
prior's information included (van Trees): 1 is what the counting statistics allow. The coverage score is that of Muzakka et
al. (2024), eqs 17 to 19: the mean of (D - D0) / (D + D0), D the standard deviation told, D0 the error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chisquare

from sdl_bluesky.inference.rbs_fit import chi2_limit, information, paper_chi2
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics import rbs
from sdl_bluesky.physics.geometry import Array

MEDIAN_OF_NORMAL = 0.6744897501960817
LEVELS = (0.68, 0.90, 0.95)
RANKS = 20
"""Cells of a test whether ranks are uniform."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Spectra whose truth is known.

    Attributes:
        system: of which they are.
        truth: values of the unknowns [n, p].
        fluence: factor on the fluence [n].
        counts: [n, channel].
        bound: Cramer-Rao standard deviations with the prior [n, p].
        true_chi2: of the expected counts [n].
    """

    system: MaterialSystem
    truth: Array
    fluence: Array
    counts: Array
    bound: Array
    true_chi2: Array

    def __len__(self) -> int:
        return len(self.truth)

    def first(self, count: int) -> Trials:
        """Some of them."""
        parts = {k: getattr(self, k)[:count] for k in ("truth", "fluence", "counts", "bound", "true_chi2")}
        return replace(self, **parts)


def draw_trials(system: MaterialSystem, count: int, seed: int = 0) -> Trials:
    """Spectra of truths drawn from the prior, with Poisson noise."""
    rng = np.random.default_rng([seed, 7])
    z, fluence = system.draw(count, rng)
    expected = system.spectra(z, fluence)
    counts = rng.poisson(expected).astype(float)
    chi2 = paper_chi2(counts[:, system.channels], expected[:, system.channels])
    return Trials(system, system.values(z), fluence, counts, bounds_of(system, z, fluence), chi2)


def bounds_of(system: MaterialSystem, z: Array, fluence: Array) -> Array:
    """Cramer-Rao standard deviations [n, p], the prior's information included; that of the counts grows as the fluence."""
    d = system.densities
    layers = system.fill(system.values(z)[:, :d])
    known = information(system.setup, layers, free=system.free, roi=list(system.roi), nuisance=system.nuisance)
    prior = np.zeros(system.size)
    prior[d:] = 1.0 / system.prior_sd[d:] ** 2  # that of nuisance parameters is in it already
    whole = (known - np.diag(prior)) * fluence[:, None, None] + np.diag(1.0 / system.prior_sd**2)
    return np.sqrt(np.diagonal(np.linalg.inv(whole), axis1=1, axis2=2))


def relative_error(values: Array, trials: Trials) -> Array:
    """Median of |value - truth| / truth of each density [d]."""
    d = trials.system.densities
    return np.median(np.abs(values[:, :d] / trials.truth[:, :d] - 1.0), axis=0)


def relative_bound(trials: Trials) -> Array:
    """The least median relative error of each density [d] that the counts allow."""
    d = trials.system.densities
    return MEDIAN_OF_NORMAL * np.median(trials.bound[:, :d] / trials.truth[:, :d], axis=0)


def efficiency(values: Array, trials: Trials) -> Array:
    """See above [p]; `values` [n, p], or [n, d] of the densities alone."""
    k = values.shape[1]
    return np.median(np.abs(values - trials.truth[:, :k]) / trials.bound[:, :k], axis=0) / MEDIAN_OF_NORMAL


def back_chi2(values: Array, trials: Trials) -> Array:
    """Chi2 [n] of spectra simulated from values [n, p]; of densities alone [n, d], with the true nuisance parameters."""
    system, d = trials.system, trials.system.densities
    whole = values if values.shape[1] == system.size else np.concatenate([values, trials.truth[:, d:]], axis=1)
    nuisance = system.nuisance_of(system.coordinates(whole), trials.fluence)
    expected = rbs.simulate(system.setup, system.fill(np.clip(values[:, :d], 0.0, None)), nuisance)
    return paper_chi2(trials.counts[:, system.channels], expected[:, system.channels])


def passed(chi2: Array, system: MaterialSystem) -> float:
    """Share of chi2 below the 95 % quantile."""
    return float(np.mean(chi2 < chi2_limit(len(system.channels))))


def coverage(posterior: Posterior, trials: Trials) -> Array:
    """Share of truths [level, p] within the central intervals of `LEVELS`."""
    place = posterior.distribution(trials.truth)
    return np.array([np.mean(np.abs(place - 0.5) < 0.5 * level, axis=0) for level in LEVELS])


def coverage_score(posterior: Posterior, trials: Trials) -> Array:
    """The paper's score [p]."""
    told, off = posterior.std, np.abs(posterior.mean - trials.truth)
    return np.mean((told - off) / (told + off), axis=0)


def rank_chance(place: Array) -> Array:
    """Probability [p] that places of truths in their distributions [n, p] are as uneven as these by chance."""
    cells = np.clip((place * RANKS).astype(int), 0, RANKS - 1)
    return np.array([float(chisquare(np.bincount(k, minlength=RANKS)).pvalue) for k in cells.T])


def scaled(posterior: Posterior, factor: float) -> Posterior:
    """The same with all standard deviations of the network times a factor."""
    return replace(posterior, factor_z=posterior.factor_z / factor)
