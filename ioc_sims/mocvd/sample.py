"""A run in short: a layer from steady flows, and what its measurements would say; for studies of many runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ioc_sims.common.seeds import stream
from ioc_sims.mocvd import alloy, hidden, seeds
from ioc_sims.mocvd.growth import reference_gas
from ioc_sims.mocvd.photoluminescence import mean_nm
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.wafer import Layer, Slab

THICKNESS_NM = 200.0


def sample(plant: Plant, f_ga: float, f_as: float) -> dict[str, Any]:
    """Grow one layer on a fresh wafer, and measure it with the errors of the settings.

    Args:
        plant: a reactor at rest; its wafers grow by one.
        f_ga: flow of gallium [sccm], as it is shown.
        f_as: flow of arsine [sccm].

    Returns:
        {"wafer", "wavelength" [nm], "lattice" [Angstrom, relaxed]}.
    """
    s, condition = plant.settings, plant.condition
    plant.load()
    wafer = plant.wafers[len(plant.wafers)]
    plant.unload()
    shown = reference_gas(s, f_ga, f_as)
    true = {name: factor * (1 + plant.drifts.line[name].value) for name, factor in condition.line.items()}
    gas = replace(
        shown,
        indium=shown.indium * true["IN"],
        gallium=shown.gallium * true["GA"],
        arsine=shown.arsine * true["AS"],
        phosphine=shown.phosphine * true["P"],
        temperature_degC=shown.temperature_degC + condition.offset_degC,
    )
    grown = plant.law.grow(gas, hidden.run(s, plant.config.seed, wafer.number).shift)
    layer = Layer(("IN", "GA", "AS", "P"), [Slab(THICKNESS_NM, grown.x, grown.y)])
    wafer.layers.append(layer)
    light, angle = (stream(plant.config.seed, purpose, wafer.number) for purpose in (seeds.PL, seeds.XRD))
    nm = mean_nm(wafer) + s.pl_calibration_nm * light.normal()
    percent = s.sample_lattice_percent * angle.normal()
    lattice = float(alloy.lattice_angstrom(grown.x, grown.y)) + alloy.INP_ANGSTROM * percent / 100
    return {"wafer": wafer.number, "wavelength": float(nm), "lattice": lattice}
