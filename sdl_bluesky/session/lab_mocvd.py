"""The part of the lab file about the MOCVD reactor: its address, its limits, how it grows and measures."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from sdl_bluesky.physics.quantity import (
    Degrees,
    Nanometres,
    Percent,
    Sccm,
    SccmRange,
    Seconds,
    parse_quantity,
    parse_range,
)
from sdl_bluesky.session.part import EpicsPart, Part


def _quantity(unit: str) -> tuple[BeforeValidator, PlainSerializer]:
    write = PlainSerializer(lambda value: f"{value!r} {unit}", when_used="json")
    return BeforeValidator(partial(parse_quantity, unit=unit)), write


def _range(unit: str) -> tuple[BeforeValidator, PlainSerializer]:
    write = PlainSerializer(lambda value: f"{value[0]!r} to {value[1]!r} {unit}", when_used="json")
    return BeforeValidator(partial(parse_range, unit=unit)), write


Celsius = Annotated[float, *_quantity("degC")]
CelsiusPerSecond = Annotated[float, *_quantity("degC/s")]
Rpm = Annotated[float, *_quantity("rpm")]
Millibar = Annotated[float, *_quantity("mbar")]
RatePerFlow = Annotated[float, *_quantity("nm/s/sccm")]
CelsiusRange = Annotated[tuple[float, float], *_range("degC")]
RpmRange = Annotated[tuple[float, float], *_range("rpm")]
MillibarRange = Annotated[tuple[float, float], *_range("mbar")]


class FlowsPart(Part):
    """Ranges of the mass flow controllers; those of Ga and As are what a campaign may use."""

    indium: SccmRange = (0.0, 50.0)
    gallium: SccmRange = (0.0, 20.0)
    arsine: SccmRange = (0.0, 50.0)
    phosphine: SccmRange = (0.0, 500.0)
    hydrogen: SccmRange = (0.0, 30000.0)

    @model_validator(mode="after")
    def _from_zero(self) -> FlowsPart:
        wrong = [name for name in type(self).model_fields if getattr(self, name)[0] != 0.0]
        if wrong:
            raise ValueError(f"the range of {', '.join(wrong)} must begin at 0 sccm: flows are shut in the end")
        return self


class LimitsPart(Part):
    """Where the reactor may be set."""

    temperature: CelsiusRange = (0.0, 700.0)
    rotation: RpmRange = (0.0, 1500.0)
    pressure: MillibarRange = (20.0, 200.0)

    @model_validator(mode="after")
    def _from_zero(self) -> LimitsPart:
        if self.temperature[0] != 0.0 or self.rotation[0] != 0.0:
            raise ValueError(
                "temperature and rotation must begin at 0: heater and rotation are switched off in the end"
            )
        return self


class TolerancesPart(Part):
    """When a setpoint counts as reached."""

    flow: Percent = 1.0
    temperature: Celsius = 1.0
    rotation: Rpm = 5.0
    pressure: Percent = 2.0

    @model_validator(mode="after")
    def _positive(self) -> TolerancesPart:
        wrong = [name for name in type(self).model_fields if getattr(self, name) <= 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: give a tolerance above 0")
        return self


class RecipePart(Part):
    """What is grown unless a plan is told otherwise: the stack on InP."""

    indium: Sccm = 25.0
    phosphine: Sccm = 300.0
    hydrogen: Sccm = 16000.0
    temperature: Celsius = 650.0
    ramp: CelsiusPerSecond = 1.5
    rotation: Rpm = 900.0
    pressure: Millibar = 100.0
    buffer: Nanometres = 200.0
    layer: Nanometres = 200.0
    cap: Nanometres = 65.0
    settle: Seconds = 10.0
    soak: Seconds = 60.0
    pause: Seconds = 5.0
    purge: Seconds = 60.0
    least_v_iii: float = Field(default=3.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _possible(self) -> RecipePart:
        may_be_zero = ("buffer", "cap", "settle", "soak", "pause", "purge")
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value < 0 or (value == 0 and name not in may_be_zero):
                raise ValueError(f"{name} is {value:g}: give {'0 or more' if name in may_be_zero else 'more than 0'}")
        if self.phosphine < self.least_v_iii * self.indium:
            raise ValueError(
                f"phosphine of {self.phosphine:g} sccm is below least_v_iii, {self.least_v_iii:g}, times the indium of "
                f"{self.indium:g} sccm"
            )
        return self


class RatePart(Part):
    """Calibrated growth rate, by each metal's flow; `asked` and `measured` correct it by a layer of known thickness."""

    indium: RatePerFlow = 0.02
    gallium: RatePerFlow = 0.022
    asked: Nanometres | None = None
    measured: Nanometres | None = None

    @model_validator(mode="after")
    def _possible(self) -> RatePart:
        if self.indium <= 0 or self.gallium < 0:
            raise ValueError("indium must be above 0 nm/s/sccm, gallium 0 or more")
        if (self.asked is None) != (self.measured is None):
            raise ValueError("give both `asked` and `measured`, or neither")
        if self.asked is not None and self.measured is not None and min(self.asked, self.measured) <= 0:
            raise ValueError("asked and measured are thicknesses: above 0 nm")
        return self


