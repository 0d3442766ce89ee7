"""What a spectrum says of the unknowns: a distribution, with everything that is asked of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_mdn.recalibration import Recalibration
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array

NODES = 24
"""Of the quadrature over a marginal distribution."""
BISECTIONS = 44
AT_ONCE = 2**18
"""Numbers that are drawn together."""
FAR = 9.0
"""No coordinate is sought further from 0 than this."""


@dataclass(frozen=True, eq=False)
class Amounts:
    """Quantities that are made of several unknowns, by samples.

    Attributes:
        names: of them [k].
        mean, std: [b, k].
        low, high: ends of the central 90 % interval [b, k].
    """

    names: tuple[str, ...]
    mean: Array
    std: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Posterior:
    """Mixtures of Gaussians in the coordinates of a material system, for a batch of spectra.

    Attributes:
        system: whose unknowns they are.
        weight: of the components [b, m].
        mean_z: [b, m, p].
        factor_z: U of each precision U^T U [b, m, p, p].
        recalibration: of the marginal distributions.
    """

    system: MaterialSystem
    weight: Array
    mean_z: Array
    factor_z: Array
    recalibration: Recalibration

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the unknowns [p]."""
        return self.system.names

    @cached_property
    def cov_z(self) -> Array:
        """Covariance of each component [b, m, p, p]."""
        inverse = np.linalg.inv(self.factor_z)
        return inverse @ inverse.transpose(0, 1, 3, 2)

    @cached_property
    def _std_z(self) -> Array:
        """Of each component [b, m, p]."""
        return np.sqrt(np.diagonal(self.cov_z, axis1=2, axis2=3))

    @cached_property
    def std_z(self) -> Array:
        """Standard deviations of the coordinates [b, p]."""
        middle = np.einsum("bm,bmp->bp", self.weight, self.mean_z)
        each = self._std_z**2 + (self.mean_z - middle[:, None]) ** 2
        return np.sqrt(np.einsum("bm,bmp->bp", self.weight, each))

    def distribution(self, values: Array) -> Array:
        """Distribution function of each unknown [b, p] at values [b, p]."""
        return self.recalibration.corrected(self.told(values))

    def told(self, values: Array) -> Array:
        """The same before it is recalibrated."""
        return self._told_z(self.system.coordinates(values))

    def _told_z(self, z: Array) -> Array:
        parts = ndtr((z[..., None, :] - self.mean_z) / self._std_z)
        return np.einsum("bm,...bmp->...bp", self.weight, parts)

    def quantiles(self, probabilities: ArrayLike) -> Array:
        """Values [b, p, k] of each unknown below which it lies with probabilities [k]."""
        asked = np.asarray(probabilities, dtype=float)
        found = [self._values_at(np.broadcast_to(q, (len(self), len(self.names)))) for q in asked]
        return np.stack(found, axis=2)

    def _values_at(self, probability: Array) -> Array:
        return self.system.values(self._z_at(self.recalibration.raw(probability)))

    def _z_at(self, told: Array) -> Array:
        """Coordinates [..., b, p] at which the distribution before recalibration has values [..., b, p]."""
        told = np.clip(told, 1e-14, 1.0 - 1e-14)
        if self.weight.shape[1] == 1:
            return self.mean_z[:, 0] + self._std_z[:, 0] * ndtri(told)
        low, high = np.full(told.shape, -FAR), np.full(told.shape, FAR)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = self._told_z(middle) < told
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    @cached_property
    def _nodes(self) -> tuple[Array, Array]:
        """Values [b, p, node] at the nodes of a quadrature over the probability, and its weights [node]."""
        place, weight = np.polynomial.legendre.leggauss(NODES)
        return self.quantiles(0.5 * (place + 1.0)), 0.5 * weight

    @cached_property
    def mean(self) -> Array:
        """[b, p]."""
        values, weight = self._nodes
        return values @ weight

    @cached_property
    def std(self) -> Array:
        """Standard deviations [b, p]."""
        values, weight = self._nodes
        return np.sqrt(np.maximum((values - self.mean[..., None]) ** 2 @ weight, 0.0))

    @cached_property
    def correlation(self) -> Array:
        """[b, p, p], in the coordinates."""
        middle = np.einsum("bm,bmp->bp", self.weight, self.mean_z)
        off = self.mean_z - middle[:, None]
        cov = np.einsum("bm,bmpq->bpq", self.weight, self.cov_z + off[..., :, None] * off[..., None, :])
        size = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
        return cov / size[:, :, None] / size[:, None, :]

    @cached_property
    def cov(self) -> Array:
        """Covariance [b, p, p]: standard deviations, and the correlation in the coordinates."""
        return self.correlation * self.std[:, :, None] * self.std[:, None, :]

    @cached_property
    def modes(self) -> Array:
        """Coordinates [b, m, p] of the middles of the components, the most probable first."""
        size = np.log(np.diagonal(self.factor_z, axis1=2, axis2=3)).sum(axis=2) + np.log(self.weight + 1e-300)
        return np.take_along_axis(self.mean_z, np.argsort(-size, axis=1)[:, :, None], axis=1)

    @property
    def best(self) -> Array:
        """Values [b, p] at the middle of the most probable component."""
        return self.system.values(self.modes[:, 0])

    def samples(self, count: int, rng: np.random.Generator) -> Array:
        """Values [count, b, p]: dependent as the network says, each one distributed as recalibrated."""
        b, _, p = self.mean_z.shape
        inverse, rows = np.linalg.inv(self.factor_z), np.arange(b)
        found = np.empty((count, b, p))
        step = max(1, AT_ONCE // (b * p))
        for first in range(0, count, step):
            some = min(step, count - first)
            pick = (rng.uniform(size=(some, b, 1)) > np.cumsum(self.weight, axis=1)[:, :-1]).sum(axis=2)
            normal = rng.standard_normal((some, b, p, 1))
            z = self.mean_z[rows, pick] + (inverse[rows, pick] @ normal)[..., 0]
            found[first : first + some] = self.system.values(self._z_at(self.recalibration.raw(self._told_z(z))))
        return found

    def composition(self, elements: Sequence[str], layers: Sequence[int] = (0,), count: int = 400) -> Amounts:
        """Atomic fractions of elements in layers (from 0), of their sum; held densities count.

        Raises:
            UnknownName, OutOfRange: an element or a layer that the system does not have.
        """
        amounts = self._amounts(elements, layers, count)
        return _summary(tuple(elements), amounts / np.maximum(amounts.sum(axis=2, keepdims=True), 1e-300))

    def total(self, elements: Sequence[str], layers: Sequence[int] = (0,), count: int = 400) -> Amounts:
        """Areal density of elements in layers together [1e15 at/cm2]; errors as `composition`."""
        return _summary(("total",), self._amounts(elements, layers, count).sum(axis=2, keepdims=True))

    def _amounts(self, elements: Sequence[str], layers: Sequence[int], count: int) -> Array:
        known = self.system.setup.elements
        for name in elements:
            if name not in known:
                raise UnknownName("element", name, known)
        if not layers or not all(0 <= k < len(self.system.layers) for k in layers):
            raise OutOfRange(f"layers {list(layers)}: {self.system.name} has 0 to {len(self.system.layers) - 1}")
        columns = [known.index(name) for name in elements]
        values = self.samples(count, np.random.default_rng(0))[..., : self.system.densities]
        filled = self.system.fill(values.reshape(-1, values.shape[2]))
        return filled[:, list(layers)][:, :, columns].sum(axis=1).reshape(count, len(self), len(columns))


def _summary(names: tuple[str, ...], samples: Array) -> Amounts:
    low, high = np.quantile(samples, (0.05, 0.95), axis=0)
    return Amounts(names, samples.mean(axis=0), samples.std(axis=0), low, high)
