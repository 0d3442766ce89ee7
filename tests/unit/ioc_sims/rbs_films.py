"""Films as the truth file of a sputter chamber describes them."""

from __future__ import annotations

from typing import Any

import numpy as np


def film_truth(elements: dict[str, float], mass_ng_cm2: float, slope_per_mm: float = 0.0) -> dict[str, Any]:
    """A film of a sputter chamber's truth file: these fractions, and a mass that rises along x."""
    axis = np.linspace(-25.0, 25.0, 51)
    mass = mass_ng_cm2 * (1 + slope_per_mm * axis[None, :] + 0.0 * axis[:, None])
    return {
        "x_mm": axis.tolist(),
        "y_mm": axis.tolist(),
        "elements": list(elements),
        "fraction": {element: np.full((51, 51), share).tolist() for element, share in elements.items()},
        "areal_ng_cm2": mass.tolist(),
    }
