"""What flowed while a layer grew: readings at every tick of the growth clock."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ophyd.utils.epics_pvs import AlarmSeverity

from sdl_bluesky.errors import AlarmError

from ..base import severity
from ..positioner import Positioner
from .growth import GrowthClock


@dataclass(frozen=True)
class LayerReadings:
    """Means over one growth.

    Attributes:
        mean, std: of each reading, by its name, in its unit; std is nan with fewer than two ticks.
        ticks: at how many ticks they were read.
    """

    mean: Mapping[str, float]
    std: Mapping[str, float]
    ticks: int


class LayerLog:
    """Notes readbacks while the growth clock runs.

    Args:
        growth: whose LAYER record ticks.
        readbacks: what is noted, by name.
    """

    def __init__(self, growth: GrowthClock, readbacks: Mapping[str, Positioner]) -> None:
        self._growth, self._readbacks = growth, dict(readbacks)
        self._rows: list[list[float]] = []
        self._invalid: set[str] = set()
        self._lock = threading.Lock()
        self._token: int | None = None

    def start(self) -> None:
        """Forget, and begin to note at the next tick."""
        self.stop()
        with self._lock:
            self._rows, self._invalid = [], set()
        self._token = self._growth.layer.subscribe(self._tick, run=False)

    def stop(self) -> None:
        """End noting. Harmless when it has ended."""
        if self._token is not None:
            self._growth.layer.unsubscribe(self._token)
            self._token = None

    def _tick(self, value: Any = None, **_: Any) -> None:
        if value is not None and float(value) > 0.0:
            self._note()

    def _note(self) -> None:
        row = {name: float(one.position) for name, one in self._readbacks.items()}
        wrong = {
            name
            for name, one in self._readbacks.items()
            if not math.isfinite(row[name]) or severity(one.readback) >= AlarmSeverity.INVALID
        }
        with self._lock:
            self._rows.append(list(row.values()))
            self._invalid |= wrong

    def readings(self) -> LayerReadings:
        """Means and standard deviations; of what is read now if the growth was shorter than a tick.

        Raises:
            AlarmError: a reading was in INVALID alarm, or none, in mid-growth.
        """
        if not self._rows:
            self._note()
        with self._lock:
            rows, invalid = np.array(self._rows), sorted(self._invalid)
        if invalid:
            raise AlarmError(f"no valid reading of {', '.join(invalid)} while the layer grew: look at the instrument")
        std = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.full(rows.shape[1], math.nan)
        names = list(self._readbacks)
        return LayerReadings(
            dict(zip(names, map(float, rows.mean(axis=0)), strict=True)),
            dict(zip(names, map(float, std), strict=True)),
            len(rows),
        )
