"""The reactor as physics: no EPICS, no wall clock, no thread; `advance(dt)` moves simulated time."""

from __future__ import annotations

import math
from dataclasses import replace

from ioc_sims.common.seeds import stream
from ioc_sims.mocvd import hidden, seeds
from ioc_sims.mocvd.diffractometer import Diffractometer
from ioc_sims.mocvd.flow import Controller
from ioc_sims.mocvd.growth import Gas, make_law
from ioc_sims.mocvd.mapper import Mapper
from ioc_sims.mocvd.sequence import Sequence, State
from ioc_sims.mocvd.settings import FLOW_LIMITS_SCCM, FLOWS, GROUP_III, GROUP_V, LINES, ReactorConfig
from ioc_sims.mocvd.susceptor import Susceptor
from ioc_sims.mocvd.wafer import Wafer

FINE_STEP_S = 0.1  # while a gas over the wafer changes and something grows
COARSE_STEP_S = 1.0
_TRACE_SCCM = 0.05  # less of a gas over the wafer is none
_PUMP_MBAR = 1.0


class Plant:
    """State of one reactor and of the two instruments beside it.

    Args:
        config: seed and settings.
        start: how many times this reactor has been started before; picks the noise stream.

    Attributes:
        controllers: by line; flows as they are shown.
        run: which lines lead into the reactor (the others into the vent).
        arrived: true flows over the wafer [sccm].
        pressure_mbar, pressure_setpoint, rotation_rpm, rotation_setpoint: of the reactor.
        wafers: all so far, by number; loaded: the one in the reactor.
        vented_scc: hydrides that the scrubber has bound.
        protecting: phosphine is kept on by nobody but the reactor, until the surface is cold.
        toxic, leak: an alarm of the gas system; one of hydrogen (told by the interlock).
        changed: setpoints that may have changed otherwise than by a put to their record, by its name.
        news: whether something of the truth has changed since somebody last looked.
    """

    def __init__(self, config: ReactorConfig, start: int = 0) -> None:
        self.config = config
        self.settings = s = config.physics
        self.starts = start
        self.noise = stream(config.seed, seeds.NOISE, start)
        self.law = make_law(s, config.seed)
        self.maintenance = 0
        self.condition = hidden.condition(s, config.seed, 0)
        self.drifts = hidden.Drifts(s)
        self.controllers = {name: Controller.of(FLOW_LIMITS_SCCM[name], s) for name in FLOWS}
        self.run = dict.fromkeys(LINES, False)
        self.arrived = dict.fromkeys(FLOWS, 0.0)
        self.pressure_setpoint, self.pressure_mbar = s.pressure_mbar, _PUMP_MBAR
        self.rotation_setpoint = self.rotation_rpm = 0.0
        self.susceptor = Susceptor(s, working=s.ambient_degC, value=s.ambient_degC)
        self.sequence = Sequence()
        self.wafers: dict[int, Wafer] = {}
        self.loaded: Wafer | None = None
        self._run_of_wafer = hidden.run(s, config.seed, 0)
        self._fresh = False
        self.mapper = Mapper(s, config.seed)
        self.diffractometer = Diffractometer(s, config.seed)
        self.vented_scc = 0.0
        self.protecting = self.toxic = self.leak = False
        self.changed: set[str] = set()
        self.news = False
        self.time_s = 0.0

    # what is on ------------------------------------------------------------------------------------------------------

    @property
    def energised(self) -> bool:
        """Whether something is on that must not be left alone; phosphine that protects a surface is not."""
        on = [name for name in LINES if self.run[name] or self.controllers[name].setpoint > 0]
        if self.protecting and not self.toxic:
            on = [name for name in on if name != "P"]
        leaking = self.leak and self.controllers["H2"].setpoint > 0
        return bool(on) or self.susceptor.heating or leaking

    @property
    def carrier_ok(self) -> bool:
        """Whether enough hydrogen flows."""
        return self.controllers["H2"].flow >= self.settings.minimum_hydrogen_sccm

    @property
    def pressure_ok(self) -> bool:
        """Whether the reactor is at the pressure that was asked for."""
        off = abs(self.pressure_mbar - self.pressure_setpoint)
        return off <= self.settings.pressure_tolerance * self.pressure_setpoint

    @property
    def hydride_sccm(self) -> float:
        """Group V that flows into the reactor."""
        return sum(self.controllers[name].flow for name in GROUP_V if self.run[name])

    @property
    def growing(self) -> bool:
        """Whether group III flows into the reactor."""
        return any(self.run[name] for name in GROUP_III)

    @property
    def touchable(self) -> bool:
        """Whether the reactor may be opened: cold, still, heater off, no precursor in run or flowing."""
        s = self.settings
        still = self.rotation_rpm < 1 and self.rotation_setpoint == 0
        cold = self.susceptor.value < s.cold_degC and not self.susceptor.heating
        shut = not any(self.run.values()) and all(self.controllers[name].setpoint == 0 for name in GROUP_V)
        return still and cold and shut

    # what is done ----------------------------------------------------------------------------------------------------

    def switch(self, lines: tuple[str, ...], on: bool, duration_s: float = math.inf) -> None:
        """Send lines into the reactor or the vent; group III begins or ends a growth."""
        before = self.growing
        for name in lines:
            self.run[name] = on
            self.changed.add(f"{name}:VALVE:SP")  # by command, too
        if "P" in lines:
            self.protecting = False
        if self.growing and not before:
            self._fresh = True
            self.sequence.begin(duration_s)
        elif before and not self.growing:
            self.sequence.end(State.STOPPED if math.isfinite(self.sequence.left_s) else State.DONE)
            self.news = True
        self._keep_order()

    def set_flow(self, name: str, sccm: float) -> None:
        """Ask for a flow."""
        self.controllers[name].setpoint = sccm
        if name == "P":
            self.protecting = False

    def heat(self, degC: float) -> None:
        """Ask for a temperature; 0 switches the heater off."""
        self.susceptor.setpoint = degC
        if degC > 0:
            self.protecting = False

    def load(self) -> None:
        """Put a fresh wafer in."""
        number = len(self.wafers) + 1
        self._run_of_wafer = hidden.run(self.settings, self.config.seed, number)
        self.loaded = Wafer(number, self.maintenance, self._run_of_wafer.bad, self.condition.edge)
        self.wafers[number] = self.loaded
        self.sequence.clock_s = 0.0
        self.news = True

    def unload(self) -> None:
        """Take the wafer out, into the cassette."""
        self.loaded = None
        self.news = True

    def maintain(self) -> None:
        """Clean the reactor, change bubblers and scrubber: offsets are drawn anew."""
        self.maintenance += 1
        self.condition = hidden.condition(self.settings, self.config.seed, self.maintenance)
        self.drifts = hidden.Drifts(self.settings)
        self.vented_scc = 0.0
        self.news = True

    def restore_wafer(self, number: int) -> None:
        """Have a known wafer in the reactor again, with the run that it had."""
        self.loaded = self.wafers[number]
        self._run_of_wafer = hidden.run(self.settings, self.config.seed, number)

    def make_safe(self) -> None:
        """Group III to vent and shut, heater off; hydrides too, but phosphine stays while it protects a hot surface.

        An alarm of the gas system takes phosphine as well, one of hydrogen also the carrier (nitrogen purges).
        """
        hot = self.susceptor.value > self.settings.protect_degC
        keep = not self.toxic and hot and self.run["P"] and self.controllers["P"].setpoint > 0
        for name in LINES:
            if name != "P" or not keep:
                self._force(name, 0.0, False)
        self.protecting = keep
        if self.leak:
            self._force("H2", 0.0, False)
        self._heater_off()

    # time ------------------------------------------------------------------------------------------------------------

    def advance(self, dt_s: float) -> None:
        """Let simulated time pass; a growth with a duration ends exactly then."""
        remaining = dt_s
        while remaining > 1e-9:
            step = min(remaining, FINE_STEP_S if self._restless else COARSE_STEP_S, self.sequence.left_s)
            self._step(step)
            remaining -= step
            if self.sequence.over:
                self._end_growth(State.DONE)
        self.mapper.advance(dt_s)
        self.diffractometer.advance(dt_s)

    @property
    def _restless(self) -> bool:
        if not self.growing and self.arrived["IN"] + self.arrived["GA"] < _TRACE_SCCM:
            return False
        if not all(self.controllers[name].settled for name in FLOWS):
            return True
        inlet = self._inlet()
        return any(abs(inlet[name] - self.arrived[name]) > 0.01 * inlet[name] + _TRACE_SCCM for name in LINES)

    def _step(self, dt_s: float) -> None:
        s = self.settings
        self.drifts.step(dt_s, self.noise)
        for controller, normal in zip(self.controllers.values(), self.noise.standard_normal(len(FLOWS)), strict=True):
            controller.step(dt_s, float(normal))
        self.susceptor.step(dt_s)
        gap, reach = self.rotation_setpoint - self.rotation_rpm, s.rotation_speed_rpm_s * dt_s
        self.rotation_rpm += math.copysign(min(abs(gap), reach), gap)
        goal = self.pressure_setpoint if self.carrier_ok or self.hydride_sccm > 0 else _PUMP_MBAR
        self.pressure_mbar = goal + (self.pressure_mbar - goal) * math.exp(-dt_s / s.pressure_time_s)
        self._exchange_gas(dt_s)
        hydrides = sum(self.controllers[name].flow for name in GROUP_V)
        self.vented_scc += hydrides * dt_s / 60
        self.sequence.step(dt_s)
        self.time_s += dt_s
        self._keep_order()

    def _exchange_gas(self, dt_s: float) -> None:
        """The gas over the wafer follows the inlet; what grows in the step is that of its mean over the step."""
        times = dt_s / self.settings.residence_s
        kept = math.exp(-times)
        mean_kept = (1 - kept) / times
        mean = {}
        for name, flow in self._inlet().items():
            gap = self.arrived[name] - flow
            mean[name] = flow + gap * mean_kept
            self.arrived[name] = flow + gap * kept if abs(gap) > 1e-9 else flow
        wafer = self.loaded
        if wafer is None:
            return
        if self.susceptor.value > self.settings.protect_degC and mean["AS"] + mean["P"] < 1.0:
            wafer.decomposed_s += dt_s
        if mean["IN"] + mean["GA"] >= _TRACE_SCCM:
            degC = self.susceptor.value + self.condition.offset_degC
            flows = (mean["IN"], mean["GA"], mean["AS"], mean["P"], mean["H2"])
            gas = Gas(*flows, degC, self.pressure_mbar, self.rotation_rpm)
            grown = self.law.grow(gas, self._run_of_wafer.shift)
            lines = tuple(name for name in LINES if self.run[name]) if self.growing else ()
            grown = replace(grown, rate_nm_s=grown.rate_nm_s * self.condition.rate)
            wafer.grow(dt_s, lines, self._fresh, grown)
            self._fresh = False

    def _inlet(self) -> dict[str, float]:
        """True flows into the reactor."""
        flows = {"H2": self.controllers["H2"].true_sccm}
        for name in LINES:
            factor = self.condition.line[name] * (1 + self.drifts.line[name].value)
            flows[name] = self.controllers[name].true_sccm * factor if self.run[name] else 0.0
        return flows

    def _keep_order(self) -> None:
        """No metals without hydrides and carrier; no precursors nor heat without carrier; what protects ends cold."""
        if not self.carrier_ok:
            for name in GROUP_V:
                self._vent(name)
            if self.susceptor.heating:
                self._heater_off()
        if self.growing and (not self.carrier_ok or self.hydride_sccm < self.settings.minimum_hydride_sccm):
            self._end_growth(State.STOPPED)
        if self.protecting and self.susceptor.value <= self.settings.protect_degC:
            self._force("P", 0.0, False)
            self.protecting = False

    def _end_growth(self, state: State) -> None:
        for name in GROUP_III:
            self._vent(name)
        self.sequence.end(state)
        self.news = True

    def _heater_off(self) -> None:
        if self.susceptor.heating:
            self.susceptor.setpoint = 0.0
            self.changed.add("TEMPERATURE:SP")

    def _vent(self, name: str) -> None:
        if self.run[name]:
            self.run[name] = False
            self.changed.add(f"{name}:VALVE:SP")

    def _force(self, name: str, sccm: float, run: bool) -> None:
        """Set a line as nobody has asked for."""
        if name in GROUP_III and self.growing and not run:
            self._end_growth(State.STOPPED)
        if name in LINES and not run:
            self._vent(name)
        controller = self.controllers[name]
        if controller.setpoint != sccm:
            controller.setpoint = sccm
            self.changed.add(f"{name}:FLOW:SP")
