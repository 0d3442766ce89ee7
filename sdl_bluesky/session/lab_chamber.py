"""The part of the lab file about the sputter chamber: sources and sensors with their places, how it is run and measured."""

from __future__ import annotations

import math
from functools import cached_property

from pydantic import Field, field_validator, model_validator

from sdl_bluesky.physics.emission import ARGON_NM, STRONG_LINES_NM
from sdl_bluesky.physics.quantity import (
    Centimetres,
    Degrees,
    Hertz,
    MillimetreRange,
    MilliTorr,
    MilliTorrRange,
    Nanometres,
    Percent,
    PlaceCm,
    SccmRange,
    Seconds,
    WattRange,
    Watts,
)
from sdl_bluesky.session.part import Part


class SourcePart(Part):
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


class SensorPart(Part):
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


class GasPart(Part):
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


class ReactivePart(Part):
    """Oxygen, and the spectrometer that tells metal from gas; left out in a lab without them."""

    flow: SccmRange
    gas_pv: str = "O2:"
    spectrometer_pv: str = "OES:"
    lines: dict[str, Nanometres] = Field(default_factory=dict, description="by source; a strong line by default")
    reference: Nanometres = ARGON_NM
    resolution: Nanometres = 1.2
    wait: Seconds = 60.0
    measure: Seconds = 90.0

    @model_validator(mode="after")
    def _usable(self) -> ReactivePart:
        if self.flow[0] != 0.0:
            raise ValueError("flow must begin at 0 sccm: the oxygen can always be closed")
        for name in ("resolution", "reference", "measure"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        return self


class PlasmaPart(Part):
    """How a plasma is lit: at a pressure well above the one at which it goes out."""

    ignition_pressure: MilliTorr = 12.0
    ignition_power: Watts = 50.0
    timeout: Seconds = 20.0


class MeasurementPart(Part):
    """How a rate is measured."""

    settle: Seconds = 15.0
    baseline: Seconds = 60.0
    transient: Seconds = 40.0
    shortest: Seconds = 30.0
    longest: Seconds = 240.0
    precision: Percent = 0.7
    tooling: Percent = 1.0


class MapPart(Part):
    """The grid of maps over the wafer."""

    x: MillimetreRange = (-25.0, 25.0)
    y: MillimetreRange = (-25.0, 25.0)
    points: int = Field(default=51, ge=3, le=1001)


class RangePart(Part):
    """Where rate surfaces are drawn."""

    power: WattRange = (10.0, 100.0)
    pressure: MilliTorrRange = (2.0, 20.0)


class ChamberPart(Part):
    """One sputter chamber."""

    sources: dict[str, SourcePart] = Field(min_length=1)
    sensors: dict[str, SensorPart] = Field(min_length=1)
    gas: GasPart
    plasma: PlasmaPart = PlasmaPart()
    measurement: MeasurementPart = MeasurementPart()
    map: MapPart = MapPart()
    ranges: RangePart = RangePart()
    clock: bool = True
    target_numbers: bool = False
    reactive: ReactivePart | None = None

    @model_validator(mode="after")
    def _names(self) -> ChamberPart:
        names = [*self.sources, *self.sensors]
        reserved = {"gas", "gauge", "wide_gauge", "substrate", "interlock", "clock", "chamber"}
        if self.reactive is not None:
            reserved |= {"oxygen", "spectrometer"}
        faults = [f"name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
        faults += [f"name {n!r} is reserved" for n in sorted(set(names) & reserved)]
        faults += [f"name {n!r} must be lower-case letters, digits and _" for n in names if not _is_name(n)]
        stubs = [p.pv for p in [*self.sources.values(), *self.sensors.values()]]
        faults += [f"pv {p!r} is used twice" for p in sorted({p for p in stubs if stubs.count(p) > 1})]
        faults += self._line_faults()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def lines_nm(self) -> dict[str, float]:
        """The line of each source whose metal has one, here or in `physics.emission`; none without a reactive part."""
        if self.reactive is None:
            return {}
        known = {n: STRONG_LINES_NM[s.element] for n, s in self.sources.items() if s.element in STRONG_LINES_NM}
        return {**known, **self.reactive.lines}

    def _line_faults(self) -> list[str]:
        lines = {} if self.reactive is None else self.reactive.lines
        faults = [f"reactive.lines names {name!r}, which is no source" for name in lines if name not in self.sources]
        return faults + [f"reactive.lines.{name} must be above 0 nm" for name, line in lines.items() if line <= 0]


def _is_name(text: str) -> bool:
    return text.isidentifier() and text == text.lower()
