"""Posterior of a Gaussian process over weighted hyper-parameter nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sdl_bluesky.inference.sampler import Nodes, thinned
from sdl_bluesky.physics.geometry import Array

_CHUNK = 256


@dataclass(frozen=True)
class Data:
    """Readings in the model's own units.

    Attributes:
        z: inputs as the kernel sees them [n, d].
        b: factor in front of h [n].
        y: readings [n].
        given: known noise variance [n].
        size: size of the readings, what the relative noise is relative to [n].
        constant: variance of the constant of h.
    """

    z: Tensor
    b: Tensor
    y: Tensor
    given: Tensor
    size: Tensor
    constant: float

    def noise(self, theta: Tensor) -> Tensor:
        """Noise variance of the readings for every node [m, n]."""
        relative, absolute = torch.exp(2 * theta[:, -2, None]), torch.exp(2 * theta[:, -1, None])
        return relative * self.size**2 + absolute + self.given


class Model(Protocol):
    """What a posterior needs of its model."""

    def transform(self, x: ArrayLike) -> tuple[Array, Array]:
        """Inputs as the kernel sees them, and the factor b."""
        ...


def kernel(data: Data, theta: Tensor, z1: Tensor, b1: Tensor, z2: Tensor, b2: Tensor) -> Tensor:
    """b1 b2 (constant + signal^2 Matern-5/2) for every node: [m, n1, n2]."""
    d = z1.shape[-1]
    squares = ((z1[:, None, :] - z2[None, :, :]) ** 2).permute(2, 0, 1).reshape(d, -1)
    r = (5.0 * torch.exp(-2 * theta[:, :d]) @ squares).sqrt_()
    matern = torch.addcmul(r + 1.0, r, r, value=1.0 / 3.0).mul_(r.neg_().exp_())
    matern.mul_(torch.exp(2 * theta[:, d, None])).add_(data.constant)
    return matern.mul_((b1[:, None] * b2[None, :]).reshape(-1)).reshape(len(theta), len(z1), len(z2))


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
    def _theta(self) -> Tensor:
        return torch.from_numpy(self.nodes.theta)

    @cached_property
    def _solved(self) -> tuple[Tensor, Tensor]:
        """Cholesky factor [m, n, n] and L^-1 y [m, n, 1]."""
        data, theta = self.data, self._theta
        k = kernel(data, theta, data.z, data.b, data.z, data.b) + torch.diag_embed(data.noise(theta))
        root = torch.linalg.cholesky(k)
        y = data.y[None, :, None].expand(len(theta), -1, 1)
        return root, torch.linalg.solve_triangular(root, y, upper=False)

    def _reach(self, x: ArrayLike) -> tuple[Tensor, Tensor, Tensor]:
        """z [q, d], b [q] and L^-1 k(data, x) [m, n, q]."""
        z_np, b_np = self.model.transform(x)
        z, b = torch.from_numpy(z_np), torch.from_numpy(b_np)
        cross = kernel(self.data, self._theta, self.data.z, self.data.b, z, b)
        return z, b, torch.linalg.solve_triangular(self._solved[0], cross, upper=False)

    def components(self, x: ArrayLike) -> Components:
        """Prediction of each node at x [q, d]."""
        x = np.asarray(x, dtype=float)
        parts = [self._block(x[i : i + _CHUNK]) for i in range(0, max(len(x), 1), _CHUNK)]
        mean, variance = (np.concatenate(p, axis=1) for p in zip(*parts))
        relative, absolute = np.exp(2 * self.nodes.theta[:, -2, None]), np.exp(2 * self.nodes.theta[:, -1, None])
        noise = relative * mean**2 + absolute * self.scale**2
        return Components(mean, variance, noise, self.nodes.weight)

    def _block(self, x: Array) -> tuple[Array, Array]:
        _, b, v = self._reach(x)
        mean = (self._solved[1].transpose(1, 2) @ v)[:, 0]
        signal = torch.exp(2 * self._theta[:, -3, None])
        prior = (self.data.constant + signal) * b**2
        variance = torch.maximum(prior - torch.linalg.vecdot(v, v, dim=1), 1e-12 * prior)
        return self.offset + self.scale * mean.numpy(), self.scale**2 * variance.numpy()

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [q] and standard deviation [q] of the latent quantity at x [q, d]."""
        c = self.components(x)
        return c.mixture_mean, np.sqrt(c.weight @ c.variance + c.spread)

    def node_covariance(self, x1: ArrayLike, x2: ArrayLike) -> Array:
        """Latent covariance of each node between x1 [q1, d] and x2 [q2, d]: [m, q1, q2]."""
        z1, b1, v1 = self._reach(x1)
        z2, b2, v2 = self._reach(x2)
        prior = kernel(self.data, self._theta, z1, b1, z2, b2)
        return self.scale**2 * (prior - v1.transpose(1, 2) @ v2).numpy()

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
        theta, w = self.nodes.theta, self.nodes.weight
        names = [*(f"length_{i}" for i in range(theta.shape[1] - 3)), "signal", "noise_relative", "noise_absolute"]
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
        data = self.data
        y_t = torch.from_numpy(y)
        size = torch.abs(y_t + self.offset / self.scale)
        return replace(
            self,
            data=replace(
                data,
                z=torch.cat([data.z, torch.from_numpy(z)]),
                b=torch.cat([data.b, torch.from_numpy(b)]),
                y=torch.cat([data.y, y_t]),
                given=torch.cat([data.given, torch.zeros_like(y_t)]),
                size=torch.cat([data.size, size]),
            ),
        )
