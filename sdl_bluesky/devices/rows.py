"""Growing columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ophyd.signal import Signal

Dtype = Literal["number", "integer"]
FIRST_CAPACITY = 1024


@dataclass(frozen=True)
class Channel:
    """One signal that becomes one column."""

    key: str
    signal: Signal
    dtype: Dtype
    unit: str


class RowBuffer:
    """Rows of fixed columns (float64 or int64), a time for each, and a mark up to which they were taken.

    Not thread safe: the owner holds a lock.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._time = np.empty(FIRST_CAPACITY)
        self._columns = {
            key: np.empty(FIRST_CAPACITY, dtype=np.float64 if dtype == "number" else np.int64)
            for key, dtype in columns.items()
        }
        self._count = 0
        self._taken = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: Mapping[str, float | int], time_s: float) -> None:
        """Add a row; it must have every column."""
        if self._count == len(self._time):
            self._time = np.concatenate([self._time, np.empty_like(self._time)])
            self._columns = {k: np.concatenate([c, np.empty_like(c)]) for k, c in self._columns.items()}
        self._time[self._count] = time_s
        for key, column in self._columns.items():
            column[self._count] = row[key]
        self._count += 1

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of all columns [rows], and "timestamp" [rows]."""
        found = {key: column[: self._count].copy() for key, column in self._columns.items()}
        found["timestamp"] = self._time[: self._count].copy()
        return found

    def take(self) -> tuple[dict[str, list[Any]], list[float]]:
        """Columns and times of the rows since the last call, as plain lists."""
        new = slice(self._taken, self._count)
        self._taken = self._count
        return {key: column[new].tolist() for key, column in self._columns.items()}, self._time[new].tolist()
