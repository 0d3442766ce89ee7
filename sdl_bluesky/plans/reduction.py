"""From the rows of a stream to rates: the same function for the plan that measures and for whoever looks again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import PlasmaError
from sdl_bluesky.physics.qcm import RateFit, fit_rate

Rows = Mapping[str, NDArray[np.float64]]
LEAST_ROWS = 6


@dataclass(frozen=True)
class Window:
    """Which process times [s] belong to what: zero rate with closed shutters, and the measurement."""

    zero_from_s: float
    zero_to_s: float
    from_s: float
    to_s: float = float("inf")

    def zero(self, rows: Rows) -> NDArray[np.bool_]:
        """Rows of the zero rate."""
        t = rows["clock_time"]
        return (t >= self.zero_from_s) & (t <= self.zero_to_s)

    def open(self, rows: Rows) -> NDArray[np.bool_]:
        """Rows of the measurement."""
        t = rows["clock_time"]
        return (t >= self.from_s) & (t <= self.to_s)


def rate(rows: Rows, sensor: str, f0_Hz: float, window: Window) -> RateFit:
    """Deposition rate at one sensor, its zero rate taken off.

    Args:
        rows: columns of the stream "qcm".
        sensor: name of the QCM.
        f0_Hz: frequency of its bare crystal.
        window: which rows to use.

    Raises:
        Unidentifiable: too few rows. OutOfRange: numbers that are not finite.
    """
    time, frequency = rows["clock_time"], rows[f"{sensor}_frequency"]
    closed, opened = window.zero(rows), window.open(rows)
    zero = fit_rate(time[closed], frequency[closed], f0_Hz)
    return fit_rate(time[opened], frequency[opened], f0_Hz, zero=zero)


def check_plasma(rows: Rows, sources: Mapping[str, float], opened: NDArray[np.bool_]) -> None:
    """Refuse a measurement in which a plasma was out.

    Args:
        rows: columns of the stream.
        sources: names of the sources that must burn, with their powers [W].
        opened: which rows count.

    Raises:
        PlasmaError: names source, pressure and power.
    """
    for source, power in sources.items():
        out = opened & (rows[f"{source}_plasma"] < 0.5)
        if np.any(out):
            pressure = float(np.nanmean(rows["gauge_pressure"][opened]))
            raise PlasmaError(f"the plasma of {source} went out at {power:g} W and {pressure:.2f} mTorr")
