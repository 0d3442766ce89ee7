"""Points of a film that a campaign measures by backscattering, and what they said, as it stands in a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import CampaignError
from sdl_bluesky.physics.geometry import Array

AROUND = 0.6
"""Where the four points beside the wanted ones lie, as a part of the way to the edge of the map."""


def check_places(wanted_mm: Array, x_mm: Array, y_mm: Array) -> list[tuple[float, float]]:
    """Where a film is measured: where its composition is wanted, and four points around the middle [mm].

    The four tell how the composition changes over the wafer, which the sensors beside it know least.

    Args:
        wanted_mm: points of the target [m, 2].
        x_mm, y_mm: axes of the map.
    """
    dx, dy = AROUND * float(x_mm[-1] - x_mm[0]) / 2.0, AROUND * float(y_mm[-1] - y_mm[0]) / 2.0
    x, y = float(x_mm.mean()), float(y_mm.mean())
    around = [(x + i * dx, y + j * dy) for i in (-1, 1) for j in (-1, 1)]
    return list(dict.fromkeys([*((float(a), float(b)) for a, b in wanted_mm), *around]))


@dataclass(frozen=True, eq=False)
class RecordedPoints:
    """Measured fractions as a decision keeps them; see `analysis.maps.readings.Points`.

    Attributes:
        elements: [e]. x_mm, y_mm: [p]. fraction: [p, e]. fraction_cov: [p * e, p * e]. accepted: [p].
    """

    elements: tuple[str, ...]
    x_mm: Array
    y_mm: Array
    fraction: Array
    fraction_cov: Array
    accepted: NDArray[np.bool_]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> RecordedPoints:
        """From the outcome of a decision.

        Raises:
            CampaignError: it holds no points.
        """
        try:
            return cls(
                elements=tuple(str(k) for k in row["elements"]),
                x_mm=np.asarray(row["x_mm"], dtype=float),
                y_mm=np.asarray(row["y_mm"], dtype=float),
                fraction=np.asarray(row["fraction"], dtype=float),
                fraction_cov=np.asarray(row["fraction_cov"], dtype=float),
                accepted=np.asarray(row["accepted"], dtype=bool),
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise CampaignError(f"a decision of the stage 'measure' holds no points: {fault!r}") from fault


def row_of_points(film: str, points: Any, findings: Sequence[str]) -> dict[str, Any]:
    """What a decision keeps of measured points (`analysis.maps.readings.Points`), in plain types."""
    arrays = {
        k: np.asarray(getattr(points, k), dtype=float).tolist() for k in ("x_mm", "y_mm", "fraction", "fraction_cov")
    }
    return {
        "film": film,
        "elements": list(points.elements),
        **arrays,
        "accepted": [bool(k) for k in points.accepted],
        "findings": list(findings),
    }
