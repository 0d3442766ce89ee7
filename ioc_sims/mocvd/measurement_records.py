"""Records of the PL mapper and the diffractometer."""

from __future__ import annotations

import numpy as np

from ioc_sims.common.instrument import within
from ioc_sims.common.records import Records, Request
from ioc_sims.mocvd import photoluminescence as pl
from ioc_sims.mocvd import settings as limits
from ioc_sims.mocvd.reactor import Reactor
from ioc_sims.mocvd.settings import MAX_POINTS

_STATES = ("Idle", "Busy", "Done", "Stopped")
_SCAN = {
    "FIRST": ("first_deg", "deg", 4, limits.ANGLES_DEG),
    "LAST": ("last_deg", "deg", 4, limits.ANGLES_DEG),
    "STEP": ("step_deg", "deg", 4, limits.STEPS_DEG),
    "TIME": ("time_s", "s", 3, limits.STEP_TIMES_S),
}


def within_limits(span: tuple[float, float]) -> Request:
    """A check that a value is finite and within limits."""
    return lambda value: within(value, *span)


def measurement_records(records: Records, reactor: Reactor) -> None:
    """All records of both instruments, bound to them."""
    _stage(records, reactor, "PL")
    _mapper(records, reactor)
    _end(records, reactor, "PL")
    _stage(records, reactor, "XRD")
    _diffractometer(records, reactor)
    _end(records, reactor, "XRD")


def _stage(records: Records, reactor: Reactor, which: str) -> None:
    wafer = (reactor.plant.mapper if which == "PL" else reactor.plant.diffractometer).wafer
    records.number_setpoint(
        f"{which}:WAFER:SP",
        wafer.number if wafer else 0,
        lambda value: reactor.accepts_place(which, value),
        lambda value: reactor.place(which, value),
    )
    records.integer(f"{which}:WAFER")


def _end(records: Records, reactor: Reactor, which: str) -> None:
    records.command(f"{which}:STOP", "Stop", lambda: True, lambda: reactor.stop(which))
    records.integer(f"{which}:NUMBER")
    records.choice(f"{which}:STATE", *_STATES)


def _mapper(records: Records, reactor: Reactor) -> None:
    mapper = reactor.plant.mapper
    records.analog_setpoint(
        "PL:EXPOSURE:SP",
        "s",
        3,
        limits.EXPOSURES_S,
        mapper.exposure_s,
        reactor.accepts_exposure,
        reactor.set_exposure,
    )
    records.analog("PL:EXPOSURE", "s", 3)
    for axis in ("X", "Y"):
        records.analog_setpoint(
            f"PL:{axis}:SP",
            "mm",
            2,
            limits.PLACES_MM,
            mapper.place_mm[axis],
            reactor.accepts_mm,
            _place(reactor, axis),
        )
        records.analog(f"PL:{axis}", "mm", 2)
    records.command("PL:MAP:START", "Start", reactor.accepts_light, lambda: reactor.start_light(True))
    records.command("PL:SPECTRUM:START", "Start", reactor.accepts_light, lambda: reactor.start_light(False))
    records.waveform("PL:AXIS", len(pl.AXIS_MM), "mm", np.float64)
    records.waveform("PL:MAP", mapper.map_nm.size, "nm", np.float64)
    records.waveform("PL:INTENSITY", mapper.map_nm.size, "counts", np.float64)
    records.waveform("PL:WAVELENGTH", len(pl.WAVELENGTH_NM), "nm", np.float64)
    records.waveform("PL:SPECTRUM", len(pl.WAVELENGTH_NM), "counts")


def _diffractometer(records: Records, reactor: Reactor) -> None:
    for name, (what, unit, precision, span) in _SCAN.items():
        initial = float(getattr(reactor.plant.diffractometer, what))
        records.analog_setpoint(f"XRD:{name}:SP", unit, precision, span, initial, *_scan(reactor, what))
        records.analog(f"XRD:{name}", unit, precision)
    records.command("XRD:SCAN:START", "Start", reactor.accepts_start_scan, reactor.start_scan)
    records.analog("XRD:ANGLE", "deg", 4)
    records.waveform("XRD:TWOTHETA", MAX_POINTS, "deg", np.float64)
    records.waveform("XRD:COUNTS", MAX_POINTS, "counts")
    records.integer("XRD:POINTS")


def _place(reactor: Reactor, axis: str) -> Request:
    return lambda value: reactor.set_place(axis, value)


def _scan(reactor: Reactor, what: str) -> tuple[Request, Request]:
    return lambda value: reactor.accepts_scan(what, value), lambda value: reactor.set_scan(what, value)
