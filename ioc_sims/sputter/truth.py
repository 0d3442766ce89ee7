"""The hidden truth of a chamber, for the judge alone: noise-free rates, where the plasma burns, what films hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ioc_sims.sputter.emission import node_weights
from ioc_sims.sputter.film import GRID_MM, Film, Wafer, atomic_fractions
from ioc_sims.sputter.plant import Plant

SCHEMA = 1
POINTS = 31


def chamber_truth(plant: Plant) -> dict[str, Any]:
    """Everything of the truth file but the films: rates at today's erosion, without tooling and neighbours."""
    grid = plant.config.grid
    power = np.linspace(*grid.power_W, POINTS)
    pressure = np.linspace(*grid.pressure_mTorr, POINTS)
    return {
        "schema": SCHEMA,
        "seed": plant.config.seed,
        "settings": plant.settings.model_dump(mode="json"),
        "tooling": {c.config.name: c.tooling for c in plant.crystals},
        "gauge_factor": plant.gauge_factor,
        "power_W": power.tolist(),
        "pressure_mTorr": pressure.tolist(),
        "sources": {
            source.name: source_truth(plant, index, power, pressure) for index, source in enumerate(plant.sources)
        },
    }


def source_truth(plant: Plant, index: int, power: NDArray[np.float64], pressure: NDArray[np.float64]) -> dict[str, Any]:
    """Rate at each sensor [ng cm^-2 s^-1] and plasma of one source over power x pressure; rate 0 where none burns."""
    source = plant.sources[index]
    p, w = pressure[:, None], power[None, :]
    lit = p >= source.law.extinction_pressure(w)
    emitted = np.where(lit, source.law.emitted(w, p, source.energy_kWh), 0.0)
    fluxes = np.empty((len(plant.crystals), len(pressure)))
    for row, n in enumerate(np.asarray(source.law.exponent(pressure, source.energy_kWh))):
        first, weights = node_weights(float(n))
        fluxes[:, row] = np.asarray(weights) @ plant.sensor_coupling[index][first : first + 4]
    rates = fluxes[:, :, None] * emitted
    return {
        "element": source.law.config.element,
        "target_number": source.target_number,
        "rate": {c.config.name: rates[k].tolist() for k, c in enumerate(plant.crystals)},
        "lit": lit.tolist(),
        "ignites": (p >= source.law.ignition_pressure(w)).tolist(),
    }


def film_truth(wafer: Wafer, film: Film) -> dict[str, Any]:
    """Atomic fractions and mass of one film on the 51 x 51 mm grid (0 where there is no film)."""
    masses = wafer.masses(film)
    areal = sum(masses.values(), start=np.zeros((len(GRID_MM), len(GRID_MM))))
    fractions = atomic_fractions(masses)
    return {
        "x_mm": GRID_MM.tolist(),
        "y_mm": GRID_MM.tolist(),
        "elements": list(fractions),
        "fraction": {element: np.round(values, 9).tolist() for element, values in fractions.items()},
        "areal_ng_cm2": np.round(areal, 6).tolist(),
    }
