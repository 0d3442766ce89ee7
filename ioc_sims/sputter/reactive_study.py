"""Reactive sweeps of the batch program: oxygen flows one after the other, what instruments show, figures of a judge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ioc_sims.common.errors import RequestError
from ioc_sims.sputter.emission import node_weights
from ioc_sims.sputter.light import WAVELENGTH_NM
from ioc_sims.sputter.operation import Operator, Rows
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.reactive import branch
from ioc_sims.sputter.requests import Reactive, ScoreReactive

Floats = NDArray[np.float64]
Reply = dict[str, Any]


class Truth:
    """What a sweep hid: metal at each sensor as it would read it and as it arrives [flow, sensor], state of the target."""

    def __init__(self) -> None:
        self.read: list[Floats] = []
        self.arrives: list[Floats] = []
        self.branch: list[str] = []

    def note(self, plant: Plant, index: int) -> None:
        """Take the present state of one source."""
        source = plant.sources[index]
        first, weights = node_weights(source.n)
        flux = source.emitted_ng_s * (np.asarray(weights) @ plant.sensor_coupling[index][first : first + 4])
        tooling = np.asarray([crystal.tooling for crystal in plant.crystals])
        self.arrives.append(flux)
        self.read.append(flux * tooling * plant.run_factor(index))
        self.branch.append(branch(plant.oxygen.coverage[index]))


def sweep(operator: Operator, request: Reactive) -> tuple[Reply, Truth]:
    """Do a sweep; its reply and its truth.

    Raises:
        RequestError: unknown source, power or flow beyond its limits, no plasma.
    """
    plant, truth = operator.plant, Truth()
    index, limit = operator.index(request.source), plant.settings.oxygen_maximum_sccm
    if max(request.oxygen_sccm) > limit:
        raise RequestError(f"{max(request.oxygen_sccm):g} sccm of oxygen: beyond 0 .. {limit:g} sccm")
    rows: Rows = {}
    steps: list[Reply] = []
    try:
        course = operator.light({request.source: request.power}, request)
        if course.dark:
            raise RequestError(f"the plasma of {request.source} does not burn at {request.pressure:g} mTorr")
        zero = operator.record(rows, request.zero_s, request.every_s)
        plant.open_source_shutter(index, True)
        for flow in request.oxygen_sccm:
            plant.oxygen.setpoint_sccm = flow
            plant.advance(request.wait_s)
            spectrum = np.zeros(len(WAVELENGTH_NM))
            begin = plant.time_s
            flows = []
            for _ in range(request.spectra):
                operator.record(rows, request.measure_s / request.spectra, request.every_s)
                spectrum += plant.spectrum()
                flows.append(plant.oxygen.flow_reading_sccm())
            truth.note(plant, index)
            steps.append(
                {
                    "window": [begin, plant.time_s],
                    "oxygen_sccm": float(np.mean(flows)),
                    "spectrum": spectrum.tolist(),
                }
            )
    finally:
        plant.oxygen.setpoint_sccm = 0.0
        operator.finish()
    return {"rows": rows, "zero": list(zero), "wavelength_nm": WAVELENGTH_NM.tolist(), "steps": steps}, truth


def score(truth: Truth | None, request: ScoreReactive) -> Reply:
    """Figures of the metallic branch, in percent, and of the flags.

    Returns:
        "metallic", "poisoned": rows of each; "max_percent", "rms_percent" of the metal as the sensors would read it,
        "arrives_max_percent", "arrives_rms_percent" of what arrives; "coverage_68", "coverage_95" over all rows;
        "flagged": part of the poisoned rows that are called so; "false_flags": metallic rows called poisoned.

    Raises:
        RequestError: no sweep was done, or the shapes do not fit.
    """
    if truth is None:
        raise RequestError("no sweep was done yet")
    real, arrives = np.stack(truth.read), np.stack(truth.arrives)
    arrays = {name: np.asarray(getattr(request, name), float) for name in ("metal", "std", "low", "high")}
    for name, array in arrays.items():
        if array.shape != real.shape:
            raise RequestError(f"{name} has the shape {list(array.shape)}, the sweep {list(real.shape)}")
    if len(request.branch) != len(real):
        raise RequestError(f"{len(request.branch)} branches for {len(real)} flows")
    state, told = np.asarray(truth.branch), np.asarray(request.branch)
    metallic, poisoned = state == "metallic", state == "poisoned"
    error = 100 * (arrays["metal"] / real - 1)[metallic]
    from_flux = 100 * (arrays["metal"] / arrives - 1)[metallic]
    within_68 = np.abs(arrays["metal"] - real) <= arrays["std"]
    within_95 = (arrays["low"] <= real) & (real <= arrays["high"])
    return {
        "metallic": int(metallic.sum()),
        "poisoned": int(poisoned.sum()),
        **{
            f"{name}{what}": float(value) if errors.size else None
            for name, errors in (("", error), ("arrives_", from_flux))
            for what, value in (
                ("max_percent", np.max(np.abs(errors), initial=0.0)),
                ("rms_percent", np.sqrt(np.mean(errors**2)) if errors.size else 0.0),
            )
        },
        "coverage_68": float(np.mean(within_68)),
        "coverage_95": float(np.mean(within_95)),
        "coverage_95_metallic": float(np.mean(within_95[metallic])) if metallic.any() else None,
        "flagged": float(np.mean(told[poisoned] == "poisoned")) if poisoned.any() else None,
        "false_flags": int(np.sum(told[metallic] == "poisoned")),
        "branch_accuracy": float(np.mean(told == state)),
    }
