"""What a designer proposes, and what it says of it, in plain types for documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdl_bluesky.analysis.design.inverse import Design
from sdl_bluesky.analysis.maps.prediction import PointPrediction
from sdl_bluesky.physics.geometry import Array

NOT_POWERS = ("pressure", "duration")
"""Inputs of a check or a film that are no source's power."""


@dataclass(frozen=True)
class Proposal:
    """The next experiment.

    Attributes:
        suggestion_id: its name within the campaign.
        inputs: power of each source [W] by name, "pressure" [mTorr] and, of a film, "duration" [s].
        explain: as an agent's ``explain()``, with "expected": composition, errors and rate of a film.
        based_on: uids of the runs that it follows from.
    """

    suggestion_id: str
    inputs: dict[str, float]
    explain: Mapping[str, Any]
    based_on: list[str]

    @property
    def powers(self) -> dict[str, float]:
        """Power of each source [W]."""
        return {k: v for k, v in self.inputs.items() if k not in NOT_POWERS}


def plain_design(found: Design) -> dict[str, Any]:
    """A design as a decision keeps it, without its alternatives."""
    return {
        **{k: float(v) for k, v in found.powers_W.items()},
        "pressure": found.pressure_mTorr,
        "probability": found.probability,
        "rate": found.rate,
        "elements": list(found.elements),
        "points_mm": _list(found.points_mm),
        "fraction": _list(found.fraction),
        "fraction_std": _list(found.std),
    }


def plain_composition(found: PointPrediction, points_mm: Array) -> dict[str, Any]:
    """Fractions at points [m, 2] as a decision keeps them."""
    return {
        "elements": list(found.elements),
        "points_mm": _list(points_mm),
        "fraction": _list(found.fraction),
        "fraction_std": _list(found.fraction_std),
    }


def _list(values: Array) -> list[Any]:
    return np.asarray(values, dtype=float).tolist()
