"""What is known of a stack before its scan is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from sdl_bluesky.analysis.layers.pattern import INDEX, NAMES, expected_counts, two_peaks
from sdl_bluesky.analysis.layers.scan_fit import Prior
from sdl_bluesky.errors import OutOfRange

Kind: TypeAlias = Literal["together", "free", "peaks"]
"""What is supposed of a layer's pattern, see `Stack.prior`."""
CONTRAST = 0.05
"""Of the scattering strength of layers of one family of alloys, as a logarithm: F(004) of In(1-x)Ga(x)As(y)P(1-y) near the
lattice match is 3 to 10 % above that of InP, by the numbers of electrons."""
STRENGTH_STD = 0.1
FREE_STRENGTH_STD = 1.5
"""Of layers that do not scatter together with the substrate as the theory says."""


@dataclass(frozen=True)
class Stack:
    """A layer on a substrate of InP, under a cap of InP.

    Attributes:
        layer_nm, cap_nm: thicknesses that were meant.
        thickness_std: relative standard deviation of what was grown from what was meant.
        zero_std_deg: of the goniometer's zero.
        most_zero_deg: farther than this from its place the substrate's peak is not looked for.

    Raises:
        OutOfRange: a number that is not finite and above 0.
    """

    layer_nm: float = 200.0
    cap_nm: float = 65.0
    thickness_std: float = 0.3
    zero_std_deg: float = 0.1
    most_zero_deg: float = 0.3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise OutOfRange(f"stack: {name} = {value}: give a finite number above 0")

    def prior(self, kind: Kind = "together") -> Prior:
        """A pattern with priors of its parameters.

        Args:
            kind: "together": layer and substrate scatter together, with strengths by their electrons; "free": strengths and
                coherence are learned; "peaks": two peaks without fringes.
        """
        strength = STRENGTH_STD if kind == "together" else FREE_STRENGTH_STD
        peaks = kind == "peaks"
        known = {
            "zero": (0.0, self.zero_std_deg),
            "mismatch": (0.0, 10.0),
            "scale": (0.0, 30.0),
            "width": (np.log(5e-4), 1.5),
            "resolution": (np.log(2.6e-3), 1.0),
            "layer": (np.log(self.layer_nm), 1.0 if peaks else self.thickness_std),
            "strength": (CONTRAST, strength),
            "cap": (np.log(self.cap_nm), 0.0 if peaks else self.thickness_std),
            "cap_strength": (0.0, 0.0 if peaks else strength),
            "kappa": (1.0, 10.0 if kind == "free" else 0.0),
            "background": (0.0, 10.0),
        }
        mean, std = np.zeros(len(NAMES)), np.zeros(len(NAMES))
        for name, (value, spread) in known.items():
            mean[INDEX[name]], std[INDEX[name]] = value, spread
        return Prior(mean, std, two_peaks if peaks else expected_counts)
