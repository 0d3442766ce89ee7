"""What is assumed of an RBS end station and of stopping data before any spectrum: stated assumptions, not fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sdl_bluesky.analysis.rbs.pool import Prior
from sdl_bluesky.errors import CatalogueError


@dataclass(frozen=True)
class RBSPriors:
    """Standard deviations, relative where no unit is named.

    Attributes:
        charge: of one reading of the charge, from point to point.
        solid_angle: of solid angle times charge, the same for all points of a run.
        slope: of the keV per channel, from point to point (the gain drifts).
        offset_keV: of the energy of channel 0, from point to point.
        resolution: of the detector's resolution, the same for all points.
        stopping: of the stopping cross section of each element, the same for all points. Models differ by 2 to 3 % (rms)
            for helium of 1 to 3 MeV.
        model: of the fluence that the model takes from the substrate's signal, see `level`.
    """

    charge: float = 0.005
    solid_angle: float = 0.01
    slope: float = 0.005
    offset_keV: float = 2.0
    resolution: float = 0.05
    stopping: float = 0.02
    model: float = 0.02

    @classmethod
    def from_setup(cls, setup: Mapping[str, Any], where: str) -> RBSPriors:
        """These, with what `rbs_setup` of a start document says under "accuracy" (keys as above).

        Raises:
            CatalogueError: an unknown key, or a value that is no positive number.
        """
        given = setup.get("accuracy") or {}
        known = [k.name for k in fields(cls)]
        odd = [k for k in given if k not in known] if isinstance(given, Mapping) else [repr(given)]
        if odd:
            raise CatalogueError(f"{where}: 'accuracy' of 'rbs_setup' knows {', '.join(known)}, not {', '.join(odd)}")
        try:
            values = {k: float(v) for k, v in given.items()}
        except (TypeError, ValueError) as fault:
            raise CatalogueError(f"{where}: 'accuracy' of 'rbs_setup' holds no numbers: {fault}") from fault
        if not all(0.0 < v < 1e3 for v in values.values()):
            raise CatalogueError(f"{where}: 'accuracy' of 'rbs_setup' needs positive numbers, not {values}")
        return cls(**values)

    def parameters(self, elements: Sequence[str]) -> dict[str, Prior]:
        """By the names of the nuisance parameters of the forward model."""
        return {
            "fluence": Prior(own=self.charge, common=math.hypot(self.solid_angle, self.model)),
            "slope": Prior(own=self.slope),
            "offset": Prior(mean=0.0, own=self.offset_keV),
            "resolution": Prior(common=self.resolution),
            **{f"stopping:{name}": Prior(common=self.stopping) for name in elements},
        }
