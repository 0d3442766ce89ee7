"""Columns of documents as arrays that give every value back exactly.

A value of a document is what JSON knows: a number, a text, a boolean, a list, null. Most columns hold one type and become an
array of it. Where a column is mixed (the integer 0 of a motor at rest, then 0.5; a reading that is missing), the array is
for the eye, and the values stand beside it as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class Absent:
    """Stands for a key that an event does not have."""


ABSENT = Absent()
_NUL = "\0"
_LARGEST = 2**63


@dataclass(frozen=True)
class Column:
    """A column in the form of a file.

    Attributes:
        array: what a viewer shows: numbers, booleans, or texts (dtype object).
        exact: each value as JSON, an empty text where there is none; None if `array` says everything.
    """

    array: np.ndarray
    exact: tuple[str, ...] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the array holds texts."""
        return self.array.dtype == object


def column_of(values: Sequence[Any]) -> Column:
    """The column of these values."""
    array = _array_of(values)
    if array is not None and _texts(array.tolist()) == _texts(values):
        return Column(array)
    exact = tuple("" if value is ABSENT else json.dumps(value) for value in values)
    if array is None:
        array = np.array(exact, dtype=object)
    return Column(array, exact)


def values_of(column: Column) -> list[Any]:
    """The values that a column was made of.

    Raises:
        ValueError: the column holds a text that is not JSON.
    """
    if column.exact is None:
        return column.array.tolist()
    return [ABSENT if text == "" else json.loads(text) for text in column.exact]


def _texts(values: Any) -> str:
    return json.dumps(values, default=repr)  # tells 1 from 1.0 and from true, and NaN is equal to itself


def _array_of(values: Sequence[Any]) -> np.ndarray | None:
    """The nearest array of one type; None where there is none."""
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return np.array(values, dtype=object) if all(map(_is_plain, values)) else None
    if kinds == {bool}:
        return np.array(values, dtype=bool)
    if kinds == {int} and all(-_LARGEST <= value < _LARGEST for value in values):
        return np.array(values, dtype=np.int64)
    if kinds & {int, float} and kinds <= {int, float, bool, type(None), Absent}:
        return np.array([_number(value) for value in values], dtype=np.float64)
    if kinds == {list}:
        return _stack(values)
    return None


def _is_plain(text: str) -> bool:
    """Whether HDF5 keeps a text as it is: no NUL, no half of a surrogate pair."""
    if _NUL in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _stack(values: Sequence[Any]) -> np.ndarray | None:
    try:
        array = np.array(values)
    except (ValueError, OverflowError):  # lists of different lengths
        return None
    return array if array.dtype.kind in "bif" else None
