"""Posterior of a Gaussian process over weighted hyper-parameter nodes.

All in numpy, in blocks too small for the threads of a linear-algebra library: the floats do not depend on the number of
threads, and nothing waits for a busy core, as batched torch does beside a running laboratory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.inference.sampler import Nodes, thinned
from sdl_bluesky.physics.geometry import Array

_CHUNK = 64
_BLOCK = 16384
"""Numbers of a kernel that are worked on at a time."""
_ROOT_5 = 5.0**0.5


@dataclass(frozen=True)
class Data:
    """Readings in the model's own units.

    Attributes:
        z: inputs as the kernel sees them [n, d].
        b: factor in front of h [n].
        y: readings [n].
        given: known noise variance [n].
        size: size of the readings, what the relative noise is relative to [n].
        floor: what the absolute noise is multiplied by [n].
    """

    z: Array
    b: Array
    y: Array
    given: Array
    size: Array
    floor: Array

    def noise(self, theta: Array) -> Array:
        """Noise variance of the readings for every node [m, n]."""
        relative, absolute = np.exp(2 * theta[:, -2, None]), np.exp(2 * theta[:, -1, None])
        return relative * self.size**2 + absolute * self.floor**2 + self.given


class Model(Protocol):
    """What a posterior needs of its model. Hyper-parameters are logarithms; the last two are the noises."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the hyper-parameters."""
        ...

    def transform(self, x: ArrayLike) -> tuple[Array, Array]:
        """Inputs as the kernel sees them [n, k], and the factor b [n]."""
        ...

    def kernel(self, theta: Array, z1: Array, b1: Array, z2: Array, b2: Array) -> Array:
        """Covariance of the latent quantity for every node: [m, n1, n2]."""
        ...

    def prior_variance(self, theta: Array, z: Array, b: Array) -> Array:
        """The diagonal of the kernel of z with itself: [m, n]."""
        ...


def matern(lengths: Array, z1: Array, z2: Array) -> Array:
    """Matern-5/2 correlation (1 + r + r^2/3) exp(-r), r = sqrt(5) |dz / length|, for every row of lengths [m, k].

    Returns [m, n1, n2].
    """
    return _correlation(_matern_of, lengths, z1, z2)


def squared_exponential(lengths: Array, z1: Array, z2: Array) -> Array:
    """Correlation exp(-r^2/2), r = |dz / length|, for every row of lengths [m, k].

    Returns [m, n1, n2].
    """
    return _correlation(_squared_exponential_of, lengths, z1, z2)


def _matern_of(r2: Array) -> Array:
    r = np.sqrt(r2, out=r2)
    r *= _ROOT_5
    out = r / 3.0
    out += 1.0
    out *= r
    out += 1.0
    out *= np.exp(np.negative(r, out=r), out=r)
    return out


def _squared_exponential_of(r2: Array) -> Array:
    r2 *= -0.5
    return np.exp(r2, out=r2)


