"""Documents as lines of text that give them back exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def _plain(value: Any) -> Any:
    """Anything as plain Python values: numbers, strings, lists and dicts with string keys."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(v) for v in value), key=repr)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def encode(name: str, doc: Mapping[str, Any]) -> bytes:
    """One line of the log. Floats come back bit for bit, NaN and infinities too; arrays become lists.

    What JSON does not know (a path, a time, an object in the metadata) is kept as its text.
    """

    # event_model.NumpyEncoder does the same, but imports dask when it meets its first array: a stall of a second.
    def default(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else _plain(value)

    try:
        text = json.dumps([name, doc], default=default)
    except (TypeError, ValueError):  # a key that is no string, for example
        text = json.dumps([name, _plain(doc)])
    return text.encode() + b"\n"
