"""The MOCVD reactor as a growth campaign sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bluesky.utils import MsgGenerator

from sdl_bluesky.analysis.layers.recipe import layer_of
from sdl_bluesky.devices import MOCVD
from sdl_bluesky.plans.mocvd.experiment import Growth, grow_and_measure
from sdl_bluesky.plans.mocvd.recipe import steps
from sdl_bluesky.plans.mocvd.settings import GrowthSettings, recipe_for


@dataclass(frozen=True)
class ReactorGrower:
    """Grows and measures layers in a reactor; see `plans.growth.campaign.Grower`.

    Attributes:
        reactor: the machine.
        settings: how growth and measurements are run.
    """

    reactor: MOCVD | None
    settings: GrowthSettings

    def grow(self, flows: Mapping[str, float], sample: str, md: Mapping[str, Any]) -> MsgGenerator[Growth]:
        """Grow and measure one layer, as one run."""
        recipe = recipe_for(self.settings, float(flows["f_ga"]), float(flows["f_as"]))
        return grow_and_measure(self.reactor, recipe, self.settings, sample=sample, md=md)

    def row(self, uid: str, data: Mapping[str, Any]) -> dict[str, float]:
        """Flows as they were read back while the layer grew, its wavelength [nm] and lattice constant [Angstrom]; and how
        many maintenances there had been.

        Raises:
            WeakSignal, OutOfRange: see `analysis.layers`. CatalogueError: `data` are not of such a run.
        """
        recipe = recipe_for(self.settings, float(data["ga_flow"]), float(data["as_flow"]))
        start = {
            "uid": uid,
            "stack": [k.as_document() for k in steps(recipe, self.settings.rates)],
            "strain": self.settings.strain,
            "pl_systematic": self.settings.pl_systematic_nm,
        }
        found = layer_of(start, data)
        return {
            "maintenance": float(data["maintenance_number"]),
            "f_ga": recipe.f_ga,
            "f_as": recipe.f_as,
            "wavelength": found.wavelength,
            "wavelength_std": found.wavelength_std,
            "lattice": found.lattice,
            "lattice_std": found.lattice_std,
        }
