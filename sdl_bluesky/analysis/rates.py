"""Rates of a run, reduced again from its raw rows, and the strength and exponent that they give.

The reduction is that of the plan (`physics.qcm.fit_rate`), so that a run made long ago, or with other settings of the
reduction, can be brought to today's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.maps.pattern import Prior
from sdl_bluesky.errors import CatalogueError, OutOfRange, Unidentifiable, WeakSignal
from sdl_bluesky.physics.flux import LEAST_SIGNAL_TO_NOISE, FluxFit, fit_flux
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.qcm import RateFit, fit_rate

TIME = "clock_time"
TRANSIENT_S = 40.0
"""Time for which crystals are not believed after a shutter moved, where the run does not say it."""
_LEAST_ZERO_ROWS = 3
_OPEN = ("Open", "open", "1", "True", "true")


@dataclass(frozen=True)
class Window:
    """Which process times [s] belong to what: the zero rate with closed shutters, and the measurement.

    Attributes:
        zero: from, to; None if no zero rate is taken off.
        measured: from, to.
    """

    zero: tuple[float, float] | None
    measured: tuple[float, float]

    @classmethod
    def of(cls, result: Mapping[str, Any], rows: Mapping[str, ArrayLike], sources: Sequence[str]) -> Window:
        """The window that the run's primary event names; without one, that of `shutter_window`."""
        keys = ("zero_from_s", "zero_to_s", "window_from_s", "window_to_s")
        if not all(k in result for k in keys):
            return shutter_window(rows, sources)
        zero_from, zero_to, begin, end = (float(result[k]) for k in keys)
        return cls((zero_from, zero_to), (begin, end))


@dataclass(frozen=True)
class RunRates:
    """Rates of one run.

    Attributes:
        fits: by sensor; a sensor that could not be reduced is missing.
        findings: why it is missing, and what else a person should look at.
    """

    fits: Mapping[str, RateFit]
    findings: tuple[str, ...] = ()

    def arrays(self, sensors: Sequence[str]) -> tuple[Array, Array]:
        """Rates and standard errors [q] in the order of `sensors`; nan for a missing one."""
        missing = (float("nan"), float("nan"))
        pairs = [(self.fits[k].rate, self.fits[k].std) if k in self.fits else missing for k in sensors]
        return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def is_open(values: ArrayLike) -> NDArray[np.bool_]:
    """True [n] where a shutter column (0/1, or "Closed"/"Open") says open."""
    v = np.asarray(values)
    if v.dtype.kind in "OUS":
        return np.asarray(np.isin(v.astype(str), _OPEN), dtype=bool)
    return np.asarray(v > 0.5, dtype=bool)


def shutter_window(rows: Mapping[str, ArrayLike], sources: Sequence[str], transient_s: float = TRANSIENT_S) -> Window:
    """Longest stretch in which the shutters of all `sources` are open, less the transient; before it the zero rate.

    Args:
        rows: columns [n] of the stream "qcm": clock_time [s], {source}_shutter.
        sources: names of the sources that were measured.
        transient_s: left out after the shutters opened.

    Raises:
        CatalogueError: a column is missing.
        Unidentifiable: the shutters were never open together.
    """
    _need(rows, [TIME, *(f"{k}_shutter" for k in sources)])
    time = np.asarray(rows[TIME], dtype=float)
    shutters = np.stack([is_open(rows[f"{k}_shutter"]) for k in sources])
    first, last = _longest(np.all(shutters, axis=0))
    closed = np.flatnonzero(~shutters[:, :first].any(axis=0))
    zero = (float(time[closed[0]]), float(time[closed[-1]])) if closed.size >= _LEAST_ZERO_ROWS else None
    return Window(zero, (float(time[first]) + transient_s, float(time[last - 1])))


