"""Growth runs as the models take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class GrowthData:
    """Runs.

    Attributes:
        flows: F_Ga, F_As [n, 2], sccm.
        xy: composition [n, 2], within (0, 1).
        std: errors of measurement of the composition [n, 2]; 0 where nothing is known of them.
        campaign: number of the campaign of each run [n].
        current: number of the campaign that goes on; it may have no run yet.
    """

    flows: Array
    xy: Array
    std: Array
    campaign: NDArray[np.int_]
    current: int = 0

    def __post_init__(self) -> None:
        n = len(self.flows)
        if self.flows.shape != (n, 2) or self.xy.shape != (n, 2) or self.std.shape != (n, 2):
            raise OutOfRange(f"flows {self.flows.shape}, compositions {self.xy.shape}, errors {self.std.shape}: [n, 2]")
        if self.campaign.shape != (n,):
            raise OutOfRange(f"campaigns {self.campaign.shape}: give one number for each of {n} runs")
        if not all(np.all(np.isfinite(a)) for a in (self.flows, self.xy, self.std)) or np.any(self.std < 0):
            raise OutOfRange("a flow, a composition or an error is not finite, or an error is negative")

    @classmethod
    def one_campaign(cls, flows: Array, xy: Array) -> GrowthData:
        """Runs [n, 2] of one campaign with unknown errors."""
        flows, xy = np.asarray(flows, dtype=float).reshape(-1, 2), np.asarray(xy, dtype=float).reshape(-1, 2)
        return cls(flows, xy, np.zeros_like(xy), np.zeros(len(flows), dtype=int))
