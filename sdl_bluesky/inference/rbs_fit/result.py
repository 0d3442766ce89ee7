"""What a fit found, with its errors, its quality, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import chi2 as chi2_law

from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.inference.rbs_fit.box import Minimum
from sdl_bluesky.inference.rbs_fit.goodness import goodness
from sdl_bluesky.inference.rbs_fit.likelihood import deviance, paper_chi2
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.physics.geometry import Array

ACCEPTANCE = 0.95
"""Quantile of chi2 below which a fit is accepted."""
AT_BOUND = 1e-6
"""A parameter within this part of the width of its bounds is at the bound."""
BLIND = 0.9
"""Share of the width's variance that is left to a parameter of which the counts say nothing."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """Fits of a batch of samples.

    Attributes:
        elements: columns of the layers.
        layers: areal densities [b, layer, element] in 1e15 at/cm2; those that were held as they were given.
        layers_std: their standard deviations; 0 for those that were held.
        nuisance, nuisance_std: nuisance parameters [b, k] in the order of `nuisance_names`, factors (offset: keV).
        nuisance_names: "fluence", "stopping:Cu", ...; "#2" after it for the second spectrum of a sample.
        values: all fitted parameters [b, p], free densities first.
        names: of them, "Cu@1" for Cu in the surface layer.
        cov: their covariance [b, p, p]: inverse of the expected curvature with the priors, where a density without a prior
            is known to its bounds (variance width^2 / 12).
        chi2: sum (x - mu)^2 / (x + 1) over the region of interest [b].
        nu: channels of the region of interest.
        accepted: whether chi2 is below the 95 % quantile of chi2 with nu degrees of freedom [b].
        deviance: Poisson deviance [b].
        goodness: probability of a larger deviance if the model is right [b].
        iterations: evaluations of the model and its derivatives, all restarts together [b].
        converged: whether the search ended by itself [b].
        at_bound: which parameters lie at a bound [b, p].
        restarts: how many were needed [b].
        findings: what a person should know, for each spectrum.
        free: which densities were fitted [layer, element].
        likelihood: what was minimised.
        problem: counts, set-ups and bounds, for what is computed from the fit later.
    """

    elements: tuple[str, ...]
    layers: Array
    layers_std: Array
    nuisance: Array
    nuisance_std: Array
    nuisance_names: tuple[str, ...]
    values: Array
    names: tuple[str, ...]
    cov: Array
    chi2: Array
    nu: int
    accepted: Mask
    deviance: Array
    goodness: Array
    iterations: Indices
    converged: Mask
    at_bound: Mask
    restarts: Indices
    findings: tuple[tuple[str, ...], ...]
    free: Mask
    likelihood: str
    problem: Problem = field(repr=False)

    @property
    def limit(self) -> float:
        """Chi2 above which a fit is not accepted."""
        return chi2_limit(self.nu)


def chi2_limit(nu: int) -> float:
    """95 % quantile of chi2 with nu degrees of freedom."""
    return float(chi2_law.ppf(ACCEPTANCE, nu))


def collect(problem: Problem, found: Minimum, restarts: Indices, likelihood: str) -> FitResult:
    """The result of minima."""
    parameters = problem.parameters
    theta, d = found.theta, parameters.densities
    rows = np.arange(len(theta))
    mu = problem.expected(theta, rows)
    width = parameters.upper - parameters.lower
    cov, determined = _covariance(found.curvature, width, parameters.precision)
    std = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    layers = parameters.layers(theta, problem.held)
    layers_std = parameters.layers(std, np.zeros_like(problem.held))
    chi2 = paper_chi2(problem.counts, mu)
    nu = problem.counts.shape[1]
    dev = deviance(problem.counts, mu)
    close = AT_BOUND * width
    at_bound = (theta <= parameters.lower + close) | (theta >= parameters.upper - close)
    blind = std[:, :d] ** 2 > BLIND * np.minimum(
        width[:d] ** 2 / 12.0, 1.0 / np.maximum(parameters.precision[:d], 1e-300)
    )
    result = FitResult(
        elements=parameters.setups[0].elements,
        layers=layers,
        layers_std=layers_std,
        nuisance=theta[:, d:],
        nuisance_std=std[:, d:],
        nuisance_names=parameters.names[d:],
        values=theta,
        names=parameters.names,
        cov=cov,
        chi2=chi2,
        nu=nu,
        accepted=chi2 < chi2_limit(nu),
        deviance=dev,
        goodness=goodness(dev, mu, determined),
        iterations=found.evaluations,
        converged=found.converged,
        at_bound=at_bound,
        restarts=restarts,
        findings=(),
        free=parameters.free,
        likelihood=likelihood,
        problem=problem,
    )
    return _with_findings(result, blind)


def _covariance(curvature: Array, width: Array, precision: Array) -> tuple[Array, Array]:
    """Covariance [b, p, p], and how many parameters the counts determine [b] (trace of the hat matrix)."""
    p = len(width)
    known = np.maximum(precision, 0.0)
    spread = np.where(known > 0.0, 0.0, 12.0 / width**2)
    matrix = np.array(curvature)
    matrix[:, np.arange(p), np.arange(p)] += spread
    scale = 1.0 / np.sqrt(matrix[:, np.arange(p), np.arange(p)])
    cov = np.linalg.inv(matrix * scale[:, :, None] * scale[:, None, :]) * scale[:, :, None] * scale[:, None, :]
    cov = 0.5 * (cov + cov.transpose(0, 2, 1))
    return cov, p - np.einsum("bpp,p->b", cov, spread + known)


def _with_findings(result: FitResult, blind: Mask) -> FitResult:
    told = []
    for row in range(len(result.values)):
        found = []
        counts = result.problem.counts[row]
        if not counts.any():
            found.append("the region of interest has no counts: the densities are upper limits at best")
        if result.nu <= result.values.shape[1]:
            found.append(f"{result.nu} channels for {result.values.shape[1]} parameters: chi2 is no test of the model")
        unseen = [result.names[k] for k in np.flatnonzero(blind[row])]
        if unseen:
            found.append(
                f"the counts say nothing of {', '.join(unseen)}: the errors given are those of the bounds or the prior"
            )
        edge = [
            result.names[k] for k in np.flatnonzero(result.at_bound[row]) if k >= blind.shape[1] or not blind[row, k]
        ]
        if edge:
            found.append(f"at a bound: {', '.join(edge)}")
        if not result.converged[row]:
            found.append("the search did not end by itself: the densities may be no minimum")
        if not result.accepted[row]:
            found.append(f"not accepted: chi2 {result.chi2[row]:.0f} is over {result.limit:.0f}")
        told.append(tuple(found))
    return replace(result, findings=tuple(told))
