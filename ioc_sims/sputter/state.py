"""What outlives a process: erosion, crystals, films, time. Shutters, powers and gas do not: every start is safe."""

from __future__ import annotations

from typing import Any

import numpy as np

from ioc_sims.common import state as file
from ioc_sims.sputter.emission import N_NODES
from ioc_sims.sputter.film import Film
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.reactive_settings import ReactiveSettings
from ioc_sims.sputter.settings import ChamberConfig, PhysicsSettings

SCHEMA = 1
_LATER = (
    *ReactiveSettings.model_fields,
    *("sticking", "neighbour_reference_cm", "neighbour_decay_cm", "extinction_shape", "extinction_knee_W"),
    *("mode_jump", "mode_pressure_mTorr", "mode_width_mTorr", "gauge_drift_per_day"),
)
"""Settings that older chambers did not have: they belong to the identity only where they are not the default."""


def fingerprint(config: ChamberConfig) -> str:
    """Identity of a chamber: a state may be resumed only by the chamber that left it."""
    identity = config.model_dump(mode="json", include={"seed", "sources", "sensors", "physics"})
    for name in _LATER:
        if getattr(config.physics, name) == PhysicsSettings.model_fields[name].default:
            del identity["physics"][name]
    for part in (*identity["sources"], *identity["sensors"]):
        for label in ("pv", "max_power_W"):
            part.pop(label, None)
    return file.fingerprint(identity)


def snapshot(plant: Plant) -> dict[str, Any]:
    """The state as JSON."""
    return {
        "schema": SCHEMA,
        "chamber": fingerprint(plant.config),
        "starts": plant.starts + 1,
        "time_s": plant.time_s,
        "substrate_number": plant.substrate_number,
        "angle_deg": plant.angle_deg,
        "sources": {
            s.name: {
                "energy_kWh": s.energy_kWh,
                "openings": s.openings,
                "target": s.law.config.element,
                "target_number": s.target_number,
            }
            for s in plant.sources
        },
        "crystals": {
            c.config.name: {
                "mass_ng_cm2": c.mass_ng_cm2,
                "z_mass": c.z_mass,
                "drift_rate": c.drift_rate,
                "drift_mass": c.drift_mass,
            }
            for c in plant.crystals
        },
        "films": {
            str(number): [[angle, doses.tolist(), list(elements)] for (angle, elements), doses in film.doses.items()]
            for number, film in plant.films.items()
        },
    }


def load_plant(config: ChamberConfig) -> Plant:
    """The chamber as its state file left it, or a new one if there is no file.

    Raises:
        StateError: the file cannot be read, or belongs to a chamber with another seed, geometry or physics.
    """
    found = file.resume(
        config.state_file,
        schema=SCHEMA,
        kind="chamber",
        mark=fingerprint(config),
        stranger="a chamber with another seed, geometry or physics",
        restore=lambda state: _restored(config, state),
    )
    return Plant(config) if found is None else found


def _restored(config: ChamberConfig, state: dict[str, Any]) -> Plant:
    plant = Plant(config, start=int(state["starts"]))
    plant.time_s = float(state["time_s"])
    plant.substrate_number = int(state["substrate_number"])
    plant.angle_deg = plant.angle_setpoint_deg = float(state["angle_deg"])
    first = plant.elements
    for index, source in enumerate(plant.sources):
        saved = state["sources"][source.name]
        if saved.get("target_number", 1) > 1:
            plant.mount_target(index, str(saved["target"]), int(saved["target_number"]))
        source.energy_kWh, source.openings = float(saved["energy_kWh"]), int(saved["openings"])
    for crystal in plant.crystals:
        for key, value in state["crystals"][crystal.config.name].items():
            setattr(crystal, key, float(value))
    for number, entries in state["films"].items():
        film = Film(len(plant.sources))
        for angle, doses, *elements in entries:  # a file from before targets could be exchanged names no elements
            place = float(angle), tuple(elements[0]) if elements else first
            film.doses[place] = np.asarray(doses, float).reshape(len(plant.sources), len(N_NODES))
        plant.films[int(number)] = film
    return plant
