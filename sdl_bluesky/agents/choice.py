"""A point that an agent chose, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class Choice:
    """A point and why it was chosen.

    Attributes:
        x: [d].
        acquisition: as explained: name, value, unit.
        alternatives: other points with their values.
        mark: what it is for, as part of its id ("i3": point 3 of the initial design); see `Ledger`.
        findings: what a person should know of the data or the model.
    """

    x: Array
    acquisition: dict[str, Any]
    alternatives: list[tuple[Array, float]] = field(default_factory=list)
    mark: str = ""
    findings: tuple[str, ...] = ()


def plain(value: Any) -> Any:
    """The same as JSON can write it: a number that is not finite, and what JSON does not know, become texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, (int, float)) and np.isfinite(value):
        return value
    return str(value)
