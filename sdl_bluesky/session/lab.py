"""The lab file: one YAML text that says what the lab consists of, checked before anything is built from it.

Everything that differs between two laboratories stands here: addresses, instruments and their places, ranges,
tolerances, the catalogue. Quantities are written with their units, see `sdl_bluesky.physics.quantity`.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sdl_bluesky.data.yamlfile import read_yaml
from sdl_bluesky.physics.quantity import (
    Centimetres,
    Degrees,
    Hertz,
    MillimetreRange,
    MilliTorr,
    MilliTorrRange,
    Percent,
    PlaceCm,
    SccmRange,
    Seconds,
    WattRange,
    Watts,
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))


class EpicsPart(_Part):
    """Where the IOCs answer. ``port: auto`` takes a free one, which only a lab that starts its own IOC can do."""

    host: str = "127.0.0.1"
    port: int | Literal["auto"] = "auto"


class CataloguePart(_Part):
    """The Tiled server. ``uri: auto`` starts an own one in the lab's folder; another one's key is in TILED_API_KEY."""

    uri: str = "auto"
    port: int | Literal["auto"] = "auto"
    catalog: str | None = None
    tables: str | None = None
    streaming_cache: str = "memory"


class TwinPart(_Part):
    """Simulated instruments instead of real ones; left out of a real lab's file."""

    speed: float = Field(default=100.0, ge=1.0, le=1000.0)
    seed: int = Field(default=0, ge=0)
    faults: bool = False
    heartbeat_timeout: Seconds = 3.0
    physics: dict[str, float] = Field(default_factory=dict)


class SourcePart(_Part):
    """One sputter source: a target, its place, and the axis it looks along.

    The place is given by ``distance``, ``tilt`` (from the substrate normal) and ``azimuth``, aimed at the centre, or by
    ``position`` and ``aim``.
    """

    element: str
    pv: str
    distance: Centimetres | None = None
    tilt: Degrees = 0.0
    azimuth: Degrees = 0.0
    position: PlaceCm | None = None
    aim: PlaceCm = (0.0, 0.0, 0.0)
    max_power: Watts
    power_tolerance: Watts = 0.5

    @field_validator("element")
    @classmethod
    def _known_element(cls, value: str) -> str:
        from periodictable import elements

        if not any(value == e.symbol for e in elements if e.number > 0):
            raise ValueError(f"{value!r} is not the symbol of an element: write for example 'Cu'")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> SourcePart:
        if (self.distance is None) == (self.position is None):
            raise ValueError("give either distance (with tilt and azimuth) or position")
        if self.max_power <= 0:
            raise ValueError("max_power must be above 0 W")
        return self

    @cached_property
    def position_cm(self) -> tuple[float, float, float]:
        """Place of the target's centre [cm], substrate at the origin, normal +z."""
        if self.position is not None:
            return self.position
        tilt, azimuth = math.radians(self.tilt), math.radians(self.azimuth)
        d = self.distance or 0.0
        return (d * math.sin(tilt) * math.cos(azimuth), d * math.sin(tilt) * math.sin(azimuth), d * math.cos(tilt))

    @cached_property
    def axis(self) -> tuple[float, float, float]:
        """Unit vector out of the source, towards `aim`."""
        dx, dy, dz = (a - p for a, p in zip(self.aim, self.position_cm, strict=True))
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        return (dx / length, dy / length, dz / length)


class SensorPart(_Part):
    """One quartz-crystal microbalance, by ``radius``, ``azimuth``, ``height`` or by ``position``; it looks along +z."""

    pv: str
    radius: Centimetres | None = None
    azimuth: Degrees = 0.0
    height: Centimetres = 0.0
    position: PlaceCm | None = None
    crystal: Hertz = 6.0e6

    @model_validator(mode="after")
    def _one_place(self) -> SensorPart:
        if (self.radius is None) == (self.position is None):
            raise ValueError("give either radius (with azimuth and height) or position")
        return self

    @cached_property
    def position_cm(self) -> tuple[float, float, float]:
        """Place of the crystal [cm], substrate at the origin, normal +z."""
        if self.position is not None:
            return self.position
        angle, r = math.radians(self.azimuth), self.radius or 0.0
        return (r * math.cos(angle), r * math.sin(angle), self.height)


