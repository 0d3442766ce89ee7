"""Probability that a layer is in specification: |wavelength - target| and |mismatch| within their tolerances.

About the target, (wavelength, lattice) go linearly with (x, y), with the Jacobian J of the alloy; the specification is a
rectangle there, a sheared parallelogram in (x, y). With the normal of (x, y) carried through J,

    P = int over the wavelength of N(w) [Phi((d_high - m(w))/s) - Phi((d_low - m(w))/s)] dw

m(w) and s the mean and standard deviation of the lattice constant given the wavelength. Torch, double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdl_bluesky.physics.alloys import Quaternary, Specification

_CUT = 8.0
_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(48))


@dataclass(frozen=True)
class Box:
    """A specification as seen from the composition.

    Attributes:
        target: (x*, y*) [2].
        jacobian: of wavelength [nm] and lattice constant [Angstrom] by x and y, [2, 2].
        half: half widths of the rectangle, nm and Angstrom [2].
    """

    target: Tensor
    jacobian: Tensor
    half: Tensor

    @classmethod
    def of(cls, specification: Specification, alloy: Quaternary) -> Box:
        """The specification of an alloy.

        Raises:
            OutOfRange: the target lies outside the alloy.
        """
        x, y = alloy.composition(specification.wavelength, specification.lattice)
        lattice = specification.mismatch_tolerance / 100.0 * specification.lattice
        return cls(
            torch.tensor([float(x), float(y)], dtype=torch.float64),
            torch.tensor(alloy.jacobian(x, y), dtype=torch.float64),
            torch.tensor([specification.wavelength_tolerance, lattice], dtype=torch.float64),
        )

    def probability(self, mean: Tensor, cov: Tensor) -> Tensor:
        """Probability [...] of a normal composition of mean [..., 2] and covariance [..., 2, 2]."""
        m = (mean - self.target) @ self.jacobian.T / self.half
        scaled = self.jacobian / self.half[:, None]
        c = scaled @ cov @ scaled.T
        s1 = torch.sqrt(c[..., 0, 0].clamp_min(1e-18))
        slope = c[..., 0, 1] / s1**2
        s2 = torch.sqrt((c[..., 1, 1] - slope * c[..., 0, 1]).clamp_min(1e-18)).unsqueeze(-1)
        m1 = m[..., 0]
        low = torch.maximum(m1 - _CUT * s1, -torch.ones_like(m1)).clamp_max(1.0)
        high = torch.minimum(m1 + _CUT * s1, torch.ones_like(m1)).clamp_min(-1.0)
        half = ((high - low) / 2.0).clamp_min(0.0).unsqueeze(-1)
        w = ((high + low) / 2.0).unsqueeze(-1) + half * _NODES
        density = torch.exp(-0.5 * ((w - m1.unsqueeze(-1)) / s1.unsqueeze(-1)) ** 2)
        density = density / (s1.unsqueeze(-1) * math.sqrt(2.0 * math.pi))
        given = m[..., 1:] + slope.unsqueeze(-1) * (w - m1.unsqueeze(-1))
        inside = torch.special.ndtr((1.0 - given) / s2) - torch.special.ndtr((-1.0 - given) / s2)
        return (half * _WEIGHTS * density * inside).sum(dim=-1)