def reduce_run(rows: Mapping[str, ArrayLike], window: Window, f0_Hz: Mapping[str, float]) -> RunRates:
    """Rates of the sensors in a window of the raw rows, zero rates taken off.

    Args:
        rows: columns [n] of the stream "qcm": clock_time [s], {sensor}_frequency [Hz].
        window: which rows to use.
        f0_Hz: frequency of each bare crystal, by sensor.

    Raises:
        CatalogueError: a column is missing.
    """
    _need(rows, [TIME, *(f"{k}_frequency" for k in f0_Hz)])
    time = np.asarray(rows[TIME], dtype=float)
    measured = (time >= window.measured[0]) & (time <= window.measured[1])
    dark = (time >= window.zero[0]) & (time <= window.zero[1]) if window.zero else np.zeros(time.shape, dtype=bool)
    fits: dict[str, RateFit] = {}
    findings: list[str] = []
    for sensor, f0 in f0_Hz.items():
        frequency = np.asarray(rows[f"{sensor}_frequency"], dtype=float)
        fine = np.isfinite(time) & np.isfinite(frequency)
        lost = int((measured & ~fine).sum())
        if lost:
            findings.append(f"{sensor}: {lost} of {int(measured.sum())} rows hold no number and were left out")
        zero_rows, use = dark & fine, measured & fine
        try:
            zero = fit_rate(time[zero_rows], frequency[zero_rows], f0) if window.zero else None
            fit = fit_rate(time[use], frequency[use], f0, zero=zero)
        except (OutOfRange, Unidentifiable) as fault:
            findings.append(f"{sensor}: no rate ({fault})")
            continue
        fits[sensor] = fit
        if fit.rate < LEAST_SIGNAL_TO_NOISE * fit.std:
            what = "negative rate" if fit.rate < 0 else f"signal-to-noise under {LEAST_SIGNAL_TO_NOISE:g}"
            findings.append(f"{sensor}: {what}, {fit.rate:.3g} +- {fit.std:.2g} ng cm^-2 s^-1")
    return RunRates(fits, tuple(findings))


def _need(rows: Mapping[str, ArrayLike], columns: Sequence[str]) -> None:
    missing = [k for k in columns if k not in rows]
    if missing:
        raise CatalogueError(
            f"the raw rows have no column {', '.join(missing)}: this is not a run of rate measurements"
        )


def _longest(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Begin and end of the longest stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    if not edges.size:
        raise Unidentifiable("the shutters were never open together: there is nothing to reduce")
    begin, end = edges[::2], edges[1::2]
    k = int(np.argmax(end - begin))
    return int(begin[k]), int(end[k])


def run_flux(
    rates: ArrayLike, std: ArrayLike, chamber: Chamber, source: str, prior: Prior | None = None
) -> tuple[FluxFit | None, tuple[str, ...]]:
    """Strength and exponent of one source from the rates of one run; None with a finding where they mean nothing.

    Tooling errors are part of the errors. Weak sensors are left out. Where the sensors left cannot tell n, the prior of
    `pattern.Prior` does, with a finding.

    Args:
        rates: [q] in the chamber's order of sensors, ng cm^-2 s^-1; nan for a missing one.
        std: standard errors [q].
        chamber: of the run.
        source: its name.
        prior: what is assumed of sources.

    Raises:
        UnknownName: the chamber has no such source.
    """
    y, e = np.asarray(rates, dtype=float), np.asarray(std, dtype=float)
    geometry, names = chamber.source(source), list(chamber.sensors)
    with np.errstate(invalid="ignore"):
        good = np.flatnonzero(np.isfinite(y) & np.isfinite(e) & (e > 0) & (y >= LEAST_SIGNAL_TO_NOISE * e))
    findings = [f"{names[k]}: left out of the flux fit" for k in range(y.size) if k not in good]
    if not good.size:
        return None, (*findings, "no sensor has a usable rate: strength and n are not fitted")
    sensors = [chamber.sensor_list()[k] for k in good]
    errors = np.hypot(e[good], chamber.tooling_std * y[good])
    try:
        fit = fit_flux(y[good], errors, geometry, sensors)
    except Unidentifiable:
        n, n_std = (prior or Prior()).n
        findings.append(f"n = {n:g} +- {n_std:g} is assumed: the sensors left cannot tell it")
        fit = fit_flux(y[good], errors, geometry, sensors, prior=([0.0, n], np.diag([1e6, n_std**2])))
    except (WeakSignal, OutOfRange) as fault:
        return None, (*findings, f"strength and n are not fitted: {fault}")
    return fit, (*findings, *fit.findings)
