"""The end station as a process: its records and what they publish."""

from __future__ import annotations

from typing import TextIO

import numpy as np

from ioc_sims.common.process import Lifetime, check_port_free
from ioc_sims.common.readings import Reading, service_readings
from ioc_sims.common.records import Records, Request
from ioc_sims.common.serving import Loop, serve, service_records
from ioc_sims.rbs.plant import AXES
from ioc_sims.rbs.samples import Samples
from ioc_sims.rbs.settings import CHARGES_UC, ENERGIES_KEV, RBSConfig
from ioc_sims.rbs.state import load_plant
from ioc_sims.rbs.station import LIMITS, Station
from ioc_sims.rbs.store import Store

_SHUTTER = ("Closed", "Open")


def make_records(station: Station) -> Records:
    """Every record of the station, bound to it."""
    plant, config = station.plant, station.plant.config
    records = Records(config.prefix)
    records.analog_setpoint(
        "BEAM:ENERGY:SP", "keV", 2, ENERGIES_KEV, plant.energy.setpoint, station.accepts_energy, station.set_energy
    )
    records.analog("BEAM:ENERGY", "keV", 2)
    records.analog("BEAM:CURRENT", "nA", 3)
    records.binary_setpoint(
        "BEAM:SHUTTER:SP",
        *_SHUTTER,
        lambda value: station.accepts_shutter(bool(value)),
        lambda value: station.set_shutter(bool(value)),
    )
    records.binary("BEAM:SHUTTER", *_SHUTTER)
    for axis in AXES:
        unit = "deg" if axis == "TILT" else "mm"
        initial = plant.axes[axis].setpoint
        records.analog_setpoint(f"STAGE:{axis}:SP", unit, 3, LIMITS[axis], initial, *_axis_requests(station, axis))
        records.analog(f"STAGE:{axis}", unit, 3)
    number = plant.sample.number if plant.sample else 0
    records.number_setpoint("SAMPLE:LOAD", number, station.accepts_load, station.load)
    records.integer("SAMPLE:NUMBER")
    records.analog_setpoint(
        "ACQ:CHARGE:SP", "uC", 4, CHARGES_UC, plant.preset_uC, station.accepts_charge, station.set_charge
    )
    records.command("ACQ:START", "Start", station.accepts_start, station.start)
    records.command("ACQ:STOP", "Stop", lambda: True, station.stop)
    records.integer("ACQ:NUMBER")
    records.waveform("MCA:SPECTRUM", config.setup.channels, "counts")
    records.analog("MCA:COUNTS", "counts", 0)
    records.analog("MCA:CHARGE", "uC", 5)
    records.analog("MCA:LIVE", "s", 3)
    records.analog("MCA:REAL", "s", 3)
    records.choice("ACQ:STATE", "Idle", "Acquiring", "Done", "Stopped")
    service_records(records, station, config.faults)
    return records


def readings(station: Station) -> dict[str, Reading]:
    """Values of all readbacks, by PV name without prefix (the counters of the IOC itself excepted).

    The state of the acquisition comes after its spectrum: who sees it Done has been sent the whole spectrum.
    """
    plant, acquisition = station.plant, station.plant.acquisition
    values: dict[str, Reading] = {
        "BEAM:ENERGY": plant.energy.value,
        "BEAM:CURRENT": plant.current_nA * (1 + plant.settings.current_noise * plant.noise.normal()),
        "BEAM:SHUTTER": int(plant.shutter_open),
        **{f"STAGE:{name}": axis.value for name, axis in plant.axes.items()},
        "SAMPLE:NUMBER": plant.sample.number if plant.sample else 0,
        "MCA:SPECTRUM": acquisition.spectrum.astype(np.int32),
        "MCA:COUNTS": float(acquisition.spectrum.sum()),
        "MCA:CHARGE": acquisition.charge_uC,
        "MCA:LIVE": acquisition.live_s,
        "MCA:REAL": acquisition.real_s,
        "ACQ:NUMBER": plant.number,
        "ACQ:STATE": int(acquisition.state),
    }
    return {**values, **service_readings(station, plant)}


def run(config: RBSConfig, lifetime: Lifetime, ready: TextIO) -> int:
    """Serve the station until the end of this process is asked for.

    Args:
        config: checked configuration.
        lifetime: says when to end.
        ready: where the line "READY <prefix> <n> PVs" goes.

    Returns:
        Exit status.

    Raises:
        PortBusy: another server has the port.
        StateError: the state file cannot be resumed.
    """
    check_port_free()
    samples = Samples(config)
    station = Station(load_plant(config, samples), samples, config.speed, config.heartbeat_timeout_s)
    records = make_records(station)
    store = Store(station)
    return serve(config.prefix, records, StationLoop(station, records, store), store, lifetime, ready)


class StationLoop(Loop):
    """Publishes the station, and has the truth written when an acquisition has begun."""

    def __init__(self, station: Station, records: Records, store: Store) -> None:
        super().__init__(station, records, store)
        self._station = station

    def _read(self) -> tuple[dict[str, Reading], dict[str, int]]:
        if self._station.truth_changed:
            self._station.truth_changed = False
            self._store.want_truth()
        return readings(self._station), {}

    def _setpoints_after_trip(self) -> dict[str, float]:
        return {"BEAM:SHUTTER:SP": 0}


def _axis_requests(station: Station, axis: str) -> tuple[Request, Request]:
    return lambda value: station.accepts_axis(axis, value), lambda value: station.set_axis(axis, value)
