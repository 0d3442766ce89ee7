"""The kinds of results, and what kind a run is analysed to. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEASURE_RATE, COSPUTTER, MEASURE_RBS, CAMPAIGN = "measure_rate", "cosputter", "measure_rbs", "campaign"
MEASURE_REACTIVE, GROW_AND_MEASURE, RUN_GROWTH = "measure_reactive", "grow_and_measure", "run_growth"
FLUX, RATE_SURFACE, COMPOSITION, RBS, REACTIVE, LAYER = (
    "flux",
    "rate_surface",
    "composition",
    "rbs",
    "reactive",
    "layer",
)
CALIBRATION = "calibration"
"""Of a chamber, by measured points of its films: follows from results of the kind "rbs"."""
KINDS = (FLUX, RATE_SURFACE, COMPOSITION, RBS, REACTIVE, LAYER)


def kind_of(start: Mapping[str, Any]) -> str | None:
    """What a run is analysed to, by its start document; None if there is nothing to do."""
    if start.get("purpose") == CAMPAIGN:
        return None if start.get("plan_name") == RUN_GROWTH else RATE_SURFACE
    if start.get("plan_name") == MEASURE_REACTIVE:
        return REACTIVE if start.get("based_on") else None
    kinds = {MEASURE_RATE: FLUX, COSPUTTER: COMPOSITION, MEASURE_RBS: RBS, GROW_AND_MEASURE: LAYER}
    return kinds.get(str(start.get("plan_name")))


def campaign_of(start: Mapping[str, Any]) -> str:
    """Id of the campaign that a run is part of, or is; "" for a run of its own."""
    own = str(start["uid"]) if start.get("purpose") == CAMPAIGN else ""
    return str(start.get("campaign") or own)
