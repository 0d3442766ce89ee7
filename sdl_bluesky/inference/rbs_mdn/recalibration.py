"""Recalibration: what share of truths really lies below a quantile of the network, parameter by parameter.

If R(u) is the distribution function, over spectra that the training has not seen, of the network's own distribution function
at the truth, then R(F(theta)) is calibrated (Kuleshov, Fenner and Ermon, ICML 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

KNOTS = 65
LEAST = 200
"""Spectra without which a curve is noise."""


@dataclass(frozen=True, eq=False)
class Recalibration:
    """Monotone curves through knots.

    Attributes:
        told: probabilities that the network tells [parameter, knot], from 0 to 1.
        true: shares of truths below them [knot], from 0 to 1.
    """

    told: Array
    true: Array

    def corrected(self, told: Array) -> Array:
        """R [..., p] of probabilities that the network tells [..., p]."""
        return np.stack([np.interp(told[..., k], row, self.true) for k, row in enumerate(self.told)], axis=-1)

    def raw(self, true: Array) -> Array:
        """R^-1 [..., p] of calibrated probabilities [..., p]."""
        return np.stack([np.interp(true[..., k], self.true, row) for k, row in enumerate(self.told)], axis=-1)

    @classmethod
    def none(cls, unknowns: int) -> Recalibration:
        """That which changes nothing."""
        return cls(np.tile([0.0, 1.0], (unknowns, 1)), np.array([0.0, 1.0]))


def recalibrate(told: Array) -> Recalibration:
    """From what the network tells of truths [spectrum, parameter] that it was not trained on.

    The knots are finer at both ends, where intervals end.

    Raises:
        OutOfRange: there are too few.
    """
    if len(told) < LEAST:
        raise OutOfRange(f"{len(told)} spectra for a recalibration: {LEAST} at least")
    true = 0.5 * (1.0 - np.cos(np.pi * np.linspace(0.0, 1.0, KNOTS)))
    inner = np.quantile(told, true[1:-1], axis=0).T
    edges = np.zeros((told.shape[1], 1))
    knots = np.concatenate([edges, np.clip(inner, 1e-12, 1.0 - 1e-12), edges + 1.0], axis=1)
    return Recalibration(np.maximum.accumulate(knots + 1e-13 * np.arange(KNOTS), axis=1), true)
