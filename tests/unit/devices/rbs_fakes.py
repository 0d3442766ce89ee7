"""An RBS end station of fake devices that behaves like its IOC: refuses, counts, stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from device_fakes import follow
from ophyd.sim import make_fake_device

from sdl_bluesky.devices import RBSSpec, RBSStation, make_station

SPEC = RBSSpec(
    channels=1024, start_timeout_s=0.3, stall_s=60.0, stage_timeout_s=1.0, load_timeout_s=0.5, stale_after_s=60.0
)
IDLE, ACQUIRING, DONE, STOPPED = range(4)


class FakeStation:
    """The station and what its IOC would do.

    Attributes:
        station: the devices.
        films: numbers of the films that there are.
        rate: counts per uC in each channel [channels].
        portion_s: real seconds that an acquisition takes; None: it does not end by itself.
        gain: charge that is measured for a charge of 1 uC.
        on_start: called in the middle of every acquisition with its number.
        started: charge of every acquisition; opened: places of the shutter when it was opened.
    """

    def __init__(self, spec: RBSSpec = SPEC) -> None:
        self.station: RBSStation = make_station("X:RBS:", spec, make=make_fake_device)
        self.films = {1, 7}
        self.rate = np.zeros(spec.channels)
        self.rate[600:900] = 100.0
        self.portion_s: float | None = 0.01
        self.gain = 1.0
        self.on_start: Callable[[int], None] = lambda number: None
        self.started: list[float] = []
        self.opened: list[tuple[float, float]] = []
        self._lock = threading.RLock()
        self._wire()

    def _wire(self) -> None:
        s = self.station
        for mover in (s.beam.energy, s.stage.x, s.stage.y, s.stage.tilt, s.loader, s.beam.shutter):
            follow(mover)
        s.beam.current.sim_put(0.0)
        s.beam.energy.setpoint.sim_set_limits((500.0, 3500.0))
        for axis in (s.stage.x, s.stage.y):
            axis.setpoint.sim_set_limits((-30.0, 30.0))
        s.stage.tilt.setpoint.sim_set_limits((-60.0, 60.0))
        s.loader.setpoint.sim_set_putter(self._load)
        s.beam.shutter.setpoint.sim_set_putter(self._shutter)
        a = s.acquisition
        a.start_command.sim_set_putter(lambda value, *_, **__: self._start())
        a.stop_command.sim_set_putter(lambda value, *_, **__: self._end(STOPPED))
        a.preset.sim_put(5.0)
        self.publish(state=IDLE, number=0, spectrum=np.zeros(s.spec.channels), charge=0.0)
        for label in ("ok", "vacuum", "door", "heartbeat"):
            getattr(s.interlock, label).sim_put(1)
        s.interlock.cause.sim_put("")
        s.liveness.beat.sim_put(0)

    def publish(self, **values: object) -> None:
        """One tick: these records of the acquisition with one time stamp, the state last."""
        now = time.time()
        a = self.station.acquisition
        if "charge" in values:
            values |= {"live": 9.0 * float(values["charge"]), "real": 10.0 * float(values["charge"])}  # type: ignore[arg-type]
        if "spectrum" in values:
            values["counts"] = float(np.sum(values["spectrum"]))  # type: ignore[arg-type]
        for name in sorted(values, key=lambda name: name == "state"):
            getattr(a, name).sim_put(values[name], timestamp=now)

    def _load(self, value: int, *_: object, **__: object) -> None:
        if value in self.films and not self.station.beam.shutter.is_open:
            self.station.loader.setpoint.sim_put(value)
            self.station.loader.readback.sim_put(value)

    def _shutter(self, value: int, *_: object, **__: object) -> None:
        s = self.station
        if value:
            self.opened.append((s.stage.x.position, s.stage.y.position))
        s.beam.shutter.setpoint.sim_put(value)
        s.beam.shutter.readback.sim_put(value)

    def _start(self) -> None:
        with self._lock:
            s = self.station
            if not (s.loader.position and s.beam.shutter.is_open and not s.interlock.tripped):
                return
            charge = float(s.acquisition.preset.get())
            number = int(s.acquisition.number.get()) + 1
            self.started.append(charge)
            self.publish(state=ACQUIRING, number=number, spectrum=np.zeros(s.spec.channels), charge=0.0)
        threading.Thread(target=self._count, args=(number, charge), daemon=True).start()

    def _count(self, number: int, charge: float) -> None:
        self.on_start(number)
        if self.portion_s is None:
            return
        time.sleep(self.portion_s)
        with self._lock:
            a = self.station.acquisition
            if int(a.number.get()) == number and int(a.state.get()) == ACQUIRING and self.station.beam.shutter.is_open:
                self.publish(
                    spectrum=np.round(self.rate * charge), charge=self.gain * charge, state=DONE, number=number
                )

    def _end(self, state: int) -> None:
        with self._lock:
            if int(self.station.acquisition.state.get()) == ACQUIRING:
                self.publish(state=state)
