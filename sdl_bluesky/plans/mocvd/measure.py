"""Measuring a wafer: its light, its diffraction. A pause stops a measurement, which is then done again as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluesky.utils import MsgGenerator

from sdl_bluesky.devices import MOCVD, Scan
from sdl_bluesky.devices.mocvd.mapper import PLMap, PLSpectrum
from sdl_bluesky.errors import DeviceError
from sdl_bluesky.plans.mocvd.settings import GrowthSettings
from sdl_bluesky.plans.mocvd.work import tries, watch_instrument
from sdl_bluesky.plans.record import Field

Columns = tuple[dict[str, Field], dict[str, Any]]


def light(reactor: MOCVD, wafer: int, settings: GrowthSettings, place_mm: tuple[float, float]) -> MsgGenerator[Columns]:
    """A PL map of a wafer and the spectrum of one place, as columns of an event.

    Raises:
        SDLError: the machine's fault.
    """
    mapper, other = reactor.mapper, reactor.diffractometer

    def once() -> MsgGenerator[tuple[PLMap, PLSpectrum]]:
        watch = watch_instrument(reactor, mapper)
        yield from watch.wait("idle", mapper.halt)
        if other.holder.position == wafer:
            yield from watch.move(other.holder, 0)
        yield from watch.move(mapper.holder, wafer)
        yield from watch.move_together(
            mapper.exposure, settings.exposure_s, mapper.x, place_mm[0], mapper.y, place_mm[1]
        )
        yield from watch.wait("PL map", mapper.measure_map)
        yield from watch.wait("PL spectrum", mapper.measure_spectrum)
        yield from watch.move(mapper.holder, 0)
        if mapper.last_map is None or mapper.last_spectrum is None:
            raise DeviceError(f"{mapper.name} ended without a result")
        return mapper.last_map, mapper.last_spectrum

    found, spectrum = yield from tries(reactor, once, growth=False)
    side, channels = found.axis_mm.size, spectrum.counts.size
    fields = {
        "pl_axis": Field("array", "mm", "places in x, and in y, from the middle", shape=(side,)),
        "pl_map": Field("array", "nm", "peak wavelength [y, x]; nan: no reading", shape=(side, side)),
        "pl_intensity": Field("array", "counts", "in the peak [y, x]", shape=(side, side)),
        "pl_exposure": Field("number", "s", "of each pixel"),
        "pl_x": Field("number", "mm", "where the spectrum was taken"),
        "pl_y": Field("number", "mm", "where the spectrum was taken"),
        "pl_wavelength": Field("array", "nm", "of each channel of the spectrum", shape=(channels,)),
        "pl_spectrum": Field("array", "counts", "of each channel", shape=(channels,)),
    }
    values = {
        "pl_axis": found.axis_mm,
        "pl_map": found.wavelength_nm,
        "pl_intensity": found.intensity,
        "pl_exposure": found.exposure_s,
        "pl_x": spectrum.x_mm,
        "pl_y": spectrum.y_mm,
        "pl_wavelength": spectrum.wavelength_nm,
        "pl_spectrum": spectrum.counts,
    }
    return fields, values


def diffraction(reactor: MOCVD, wafer: int, settings: GrowthSettings) -> MsgGenerator[Columns]:
    """A theta-2theta scan of a wafer, as columns of an event.

    Raises:
        SDLError: the machine's fault.
    """
    scan, other, wanted = reactor.diffractometer, reactor.mapper, settings.scan

    def once() -> MsgGenerator[Scan]:
        watch = watch_instrument(reactor, scan)
        yield from watch.wait("idle", scan.halt)
        if other.holder.position == wafer:
            yield from watch.move(other.holder, 0)
        yield from watch.move(scan.holder, wafer)
        yield from watch.move_together(
            *(scan.first, wanted.first_deg, scan.last_angle, wanted.last_deg),
            *(scan.step, wanted.step_deg, scan.time, wanted.time_s),
        )
        yield from watch.wait("scan", scan.scan)
        yield from watch.move(scan.holder, 0)
        if scan.last is None:
            raise DeviceError(f"{scan.name} ended without a result")
        return scan.last

    found = yield from tries(reactor, once, growth=False)
    points = found.counts.size
    fields = {
        "xrd_two_theta": Field("array", "deg", "as the goniometer shows it", shape=(points,)),
        "xrd_counts": Field("array", "counts", "of each point", shape=(points,)),
        "xrd_time": Field("number", "s", "per point"),
    }
    values = {"xrd_two_theta": found.two_theta_deg, "xrd_counts": found.counts, "xrd_time": found.time_s}
    return fields, values


def joined(*columns: tuple[Mapping[str, Field], Mapping[str, Any]]) -> Columns:
    """Columns of several measurements as those of one event."""
    fields: dict[str, Field] = {}
    values: dict[str, Any] = {}
    for more, found in columns:
        fields |= more
        values |= found
    return fields, values
