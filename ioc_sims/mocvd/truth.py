"""The hidden truth of a reactor, for the judge alone: its law, its condition, what every wafer really holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ioc_sims.mocvd import alloy, hidden
from ioc_sims.mocvd.photoluminescence import mean_nm
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.wafer import Layer, Wafer

SCHEMA = 1


Known = dict[int, tuple[tuple[float, float], dict[str, Any]]]
"""Truth of wafers by number, with the thickness and the seconds that it belongs to."""


def truth(plant: Plant, known: Known | None = None) -> dict[str, Any]:
    """Everything of the truth file.

    Args:
        plant: the reactor.
        known: what has been worked out before, and need not be again; is added to.
    """
    known = {} if known is None else known
    for number, wafer in plant.wafers.items():
        key = (sum(layer.nm for layer in wafer.layers), wafer.decomposed_s)
        if known.get(number, (None, {}))[0] != key:
            known[number] = (key, wafer_truth(plant, wafer))
    law = {name: value for name, value in vars(plant.law).items() if name != "settings"}
    conditions = (hidden.condition(plant.settings, plant.config.seed, n) for n in range(plant.maintenance + 1))
    return {
        "schema": SCHEMA,
        "seed": plant.config.seed,
        "settings": plant.settings.model_dump(mode="json"),
        "law": law,
        "maintenance": plant.maintenance,
        "conditions": [asdict(one) for one in conditions],
        "zero_deg": plant.diffractometer.zero_deg,
        "wafers": {str(number): known[number][1] for number in plant.wafers},
    }


def wafer_truth(plant: Plant, wafer: Wafer) -> dict[str, Any]:
    """What a wafer holds, in its middle; "layer" is its thickest layer that is not InP, or null."""
    chosen = wafer.quaternary
    rate = plant.settings.relaxation_rate
    layers = [layer_truth(layer, wafer.relaxed(layer, rate)) for layer in wafer.layers]
    seen: dict[str, Any] | None = None
    if chosen is not None:
        index = next(k for k, layer in enumerate(wafer.layers) if layer is chosen)
        seen = {**layers[index], "index": index, "wavelength_mean_nm": mean_nm(wafer)}
    return {
        "maintenance": wafer.maintenance,
        "bad": wafer.bad,
        "decomposed_s": wafer.decomposed_s,
        "layers": layers,
        "layer": seen,
    }


def layer_truth(layer: Layer, relaxed: float) -> dict[str, Any]:
    """One layer: means over its thickness, and how far it is graded (x_sd, y_sd)."""
    x, y = layer.composition
    x_sd, y_sd = layer.spread
    return {
        "lines": list(layer.lines),
        "seconds": layer.seconds,
        "thickness_nm": layer.nm,
        "x": x,
        "y": y,
        "x_sd": x_sd,
        "y_sd": y_sd,
        "wavelength_nm": float(alloy.wavelength_nm(x, y)),
        "lattice_angstrom": float(alloy.lattice_angstrom(x, y)),
        "mismatch_percent": 100 * float(alloy.mismatch(x, y)),
        "relaxation": relaxed,
    }