class PLPart(Part):
    """The PL mapper."""

    exposure: Seconds = 0.1
    systematic: Nanometres = 1.5
    points: int = Field(default=25, ge=2, le=200)
    channels: int = Field(default=801, ge=2, le=10000)

    @model_validator(mode="after")
    def _possible(self) -> PLPart:
        if self.exposure <= 0 or self.systematic < 0:
            raise ValueError("exposure must be above 0 s, systematic 0 nm or more")
        return self


class XRDPart(Part):
    """The theta-2theta scan of a layer, round InP (004)."""

    first: Degrees = 62.4
    last: Degrees = 64.2
    step: Degrees = 0.003
    time: Seconds = 1.0

    @model_validator(mode="after")
    def _possible(self) -> XRDPart:
        if not self.first < self.last or self.step <= 0 or self.time <= 0:
            raise ValueError("a scan goes from first up to last, by a step above 0 deg, with a time above 0 s")
        if not self.first < 63.338 < self.last:
            raise ValueError("the scan must cover the peak of InP (004), at 63.338 deg")
        return self


class MOCVDPart(Part):
    """One MOCVD reactor with PL mapper and diffractometer, all behind an IOC of their own.

    `epics` says where it answers if not where the chamber's does (of a simulated one: on which port it is served).
    """

    pv: str = Field(default="MOCVD:", pattern=r"^[A-Za-z0-9_:-]+$")
    epics: EpicsPart | None = None
    flows: FlowsPart = FlowsPart()
    limits: LimitsPart = LimitsPart()
    tolerances: TolerancesPart = TolerancesPart()
    recipe: RecipePart = RecipePart()
    rate: RatePart = RatePart()
    protect: Celsius = 400.0
    cold: Celsius = 150.0
    strain: Literal["relaxed", "coherent"] = "relaxed"
    pl: PLPart = PLPart()
    xrd: XRDPart = XRDPart()
    clock: bool = True
    gallium: Literal["TEGa", "TMGa"] = "TEGa"
    physics: dict[str, float] = Field(default_factory=dict, description="settings of the simulated reactor by name")

    @model_validator(mode="after")
    def _possible(self) -> MOCVDPart:
        recipe, limits = self.recipe, self.limits
        if not 0 < self.cold < self.protect < recipe.temperature:
            raise ValueError("cold < protect < recipe.temperature must hold, all above 0 degC")
        for name in ("temperature", "rotation", "pressure"):
            low, high = getattr(limits, name)
            if not low <= getattr(recipe, name) <= high:
                raise ValueError(f"recipe.{name} is beyond limits.{name}, {low:g} to {high:g}")
        for name in ("indium", "phosphine", "hydrogen"):
            if getattr(recipe, name) > getattr(self.flows, name)[1]:
                raise ValueError(f"recipe.{name} is beyond flows.{name}, up to {getattr(self.flows, name)[1]:g} sccm")
        return self