def _correlation(law: Callable[[Array], Array], lengths: Array, z1: Array, z2: Array) -> Array:
    """law(|dz / length|^2) for every row of lengths, in blocks for the cache; law may overwrite its argument."""
    square = np.square(z1.T[:, :, None] - z2.T[:, None, :]).reshape(lengths.shape[1], -1)
    inverse = (lengths**-2)[:, :, None]
    out = np.empty((len(lengths), square.shape[1]))
    rows = max(1, _BLOCK // max(1, square.shape[1]))
    for i in range(0, len(lengths), rows):
        r2 = inverse[i : i + rows, 0] * square[0]
        for k in range(1, len(square)):
            r2 += inverse[i : i + rows, k] * square[k]
        out[i : i + rows] = law(r2)
    return out.reshape(len(lengths), len(z1), len(z2))


def gram(model: Model, data: Data, theta: Array) -> Array:
    """Covariance of the readings, noise included, for every node: [m, n, n]."""
    out = model.kernel(theta, data.z, data.b, data.z, data.b)
    n = len(data.b)
    out[:, np.arange(n), np.arange(n)] += data.noise(theta)
    return out


@dataclass(frozen=True)
class Components:
    """Predictions of each node, in the unit of the readings.

    Attributes:
        mean: of the latent quantity [m, q].
        variance: of the latent quantity [m, q].
        noise: variance of a reading's noise [m, q].
        weight: [m], sums to one.
    """

    mean: Array
    variance: Array
    noise: Array
    weight: Array

    @property
    def mixture_mean(self) -> Array:
        """Mean over the nodes [q]."""
        return self.weight @ self.mean

    @property
    def spread(self) -> Array:
        """Variance of the nodes' means [q]."""
        return self.weight @ (self.mean - self.mixture_mean) ** 2


class Predictive(Protocol):
    """What agents and acquisitions need of a posterior, of whatever model: see `Posterior`."""

    def components(self, x: ArrayLike) -> Components: ...  # noqa: D102

    def predict(self, x: ArrayLike) -> tuple[Array, Array]: ...  # noqa: D102

    def node_covariance(self, x1: ArrayLike, x2: ArrayLike) -> Array: ...  # noqa: D102

    def log_predictive_density(self, x: ArrayLike, y: ArrayLike, y_std: ArrayLike | None = None) -> Array: ...  # noqa: D102

    def hyperparameters(self) -> dict[str, tuple[float, float]]: ...  # noqa: D102

    def thinned(self, nodes: int) -> Predictive: ...  # noqa: D102

    def believe(self, x: ArrayLike) -> Predictive: ...  # noqa: D102


@dataclass(frozen=True)
class Posterior:
    """Posterior of the latent, noise-free quantity. Made by `FullyBayesianGP.fit`.

    Attributes:
        model: what it is the posterior of.
        data: readings in the model's own units.
        nodes: hyper-parameters with weights.
        offset, scale: reading = offset + scale x (model's own unit).
    """

    model: Model
    data: Data
    nodes: Nodes
    offset: float
    scale: float

    @cached_property
    def _solved(self) -> tuple[Array, Array]:
        """Inverse Cholesky factor [m, n, n], and its product with y [m, 1, n]."""
        root = np.linalg.cholesky(gram(self.model, self.data, self.nodes.theta))
        inverse = np.asarray(np.linalg.inv(root), dtype=np.float64)
        return inverse, (inverse @ self.data.y)[:, None, :]

    def _reach(self, z: Array, b: Array) -> Array:
        """L^-1 k(data, x) for every node [m, n, q]."""
        return self._solved[0] @ self.model.kernel(self.nodes.theta, self.data.z, self.data.b, z, b)

    def components(self, x: ArrayLike) -> Components:
        """Prediction of each node at x [q, d]."""
        z, b = self.model.transform(x)
        theta = self.nodes.theta
        prior = self.model.prior_variance(theta, z, b)
        mean, variance = np.empty_like(prior), np.empty_like(prior)
        for i in range(0, len(b), _CHUNK):
            q = slice(i, i + _CHUNK)
            v = self._reach(z[q], b[q])
            mean[:, q] = (self._solved[1] @ v)[:, 0]
            variance[:, q] = np.maximum(prior[:, q] - np.einsum("mnq,mnq->mq", v, v), 1e-12 * prior[:, q])
        mean, variance = self.offset + self.scale * mean, self.scale**2 * variance
        relative, absolute = np.exp(2 * theta[:, -2, None]), np.exp(2 * theta[:, -1, None])
        noise = relative * mean**2 + absolute * self.scale**2
        return Components(mean, variance, noise, self.nodes.weight)

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [q] and standard deviation [q] of the latent quantity at x [q, d]."""
        c = self.components(x)
        return c.mixture_mean, np.sqrt(c.weight @ c.variance + c.spread)

    def node_covariance(self, x1: ArrayLike, x2: ArrayLike) -> Array:
        """Latent covariance of each node between x1 [q1, d] and x2 [q2, d]: [m, q1, q2]."""
        (z1, b1), (z2, b2) = self.model.transform(x1), self.model.transform(x2)
        out = self.model.kernel(self.nodes.theta, z1, b1, z2, b2)
        out -= np.swapaxes(self._reach(z1, b1), 1, 2) @ self._reach(z2, b2)
        out *= self.scale**2
        return out

    def covariance(self, x: ArrayLike) -> Array:
        """Joint covariance [q, q] of the latent quantity, uncertainty of the hyper-parameters included."""
        c = self.components(x)
        off = c.mean - c.mixture_mean
        return np.einsum("m,mij->ij", c.weight, self.node_covariance(x, x)) + off.T @ (off * c.weight[:, None])

    def samples(self, x: ArrayLike, n: int, seed: int = 0) -> Array:
        """n joint samples [n, q] of the latent quantity at x [q, d]; nodes are taken by weight."""
        c = self.components(x)
        rng = np.random.default_rng(seed)
        picks = np.searchsorted(np.cumsum(c.weight), (np.arange(n) + rng.random()) / n)
        picks = np.minimum(picks, len(c.weight) - 1)
        normal = rng.standard_normal((n, c.mean.shape[1]))
        out = np.empty_like(normal)
        for j in np.unique(picks):
            one = replace(self, nodes=replace(self.nodes, theta=self.nodes.theta[j : j + 1], weight=np.ones(1)))
            values, vectors = np.linalg.eigh(one.node_covariance(x, x)[0])
            rows = picks == j
            out[rows] = c.mean[j] + (normal[rows] * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return rng.permutation(out)

    def log_predictive_density(self, x: ArrayLike, y: ArrayLike, y_std: ArrayLike | None = None) -> Array:
        """Log density [q] of new readings y [q] at x [q, d], noise included, each by itself."""
        c = self.components(x)
        y = np.asarray(y, dtype=float)
        variance = c.variance + c.noise + (0.0 if y_std is None else np.asarray(y_std, dtype=float) ** 2)
        log_p = -0.5 * ((y - c.mean) ** 2 / variance + np.log(2 * np.pi * variance))
        return np.logaddexp.reduce(log_p + np.log(c.weight)[:, None], axis=0)

    def hyperparameters(self) -> dict[str, tuple[float, float]]:
        """Median and logarithmic spread of each hyper-parameter; lengths in units of the bounds, noises as `Noise`."""
        theta, w, names = self.nodes.theta, self.nodes.weight, self.model.parameters
        mean = w @ theta
        spread = np.sqrt(w @ (theta - mean) ** 2)
        unit = np.array([1.0] * (len(names) - 1) + [self.scale])
        return {k: (float(np.exp(m) * u), float(s)) for k, m, u, s in zip(names, mean, unit, spread)}

    def thinned(self, nodes: int) -> Posterior:
        """The same with `nodes` nodes or fewer."""
        if len(self.nodes.weight) <= nodes:
            return self
        theta, weight = thinned(self.nodes.theta, self.nodes.weight, nodes)
        return replace(self, nodes=replace(self.nodes, theta=theta, weight=weight))

    def believe(self, x: ArrayLike) -> Posterior:
        """The posterior as if x [k, d] had been read exactly as predicted (kriging believer); same nodes."""
        x = np.asarray(x, dtype=float)
        z, b = self.model.transform(x)
        y = (self.components(x).mixture_mean - self.offset) / self.scale
        size = np.abs(y + self.offset / self.scale)
        old = self.data
        data = replace(
            old,
            z=np.concatenate([old.z, z]),
            b=np.concatenate([old.b, b]),
            y=np.concatenate([old.y, y]),
            given=np.concatenate([old.given, np.zeros_like(y)]),
            size=np.concatenate([old.size, size]),
            floor=np.concatenate([old.floor, np.ones_like(y)]),
        )
        return replace(self, data=data)
