"""How growth and measurements are run. All times are process time, simulated seconds on a twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, TypeAlias

from sdl_bluesky.devices import ScanRange
from sdl_bluesky.errors import UnknownName
from sdl_bluesky.plans.mocvd.recipe import Rates, Recipe

Strain: TypeAlias = Literal["relaxed", "coherent"]


@dataclass(frozen=True)
class GrowthSettings:
    """Settings of the MOCVD plans.

    Attributes:
        recipe: what holds where a plan is not told otherwise; its flows of Ga and As are always told.
        rates: calibrated growth rates.
        settle_s: wait after a change of flows or pressure before they are believed.
        soak_s: wait at the temperature, with all flows in the vent, before the first layer.
        pause_s: wait between layers, under hydrides alone.
        purge_s: wait under carrier after the hydrides are shut.
        steady_tries: how often `settle_s` is waited for everything to be steady at once.
        least_v_iii: least flow of hydrides over that of metals.
        least_carrier_sccm: of hydrogen.
        scan: theta-2theta scan of a layer.
        exposure_s: of a pixel of the PL map, and of the spectrum.
        strain: how the layer is taken to be when its scan is reduced.
        pl_systematic_nm: standard error of the mapper's calibration.
    """

    recipe: Recipe = field(default_factory=lambda: Recipe(f_ga=0.0, f_as=0.0))
    rates: Rates = field(default_factory=Rates)
    settle_s: float = 10.0
    soak_s: float = 60.0
    pause_s: float = 5.0
    purge_s: float = 60.0
    steady_tries: int = 6
    least_v_iii: float = 3.0
    least_carrier_sccm: float = 2000.0
    scan: ScanRange = field(default_factory=ScanRange)
    exposure_s: float = 0.1
    strain: Strain = "relaxed"
    pl_systematic_nm: float = 1.5


def recipe_for(
    settings: GrowthSettings, f_ga: float, f_as: float, changes: Mapping[str, float] | None = None
) -> Recipe:
    """The usual recipe for flows of Ga and As.

    Args:
        settings: have the usual recipe.
        f_ga, f_as: flows [sccm].
        changes: other fields of `Recipe` that shall not be the usual ones.

    Raises:
        UnknownName: a recipe has no such field.
    """
    known = [one.name for one in fields(Recipe) if one.name not in ("f_ga", "f_as")]
    for name in changes or {}:
        if name not in known:
            raise UnknownName("field of a recipe", name, known)
    return replace(settings.recipe, f_ga=f_ga, f_as=f_as, **(changes or {}))
