"""What outlives a process: wafers, maintenance, drifts, temperature, time. No precursor does: every start is safe."""

from __future__ import annotations

from typing import Any

import numpy as np

from ioc_sims.common import state as file
from ioc_sims.mocvd import hidden
from ioc_sims.mocvd.measuring import State as Measured
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.sequence import State
from ioc_sims.mocvd.settings import ReactorConfig
from ioc_sims.mocvd.wafer import as_json, from_json

SCHEMA = 1


def fingerprint(config: ReactorConfig) -> str:
    """Identity of a reactor: a state may be resumed only by the reactor that left it."""
    return file.fingerprint(config.model_dump(mode="json", include={"seed", "physics"}))


def snapshot(plant: Plant) -> dict[str, Any]:
    """The state as JSON."""
    phosphine = plant.controllers["P"]
    return {
        "schema": SCHEMA,
        "reactor": fingerprint(plant.config),
        "starts": plant.starts + 1,
        "time_s": plant.time_s,
        "maintenance": plant.maintenance,
        "vented_scc": plant.vented_scc,
        "drifts": {name: wander.value for name, wander in plant.drifts.line.items()},
        "temperature_degC": plant.susceptor.value,
        "ramp_degC_s": plant.susceptor.ramp,
        "pressure_mbar": [plant.pressure_setpoint, plant.pressure_mbar],
        "hydrogen_sccm": plant.controllers["H2"].setpoint,
        "phosphine_sccm": phosphine.setpoint if plant.run["P"] else 0.0,
        "growth": {
            "number": plant.sequence.number,
            "state": int(plant.sequence.state),
            "layer_s": plant.sequence.layer_s,
            "clock_s": plant.sequence.clock_s,
            "duration_s": plant.sequence.duration_s,
        },
        "wafers": [as_json(wafer) for wafer in plant.wafers.values()],
        "loaded": plant.loaded.number if plant.loaded else 0,
        "pl": _mapper(plant),
        "xrd": _diffractometer(plant),
    }


def load_plant(config: ReactorConfig) -> Plant:
    """The reactor as its state file left it, or a new one if there is no file.

    As after a loss of the heartbeat: group III and heater off; phosphine that was in run stays while the surface is
    hot. A measurement that ran is stopped.

    Raises:
        StateError: the file cannot be read, or belongs to a reactor with another seed or physics.
    """
    found = file.resume(
        config.state_file,
        schema=SCHEMA,
        kind="reactor",
        mark=fingerprint(config),
        stranger="a reactor with another seed or physics",
        restore=lambda state: _restored(config, state),
    )
    return Plant(config) if found is None else found


def _restored(config: ReactorConfig, state: dict[str, Any]) -> Plant:
    plant = Plant(config, start=int(state["starts"]))
    plant.time_s = float(state["time_s"])
    plant.maintenance = int(state["maintenance"])
    plant.condition = hidden.condition(config.physics, config.seed, plant.maintenance)
    plant.vented_scc = float(state["vented_scc"])
    for name, wander in plant.drifts.line.items():
        wander.value = float(state["drifts"][name])
    susceptor = plant.susceptor
    susceptor.value = susceptor.working = float(state["temperature_degC"])
    susceptor.ramp = float(state["ramp_degC_s"])
    plant.pressure_setpoint, plant.pressure_mbar = (float(p) for p in state["pressure_mbar"])
    hydrogen, phosphine = plant.controllers["H2"], plant.controllers["P"]
    hydrogen.setpoint = hydrogen.flow = plant.arrived["H2"] = float(state["hydrogen_sccm"])
    if float(state["phosphine_sccm"]) > 0 and susceptor.value > config.physics.protect_degC:
        phosphine.setpoint = phosphine.flow = plant.arrived["P"] = float(state["phosphine_sccm"])
        plant.run["P"] = plant.protecting = True
        plant.changed.add("P:VALVE:SP")  # its record starts with Vent
    saved, sequence = state["growth"], plant.sequence
    sequence.number, sequence.state = int(saved["number"]), State(int(saved["state"]))
    sequence.end(State.STOPPED)
    sequence.layer_s, sequence.clock_s = float(saved["layer_s"]), float(saved["clock_s"])
    sequence.duration_s = float(saved["duration_s"])
    plant.wafers = {wafer.number: wafer for wafer in map(from_json, state["wafers"])}
    if state["loaded"]:
        plant.restore_wafer(int(state["loaded"]))
    _restore_mapper(plant, state["pl"])
    _restore_diffractometer(plant, state["xrd"])
    return plant


def _mapper(plant: Plant) -> dict[str, Any]:
    one = plant.mapper
    return {
        "wafer": one.wafer.number if one.wafer else 0,
        "number": one.number,
        "state": int(one.state),
        "exposure_s": one.exposure_s,
        "place_mm": dict(one.place_mm),
        "map_nm": [None if np.isnan(nm) else float(nm) for nm in one.map_nm.ravel()],
        "intensity": one.intensity.ravel().tolist(),
        "counts": one.counts.tolist(),
    }


def _restore_mapper(plant: Plant, saved: dict[str, Any]) -> None:
    one = plant.mapper
    one.wafer = plant.wafers[int(saved["wafer"])] if saved["wafer"] else None
    one.number, one.state = int(saved["number"]), Measured(int(saved["state"]))
    one.stop()
    one.exposure_s = float(saved["exposure_s"])
    one.place_mm = {axis: float(saved["place_mm"][axis]) for axis in ("X", "Y")}
    shape = one.map_nm.shape
    one.map_nm = np.array([np.nan if nm is None else float(nm) for nm in saved["map_nm"]]).reshape(shape)
    one.intensity = np.asarray(saved["intensity"], float).reshape(shape)
    one.counts = np.asarray(saved["counts"], np.int64).reshape(one.counts.shape)


def _diffractometer(plant: Plant) -> dict[str, Any]:
    one = plant.diffractometer
    return {
        "wafer": one.wafer.number if one.wafer else 0,
        "number": one.number,
        "state": int(one.state),
        "scan": [one.first_deg, one.last_deg, one.step_deg, one.time_s],
        "two_theta_deg": one.two_theta_deg.tolist(),
        "counts": one.counts.tolist(),
        "points": one.points,
    }


def _restore_diffractometer(plant: Plant, saved: dict[str, Any]) -> None:
    one = plant.diffractometer
    one.wafer = plant.wafers[int(saved["wafer"])] if saved["wafer"] else None
    one.number, one.state = int(saved["number"]), Measured(int(saved["state"]))
    one.stop()
    one.first_deg, one.last_deg, one.step_deg, one.time_s = (float(value) for value in saved["scan"])
    one.two_theta_deg = np.asarray(saved["two_theta_deg"], float)
    one.counts = np.asarray(saved["counts"], np.int64).reshape(one.two_theta_deg.shape)
    one.points = int(saved["points"])
