"""Checks of an RBS map before anything moves. Every fault is a typed error that says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdl_bluesky.devices import RBSStation
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.plans.preflight import check_positive
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.rbs_windows import Window, check_edges, windows

Place = tuple[float, float]


@dataclass(frozen=True)
class RBSMap:
    """A map that has been checked.

    Attributes:
        points: x, y of each point [mm].
        substrate: number of the film.
        elements: of the film.
        windows: where they are counted.
        settings: with the charge that was asked for.
    """

    points: tuple[Place, ...]
    substrate: int
    elements: tuple[str, ...]
    windows: tuple[Window, ...]
    settings: RBSSettings


def check_map(
    station: RBSStation,
    points: Sequence[Sequence[float]],
    settings: RBSSettings,
    substrate: int,
    elements: Sequence[str],
    charge_uC: float | None,
) -> RBSMap:
    """Check places, film, elements, charge and set-up against the station's limits and against each other.

    Raises:
        OutOfRange: a number is none, or out of limits; the film cannot be seen with this set-up.
        UnknownName: an element that does not exist.
    """
    chosen = settings if charge_uC is None else replace(settings, charge_uC=charge_uC)
    check_positive("charge", chosen.charge_uC, "uC")
    check_positive("precision", chosen.precision, "")
    if chosen.charge_uC > chosen.longest_uC:
        raise OutOfRange(
            f"the charge of {chosen.charge_uC:g} uC is above the longest, {chosen.longest_uC:g} uC: nothing was moved"
        )
    if chosen.channels != station.spec.channels:
        raise OutOfRange(
            f"the set-up has {chosen.channels} channels, the station {station.spec.channels}: nothing was moved"
        )
    film = tuple(elements)
    if isinstance(elements, str) or not film or len(set(film)) != len(film):
        raise OutOfRange(f"elements {elements!r}: name each element of the film once, as in ['Cu', 'Sn']")
    setup = chosen.setup(film)
    check_edges(setup, film, chosen.substrate_elements())
    station.loader.check_value(substrate)
    station.beam.energy.check_value(chosen.energy_keV)
    station.stage.tilt.check_value(chosen.tilt_deg)
    places = tuple(_place(station, point) for point in points)
    if not places:
        raise OutOfRange("a map needs at least one point (x, y in mm): nothing was moved")
    return RBSMap(places, int(substrate), film, windows(setup, film, chosen.substrate_elements()), chosen)


def _place(station: RBSStation, point: Any) -> Place:
    array = np.asarray(point)
    if array.shape != (2,) or array.dtype.kind not in "fiu":
        raise OutOfRange(f"{point!r} is no place: give x, y in mm; nothing was moved")
    x, y = float(array[0]), float(array[1])
    for label, value, (low, high), axis in (
        ("x", x, station.spec.wafer_x_mm, station.stage.x),
        ("y", y, station.spec.wafer_y_mm, station.stage.y),
    ):
        if not math.isfinite(value) or not low <= value <= high:
            raise OutOfRange(f"{label} = {value:g} mm is off the wafer, {low:g} to {high:g} mm; nothing was moved")
        axis.check_value(value)
    return x, y
