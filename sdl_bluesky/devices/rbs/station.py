"""One RBS end station: all its devices, connected together, checked together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignalRO

from ..base import LabDevice
from ..interlock import AnyInterlock
from ..liveness import Liveness
from ..machine import Machine
from ..mover import Mover
from ..pausing import Pausing
from .acquisition import Acquisition
from .sample import Beam, Loader, Stage
from .spec import RBSSpec


class StationInterlock(AnyInterlock):
    """Of an RBS end station: vacuum, door and heartbeat."""

    vacuum = Cpt(EpicsSignalRO, "VACUUM", kind="normal", auto_monitor=True)

    inputs = ("vacuum", "door", "heartbeat")


@dataclass(frozen=True, eq=False, repr=False)
class RBSStation(Machine):
    """The devices of one RBS end station. Made by `make_station`.

    Safe means: the beam shutter is closed and nothing is acquired.
    """

    kind: ClassVar[str] = "RBS end station"
    launched_by: ClassVar[str] = "sdl ioc rbs"

    name: str
    prefix: str
    spec: RBSSpec
    beam: Beam
    stage: Stage
    loader: Loader
    acquisition: Acquisition
    interlock: AnyInterlock
    liveness: Liveness

    def __repr__(self) -> str:
        return f"<RBSStation {self.name!r} at {self.prefix!r}: {', '.join(self.devices)}>"

    @property
    def devices(self) -> dict[str, LabDevice]:
        """Every readable device by its name (a namespace for an interactive session)."""
        found: list[LabDevice] = [self.beam, self.stage, self.loader, self.acquisition, self.interlock]
        return {device.name: device for device in found}

    @property
    def positioners(self) -> list[Mover]:
        """Everything that a plan can move."""
        return [self.beam.energy, self.beam.shutter, self.stage.x, self.stage.y, self.stage.tilt, self.loader]

    @property
    def baseline(self) -> list[LabDevice]:
        """What is worth recording at the start and the end of a run: everything but the spectrum."""
        return [device for device in self.devices.values() if device is not self.acquisition]

    @property
    def safe_owners(self) -> list[Pausing]:
        """Beam and acquisition."""
        return [self.beam, self.acquisition]

    def conditions(self) -> str:
        """On what an acquisition depends, in a few words."""
        return f"sample number {self.loader.position}, beam shutter {self.beam.shutter.position}, {self.interlock.explain()}"


def make_station(
    prefix: str, spec: RBSSpec | None = None, *, name: str = "rbs", make: Callable[[Any], Any] = lambda cls: cls
) -> RBSStation:
    """Build the devices of an RBS end station, with their final names. Connects nothing: see `Machine.connect`.

    Args:
        prefix: of every PV, such as "SDL:RBS:".
        spec: what the station is like.
        name: beginning of the name of every device, such as "rbs_beam".
        make: gets each device class and returns the class to use (`ophyd.sim.make_fake_device` in tests).
    """
    spec = spec or RBSSpec()

    def build(cls: Any, stub: str, part: str, **kwargs: Any) -> Any:
        return make(cls)(prefix + stub, name=f"{name}_{part}", **kwargs)

    interlock: StationInterlock = build(StationInterlock, spec.interlock, "interlock", labels={"safety"})
    liveness: Liveness = build(Liveness, "", "liveness", stale_after_s=spec.stale_after_s)
    liveness.watch_interlock(interlock)
    station = RBSStation(
        name=spec.name,
        prefix=prefix,
        spec=spec,
        beam=build(Beam, "BEAM:", "beam", spec=spec, labels={"beam"}),
        stage=build(Stage, "STAGE:", "stage", spec=spec, labels={"stage"}),
        loader=build(Loader, "SAMPLE:", "loader", timeout_s=spec.load_timeout_s, labels={"stage"}),
        # no label "detectors": `%ct` alone, which counts with all of those, must not ask for beam
        acquisition=build(Acquisition, "", "acquisition", spec=spec, labels={"spectrometers"}),
        interlock=interlock,
        liveness=liveness,
    )
    station.acquisition.conditions = station.conditions
    for device in station.devices.values():
        device.use_liveness(liveness)
    return station
