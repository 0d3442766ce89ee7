"""Results and decisions as something that a plan can read into a document."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky.protocols import Reading
from event_model import DataKey, Dtype


@dataclass(frozen=True)
class Field:
    """One column of a record: its type, its unit, where the number comes from, whether a live table shows it.

    A column of dtype "array" holds float64 numbers in a constant shape.
    """

    dtype: Dtype
    units: str | None = None
    source: str = "sdl_bluesky"
    hinted: bool = False
    shape: tuple[int, ...] = ()


class Record:
    """A readable object that holds the values of one event. A stream needs one and the same object for all its events.

    Args:
        name: of the object, the group of its columns.
        fields: the columns; the same in every event of a stream.
        values: the first values; see `put`.
    """

    parent = None

    def __init__(self, name: str, fields: Mapping[str, Field], values: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._fields = dict(fields)
        self._values: dict[str, Any] = {}
        self._time = 0.0
        if values is not None:
            self.put(values)

    def put(self, values: Mapping[str, Any]) -> None:
        """Take the values of the next event: one a column, of the column's type.

        Raises:
            ValueError: columns and values do not match, or an array has another shape.
        """
        if set(self._fields) != set(values):
            raise ValueError(
                f"record {self.name!r}: columns and values differ in {sorted(set(self._fields) ^ set(values))}"
            )
        self._values = {key: _plain(values[key], field) for key, field in self._fields.items()}
        self._time = time.time()

    def read(self) -> dict[str, Reading[Any]]:
        """The values with the time at which they were put."""
        return {key: Reading(value=value, timestamp=self._time) for key, value in self._values.items()}

    def describe(self) -> dict[str, DataKey]:
        """Type, unit and source of each column."""
        keys: dict[str, DataKey] = {}
        for key, field in self._fields.items():
            keys[key] = DataKey(source=field.source, dtype=field.dtype, shape=list(field.shape))
            if field.dtype == "array":
                keys[key]["dtype_numpy"] = "<f8"
            if field.units is not None:
                keys[key]["units"] = field.units
        return keys

    def read_configuration(self) -> dict[str, Reading[Any]]:
        """Nothing: a record has no settings."""
        return {}

    def describe_configuration(self) -> dict[str, DataKey]:
        """Nothing: a record has no settings."""
        return {}

    @property
    def hints(self) -> dict[str, list[str]]:
        """The columns worth a place in a live table."""
        return {"fields": [key for key, field in self._fields.items() if field.hinted]}


def _plain(value: Any, field: Field) -> Any:
    if field.dtype == "array":
        array = np.array(value, dtype="<f8")
        if array.shape != field.shape:
            raise ValueError(f"an array of shape {array.shape} does not fit a column of shape {field.shape}")
        return array
    if field.dtype == "number":
        return float(value)
    if field.dtype == "integer":
        return int(value)
    if field.dtype == "boolean":
        return bool(value)
    return str(value)
