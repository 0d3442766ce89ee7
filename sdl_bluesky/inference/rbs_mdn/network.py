"""The network: from a spectrum's features to a Gaussian, or a mixture of them, in the coordinates of the unknowns.

A small perceptron looks at overlapping patches of the spectrum, everywhere alike: an edge is an edge wherever it is. What it
finds, and the features themselves, go through a residual perceptron (pre-normalised, as in transformers) to a head with the
mean and the whole covariance of each component: its precision is U^T U with U = diag(exp(s)) (1 + L), L strictly lower
triangular, which is positive definite whatever the network says (Williams, Neural Computation 8, 843, 1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

LOG_2_PI = math.log(2.0 * math.pi)
STEEP = 12.0
"""Largest s: a standard deviation of exp(-12) of the prior's is as little as any spectrum can tell."""


@dataclass(frozen=True)
class Shape:
    """Size of a network.

    Attributes:
        inputs: number of features.
        unknowns: number p of coordinates.
        width: of the layers.
        blocks: residual blocks, of two layers each.
        components: of the mixture.
        patch: features that are looked at together; the next patch begins half of them further.
        seen, kept: width of what looks at a patch, and numbers that are kept of each.
    """

    inputs: int
    unknowns: int
    width: int = 512
    blocks: int = 3
    components: int = 1
    patch: int = 16
    seen: int = 64
    kept: int = 32


@dataclass(frozen=True, eq=False)
class Mixture:
    """What the network says of a batch.

    Attributes:
        log_weight: [b, m], a log-softmax.
        mean: [b, m, p].
        log_scale: s [b, m, p].
        lower: the entries of L [b, m, p (p - 1) / 2], row by row.
    """

    log_weight: Tensor
    mean: Tensor
    log_scale: Tensor
    lower: Tensor

    def factor(self) -> Tensor:
        """U [b, m, p, p], lower triangular."""
        p = self.mean.shape[-1]
        unit = torch.zeros(*self.mean.shape, p, dtype=self.mean.dtype, device=self.mean.device)
        rows, columns = torch.tril_indices(p, p, -1)
        unit[..., rows, columns] = self.lower
        unit[..., range(p), range(p)] = 1.0
        return torch.exp(self.log_scale)[..., None] * unit

    def negative_log_density(self, z: Tensor) -> Tensor:
        """-ln p(z) [b] of coordinates [b, p]."""
        off = z[:, None] - self.mean
        column, row = _triangle(z.shape[1], off.dtype, off.device)
        u = torch.exp(self.log_scale) * (off + (self.lower * (off @ column)) @ row)  # U off, without making U
        each = self.log_weight + self.log_scale.sum(-1) - 0.5 * (u * u).sum(-1) - 0.5 * z.shape[1] * LOG_2_PI
        return -torch.logsumexp(each, 1)


@lru_cache(maxsize=8)
def _triangle(p: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """What picks of a vector the factors of a strictly lower triangle's entries [p, entry], and adds up rows [entry, p]."""
    rows, columns = torch.tril_indices(p, p, -1, device=device)
    unit = torch.eye(p, dtype=dtype, device=device)
    return unit[:, columns].contiguous(), unit[rows].contiguous()


class Block(nn.Module):
    """x + B gelu(A norm(x)), the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[b, width] to [b, width]."""
        return x + self.second(nn.functional.gelu(self.first(self.norm(x))))


class Patches(nn.Module):
    """Features [b, n] to what is found in each of their patches [b, found], with the same weights everywhere."""

    def __init__(self, inputs: int, patch: int, seen: int, kept: int) -> None:
        super().__init__()
        self.patch, self.step = patch, max(1, patch // 2)
        self.missing = -(inputs - patch) % self.step if inputs > patch else patch - inputs
        self.found = ((inputs + self.missing - patch) // self.step + 1) * kept
        self.first, self.second = nn.Linear(patch, seen), nn.Linear(seen, kept)

    def forward(self, x: Tensor) -> Tensor:
        """See the class; features keep their 32 bits: 16 would hide what counting noise leaves to see."""
        with torch.autocast(x.device.type, enabled=False):
            seen = self.first(nn.functional.pad(x, (0, self.missing)).unfold(1, self.patch, self.step))
        return nn.functional.gelu(self.second(nn.functional.gelu(seen))).flatten(1)


class Network(nn.Module):
    """Features [b, inputs] to `Mixture`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        m, p = shape.components, shape.unknowns
        self._parts = [m * p, m * p, m * (p * (p - 1) // 2), m]
        self.patches = Patches(shape.inputs, shape.patch, shape.seen, shape.kept)
        self.enter = nn.Linear(shape.inputs + self.patches.found, shape.width)
        self.blocks = nn.Sequential(*(Block(shape.width) for _ in range(shape.blocks)))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, sum(self._parts))
        with torch.no_grad():
            self.head.weight *= 0.1
            self.head.bias.zero_()
            if m > 1:
                self.head.bias[: m * p] = 0.5 * torch.randn(m * p)  # components that are alike stay alike

    def forward(self, features: Tensor) -> Mixture:
        """See the class."""
        return self.told(self.hidden(features))

    def hidden(self, features: Tensor) -> Tensor:
        """What the head sees [b, width]."""
        return self.norm(self.blocks(self.enter(torch.cat([self.patches(features), features], 1))))

    def told(self, hidden: Tensor) -> Mixture:
        """What the head makes of it."""
        mean, scale, lower, weight = self.head(hidden).split(self._parts, 1)
        m, p = self.shape.components, self.shape.unknowns
        return Mixture(
            torch.log_softmax(weight, 1),
            mean.view(-1, m, p),
            scale.view(-1, m, p).clamp_max(STEEP),
            lower.view(-1, m, p * (p - 1) // 2),
        )
