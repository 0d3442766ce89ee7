"""One sputter chamber: all its devices, connected together, checked together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sdl_bluesky.errors import UnknownName

from .base import LabDevice
from .clock import Clock, ProcessClock, WallClock
from .gauge import Gauge
from .interlock import AnyInterlock, Interlock
from .liveness import Liveness
from .machine import Machine
from .mfc import MassFlowController, ReactiveGas
from .mover import Mover
from .pausing import Pausing
from .qcm import QCM
from .spec import ChamberSpec
from .spectrometer import Spectrometer
from .sputter import NumberedSource, Source, Substrate
from .stream import QCMStream


@dataclass(frozen=True, eq=False, repr=False)
class Chamber(Machine):
    """The devices of one sputter chamber. Made by `make_chamber`.

    Attributes:
        oxygen, spectrometer: None in a chamber without them.
    """

    kind: ClassVar[str] = "chamber"
    launched_by: ClassVar[str] = "sdl ioc sputter"

    name: str
    prefix: str
    spec: ChamberSpec
    sources: dict[str, Source]
    qcms: dict[str, QCM]
    gas: MassFlowController
    gauge: Gauge
    wide_gauge: Gauge | None
    substrate: Substrate
    interlock: AnyInterlock
    clock: Clock
    liveness: Liveness
    oxygen: ReactiveGas | None = None
    spectrometer: Spectrometer | None = None

    def __repr__(self) -> str:
        parts = f"sources {', '.join(self.sources)}; QCMs {', '.join(self.qcms)}"
        return f"<Chamber {self.name!r} at {self.prefix!r}: {parts}>"

    def source(self, name: str) -> Source:
        """The source of that name; UnknownName if there is none."""
        try:
            return self.sources[name]
        except KeyError:
            raise UnknownName("source", name, list(self.sources)) from None

    def qcm(self, name: str) -> QCM:
        """The QCM of that name; UnknownName if there is none."""
        try:
            return self.qcms[name]
        except KeyError:
            raise UnknownName("QCM", name, list(self.qcms)) from None

    def stream(self, sources: Sequence[str] | None = None) -> QCMStream:
        """A new flyer over all QCMs and the named sources (all if None)."""
        return QCMStream(self, sources)

    @property
    def devices(self) -> dict[str, LabDevice]:
        """Every readable device by its name (a namespace for an interactive session)."""
        found: list[LabDevice] = [*self.sources.values(), *self.qcms.values(), self.gas, self.gauge]
        if self.wide_gauge is not None:
            found.append(self.wide_gauge)
        found += [device for device in (self.oxygen, self.spectrometer) if device is not None]
        found += [self.substrate, self.interlock, self.clock]
        return {device.name: device for device in found}

    @property
    def safe_owners(self) -> list[Pausing]:
        """The substrate, every source, and the oxygen if there is any."""
        oxygen = [] if self.oxygen is None else [self.oxygen]
        return [self.substrate, *self.sources.values(), *oxygen]

    @property
    def positioners(self) -> list[Mover]:
        """Everything that a plan can move."""
        found: list[Mover] = []
        for source in self.sources.values():
            found += [source.power, source.shutter]
        if self.oxygen is not None:
            found.append(self.oxygen.flow)
        if self.spectrometer is not None:
            found.append(self.spectrometer.exposure)
        return [*found, self.gas.flow, self.substrate.shutter, self.substrate.angle]

    @property
    def readables(self) -> list[LabDevice]:
        """What describes the state of the process: sources, QCMs, gas, gauges, clock."""
        left_out = (self.substrate.name, self.interlock.name)
        return [device for name, device in self.devices.items() if name not in left_out]

    @property
    def baseline(self) -> list[LabDevice]:
        """What is worth recording at the start and the end of a run: everything but spectra."""
        return [device for device in self.devices.values() if device is not self.spectrometer]

    def identity_faults(self) -> list[str]:
        """Targets of another element than the lab file says."""
        return [
            f"target of {name}: the machine says {source.target.get()!r}, the lab file says {source.spec.element!r}"
            for name, source in self.sources.items()
            if source.target.get() != source.spec.element
        ]


def make_chamber(prefix: str, spec: ChamberSpec, *, make: Callable[[Any], Any] = lambda cls: cls) -> Chamber:
    """Build the devices of a chamber, with their final names. Connects nothing: see `Chamber.connect`.

    Args:
        prefix: of every PV, such as "SDL:".
        spec: what the chamber consists of.
        make: gets each device class and returns the class to use (`ophyd.sim.make_fake_device` in tests).
    """

    def build(cls: Any, stub: str, name: str, **kwargs: Any) -> Any:
        return make(cls)(prefix + stub, name=name, **kwargs)

    sources = {
        s.name: build(
            NumberedSource if spec.has_target_numbers else Source,
            s.pv,
            s.name,
            spec=s,
            power_timeout_s=spec.power_timeout_s,
            shutter_timeout_s=spec.shutter_timeout_s,
            labels={"sources"},
        )
        for s in spec.sources
    }
    qcms = {q.name: build(QCM, q.pv, q.name, spec=q, labels={"detectors"}) for q in spec.qcms}
    interlock: Interlock = build(Interlock, spec.interlock, "interlock", labels={"safety"})
    liveness: Liveness = build(Liveness, "", "liveness", stale_after_s=spec.stale_after_s)
    liveness.watch_interlock(interlock)
    reactive = spec.reactive
    chamber = Chamber(
        name=spec.name,
        prefix=prefix,
        spec=spec,
        sources=sources,
        qcms=qcms,
        gas=build(
            MassFlowController,
            spec.gas,
            "gas",
            max_flow_sccm=spec.max_flow_sccm,
            atol_sccm=spec.flow_tolerance_sccm,
            rtol=spec.flow_tolerance_relative,
            timeout_s=spec.flow_timeout_s,
            labels={"gas"},
        ),
        gauge=build(Gauge, spec.gauge, "gauge", labels={"detectors"}),
        wide_gauge=None
        if spec.wide_gauge is None
        else build(Gauge, spec.wide_gauge, "wide_gauge", labels={"detectors"}),
        substrate=build(
            Substrate,
            spec.substrate,
            "substrate",
            shutter_timeout_s=spec.shutter_timeout_s,
            angle_timeout_s=spec.angle_timeout_s,
            angle_tolerance_deg=spec.angle_tolerance_deg,
            load_timeout_s=spec.load_timeout_s,
            labels={"stage"},
        ),
        interlock=interlock,
        clock=build(ProcessClock if spec.has_clock else WallClock, spec.clock, "clock", labels={"clock"}),
        liveness=liveness,
        oxygen=None
        if reactive is None
        else build(
            ReactiveGas,
            reactive.gas,
            "oxygen",
            max_flow_sccm=reactive.max_flow_sccm,
            atol_sccm=reactive.flow_tolerance_sccm,
            rtol=reactive.flow_tolerance_relative,
            timeout_s=spec.flow_timeout_s,
            labels={"gas"},
        ),
        spectrometer=None
        if reactive is None
        else build(Spectrometer, reactive.spectrometer, "spectrometer", labels={"detectors"}),
    )
    for device in chamber.devices.values():
        device.use_liveness(liveness)
    return chamber
