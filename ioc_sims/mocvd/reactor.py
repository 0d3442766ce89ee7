"""The reactor as its clients meet it: the plant behind interlocks, on a real clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from ioc_sims.common.instrument import Instrument, within
from ioc_sims.mocvd import settings as limits
from ioc_sims.mocvd.diffractometer import Diffractometer
from ioc_sims.mocvd.mapper import Mapper
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.sequence import State
from ioc_sims.mocvd.settings import FLOW_LIMITS_SCCM, GROUP_III, GROUP_V, LINES

ALARMS = ("ASH3", "PH3", "HYDROGEN", "EXHAUST", "SCRUBBER", "PRESSURE")
"""Inputs of the toxic-gas interlock, in the order in which they are named as a cause."""


class Reactor(Instrument):
    """A plant that lives in real time.

    Args:
        plant: the physics.
        speed: simulated seconds per real second.
        heartbeat_timeout_s: real seconds.
        clock: monotonic real time [s].
    """

    def __init__(
        self, plant: Plant, speed: float, heartbeat_timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(plant, ALARMS, ALARMS, speed, heartbeat_timeout_s, clock)
        self.plant = plant

    # gases: each request says whether it was accepted ----------------------------------------------------------------

    def set_flow(self, name: str, sccm: float) -> bool:
        """Ask for a flow."""
        return self._do(self.accepts_flow(name, sccm), lambda: self.plant.set_flow(name, sccm))

    def accepts_flow(self, name: str, sccm: float) -> bool:
        """Whether this flow may be asked for now; the carrier stays on while it is needed."""
        if not within(sccm, 0.0, FLOW_LIMITS_SCCM[name]):
            return False
        if name in LINES:
            return sccm == 0 or self._may_switch_on()
        with self.lock:
            self.catch_up()
            plant = self.plant
            needed = plant.susceptor.heating or any(plant.run.values())
            enough = sccm >= plant.settings.minimum_hydrogen_sccm
            return (enough or not needed) and (sccm == 0 or not plant.leak)

    def set_valve(self, name: str, run: bool) -> bool:
        """Send a line into the reactor (run) or past it (vent)."""
        return self._do(self.accepts_valve(name, run), lambda: self.plant.switch((name,), run))

    def accepts_valve(self, name: str, run: bool) -> bool:
        """Whether a line may be switched that way now: to run only in the safe order."""
        if not run:
            return True
        with self.lock:
            plant = self.plant
            if not (self._may_switch_on() and plant.carrier_ok and plant.pressure_ok):
                return False
            return name in GROUP_V or plant.hydride_sccm >= plant.settings.minimum_hydride_sccm

    # reactor ---------------------------------------------------------------------------------------------------------

    def set_temperature(self, degC: float) -> bool:
        """Ask for a temperature; 0 switches the heater off."""
        return self._do(self.accepts_temperature(degC), lambda: self.plant.heat(degC))

    def accepts_temperature(self, degC: float) -> bool:
        """Whether this temperature may be asked for now: heat needs hydrogen."""
        if not within(degC, *limits.TEMPERATURES_DEGC):
            return False
        return degC == 0 or (self._may_switch_on() and self.plant.carrier_ok)

    def set_ramp(self, degC_s: float) -> bool:
        """Change the ramp of the temperature."""
        return self._do(within(degC_s, *limits.RAMPS_DEGC_S), lambda: setattr(self.plant.susceptor, "ramp", degC_s))

    def set_rotation(self, rpm: float) -> bool:
        """Ask for a speed of rotation."""
        return self._do(
            within(rpm, *limits.ROTATIONS_RPM), lambda: setattr(self.plant, "rotation_setpoint", float(rpm))
        )

    def set_pressure(self, mbar: float) -> bool:
        """Ask for a pressure."""
        return self._do(
            within(mbar, *limits.PRESSURES_MBAR), lambda: setattr(self.plant, "pressure_setpoint", float(mbar))
        )

    # growth ----------------------------------------------------------------------------------------------------------

    def arm(self, name: str, armed: bool) -> bool:
        """Have a line of group III take part in the next growth that is started by command, or not."""
        now = {*self.plant.sequence.armed, name} if armed else {*self.plant.sequence.armed} - {name}
        chosen = tuple(line for line in GROUP_III if line in now)
        return self._do(True, lambda: setattr(self.plant.sequence, "armed", chosen))

    def set_duration(self, seconds: float) -> bool:
        """Set how long the next growth takes."""
        return self._do(
            within(seconds, *limits.DURATIONS_S), lambda: setattr(self.plant.sequence, "duration_s", float(seconds))
        )

    def start_growth(self) -> bool:
        """Send the armed lines into the reactor together, for the duration."""
        sequence = self.plant.sequence
        return self._do(self.accepts_growth(), lambda: self.plant.switch(sequence.armed, True, sequence.duration_s))

    def accepts_growth(self) -> bool:
        """Whether a growth may start: a wafer, armed lines, a duration, a client that lives, the order of gases."""
        with self.lock:
            self.catch_up()
            sequence = self.plant.sequence
            asked = bool(sequence.armed) and sequence.duration_s > 0
            free = self.plant.loaded is not None and sequence.state is not State.GROWING
            return asked and free and self.client_alive and all(self.accepts_valve(n, True) for n in sequence.armed)

    def stop_growth(self) -> bool:
        """Send group III to the vent."""
        return self._do(True, lambda: self.plant.switch(GROUP_III, False))

    # wafers ----------------------------------------------------------------------------------------------------------

    def load(self) -> bool:
        """Put a fresh wafer into the reactor."""
        return self._do(self.accepts_load(), self.plant.load)

    def accepts_load(self) -> bool:
        """Whether the reactor is empty and may be opened."""
        return self._open() and self.plant.loaded is None

    def unload(self) -> bool:
        """Take the wafer out."""
        return self._do(self.accepts_unload(), self.plant.unload)

    def accepts_unload(self) -> bool:
        """Whether there is a wafer, and the reactor may be opened."""
        return self._open() and self.plant.loaded is not None

    def maintain(self) -> bool:
        """Do the maintenance."""
        return self._do(self.accepts_load(), self.plant.maintain)

    # instruments -----------------------------------------------------------------------------------------------------

    def place(self, which: str, number: int) -> bool:
        """Put a wafer on an instrument ("PL", "XRD"); 0 takes it away."""

        def put() -> None:
            self._instrument(which).wafer = self.plant.wafers[number] if number else None

        return self._do(self.accepts_place(which, number), put)

    def accepts_place(self, which: str, number: int) -> bool:
        """Whether there is such a wafer, in the cassette, and the instrument does nothing."""
        with self.lock:
            self.catch_up()
            plant = self.plant
            here = self._instrument(which)
            there = plant.diffractometer if here is plant.mapper else plant.mapper
            if here.busy or (number and number not in plant.wafers):
                return False
            elsewhere = {wafer.number for wafer in (plant.loaded, there.wafer) if wafer is not None}
            return number not in elsewhere

    def set_exposure(self, seconds: float) -> bool:
        """Set the exposure of the mapper."""
        return self._do(
            self.accepts_exposure(seconds), lambda: setattr(self.plant.mapper, "exposure_s", float(seconds))
        )

    def accepts_exposure(self, seconds: float) -> bool:
        """Whether this exposure is possible now."""
        return within(seconds, *limits.EXPOSURES_S) and self._idle("PL")

    def set_place(self, axis: str, mm: float) -> bool:
        """Set where spectra are taken."""
        return self._do(self.accepts_mm(mm), lambda: self.plant.mapper.place_mm.update({axis: float(mm)}))

    def accepts_mm(self, mm: float) -> bool:
        """Whether spectra may be taken there."""
        return within(mm, *limits.PLACES_MM) and self._idle("PL")

    def start_light(self, mapping: bool) -> bool:
        """Begin a map or a spectrum."""
        return self._do(self.accepts_light(), lambda: self.plant.mapper.begin(mapping))

    def accepts_light(self) -> bool:
        """Whether the mapper may begin."""
        return self._idle("PL") and self.plant.mapper.wafer is not None

    def set_scan(self, what: str, value: float) -> bool:
        """Set a number of the next scan, by its name in `Diffractometer`."""
        return self._do(self.accepts_scan(what, value), lambda: setattr(self.plant.diffractometer, what, float(value)))

    def accepts_scan(self, what: str, value: float) -> bool:
        """Whether it may be set to that now."""
        steps = {"step_deg": limits.STEPS_DEG, "time_s": limits.STEP_TIMES_S}
        return within(value, *steps.get(what, limits.ANGLES_DEG)) and self._idle("XRD")

    def start_scan(self) -> bool:
        """Begin a scan."""
        return self._do(self.accepts_start_scan(), self.plant.diffractometer.begin)

    def accepts_start_scan(self) -> bool:
        """Whether there is a wafer and a scan to be done."""
        return self._idle("XRD") and self.plant.diffractometer.ready

    def stop(self, which: str) -> bool:
        """End a measurement."""
        return self._do(True, self._instrument(which).stop)

    # -----------------------------------------------------------------------------------------------------------------

    def reset(self) -> bool:
        """Acknowledge the interlock; refused while an input is bad."""
        with self.lock:
            done = super().reset()
            if done:
                self.plant.toxic = self.plant.leak = False
            return done

    def _do(self, accepted: bool, action: Callable[[], None]) -> bool:
        if not accepted:
            return False
        with self.lock:
            self.catch_up()
            action()
            return True

    def _open(self) -> bool:
        with self.lock:
            self.catch_up()
            return self.plant.touchable

    def _idle(self, which: str) -> bool:
        with self.lock:
            self.catch_up()
            return not self._instrument(which).busy

    def _instrument(self, which: str) -> Mapper | Diffractometer:
        return self.plant.mapper if which == "PL" else self.plant.diffractometer

    def _inputs(self) -> dict[str, bool]:
        plant, bad = self.plant, dict(self.faults)
        hydrides = any(plant.run[name] for name in GROUP_V)
        bad["PRESSURE"] |= hydrides and not within(plant.pressure_mbar, *plant.settings.interlock_pressure_mbar)
        bad["SCRUBBER"] |= plant.vented_scc >= plant.settings.scrubber_capacity_scc
        return bad

    def _check(self, now_s: float) -> None:
        bad = self._inputs()
        self.plant.toxic |= any(bad.values())
        self.plant.leak |= bad["HYDROGEN"]
        super()._check(now_s)

    def _advance(self, dt_s: float) -> None:
        self.plant.advance(dt_s)
