"""Posterior of a few parameters by adaptive importance sampling, batched, deterministic.

Scrambled Sobol points from the broadened prior, then rounds from a Student-t fitted to the weighted points so far; all
points are weighted against the mixture of all proposals (balance heuristic; Veach and Guibas, SIGGRAPH 1995; adaptive
mixtures: Cappe et al., Stat. Comput. 18, 447, 2008). For up to about eight parameters and a density that is quick to
evaluate in batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from scipy.stats import chi2, norm, qmc

from sdl_bluesky.physics.geometry import Array

POINTS = 512
ROUNDS = 2
_DOF = 6.0
_BROADER = 1.3
_WIDER = 1.15  # of the fitted Student-t: tails cost little, missing them costs much


@dataclass(frozen=True)
class Nodes:
    """A weighted sample of parameters.

    Attributes:
        theta: [nodes, parameters].
        weight: [nodes], sums to one.
        ess: effective size of the sample that the nodes were thinned from.
        log_evidence: estimate of the log marginal likelihood.
    """

    theta: Array
    weight: Array
    ess: float
    log_evidence: float


@dataclass(frozen=True)
class _StudentT:
    """Location and scale factor (lower triangle) of a Student-t; normal for an infinite number of degrees."""

    location: Array
    root: Array
    dof: float

    def draw(self, uniform: Array) -> Array:
        """Points [n, d] from uniform numbers [n, d + 1]."""
        z = norm.ppf(uniform[:, :-1]) @ self.root.T
        if np.isfinite(self.dof):
            z /= np.sqrt(chi2.ppf(uniform[:, -1:], self.dof) / self.dof)
        return self.location + z

    def log_density(self, theta: Array) -> Array:
        d = self.location.size
        u = np.linalg.solve(self.root, (theta - self.location).T)
        r2 = np.sum(u**2, axis=0)
        log_det = float(np.sum(np.log(np.diag(self.root))))
        if not np.isfinite(self.dof):
            return -0.5 * (r2 + d * np.log(2 * np.pi)) - log_det
        v = self.dof
        constant = float(gammaln((v + d) / 2) - gammaln(v / 2)) - 0.5 * d * np.log(v * np.pi) - log_det
        return constant - 0.5 * (v + d) * np.log1p(r2 / v)


def _uniform(n: int, d: int, seed: list[int]) -> Array:
    points = qmc.Sobol(d, scramble=True, rng=np.random.default_rng(seed)).random(n)
    return np.clip(points, 1e-9, 1.0 - 1e-9)


def _normalised(log_weight: Array) -> Array:
    w = np.exp(log_weight - log_weight.max())
    return w / w.sum()


def sample(
    log_likelihood: Callable[[Array], Array],
    prior_mean: Array,
    prior_std: Array,
    *,
    nodes: int = 96,
    seed: int = 0,
    points: int = POINTS,
    rounds: int = ROUNDS,
) -> Nodes:
    """Weighted sample of likelihood times a normal prior with independent parameters.

    Args:
        log_likelihood: of parameters [n, d] -> [n]; -inf where it cannot be computed.
        prior_mean: [d].
        prior_std: [d].
        nodes: most nodes to keep, by systematic resampling; 0 keeps all points.
        seed: of the Sobol sequences.
        points: points of each round, a power of two.
        rounds: rounds after the first.
    """
    d = prior_mean.size
    prior = _StudentT(prior_mean, np.diag(prior_std), np.inf)
    proposals = [_StudentT(prior_mean, np.diag(_BROADER * prior_std), np.inf)]
    theta, log_target = np.empty((0, d)), np.empty(0)
    w, log_weight = np.empty(0), np.empty(0)
    for k in range(rounds + 1):
        new = proposals[-1].draw(_uniform(points, d + 1, [seed, k]))
        theta = np.concatenate([theta, new])
        log_target = np.concatenate([log_target, log_likelihood(new) + prior.log_density(new)])
        mixture = np.logaddexp.reduce([q.log_density(theta) for q in proposals], axis=0) - np.log(len(proposals))
        log_weight = np.where(np.isfinite(log_target), log_target - mixture, -np.inf)
        w = _normalised(log_weight)
        if k < rounds:
            proposals.append(_fitted(theta, w, prior_std))
    ess = float(1.0 / np.sum(w**2))
    log_evidence = float(np.logaddexp.reduce(log_weight) - np.log(w.size))
    if nodes:
        theta, w = thinned(theta, w, nodes)
    return Nodes(theta, w, ess, log_evidence)


def _fitted(theta: Array, w: Array, prior_std: Array) -> _StudentT:
    """Student-t of the weighted points; few effective points are mended with a share of the prior's spread."""
    mean = w @ theta
    spread = (theta - mean).T @ ((theta - mean) * w[:, None])
    doubt = 4.0 / (4.0 + 1.0 / float(np.sum(w**2)))
    cov = (1.0 - doubt) * spread + doubt * np.diag(prior_std**2)
    root: Array = np.asarray(np.linalg.cholesky(cov * (_DOF - 2.0) / _DOF * _WIDER**2), dtype=np.float64)
    return _StudentT(mean, root, _DOF)


def thinned(theta: Array, w: Array, nodes: int) -> tuple[Array, Array]:
    """Systematic resampling along the first parameter; a point taken k times becomes one node of weight k."""
    order = np.argsort(theta[:, 0], kind="stable")
    cumulative = np.cumsum(w[order])
    picks = np.searchsorted(cumulative, (np.arange(nodes) + 0.5) / nodes * cumulative[-1])
    index, count = np.unique(picks, return_counts=True)
    return theta[order[index]], count / nodes
