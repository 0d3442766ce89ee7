"""Composition against flows in the odds: what the default learner believes.

    ln(x/(1-x)) = c0 + c1 ln F_Ga + c2 ln F_As + offset[campaign] + misfit(ln F_Ga, ln F_As) + noise        (y alike)

Incorporation is a competition for sites, so that odds go as powers of the flows: as the first power of the own one where
transport limits it, and of the other as far as it hinders or helps. Constants, slopes and offsets have normal priors and
are integrated out exactly; the misfit is a Gaussian process (Matern-5/2). Its amplitudes and lengths, the noise and the
size of offsets are averaged over draws from their priors, weighted by the likelihood. A run may be bad: which ones were
is averaged over as well (`marginal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm, qmc

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.pibo.data import GrowthData
from sdl_bluesky.inference.pibo.marginal import Belief, explain
from sdl_bluesky.inference.pibo.normal import Normal
from sdl_bluesky.inference.posterior import matern
from sdl_bluesky.physics.geometry import Array

LogNormal = tuple[float, float]
"""Median, and standard deviation of the logarithm."""
Groups = NDArray[np.int_]
"""Number of the campaign of each point."""
Simulator = Callable[[Array], Array]
"""Flows [n, 2] to compositions [n, 2]."""
_EDGE = 1e-4


@dataclass(frozen=True)
class Prior:
    """Priors; all of them in the logarithm of the odds, slopes by the logarithm of a flow.

    Attributes:
        constant: standard deviation of c0 around even odds.
        own: mean and standard deviation of the slope with the own flow (x with Ga, y with As).
        cross: the same of the slope with the other flow.
        correction: standard deviation of both slopes where a simulator gives the mean.
        misfit, length, noise, offset: amplitude and lengths [of ln flow] of the misfit, noise of a run, size of offsets.
        bad, bad_size: probability of a bad run, and how far it is off.
    """

    constant: float = 3.0
    own: tuple[float, float] = (1.0, 0.5)
    cross: tuple[float, float] = (0.0, 0.5)
    correction: float = 0.3
    misfit: LogNormal = (0.04, 0.8)
    length: LogNormal = (0.8, 0.5)
    noise: LogNormal = (0.015, 0.8)
    offset: LogNormal = (0.08, 0.7)
    bad: float = 0.05
    bad_size: float = 0.3


@dataclass(frozen=True)
class LogOddsModel:
    """The model.

    Attributes:
        bounds: (low, high) of F_Ga and F_As [sccm], above 0.
        prior: see `Prior`.
        simulator: prior mean of the composition, from a simulation of the reactor; None for the powers alone.
        draws: of the hyper-parameters, a power of two.
        seed: of the draws.

    Raises:
        OutOfRange: bounds that are not above 0.
    """

    bounds: tuple[tuple[float, float], tuple[float, float]]
    prior: Prior = field(default_factory=Prior)
    simulator: Simulator | None = None
    draws: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if np.min(self.bounds) <= 0:
            raise OutOfRange(f"bounds {self.bounds}: the odds go with logarithms of flows, so give bounds above 0 sccm")

    def fit(self, data: GrowthData) -> LogOddsPosterior:
        """Posterior given runs.

        Raises:
            Unidentifiable: no data.
            OutOfRange: a flow that is not above 0.
        """
        if not len(data.flows):
            raise Unidentifiable("no runs ingested yet: nothing can be predicted")
        xy = np.clip(data.xy, _EDGE, 1 - _EDGE)
        z = logit(xy) - self.mean(data.flows)
        known = (data.std / (xy * (1 - xy))) ** 2
        theta = self._draws()
        u = self.inputs(data.flows)
        gram = self.kernel(theta, u, data.campaign, u, data.campaign)
        n = len(u)
        gram[:, :, range(n), range(n)] += np.exp(2 * theta[:, 4:6])[:, :, None] + known.T[None]
        belief = explain(gram, z.T, self.prior.bad, self.prior.bad_size)
        return LogOddsPosterior(self, data, theta, belief)

    def inputs(self, flows: ArrayLike) -> Array:
        """Logarithms of flows [n, 2] over the middle of their bounds."""
        f = np.asarray(flows, dtype=float)
        if f.ndim != 2 or f.shape[1] != 2 or not np.all(np.isfinite(f)) or np.any(f <= 0):
            raise OutOfRange(f"flows of shape {f.shape}: give finite numbers above 0 [n, 2]")
        return np.log(f) - np.log(np.asarray(self.bounds)).mean(axis=1)

    def mean(self, flows: Array) -> Array:
        """Prior mean [n, 2] of the logarithm of the odds at flows [n, 2]."""
        if self.simulator is not None:
            xy = np.asarray(self.simulator(np.asarray(flows, dtype=float)), dtype=float)
            if xy.shape != (len(flows), 2) or not np.all(np.isfinite(xy)):
                raise OutOfRange(f"the simulator gave {xy.shape} for {len(flows)} points: finite [n, 2] is needed")
            return logit(np.clip(xy, _EDGE, 1 - _EDGE))
        own, cross = self.prior.own[0], self.prior.cross[0]
        return self.inputs(flows) @ np.array([[own, cross], [cross, own]])

    def slope_std(self) -> Array:
        """Prior standard deviations [2, 2] of the slopes of x and y (rows) with the two flows."""
        if self.simulator is not None:
            return np.full((2, 2), self.prior.correction)
        own, cross = self.prior.own[1], self.prior.cross[1]
        return np.array([[own, cross], [cross, own]])

    def _draws(self) -> Array:
        """Logarithms of misfits (2), lengths (2), noises (2) and offset [draws, 7]."""
        p = self.prior
        pairs = np.array([p.misfit, p.misfit, p.length, p.length, p.noise, p.noise, p.offset])
        uniform = qmc.Sobol(len(pairs), scramble=True, rng=np.random.default_rng(self.seed)).random(self.draws)
        return np.log(pairs[:, 0]) + pairs[:, 1] * norm.ppf(np.clip(uniform, 1e-9, 1 - 1e-9))

    def kernel(self, theta: Array, u1: Array, group1: Groups, u2: Array, group2: Groups) -> Array:
        """Covariance of the noise-free logarithm of the odds, for draws, and x and y: [draws, 2, n1, n2]."""
        shape = matern(np.exp(theta[:, 2:4]), u1, u2)[:, None]
        out = np.exp(2 * theta[:, :2])[:, :, None, None] * shape
        slopes = np.einsum("kj,aj,bj->kab", self.slope_std() ** 2, u1, u2)
        out += self.prior.constant**2 + slopes
        out += np.exp(2 * theta[:, 6])[:, None, None, None] * (group1[:, None] == group2[None])
        return out


@dataclass(frozen=True)
class LogOddsPosterior:
    """Posterior of the model.

    Attributes:
        model, data: what it is the posterior of.
        theta: draws of the hyper-parameters [draws, 7].
        belief: which draws and which bad runs explain the data.
    """

    model: LogOddsModel
    data: GrowthData
    theta: Array
    belief: Belief

    @property
    def findings(self) -> tuple[str, ...]:
        """Nothing beyond `bad_runs`."""
        return ()

    def bad_runs(self) -> Array:
        """Probability [n] that each run was bad."""
        return self.belief.bad

    def slopes(self) -> tuple[Array, Array]:
        """Means and standard deviations [2, 2] of the slopes d ln(odds of x, y) / d ln(F_Ga, F_As): trends over all runs."""
        b, model = self.belief, self.model
        u, var = model.inputs(self.data.flows), model.slope_std() ** 2
        prior = np.zeros((2, 2))
        if model.simulator is None:
            own, cross = model.prior.own[0], model.prior.cross[0]
            prior = np.array([[own, cross], [cross, own]])
        mean = prior + var * np.einsum("mkn,nj->mkj", b.pull, u)
        left = var - var**2 * np.einsum("nj,mknp,pj->mkj", u, b.inverse, u, optimize=True)
        middle = np.einsum("m,mkj->kj", b.weight, mean)
        return middle, np.sqrt(np.einsum("m,mkj->kj", b.weight, left + (mean - middle) ** 2))

    def normal(self, flows: ArrayLike) -> Normal:
        """Means [q, 2] and covariances of (x, y) at flows [q, 2], in the campaign that goes on.

        The odds are a mixture of normals; the composition's moments are those of its fourth-order expansion about the
        mean of the mixture.
        """
        f = np.asarray(flows, dtype=float)
        mean, var = self._odds(f)
        w = self.belief.weight
        middle = np.einsum("m,mkq->kq", w, mean)
        away = mean - middle
        cov = np.einsum("m,mkq,mlq->qkl", w, away, away)
        cov[:, [0, 1], [0, 1]] += np.einsum("m,mkq->qk", w, var)
        noise = np.einsum("m,mk->k", w, np.exp(2 * self.theta[self.belief.draw, 4:6]))
        z = middle.T + self.model.mean(f)
        at = expit(z)
        slope = at * (1 - at)
        bend = slope * (1 - 2 * at)
        scale = slope[:, :, None] * slope[:, None, :]
        return Normal(at + 0.5 * bend * cov[:, [0, 1], [0, 1]], scale * cov, scale * np.diag(noise))

    def _odds(self, flows: Array) -> tuple[Array, Array]:
        """Means and variances of each component, less the prior mean: [components, 2, q]."""
        b, model = self.belief, self.model
        u, here = model.inputs(flows), np.full(len(flows), self.data.current)
        theta = self.theta[b.draw]
        k = model.kernel(theta, model.inputs(self.data.flows), self.data.campaign, u, here)
        mean = np.einsum("mkn,mknq->mkq", b.pull, k)
        prior = np.exp(2 * theta[:, :2])[:, :, None] + model.prior.constant**2 + np.exp(2 * theta[:, 6])[:, None, None]
        prior = prior + (model.slope_std() ** 2 @ (u**2).T)[None]
        var = prior - np.einsum("mknq,mknp,mkpq->mkq", k, b.inverse, k, optimize=True)
        return mean, np.maximum(var, 1e-12)
