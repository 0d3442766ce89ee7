"""Readings that were made under another setting: those of a group share one unknown factor, and the model knows of it.

reading = factor x rate + noise, ln factor ~ Normal(0, scale), one factor for all readings of the group: a hyper-parameter
like the others, over which the model averages. What is predicted is the rate under the setting of today. (A correlated
error beside the noise would be linear in the factor, and pulls the rate down: see the records of decisions, 36.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.agents.models import RateModel
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.gp import FullyBayesianGP, LogNormal, PowerScaledGP
from sdl_bluesky.inference.posterior import Predictive
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class Origin:
    """Where a reading comes from, if it was made before the agent's own experiments.

    Attributes:
        group: readings of one group were made under one setting.
        scale: standard deviation of the logarithm of the factor between that setting and today's; 0 for the same one.
    """

    group: str
    scale: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.scale) or not 0.0 <= self.scale <= 1.0:
            raise OutOfRange(f"earlier_scale = {self.scale}: give a fraction between 0 and 1, e.g. 0.05 for 5 %")


@dataclass(frozen=True)
class _WithFactors(FullyBayesianGP):
    """A model whose inputs may have further columns, 1 for readings that a factor stands before.

    Attributes:
        scales: standard deviation of the logarithm of each factor.
    """

    scales: tuple[float, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the hyper-parameters; the factors stand behind the lengths."""
        d, names = len(self.bounds), super().parameters
        return (*names[:d], *(f"factor_{k}" for k in range(len(self.scales))), *names[d:])

    def transform(self, x: ArrayLike) -> tuple[Array, Array]:
        """As without factors; no factor stands before inputs without the further columns."""
        x = np.asarray(x, dtype=float)
        d, k = len(self.bounds), len(self.scales)
        marks = np.zeros((len(x), k))
        if x.ndim == 2 and x.shape[1] == d + k:
            x, marks = x[:, :d], x[:, d:]
        z, b = super().transform(x)
        return np.concatenate([z, marks], axis=1), b

    def kernel(self, theta: Array, z1: Array, b1: Array, z2: Array, b2: Array) -> Array:
        """Covariance of rate x factor for every node: [m, n1, n2]."""
        d, (rest, factors) = len(self.bounds), self._parted(theta)
        out = super().kernel(rest, z1[:, :d], b1, z2[:, :d], b2)
        out *= np.exp(factors @ z1[:, d:].T)[:, :, None]
        out *= np.exp(factors @ z2[:, d:].T)[:, None, :]
        return out

    def prior_variance(self, theta: Array, z: Array, b: Array) -> Array:
        """The diagonal of the kernel: [m, n]."""
        d, (rest, factors) = len(self.bounds), self._parted(theta)
        return super().prior_variance(rest, z[:, :d], b) * np.exp(2 * factors @ z[:, d:].T)

    def _parted(self, theta: Array) -> tuple[Array, Array]:
        """Hyper-parameters of the model without factors, and logarithms of the factors [m, k]."""
        d, k = len(self.bounds), len(self.scales)
        return np.concatenate([theta[:, :d], theta[:, d + k :]], axis=1), theta[:, d : d + k]

    def _lengths(self) -> list[LogNormal]:
        return [*super()._lengths(), *((1.0, scale) for scale in self.scales)]

    def _scale(self, y: Array, b: Array) -> tuple[float, float]:
        offset, scale = super()._scale(y, b)  # a factor stands before the whole reading, so nothing is taken off
        return 0.0, scale if offset == 0.0 else float(np.sqrt(np.mean(y**2)))


@dataclass(frozen=True)
class _PowerScaledWithFactors(_WithFactors, PowerScaledGP):
    """The power-scaled model, with factors."""


def fitted(model: RateModel, x: Array, y: Array, y_std: Array, origins: Sequence[Origin | None]) -> Predictive:
    """Posterior of the rate under today's setting.

    Args:
        model: of readings of one setting.
        x: inputs [n, d].
        y: readings [n].
        y_std: known part of their standard errors [n].
        origins: of each reading [n]; None for the agent's own.

    Raises:
        OutOfRange: readings have a factor, and the model is one of several sensors.
    """
    groups = {k.group: k.scale for k in origins if k is not None and k.scale > 0}
    if not groups:
        return model.fit(x, y, y_std)
    if not isinstance(model, FullyBayesianGP):
        raise OutOfRange("earlier readings with a factor of their own need the power-scaled or the standard model")
    marks = np.array([[k is not None and k.group == group for group in groups] for k in origins], dtype=float)
    kind = _PowerScaledWithFactors if isinstance(model, PowerScaledGP) else _WithFactors
    known = {k.name: getattr(model, k.name) for k in fields(model)}
    return kind(**known, scales=tuple(groups.values())).fit(np.concatenate([x, marks], axis=1), y, y_std)
