"""What may be asked of the batch program, one model per word after "do"; units as in the PVs (W, mTorr, s, mm)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from ioc_sims.common.config import STRICT
from ioc_sims.common.errors import RequestError
from ioc_sims.sputter.elements import is_element

MAXIMUM_ROWS = 100_000

Positive = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0, le=1e7)]
Axis = Annotated[list[float], Field(min_length=1)]
Grid = Annotated[list[list[float | None]], Field(min_length=1)]
"""[row][column]; null or NaN where there is no number."""


class _Request(BaseModel):
    model_config = STRICT


class Process(_Request):
    """How plasmas are lit and what is waited for.

    Attributes:
        pressure: [mTorr], as the process gauge shows it.
        approach: light at `ignition_mTorr` and lower the pressure in steps; False goes straight to the setting.
        ignition_mTorr: where plasmas are lit.
        ignition_W: with at least this power.
        step: largest relative change of the pressure on the way down.
        settle_s: wait at the setting.
    """

    pressure: Positive
    approach: bool = True
    ignition_mTorr: Positive = 12.0
    ignition_W: Positive = 50.0
    step: Annotated[float, Field(ge=0.01, lt=1)] = 0.05
    settle_s: Seconds = 15.0


class _Rows(Process):
    zero_s: Seconds = 60.0
    transient_s: Seconds = 40.0
    every_s: Positive = 2.0

    @model_validator(mode="after")
    def _countable(self) -> Self:
        duration = getattr(self, "duration_s", 0.0) + self.zero_s + self.transient_s
        if duration > MAXIMUM_ROWS * self.every_s:
            raise ValueError(f"more than {MAXIMUM_ROWS} rows")
        return self


class Measure(_Rows):
    """The rate of one source at every sensor: zero rate, open shutter, transient, measurement."""

    do: Literal["measure"]
    source: str
    power: Positive
    duration_s: Seconds = 120.0


class Deposit(_Rows):
    """A film from several sources on a fresh substrate."""

    do: Literal["film"]
    powers: Annotated[dict[str, Positive], Field(min_length=1)]
    duration_s: Annotated[float, Field(gt=0, le=1e7)] = 600.0


class Reactive(Process):
    """A sweep of oxygen flows at one power: behind an open shutter each flow waits and is then measured."""

    do: Literal["reactive"]
    source: str
    power: Positive
    oxygen_sccm: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1, max_length=1000)]
    zero_s: Seconds = 60.0
    wait_s: Seconds = 60.0
    measure_s: Annotated[float, Field(ge=5, le=1e5)] = 90.0
    every_s: Annotated[float, Field(ge=0.1)] = 2.0
    spectra: Annotated[int, Field(ge=1, le=1000)] = 10


class Age(Process):
    """Energy on a target: the source burns behind closed shutters."""

    do: Literal["age"]
    source: str
    power: Positive
    hours: Annotated[float, Field(gt=0, le=10_000)]
    pressure: Positive = 8.0


class Exchange(_Request):
    """A new target for a source, or a new crystal for a sensor."""

    do: Literal["exchange"]
    source: str | None = None
    element: str | None = None
    sensor: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.source is None) == (self.sensor is None) or (self.source is None) != (self.element is None):
            raise ValueError("give source and element of a new target, or the sensor that gets a new crystal")
        if self.element is not None and not is_element(self.element):
            raise ValueError(f"{self.element!r} is not a chemical element")
        return self


class New(_Request):
    """Another chamber: this seed, these settings in place of those of the configuration; or the same with other noise."""

    do: Literal["new"]
    seed: int | None = Field(default=None, ge=0)
    noise: int = Field(default=0, ge=0, description="picks the noise, as starts of an IOC do")
    physics: dict[str, Any] = {}


class Read(_Request):
    """Every reading of this moment."""

    do: Literal["read"]


class MeasurePoints(_Request):
    """Atomic fractions at points of a film, with a normal error."""

    do: Literal["points"]
    substrate: int
    x_mm: Axis
    y_mm: Axis
    std: Annotated[float, Field(ge=0)] = 0.003
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.x_mm) != len(self.y_mm):
            raise ValueError(f"{len(self.x_mm)} x_mm and {len(self.y_mm)} y_mm are no points")
        return self


class ScoreMap(_Request):
    """How good a composition map is; fraction and std are [element][y][x]."""

    do: Literal["score_map"]
    substrate: int
    x_mm: Axis
    y_mm: Axis
    elements: Annotated[list[str], Field(min_length=1)]
    fraction: list[Grid]
    std: list[Grid]


class ScoreRate(_Request):
    """How good a rate surface is; mean and std are {sensor: [pressure][power]}.

    Attributes:
        lowest_mTorr: grid points below do not count.
        tooling: compare with what the sensor shows (its tooling factor included), not with what arrives.
    """

    do: Literal["score_rate"]
    source: str
    power: Axis
    pressure: Axis
    mean: Annotated[dict[str, Grid], Field(min_length=1)]
    std: dict[str, Grid] = {}
    lowest_mTorr: float = 4.0
    tooling: bool = False


class ScorePlasma(_Request):
    """How well it is known where a burning plasma stays lit; lit is [pressure][power]."""

    do: Literal["score_plasma"]
    source: str
    power: Axis
    pressure: Axis
    lit: Annotated[list[list[bool]], Field(min_length=1)]


class ScoreReactive(_Request):
    """How well the metal of the last sweep is known; metal, std, low and high (95 %) are [flow][sensor]."""

    do: Literal["score_reactive"]
    metal: list[list[float]]
    std: list[list[float]]
    low: list[list[float]]
    high: list[list[float]]
    branch: list[Literal["metallic", "transition", "poisoned"]]


Request = (
    Measure
    | Deposit
    | Reactive
    | Age
    | Exchange
    | New
    | Read
    | MeasurePoints
    | ScoreMap
    | ScoreRate
    | ScorePlasma
    | ScoreReactive
)

_ANY: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])


def read_request(content: Any) -> Request:
    """Check a request.

    Raises:
        RequestError: one line with every fault.
    """
    try:
        return _ANY.validate_python(content)
    except ValidationError as err:
        faults = (f"{'.'.join(map(str, e['loc'])) or 'request'}: {e['msg']}" for e in err.errors())
        raise RequestError("; ".join(faults)) from err
