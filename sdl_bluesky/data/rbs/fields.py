"""The numbers and names of a case, each with its unit and its range; a refusal says what to write instead."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from sdl_bluesky.data.rbs.names import plain_name
from sdl_bluesky.errors import SDLError
from sdl_bluesky.physics.rbs import nuclides

DENSITY = "1e15 at/cm2"
LARGEST_DENSITY = 1e8
MOST_CHANNELS = 65536
PRIORS = ("fluence", "slope", "offset", "resolution", "stopping")
"""Nuisance parameters; "stopping" alone means that of every element, "stopping:Cu" that of one."""
_FACTORS: Mapping[str, Mapping[str, float]] = {
    "keV": {"eV": 1e-3, "MeV": 1e3},
    "deg": {"rad": 180.0 / math.pi},
    "msr": {"sr": 1e3},
    DENSITY: {"at/cm2": 1e-15},
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*(\S.*?)?\s*", re.ASCII)


def read_number(value: Any, unit: str) -> float:
    """A bare number; a text is refused with what to write instead.

    Raises:
        ValueError: not a finite number.
    """
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        if match is None:
            raise ValueError(f"{value[:60]!r} is text: write a number in {unit}, without quotes")
        factor = 1.0 if match[2] in (None, unit) else _FACTORS.get(unit, {}).get(match[2])
        what = "the number alone" if factor is None else f"{float(match[1]) * factor:g}"
        raise ValueError(f"{value[:60]!r} is text: numbers stand here bare, in {unit}; write {what}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number in {unit}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number in {unit}")
    return number


def _name(name: str, read: Any) -> str:
    try:
        name = plain_name(name)
        read(name)
    except SDLError as fault:  # pydantic collects only ValueError
        raise ValueError(str(fault)) from fault
    return name


def _range(value: float, low: float, high: float, what: str) -> float:
    """low < value <= high"""
    if not low < value <= high:
        raise ValueError(f"{value:g} is out of range: {what}")
    return value


def _density(value: float) -> float:
    if value < 0.0:
        raise ValueError(f"{value:g} is negative: an areal density in {DENSITY} is 0 or more")
    if value > LARGEST_DENSITY:
        raise ValueError(f"{value:g} is too much: is it in at/cm2? Densities are in {DENSITY}: write {value * 1e-15:g}")
    return value


def _beam_energy(value: float) -> float:
    if not 100.0 <= value <= 20000.0:
        hint = f": is it in MeV? Write {value * 1e3:g}" if 0.1 <= value <= 20.0 else ""
        raise ValueError(f"{value:g} keV is no energy for this method (100 to 20000 keV){hint}")
    return value


def _slope(value: float) -> float:
    if not 0.05 <= value <= 200.0:
        hint = f": is it in MeV? Write {value * 1e3:g}" if 5e-5 <= value < 0.05 else ""
        raise ValueError(f"{value:g} keV per channel cannot be (0.05 to 200){hint}")
    return value


def _region(region: tuple[int, int]) -> tuple[int, int]:
    if not region[0] < region[1]:
        raise ValueError(f"{list(region)} is empty: write [first channel, channel after the last]")
    return region


def _prior(name: str) -> str:
    kind, _, element = name.partition(":")
    if kind not in PRIORS or (element and kind != "stopping"):
        raise ValueError(f"{name!r} is no nuisance parameter: {', '.join(PRIORS)} or stopping:Cu are")
    return name


_BEAM = "a direction makes less than 89 deg with the surface normal"
KeV = Annotated[float, BeforeValidator(partial(read_number, unit="keV"))]
Degrees = Annotated[float, BeforeValidator(partial(read_number, unit="deg"))]
Plain = Annotated[float, BeforeValidator(partial(read_number, unit="its unit"))]

Ion = Annotated[str, AfterValidator(partial(_name, read=nuclides.ion))]
Element = Annotated[str, AfterValidator(partial(_name, read=nuclides.target))]
BeamEnergy = Annotated[KeV, AfterValidator(_beam_energy)]
Scattering = Annotated[
    Degrees,
    AfterValidator(partial(_range, low=0.0, high=180.0, what="a scattering angle is over 0 and at most 180 deg")),
]
Direction = Annotated[Degrees, AfterValidator(partial(_range, low=-89.0, high=88.9999, what=_BEAM))]
Slope = Annotated[KeV, AfterValidator(_slope)]
Resolution = Annotated[KeV, AfterValidator(partial(_range, low=0.0499, high=1000.0, what="0.05 to 1000 keV FWHM"))]
Lowest = Annotated[KeV, AfterValidator(partial(_range, low=9.999, high=20000.0, what="10 keV or more"))]
Ions = Annotated[
    float,
    BeforeValidator(partial(read_number, unit="ions")),
    AfterValidator(partial(_range, low=0.0, high=1e22, what="the fluence is a number of ions, such as 1e14")),
]
SolidAngle = Annotated[
    float,
    BeforeValidator(partial(read_number, unit="msr")),
    AfterValidator(partial(_range, low=0.0, high=12566.4, what="a solid angle in msr is over 0 and at most 4 pi sr")),
]
PileUp = Annotated[Plain, AfterValidator(partial(_range, low=-1e-300, high=0.2999, what="0 to 0.3"))]
Density = Annotated[float, BeforeValidator(partial(read_number, unit=DENSITY)), AfterValidator(_density)]
Layer = Annotated[dict[Element, Density], Field(min_length=1)]
Channels = Annotated[StrictInt, Field(ge=1, le=MOST_CHANNELS)]
Region = Annotated[
    tuple[Annotated[StrictInt, Field(ge=0)], Annotated[StrictInt, Field(ge=1, le=MOST_CHANNELS)]],
    AfterValidator(_region),
]
PriorName = Annotated[str, AfterValidator(_prior)]
Prior = Annotated[
    Plain,
    AfterValidator(partial(_range, low=0.0, high=1e3, what="a standard deviation is over 0 (relative; offset: keV)")),
]
