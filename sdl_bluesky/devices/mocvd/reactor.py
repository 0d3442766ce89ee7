"""One MOCVD reactor with the instruments beside it: all its devices, connected together, checked together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from sdl_bluesky.errors import UnknownName

from ..base import LabDevice, put_now
from ..clock import Clock, ProcessClock, WallClock
from ..interlock import AnyInterlock
from ..liveness import Liveness
from ..machine import Machine
from ..mfc import MassFlowController
from ..mover import Mover
from ..pausing import Pausing
from ..positioner import Positioner
from .diffractometer import Diffractometer
from .gases import GasSystem, ReactorInterlock
from .growth import GrowthClock
from .layer_log import LayerLog
from .lines import Metal, Phosphine, Precursor
from .mapper import PLMapper
from .protection import Protection
from .spec import FLOWS, GROUP_III, LINES, MOCVDSpec
from .susceptor import Susceptor, Vessel
from .wafers import WaferHandler


@dataclass(frozen=True, eq=False, repr=False)
class MOCVD(Machine):
    """The devices of one MOCVD reactor. Made by `make_reactor`.

    Safe means: group III and arsine go past the reactor and are shut, the heater is off, nothing grows or is measured;
    phosphine stays over the surface until it is cold and is shut then (`protection`). The carrier stays.
    """

    kind: ClassVar[str] = "MOCVD reactor"
    launched_by: ClassVar[str] = "sdl ioc mocvd"

    name: str
    prefix: str
    spec: MOCVDSpec
    lines: dict[str, Precursor]
    carrier: MassFlowController
    susceptor: Susceptor
    vessel: Vessel
    growth: GrowthClock
    wafers: WaferHandler
    mapper: PLMapper
    diffractometer: Diffractometer
    gas_system: GasSystem
    clock: Clock
    protection: Protection
    interlock: AnyInterlock
    liveness: Liveness

    def __repr__(self) -> str:
        return f"<MOCVD {self.name!r} at {self.prefix!r}: {', '.join(self.devices)}>"

    def line(self, name: str) -> Precursor:
        """The line of that name; UnknownName if there is none."""
        try:
            return self.lines[name]
        except KeyError:
            raise UnknownName("gas line", name, list(self.lines)) from None

    @property
    def metals(self) -> dict[str, Metal]:
        """The lines of group III."""
        return {name: line for name, line in self.lines.items() if isinstance(line, Metal)}

    @property
    def flows(self) -> dict[str, Positioner]:
        """The flow of every line, the carrier's too."""
        return {**{name: line.flow for name, line in self.lines.items()}, "h2": self.carrier.flow}

    @property
    def hydrides_off(self) -> bool:
        """Whether both hydrides go past the reactor and nothing of them is asked for."""
        return all(line.idle for name, line in self.lines.items() if name not in GROUP_III)

    def layer_log(self) -> LayerLog:
        """A new log of what flows, and of temperature, rotation and pressure, while a layer grows."""
        vessel = self.vessel
        more = {"temperature": self.susceptor.temperature, "rotation": vessel.rotation, "pressure": vessel.pressure}
        return LayerLog(self.growth, {**{f"{name}_flow": flow for name, flow in self.flows.items()}, **more})

    @property
    def devices(self) -> dict[str, LabDevice]:
        """Every readable device by its name (a namespace for an interactive session)."""
        found: list[LabDevice] = [*self.lines.values(), self.carrier, self.susceptor, self.vessel, self.growth]
        found += [self.wafers, self.mapper, self.diffractometer, self.gas_system, self.interlock, self.clock]
        return {device.name: device for device in found}

    @property
    def positioners(self) -> list[Mover]:
        """Everything that a plan can move."""
        found: list[Mover] = [*self.flows.values(), *(line.valve for line in self.lines.values())]
        found += [line.arm for line in self.metals.values()]
        found += [self.susceptor.temperature, self.susceptor.ramp, self.vessel.rotation, self.vessel.pressure]
        mapper, scan = self.mapper, self.diffractometer
        found += [mapper.holder, mapper.exposure, mapper.x, mapper.y]
        return [*found, scan.holder, scan.first, scan.last_angle, scan.step, scan.time]

    @property
    def baseline(self) -> list[LabDevice]:
        """What is worth recording at the start and the end of a run: everything but maps, spectra and scans."""
        left_out = (self.mapper, self.diffractometer)
        return [device for device in self.devices.values() if device not in left_out]

    @property
    def growers(self) -> list[Pausing]:
        """What takes part in a growth and can be unsafe."""
        return [self.growth, *self.lines.values(), self.susceptor]

    @property
    def safe_owners(self) -> list[Pausing]:
        """What takes part in a growth, and the two instruments."""
        return [*self.growers, self.mapper, self.diffractometer]

    def conditions(self) -> str:
        """On what a growth depends, in a few words."""
        lines = ", ".join(f"{name} {line.valve.position}" for name, line in self.lines.items())
        armed = [name for name, line in self.metals.items() if line.arm.is_open]
        return (
            f"wafer {self.wafers.number.get()}, armed {', '.join(armed) or 'nothing'}, {lines}, "
            f"carrier {self.carrier.flow.position:.0f} sccm, {self.vessel.pressure.position:.1f} mbar, "
            f"{self.interlock.explain()}"
        )


