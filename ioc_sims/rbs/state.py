"""What outlives a process: places, sample, the last spectrum, drifts, time. The beam does not: every start is safe."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ioc_sims.common import state as file
from ioc_sims.rbs.acquisition import State
from ioc_sims.rbs.plant import Plant
from ioc_sims.rbs.samples import Samples
from ioc_sims.rbs.settings import RBSConfig
from ioc_sims.rbs.spectra import stopping_factors

log = logging.getLogger(__name__)

SCHEMA = 1


def fingerprint(config: RBSConfig) -> str:
    """Identity of a station: a state may be resumed only by the station that left it."""
    return file.fingerprint(config.model_dump(mode="json", include={"seed", "setup", "physics"}))


def snapshot(plant: Plant) -> dict[str, Any]:
    """The state as JSON."""
    acquisition = plant.acquisition
    return {
        "schema": SCHEMA,
        "station": fingerprint(plant.config),
        "starts": plant.starts + 1,
        "time_s": plant.time_s,
        "energy_keV": plant.energy.value,
        "axes": {name: axis.value for name, axis in plant.axes.items()},
        "sample": plant.sample.number if plant.sample else 0,
        "preset_uC": plant.preset_uC,
        "gain_drift": plant.gain_drift.value,
        "current_drift": plant.current_drift.value,
        "number": plant.number,
        "acquisition": {
            "state": int(acquisition.state),
            "charge_uC": acquisition.charge_uC,
            "live_s": acquisition.live_s,
            "real_s": acquisition.real_s,
            "spectrum": acquisition.spectrum.tolist(),
        },
        "truth": {str(number): entry for number, entry in plant.truth.items()},
    }


def truth(plant: Plant) -> dict[str, Any]:
    """The hidden truth of a station, for the judge alone."""
    labels = [label for entry in plant.truth.values() for layer in entry["layers"] for label in layer]
    return {
        "schema": SCHEMA,
        "seed": plant.config.seed,
        "settings": plant.settings.model_dump(mode="json"),
        "setup": plant.config.setup.model_dump(mode="json"),
        "substrate": [dict(layer) for layer in plant.config.substrate],
        "stopping": stopping_factors(plant.config, labels),
        "gain": plant.gain,
        "acquisitions": {str(number): dict(entry) for number, entry in plant.truth.items()},
    }


def load_plant(config: RBSConfig, samples: Samples) -> Plant:
    """The station as its state file left it, or a new one if there is no file.

    An acquisition that ran is stopped; a sample that is no longer to be found is not on the stage.

    Raises:
        StateError: the file cannot be read, or belongs to a station with another seed, set-up or physics.
    """
    found = file.resume(
        config.state_file,
        schema=SCHEMA,
        kind="station",
        mark=fingerprint(config),
        stranger="a station with another seed, set-up or physics",
        restore=lambda state: _restored(config, samples, state),
    )
    return Plant(config) if found is None else found


def _restored(config: RBSConfig, samples: Samples, state: dict[str, Any]) -> Plant:
    plant = Plant(config, start=int(state["starts"]))
    plant.time_s = float(state["time_s"])
    plant.energy.value = plant.energy.setpoint = float(state["energy_keV"])
    for name, axis in plant.axes.items():
        axis.value = axis.setpoint = float(state["axes"][name])
    number = int(state["sample"])
    plant.sample = samples.find(number) if number else None
    if number and plant.sample is None:
        log.warning("sample %d was on the stage and cannot be found any more: the stage is empty", number)
    plant.preset_uC = float(state["preset_uC"])
    plant.gain_drift.value = float(state["gain_drift"])
    plant.current_drift.value = float(state["current_drift"])
    plant.number = int(state["number"])
    saved, acquisition = state["acquisition"], plant.acquisition
    acquisition.state = State(int(saved["state"]))
    acquisition.stop()
    acquisition.charge_uC, acquisition.live_s = float(saved["charge_uC"]), float(saved["live_s"])
    acquisition.real_s = float(saved["real_s"])
    acquisition.spectrum = np.asarray(saved["spectrum"], np.int64).reshape(config.setup.channels)
    plant.truth = {int(key): dict(entry) for key, entry in state["truth"].items()}
    return plant
