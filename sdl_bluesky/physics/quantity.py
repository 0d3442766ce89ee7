"""Numbers with units in lab and campaign files.

A quantity is written with its unit (``50 W``), a range with ``to`` (``10 to 100 W``). The unit must be the one that the
contract fixes for the field: nothing is converted silently, so ``0.05 kW``
is refused with a message that says what to write.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from sdl_bluesky.errors import UnitError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)"
_SINGLE = re.compile(rf"^\s*({_NUMBER})\s*(.*?)\s*$", re.IGNORECASE)
_RANGE = re.compile(rf"^\s*({_NUMBER})\s+to\s+({_NUMBER})\s*(.*?)\s*$", re.IGNORECASE)
_VECTOR = re.compile(rf"^\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*(.*?)\s*$", re.IGNORECASE)


def _check_unit(found: str, unit: str, value: Any) -> None:
    if found != unit:
        what = f"has the unit {found!r}" if found else "has no unit"
        raise UnitError(f"{value!r} {what}: give it in {unit} and write that unit, as in '5 {unit}'")


def _finite(numbers: tuple[float, ...], value: Any) -> None:
    if not all(math.isfinite(x) for x in numbers):
        raise ValueError(f"{value!r} is not a finite number")


def parse_quantity(value: Any, unit: str) -> float:
    """Read ``"50 W"`` as 50.0.

    Args:
        value: text of a number and its unit.
        unit: the unit that the field has.

    Returns:
        The number, in ``unit``.

    Raises:
        UnitError: the unit is missing or another one.
        ValueError: not a finite number.
    """
    match = _SINGLE.match(value) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"{value!r} is not a number with its unit: write for example '5 {unit}'")
    _check_unit(match[2], unit, value)
    number = float(match[1])
    _finite((number,), value)
    return number


def parse_range(value: Any, unit: str) -> tuple[float, float]:
    """Read ``"10 to 100 W"`` as ``(10.0, 100.0)``, lower end first.

    Raises:
        UnitError: the unit is missing or another one.
        ValueError: not two finite numbers in rising order.
    """
    match = _RANGE.match(value) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"{value!r} is not a range with its unit: write for example '1 to 10 {unit}'")
    _check_unit(match[3], unit, value)
    low, high = float(match[1]), float(match[2])
    _finite((low, high), value)
    if not low < high:
        raise ValueError(f"{value!r}: the lower end must come first and be smaller than the upper one")
    return low, high


def parse_vector(value: Any, unit: str) -> tuple[float, float, float]:
    """Read ``"7, 0, 12.1 cm"`` as ``(7.0, 0.0, 12.1)``.

    Raises:
        UnitError: the unit is missing or another one.
        ValueError: not three finite numbers.
    """
    match = _VECTOR.match(value) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"{value!r} is not a place: write for example '7.0, 0.0, 12.1 {unit}'")
    _check_unit(match[4], unit, value)
    place = (float(match[1]), float(match[2]), float(match[3]))
    _finite(place, value)
    return place


def _write(value: Any, unit: str) -> str:
    return f"{value!r} {unit}"


def _write_range(value: tuple[float, float], unit: str) -> str:
    return f"{value[0]!r} to {value[1]!r} {unit}"


def _write_vector(value: tuple[float, float, float], unit: str) -> str:
    return ", ".join(map(repr, value)) + f" {unit}"


def _kind(read: Callable[..., Any], write: Callable[..., str], unit: str) -> tuple[BeforeValidator, PlainSerializer]:
    return BeforeValidator(partial(read, unit=unit)), PlainSerializer(partial(write, unit=unit), when_used="json")


Watts = Annotated[float, *_kind(parse_quantity, _write, "W")]
MilliTorr = Annotated[float, *_kind(parse_quantity, _write, "mTorr")]
Seconds = Annotated[float, *_kind(parse_quantity, _write, "s")]
Centimetres = Annotated[float, *_kind(parse_quantity, _write, "cm")]
Degrees = Annotated[float, *_kind(parse_quantity, _write, "deg")]
Millimetres = Annotated[float, *_kind(parse_quantity, _write, "mm")]
Nanometres = Annotated[float, *_kind(parse_quantity, _write, "nm")]
Angstroms = Annotated[float, *_kind(parse_quantity, _write, "Angstrom")]
Sccm = Annotated[float, *_kind(parse_quantity, _write, "sccm")]
Hertz = Annotated[float, *_kind(parse_quantity, _write, "Hz")]
KiloElectronvolts = Annotated[float, *_kind(parse_quantity, _write, "keV")]
MicroCoulombs = Annotated[float, *_kind(parse_quantity, _write, "uC")]
MilliSteradians = Annotated[float, *_kind(parse_quantity, _write, "msr")]
KilowattHours = Annotated[float, *_kind(parse_quantity, _write, "kWh")]
Percent = Annotated[float, *_kind(parse_quantity, _write, "%")]
PercentPerMillimetre = Annotated[float, *_kind(parse_quantity, _write, "%/mm")]
WattRange = Annotated[tuple[float, float], *_kind(parse_range, _write_range, "W")]
MilliTorrRange = Annotated[tuple[float, float], *_kind(parse_range, _write_range, "mTorr")]
SccmRange = Annotated[tuple[float, float], *_kind(parse_range, _write_range, "sccm")]
MillimetreRange = Annotated[tuple[float, float], *_kind(parse_range, _write_range, "mm")]
PlaceCm = Annotated[tuple[float, float, float], *_kind(parse_vector, _write_vector, "cm")]