def make_reactor(
    prefix: str, spec: MOCVDSpec | None = None, *, name: str = "mocvd", make: Callable[[Any], Any] = lambda cls: cls
) -> MOCVD:
    """Build the devices of an MOCVD reactor, with their final names. Connects nothing: see `Machine.connect`.

    Args:
        prefix: of every PV, such as "SDL:MOCVD:".
        spec: what the reactor is like.
        name: beginning of the name of every device, such as "mocvd_susceptor".
        make: gets each device class and returns the class to use (`ophyd.sim.make_fake_device` in tests).
    """
    spec = spec or MOCVDSpec()

    def build(cls: Any, stub: str, part: str, **kwargs: Any) -> Any:
        return make(cls)(prefix + stub, name=f"{name}_{part}", **kwargs)

    def flow(line: str) -> dict[str, Any]:
        return {
            "max_flow_sccm": spec.flow_sccm[line][1],
            "atol_sccm": spec.flow_tolerance_sccm,
            "rtol": spec.flow_tolerance,
            "timeout_s": spec.flow_timeout_s,
            "labels": {"gas"},
        }

    interlock: ReactorInterlock = build(ReactorInterlock, spec.interlock, "interlock", labels={"safety"})
    liveness: Liveness = build(Liveness, "", "liveness", stale_after_s=spec.stale_after_s)
    liveness.watch_interlock(interlock)
    kinds = {"p": Phosphine, "as": Precursor}
    lines: dict[str, Precursor] = {
        line: build(
            kinds.get(line, Metal), f"{line.upper()}:", line, valve_timeout_s=spec.valve_timeout_s, **flow(line)
        )
        for line in LINES
    }
    carrier: MassFlowController = build(MassFlowController, "H2:", "h2", **flow("h2"))
    for line in FLOWS:
        chosen = carrier.flow if line == "h2" else lines[line].flow
        chosen.own_limits = spec.flow_sccm[line] if line == "h2" else (0.0, spec.flow_sccm[line][1])
    susceptor: Susceptor = build(Susceptor, "", "susceptor", spec=spec, labels={"stage"})
    vessel: Vessel = build(Vessel, "", "vessel", spec=spec, labels={"stage"})
    hydrides = [lines["p"], lines["as"]]
    metals = [lines[name] for name in GROUP_III]
    protection = Protection(
        name,
        cold=lambda: not susceptor.protected_until_cold,
        heating=lambda: susceptor.heating,
        shut=[*(line.shut for line in [*metals, *hydrides]), lambda: put_now(vessel.rotation.setpoint, 0.0)],
        off=lambda: all(line.idle for line in hydrides),
        liveness=liveness,
    )
    lines["p"].protection = protection  # type: ignore[attr-defined]
    starting = {"start_timeout_s": spec.start_timeout_s}
    # no label "detectors": `%ct` alone, which counts with all of those, must not ask for light or X-rays
    mapper: PLMapper = build(PLMapper, "PL:", "mapper", spec=spec, labels={"spectrometers"}, **starting)
    diffractometer: Diffractometer = build(
        Diffractometer, "XRD:", "diffractometer", spec=spec, labels={"spectrometers"}, **starting
    )
    reactor = MOCVD(
        name=spec.name,
        prefix=prefix,
        spec=spec,
        lines=lines,
        carrier=carrier,
        susceptor=susceptor,
        vessel=vessel,
        growth=build(GrowthClock, "GROWTH:", "growth", limits_s=spec.duration_s, labels={"growth"}, **starting),
        wafers=build(WaferHandler, "", "wafers", timeout_s=spec.load_timeout_s, labels={"stage"}),
        mapper=mapper,
        diffractometer=diffractometer,
        gas_system=build(GasSystem, "", "gas_system", labels={"safety"}),
        clock=build(ProcessClock if spec.has_clock else WallClock, spec.clock, "clock", labels={"clock"}),
        protection=protection,
        interlock=interlock,
        liveness=liveness,
    )
    reactor.growth.conditions = reactor.conditions
    mapper.conditions = lambda: f"wafer {mapper.holder.position} on {mapper.name}"
    diffractometer.conditions = lambda: f"wafer {diffractometer.holder.position} on {diffractometer.name}"
    for device in reactor.devices.values():
        device.use_liveness(liveness)
    return reactor
