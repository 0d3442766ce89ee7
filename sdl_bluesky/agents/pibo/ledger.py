"""The book of an agent that grows layers: runs with wavelength and lattice constant, each of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdl_bluesky.agents.ledger import Ledger
from sdl_bluesky.agents.space import Space, number
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.pibo.data import GrowthData
from sdl_bluesky.physics.alloys import Quaternary
from sdl_bluesky.physics.geometry import Array

OUTCOMES = ("wavelength", "lattice")
MAINTENANCE = ", maintenance "
"""Between the name of a campaign and the number of maintenances before its runs."""


@dataclass
class GrowthLedger(Ledger):
    """Book of an agent; see `Ledger`.

    Attributes:
        alloy: between properties and composition.
        campaign: the one that goes on; runs that name none are of it.
        campaigns: of each run.
        xy, xy_std: composition of each run, and its error of measurement as far as the run told it.
        asked: whether each run answered a suggestion.
        target_row, target_failed: runs and failures when the target was set.
    """

    alloy: Quaternary = field(default_factory=lambda: _default_alloy())
    campaign: str = "default"
    campaigns: list[str] = field(default_factory=list)
    xy: list[Array] = field(default_factory=list)
    xy_std: list[Array] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)
    target_row: int = 0
    target_failed: int = 0

    @classmethod
    def make(cls, space: Space, prefix: str, alloy: Quaternary, campaign: str) -> GrowthLedger:
        """An empty book."""
        return cls(space, OUTCOMES[0], prefix, OUTCOMES, alloy=alloy, campaign=campaign)

    def _ingest(self, row: Mapping[str, Any]) -> None:
        if not isinstance(row, Mapping):
            raise OutOfRange(f"{row!r} is no row: give a dict")
        x = self.space.read(row)
        if np.any(x <= 0):
            raise OutOfRange(f"flows {x.tolist()} sccm: a layer needs both above 0")
        told = np.array([number(row, name) for name in OUTCOMES])
        errors = np.array([_error(row, name) for name in OUTCOMES])
        campaign = self._campaign_of(row)
        xy = np.array(self.alloy.composition(told[0], told[1]), dtype=float)
        std = np.sqrt(np.linalg.inv(self.alloy.jacobian(xy[0], xy[1])) ** 2 @ errors**2)
        waiting = len(self.pending)
        own = str(row.get("_id") or "").startswith(f"{self.prefix}-")
        super()._ingest({**row, "lattice_std": errors[1]})
        self.asked.append(own or len(self.pending) < waiting)
        self.campaigns.append(campaign)
        self.xy.append(xy)
        self.xy_std.append(std)
        self.rows[-1] |= {"lattice": float(told[1]), "campaign": campaign, "x": float(xy[0]), "y": float(xy[1])}
        if row.get("campaign") is None:
            self.campaign = campaign

    def _campaign_of(self, row: Mapping[str, Any]) -> str:
        """The campaign whose offset a run has: another one after each maintenance."""
        name = self.campaign if row.get("campaign") is None else str(row["campaign"])
        if row.get("maintenance") is None:
            return name
        count = number(row, "maintenance")
        if count < 0 or count != int(count):
            raise OutOfRange(f"maintenance = {count:g} is no number of maintenances")
        return f"{name.partition(MAINTENANCE)[0]}{MAINTENANCE}{count:.0f}"

    def new_target(self, campaign: str) -> None:
        """Another target from here on: the budget begins anew, and what was in specification no longer counts."""
        self.campaign, self.target_row, self.target_failed = campaign, len(self.y), self.failed
        self.pending.clear()

    @property
    def asked_since(self) -> int:
        """Runs that answered a suggestion since the target was set."""
        return sum(self.asked[self.target_row :])

    def data(self, believed: tuple[Array, Array] | None = None) -> GrowthData:
        """All runs for a model, and believed ones: flows [k, 2] and compositions [k, 2] of the current campaign."""
        names = list(dict.fromkeys([*self.campaigns, self.campaign]))
        flows = np.array(self.x).reshape(-1, 2)
        xy, std = np.array(self.xy).reshape(-1, 2), np.array(self.xy_std).reshape(-1, 2)
        of = [names.index(name) for name in self.campaigns]
        here = names.index(self.campaign)
        if believed is not None:
            flows, xy = np.concatenate([flows, believed[0]]), np.concatenate([xy, believed[1]])
            std = np.concatenate([std, np.zeros_like(believed[1])])
            of += [here] * len(believed[0])
        return GrowthData(flows, xy, std, np.array(of, dtype=int), here)


def _error(row: Mapping[str, Any], name: str) -> float:
    key = f"{name}_std"
    value = number(row, key) if row.get(key) is not None else 0.0
    if value < 0:
        raise OutOfRange(f"{key} = {value:g} is negative")
    return value


def _default_alloy() -> Quaternary:
    from sdl_bluesky.physics.alloys import InGaAsP

    return InGaAsP()
