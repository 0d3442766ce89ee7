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
from typing import Any

BOOLEAN, INTEGER, NUMBER, STRING = "boolean", "integer", "number", "string"
_WIDER = {BOOLEAN: INTEGER, INTEGER: NUMBER, NUMBER: STRING}


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


_CAST: dict[str, Callable[[Any], Any]] = {BOOLEAN: _boolean, INTEGER: _integer, NUMBER: _number, STRING: _string}


class Columns:
    """The column types of one run; what was widened stays so when the run is written anew."""

    def __init__(self) -> None:
        self._widened: dict[tuple[str, str], str] = {}
        self._streams: dict[str, tuple[str, dict[str, str]]] = {}

    def descriptor(self, doc: Mapping[str, Any]) -> dict[str, Any]:
        """Take note of a descriptor; returns it with the types that its columns will really have."""
        doc, kinds = dict(doc), {}
        doc["data_keys"] = {key: dict(spec) for key, spec in doc["data_keys"].items()}
        for key, spec in doc["data_keys"].items():
            if spec["dtype"] not in _CAST or spec.get("external") is not None:
                continue
            kinds[key] = self._widened.get((doc["name"], key), spec["dtype"])
            if kinds[key] != spec["dtype"]:
                spec["dtype"] = kinds[key]
                spec.pop("dtype_numpy", None)
        self._streams[doc["uid"]] = (doc["name"], kinds)
        return doc

    def event(self, doc: Mapping[str, Any]) -> dict[str, Any]:
        """The event with every value in the type of its column.

        Raises:
            Misfit: a value does not fit; `widen` and begin the run again.
        """
        stream, kinds = self._streams[doc["descriptor"]]
        data = {}
        for key, value in doc["data"].items():
            kind = kinds.get(key)
            try:
                data[key] = _CAST[kind](value) if kind else value
            except TypeError:
                raise Misfit(stream, key, _WIDER[kind or NUMBER]) from None
        return {**doc, "data": data, "timestamps": {key: float(t) for key, t in doc["timestamps"].items()}}

    def widen(self, misfit: Misfit) -> None:
        """Remember the wider type."""
        self._widened[misfit.stream, misfit.key] = misfit.kind
