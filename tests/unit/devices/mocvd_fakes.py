"""An MOCVD reactor of fake devices that behaves like its IOC: follows, grows, measures, refuses what is out of order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from device_fakes import follow
from ophyd.sim import make_fake_device

from sdl_bluesky.devices import MOCVD, MOCVDSpec, make_reactor
from sdl_bluesky.devices.mocvd.procedure import BUSY, DONE, IDLE, STOPPED

SPEC = MOCVDSpec(
    has_clock=False,
    map_points=5,
    spectrum_channels=11,
    start_timeout_s=0.3,
    flow_timeout_s=1.0,
    valve_timeout_s=0.5,
    heat_timeout_s=1.0,
    cool_timeout_s=5.0,
    rotation_timeout_s=1.0,
    pressure_timeout_s=1.0,
    load_timeout_s=0.5,
    stale_after_s=60.0,
)


class FakeReactor:
    """The reactor and what its IOC would do.

    Attributes:
        reactor: the devices.
        puts: every put in order, (name of the setpoint, value).
        faults: what would never be allowed in a reactor, if a put would have led to it.
        stays_hot: the surface does not cool until `cool()`.
        on_growth: called in the middle of each growth with its number; it may stop it.
        grown: lines and seconds of each growth that ended well.
    """

    def __init__(self, spec: MOCVDSpec = SPEC) -> None:
        self.reactor: MOCVD = make_reactor("X:MOCVD:", spec, make=make_fake_device)
        self.puts: list[tuple[str, Any]] = []
        self.faults: list[str] = []
        self.stays_hot = False
        self.on_growth: Callable[[int], None] = lambda number: None
        self.on_map: Callable[[], None] = lambda: None
        self.grown: list[tuple[list[str], float]] = []
        self.wafers = 0
        self._lock = threading.RLock()
        self._wire()

    def _wire(self) -> None:
        r = self.reactor
        for signal in r.signals():
            if hasattr(signal, "sim_put"):
                signal.sim_put(0)
        for line in r.lines.values():
            line.precursor.sim_put("gas")
        for mover in r.positioners:
            follow(mover)
            self._note(mover.setpoint, mover.readback)
        limits = {**{r.flows[n]: span for n, span in r.spec.flow_sccm.items()}, r.susceptor.temperature: (0.0, 750.0)}
        limits |= {r.susceptor.ramp: (0.1, 2.5), r.vessel.rotation: (0.0, 1500.0), r.vessel.pressure: (20.0, 200.0)}
        scan = r.diffractometer
        limits |= {r.mapper.exposure: (0.01, 10.0), scan.first: (60.0, 67.0), scan.last_angle: (60.0, 67.0)}
        limits |= {
            scan.step: (0.0005, 0.1),
            scan.time: (0.05, 60.0),
            r.mapper.x: (-25.0, 25.0),
            r.mapper.y: (-25.0, 25.0),
        }
        for mover, span in limits.items():
            mover.setpoint.sim_set_limits(span)
        r.susceptor.temperature.readback.sim_put(25.0)
        r.susceptor.temperature.setpoint.sim_set_putter(self._heat)
        for label in ("ok", *r.interlock.inputs):
            getattr(r.interlock, label).sim_put(1)
        r.interlock.cause.sim_put("")
        r.growth.start_command.sim_set_putter(lambda *_, **__: self._grow())
        r.growth.stop_command.sim_set_putter(lambda *_, **__: self.end_growth(STOPPED))
        r.wafers.load_command.sim_set_putter(lambda *_, **__: self._load())
        r.wafers.unload_command.sim_set_putter(lambda *_, **__: self._unload())
        r.mapper.map_command.sim_set_putter(lambda *_, **__: self._measure(r.mapper, self._map))
        r.mapper.spectrum_command.sim_set_putter(lambda *_, **__: self._measure(r.mapper, self._spectrum))
        scan.scan_command.sim_set_putter(lambda *_, **__: self._measure(scan, self._scan))
        for one in (r.mapper, scan):
            one.stop_command.sim_set_putter(lambda *_, p=one, **__: self.publish(p, state=STOPPED))
        for one in (r.growth, r.mapper, scan):
            self.publish(one, number=0, state=IDLE)
        side, channels = r.spec.map_points, r.spec.spectrum_channels
        r.mapper.axis.sim_put(np.linspace(-20.0, 20.0, side))
        r.mapper.map.sim_put(np.full(side * side, np.nan))
        r.mapper.intensity.sim_put(np.zeros(side * side))
        r.mapper.wavelength.sim_put(np.linspace(1100.0, 1200.0, channels))
        r.mapper.spectrum.sim_put(np.zeros(channels))
        scan.two_theta.sim_put(np.zeros(2))
        scan.counts.sim_put(np.zeros(2))

    def _note(self, setpoint: Any, readback: Any) -> None:
        def put(value: Any, *_: Any, **__: Any) -> None:
            with self._lock:
                self.puts.append((setpoint.name, value))
                setpoint.sim_put(value)
                readback.sim_put(value)
                self._judge()

        setpoint.sim_set_putter(put)

    def _judge(self) -> None:
        """The laws of the reactor, whatever a plan does."""
        r = self.reactor
        run = {name: line.valve.is_open for name, line in r.lines.items()}
        phosphine = run["p"] and float(r.lines["p"].flow.position) >= 3.0
        carrier = float(r.carrier.flow.position) >= 2000.0
        hot = float(r.susceptor.temperature.position) > r.spec.protect_degC
        if (run["in"] or run["ga"]) and not (phosphine and carrier):
            self.faults.append("metals without phosphine or carrier")
        if (hot or r.susceptor.heating) and not phosphine:
            self.faults.append("hot without phosphine")
        if (any(run.values()) or r.susceptor.heating) and not carrier:
            self.faults.append("no carrier")

    def _heat(self, value: float, *_: Any, **__: Any) -> None:
        with self._lock:
            t = self.reactor.susceptor.temperature
            self.puts.append((t.setpoint.name, value))
            t.setpoint.sim_put(value)
            if value > 0 or not self.stays_hot:
                t.readback.sim_put(value if value > 0 else 25.0)
            self._judge()

    def cool(self) -> None:
        """The surface is cold now."""
        self.stays_hot = False
        self.reactor.susceptor.temperature.readback.sim_put(25.0)

    def publish(self, procedure: Any, **values: Any) -> None:
        """One tick: these records with one time stamp, the state last."""
        now = time.time()
        for name in sorted(values, key=lambda name: name == "state"):
            getattr(procedure, name).sim_put(values[name], timestamp=now)

    def _switch(self, name: str, value: int) -> None:
        valve = self.reactor.lines[name].valve
        valve.setpoint.sim_put(value)
        valve.readback.sim_put(value)

    def _grow(self) -> None:
        g = self.reactor.growth
        with self._lock:
            armed = [name for name, line in self.reactor.metals.items() if line.arm.is_open]
            if not armed or not self.reactor.wafers.number.get() or self.reactor.interlock.tripped:
                return
            number, seconds = int(g.number.get()) + 1, float(g.duration.get())
            for name in armed:
                self._switch(name, 1)
            self._judge()
            self.publish(g, number=number, state=BUSY)
        threading.Thread(target=self._growing, args=(number, armed, seconds), daemon=True).start()

    def _growing(self, number: int, armed: list[str], seconds: float) -> None:
        g = self.reactor.growth
        for share in (0.25, 0.5, 0.75, 1.0):
            time.sleep(0.005)
            g.layer.sim_put(share * seconds)
        self.on_growth(number)
        with self._lock:
            if int(g.number.get()) == number and int(g.state.get()) == BUSY:
                arsenic = ["as"] if self.reactor.lines["as"].valve.is_open else []
                self.grown.append(([*armed, *arsenic], seconds))
                self.end_growth(DONE)

    def end_growth(self, state: int) -> None:
        """Group III to vent."""
        with self._lock:
            if int(self.reactor.growth.state.get()) == BUSY:
                for name in self.reactor.metals:
                    self._switch(name, 0)
                self.publish(self.reactor.growth, state=state)

    def _load(self) -> None:
        self.wafers += 1
        self.reactor.wafers.last.sim_put(self.wafers)
        self.reactor.wafers.number.sim_put(self.wafers)

    def _unload(self) -> None:
        r = self.reactor
        if float(r.susceptor.temperature.position) < r.spec.cold_degC and r.hydrides_off:
            r.wafers.number.sim_put(0)

    def _measure(self, procedure: Any, result: Callable[[], None]) -> None:
        if not int(procedure.holder.position):
            return
        number = int(procedure.number.get()) + 1
        self.publish(procedure, number=number, state=BUSY)

        def run() -> None:
            time.sleep(0.01)
            self.on_map()
            if int(procedure.state.get()) == BUSY:
                result()
                self.publish(procedure, state=DONE)

        threading.Thread(target=run, daemon=True).start()

    def _map(self) -> None:
        side = self.reactor.spec.map_points
        found = np.full((side, side), 1180.0)
        found[0, 0] = np.nan
        found[1, 0] = 1190.0  # second row (y), first column (x)
        self.reactor.mapper.map.sim_put(found.ravel())

    def _spectrum(self) -> None:
        self.reactor.mapper.spectrum.sim_put(np.arange(float(self.reactor.spec.spectrum_channels)))

    def _scan(self) -> None:
        scan = self.reactor.diffractometer
        wanted = scan.preset
        scan.two_theta.sim_put(wanted.first_deg + wanted.step_deg * np.arange(wanted.points))
        scan.counts.sim_put(np.full(wanted.points, 7.0))
        scan.points.sim_put(wanted.points)
