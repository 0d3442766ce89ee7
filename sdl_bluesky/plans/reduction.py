"""When a measurement is good enough, and what it found. The reduction itself is `sdl_bluesky.analysis.rates`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.rates import TIME, Window, reduce_run
from sdl_bluesky.errors import DeviceError
from sdl_bluesky.physics.qcm import LEAST_FREQUENCIES
from sdl_bluesky.plans.conditions import went_out
from sdl_bluesky.plans.record import Field
from sdl_bluesky.plans.settings import SputterSettings

Rows = Mapping[str, NDArray[Any]]
RATE_UNIT = "ng cm^-2 s^-1"
LEAST_ROWS = 6
"""Of a rate that may be good enough."""


def opened(rows: Rows, window: Window) -> NDArray[np.bool_]:
    """Rows of the measurement [n]."""
    return (rows[TIME] >= window.measured[0]) & (rows[TIME] <= window.measured[1])


def check_plasma(rows: Rows, powers: Mapping[str, float], use: NDArray[np.bool_]) -> None:
    """Refuse a measurement in which a plasma was out.

    Args:
        rows: columns of the stream.
        powers: power [W] of each source that must burn.
        use: which rows count [n].

    Raises:
        PlasmaError: names source, pressures before and after, and power.
    """
    pressure = np.asarray(rows["gauge_pressure"], dtype=float)
    for source, power in powers.items():
        dark = np.asarray(rows[f"{source}_plasma"]) < 0.5
        if np.any(dark & use):
            first = int(np.argmax(dark))
            before, after = pressure[:first], pressure[first:]
            before, after = before[np.isfinite(before)], after[np.isfinite(after)]
            raise went_out(
                source, power, float(before[-1]) if before.size else None, float(after[0]) if after.size else np.nan
            )


def is_stuck(frequency_Hz: NDArray[Any]) -> bool:
    """Whether a sensor gave one and the same frequency [n] all the time, or none at all: it follows no more."""
    f = np.asarray(frequency_Hz, dtype=float)
    f = f[np.isfinite(f)]
    return f.size == 0 or (f.size > 1 and float(np.ptp(f)) == 0.0)


def good_enough(
    windows: list[Window], powers: Mapping[str, float], sensor: str, f0_Hz: float, settings: SputterSettings
) -> Callable[[Rows], bool]:
    """Judge of a running measurement: precision reached, or time up. False as long as `windows` is empty.

    Raises (when called):
        PlasmaError: a plasma went out.
    """

    def reached(rows: Rows) -> bool:
        if not windows:
            return False
        [window] = windows
        use = opened(rows, window)
        if not use.any():
            return False
        check_plasma(rows, powers, use)
        if int(use.sum()) < LEAST_ROWS:  # also if the time is up: an instrument that stood still told nothing meanwhile
            return False
        waited = float(rows[TIME][-1]) - window.measured[0]
        if waited >= settings.longest_s:
            return True
        if waited < settings.shortest_s:
            return False
        fit = reduce_run(rows, window, {sensor: f0_Hz}).fits.get(sensor)
        return fit is not None and fit.relative_std <= settings.precision

    return reached


def result(
    rows: Rows,
    window: Window,
    f0_Hz: Mapping[str, float],
    powers: Mapping[str, float],
    life: Mapping[str, float] | None = None,
) -> tuple[dict[str, Field], dict[str, Any]]:
    """Columns and values of a primary event: rates, mean readbacks, and which times they come from.

    Args:
        rows: columns of the stream.
        window: what belongs to zero rate and measurement.
        f0_Hz: frequency of each bare crystal, by sensor.
        powers: power of each source that took part [W].
        life: what is left of each crystal [%], by sensor, where it is known.

    Raises:
        DeviceError: too few rows. PlasmaError: a plasma went out.
    """
    use = opened(rows, window)
    if int(use.sum()) < LEAST_FREQUENCIES:
        lasted = window.measured[1] - window.measured[0]
        raise DeviceError(
            f"only {int(use.sum())} rows came in {lasted:g} s: is the IOC too slow, or the time too short?"
        )
    check_plasma(rows, powers, use)
    fields: dict[str, Field] = {}
    values: dict[str, Any] = {}

    def add(key: str, value: Any, field: Field) -> None:
        fields[key], values[key] = field, value

    rates, stds = reduce_run(rows, window, f0_Hz).arrays(list(f0_Hz))
    for name, rate, std in zip(f0_Hz, rates, stds, strict=True):
        add(
            f"{name}_rate", rate, Field("number", RATE_UNIT, "slope of the frequency, zero rate taken off", hinted=True)
        )
        add(f"{name}_rate_std", std, Field("number", RATE_UNIT, "standard error"))
        stuck = is_stuck(rows[f"{name}_frequency"][use])
        add(f"{name}_saturated", int(stuck), Field("integer", None, "1: the frequency did not follow the rate"))
        if life is not None and name in life:
            add(f"{name}_life", life[name], Field("number", "%", "life left of the crystal"))
    for name in powers:
        add(f"{name}_power", rows[f"{name}_power"][use].mean(), Field("number", "W", "mean readback", hinted=True))
        add(f"{name}_plasma", int(rows[f"{name}_plasma"][use].min()), Field("integer", None, "1: burnt throughout"))
    add(
        "gauge_pressure",
        np.nanmean(rows["gauge_pressure"][use]),
        Field("number", "mTorr", "mean readback", hinted=True),
    )
    add("samples", int(use.sum()), Field("integer"))
    add("duration_s", rows[TIME][use][-1] - rows[TIME][use][0], Field("number", "s"))
    zero = window.zero or (float("nan"), float("nan"))
    times = {"zero_from_s": zero[0], "zero_to_s": zero[1]}
    times |= {"window_from_s": window.measured[0], "window_to_s": window.measured[1]}
    for key, value in times.items():
        add(key, value, Field("number", "s", "process time"))
    return fields, values
