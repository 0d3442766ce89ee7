"""A decision that an agent was asked for again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Replayed:
    """One decision, recorded and proposed again by an agent rebuilt from the catalogue.

    Attributes:
        difference: largest difference of an input, as a fraction of its range.
    """

    step: int
    stage: str
    recorded: Mapping[str, float]
    proposed: Mapping[str, float]
    difference: float
