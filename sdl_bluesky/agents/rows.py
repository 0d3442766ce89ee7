"""What a row says besides inputs and outcome: whether the plasma burnt, what the crystal was worth, what the target has had.

plasma          1 (or True, or missing): it burnt; 0: it went out, so there is no rate
lit_pressure    with plasma 0: the last pressure [mTorr] at which it still burnt, on the way down at this power
out_pressure    with plasma 0: the pressure [mTorr] at which it was seen out
crystal_life    life left of the crystal [%]; at 0 or below it is dead and its rate means nothing
saturated       1 or True: more arrived than the sensor follows, or its frequency is stuck
energy          on the target since it was new [kWh]
earlier         name of a group of readings that were made before the agent's own experiments, under one setting
earlier_scale   standard deviation of the unknown factor between that setting and today's (0.05: 5 %); 0 or missing: none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdl_bluesky.agents.earlier import Origin
from sdl_bluesky.agents.space import number
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array

_INVERTED = 1.1  # noise of the gauge may put the pressure seen out this little above the last one seen lit


@dataclass(frozen=True)
class Extinction:
    """A plasma that went out.

    Attributes:
        x: inputs that were asked for [d].
        lit_pressure, out_pressure: the bracket [mTorr]; None where nobody noted it.
    """

    x: Array
    lit_pressure: float | None = None
    out_pressure: float | None = None


def went_out(row: Mapping[str, Any]) -> bool:
    """Whether a row says that the plasma went out.

    Raises:
        OutOfRange: "plasma" is neither 0 nor 1.
    """
    return not _flag(row, "plasma", True)


def extinction(row: Mapping[str, Any], x: Array, low: Array) -> Extinction:
    """The extinction that a row tells.

    Args:
        row: see the top of this file.
        x: its inputs [d].
        low: lower bounds of the inputs [d].

    Raises:
        OutOfRange: an input is not positive though its bounds are, or the bracket is none.
    """
    if np.any((x <= 0) & (low > 0)):
        raise OutOfRange("an input of a plasma that went out is not above 0: give what was asked, not the readback")
    bracket = {key: number(row, key) for key in ("lit_pressure", "out_pressure") if row.get(key) is not None}
    for key, value in bracket.items():
        if value <= 0:
            raise OutOfRange(f"{key} = {value:g} is no pressure")
    lit, out = bracket.get("lit_pressure"), bracket.get("out_pressure")
    if lit is not None and out is not None and out > _INVERTED * lit:
        raise OutOfRange(f"out_pressure = {out:g} lies above lit_pressure = {lit:g}: a plasma goes out on the way down")
    return Extinction(x, lit, out)


def check_quality(row: Mapping[str, Any]) -> None:
    """Refuse a reading of a sensor that cannot have measured it.

    Raises:
        OutOfRange: the crystal is dead or saturated; says what to do.
    """
    if row.get("crystal_life") is not None and number(row, "crystal_life") <= 0:
        raise OutOfRange("the crystal is dead (crystal_life <= 0 %): replace it and measure again")
    if _flag(row, "saturated", False):
        raise OutOfRange("the sensor is saturated or stuck: its frequency does not follow the rate")


def energy_kWh(row: Mapping[str, Any]) -> float | None:
    """Energy on the target, if the row tells it.

    Raises:
        OutOfRange: it is no number, or negative.
    """
    if row.get("energy") is None:
        return None
    value = number(row, "energy")
    if value < 0:
        raise OutOfRange(f"energy = {value:g} kWh is negative")
    return value


def origin(row: Mapping[str, Any]) -> Origin | None:
    """Where a reading comes from; None for one of the agent's own experiments.

    Raises:
        OutOfRange: the scale is no fraction between 0 and 1, or there is one without the name of a group.
    """
    group, scale = row.get("earlier"), row.get("earlier_scale")
    if group is None:
        if scale is not None:
            raise OutOfRange("earlier_scale without earlier: name the group of readings that share the factor")
        return None
    return Origin(str(group), 0.0 if scale is None else number(row, "earlier_scale"))


def _flag(row: Mapping[str, Any], key: str, default: bool) -> bool:
    if row.get(key) is None:
        return default
    value = row[key]
    if not isinstance(value, (bool, np.bool_)) and (
        not isinstance(value, (int, float, np.number)) or value not in (0, 1)
    ):
        raise OutOfRange(f"{key} = {value!r}: give 0 or 1")
    return bool(value)
