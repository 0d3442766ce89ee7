"""What type each column of a run has, so that Tiled's tables never meet a surprise.

A table takes its types from its first rows; a later row of another type is refused and the run is lost for Tiled. But
a motor at rest reports the integer 0 and later 0.5, and a reading can be missing. So every value is cast to the type
that the descriptor declares, where that loses nothing; where it does not fit, `Misfit` names the next wider type, and
the run is written anew with that one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

BOOLEAN, INTEGER, NUMBER, STRING = "boolean", "integer", "number", "string"
_WIDER = {BOOLEAN: INTEGER, INTEGER: NUMBER, NUMBER: STRING}
_NUMBERS = "array"  # an array of integers becomes one of float64


class Misfit(Exception):
    """A value does not fit into its column; the column must become `kind`."""

    def __init__(self, stream: str, key: str, kind: str) -> None:
        self.stream, self.key, self.kind = stream, key, kind
        super().__init__(f"column {key!r} of stream {stream!r} must become {kind!r}")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError


def _integer(value: Any) -> int:
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    raise TypeError


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53):
        return float(value)
    raise TypeError


def _string(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _integers(value: Any, dtype: str) -> Any:
    array = np.asarray(value)
    if array.dtype.kind in "iub" and bool((array == array.astype(dtype)).all()):
        return value
    raise TypeError


Cast = Callable[[Any], Any]
_CAST: dict[str, Cast] = {BOOLEAN: _boolean, INTEGER: _integer, NUMBER: _number, STRING: _string}


def _cast_for(spec: Mapping[str, Any]) -> tuple[Cast, str] | None:
    """The cast for a data key, and the type to take where it fails."""
    if spec["dtype"] in _CAST:
        return _CAST[spec["dtype"]], _WIDER.get(spec["dtype"], STRING)
    dtype = spec.get("dtype_numpy")
    if spec["dtype"] == _NUMBERS and isinstance(dtype, str) and np.dtype(dtype).kind in "iub":
        return partial(_integers, dtype=dtype), _NUMBERS
    return None


class Columns:
    """The column types of one run; what was widened stays so when the run is written anew."""

    def __init__(self) -> None:
        self._widened: dict[tuple[str, str], str] = {}
        self._streams: dict[str, tuple[str, dict[str, tuple[Cast, str]]]] = {}

    def descriptor(self, doc: Mapping[str, Any]) -> dict[str, Any]:
        """Take note of a descriptor; returns it with the types that its columns will really have."""
        doc, casts = dict(doc), {}
        doc["data_keys"] = {key: dict(spec) for key, spec in doc["data_keys"].items()}
        for key, spec in doc["data_keys"].items():
            if spec.get("external") is not None:
                continue
            wider = self._widened.get((doc["name"], key))
            if wider is not None:
                spec["dtype"] = wider
                spec.pop("dtype_numpy", None)
            if cast := _cast_for(spec):
                casts[key] = cast
        self._streams[doc["uid"]] = (doc["name"], casts)
        return doc

    def event(self, doc: Mapping[str, Any]) -> dict[str, Any]:
        """The event with every value in the type of its column.

        Raises:
            Misfit: a value does not fit; `widen` and begin the run again.
        """
        stream, casts = self._streams[doc["descriptor"]]
        data = dict(doc["data"])
        for key, (cast, wider) in casts.items():
            try:
                data[key] = cast(data[key])
            except TypeError:
                raise Misfit(stream, key, wider) from None
            except KeyError:  # not in this event
                continue
        return {**doc, "data": data, "timestamps": {key: float(t) for key, t in doc["timestamps"].items()}}

    def widen(self, misfit: Misfit) -> None:
        """Remember the wider type."""
        self._widened[misfit.stream, misfit.key] = misfit.kind