class GasPart(_Part):
    """The working gas: what the mass-flow controller can deliver and how a pressure is first guessed from a flow."""

    flow: SccmRange
    flow_per_pressure: float = Field(default=5.0, gt=0.0, description="sccm per mTorr, the first guess")
    pressure_tolerance: Percent = 2.0
    pump_time: Seconds = 10.0

    @model_validator(mode="after")
    def _from_zero(self) -> GasPart:
        if self.flow[0] != 0.0:
            raise ValueError("flow must begin at 0 sccm: the gas can always be closed")
        return self


class PlasmaPart(_Part):
    """How a plasma is lit: at a pressure well above the one at which it goes out."""

    ignition_pressure: MilliTorr = 12.0
    ignition_power: Watts = 50.0
    timeout: Seconds = 20.0


class MeasurementPart(_Part):
    """How a rate is measured."""

    settle: Seconds = 15.0
    baseline: Seconds = 60.0
    transient: Seconds = 40.0
    shortest: Seconds = 30.0
    longest: Seconds = 240.0
    precision: Percent = 0.7
    tooling: Percent = 1.0


class MapPart(_Part):
    """The grid of maps over the wafer."""

    x: MillimetreRange = (-25.0, 25.0)
    y: MillimetreRange = (-25.0, 25.0)
    points: int = Field(default=51, ge=3, le=1001)


class RangePart(_Part):
    """Where rate surfaces are drawn."""

    power: WattRange = (10.0, 100.0)
    pressure: MilliTorrRange = (2.0, 20.0)


class ChamberPart(_Part):
    """One sputter chamber."""

    sources: dict[str, SourcePart] = Field(min_length=1)
    sensors: dict[str, SensorPart] = Field(min_length=1)
    gas: GasPart
    plasma: PlasmaPart = PlasmaPart()
    measurement: MeasurementPart = MeasurementPart()
    map: MapPart = MapPart()
    ranges: RangePart = RangePart()
    clock: bool = True

    @model_validator(mode="after")
    def _names(self) -> ChamberPart:
        names = [*self.sources, *self.sensors]
        reserved = {"gas", "gauge", "wide_gauge", "substrate", "interlock", "clock", "chamber"}
        faults = [f"name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
        faults += [f"name {n!r} is reserved" for n in sorted(set(names) & reserved)]
        faults += [f"name {n!r} must be lower-case letters, digits and _" for n in names if not _is_name(n)]
        stubs = [p.pv for p in [*self.sources.values(), *self.sensors.values()]]
        faults += [f"pv {p!r} is used twice" for p in sorted({p for p in stubs if stubs.count(p) > 1})]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _is_name(text: str) -> bool:
    return text.isidentifier() and text == text.lower()


class LabFile(_Part):
    """The whole lab."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    prefix: str = Field(min_length=1)
    operator: str = ""
    epics: EpicsPart = EpicsPart()
    catalogue: CataloguePart = CataloguePart()
    twin: TwinPart | None = None
    chamber: ChamberPart

    @model_validator(mode="after")
    def _addresses(self) -> LabFile:
        if self.twin is None and self.epics.port == "auto":
            raise ValueError("epics.port is 'auto', which needs a twin: give the port of the IOC (usually 5064)")
        return self

    @cached_property
    def sha256(self) -> str:
        """Hash of the content, the same for two files that say the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def geometry(self) -> dict[str, Any]:
        """What an analysis needs to know of the chamber, for every start document (plain types; cm, mm, W, mTorr)."""
        chamber = self.chamber
        return {
            "sources": {
                n: {"element": s.element, "position_cm": list(s.position_cm), "axis": list(s.axis)}
                for n, s in chamber.sources.items()
            },
            "sensors": {
                n: {"position_cm": list(q.position_cm), "normal": [0.0, 0.0, 1.0], "f0_Hz": q.crystal}
                for n, q in chamber.sensors.items()
            },
            "tooling_std": chamber.measurement.tooling / 100.0,
            "map": {
                "x_mm": [*chamber.map.x, chamber.map.points],
                "y_mm": [*chamber.map.y, chamber.map.points],
            },
            "ranges": {"power_W": list(chamber.ranges.power), "pressure_mTorr": list(chamber.ranges.pressure)},
        }


def default_lab_path() -> Path:
    """The lab file that is shipped with the package: a simulated chamber with four sources and three QCMs."""
    return Path(str(files("sdl_bluesky.session") / "lab.yml"))


def load_lab(path: Path | str | None = None) -> LabFile:
    """Read and check a lab file (the shipped one by default).

    Raises:
        UnitError, LabFileError: see `sdl_bluesky.data.yamlfile`.
    """
    return read_yaml(Path(path) if path is not None else default_lab_path(), LabFile)
