"""Results into the catalogue, once: what is there already from the same runs in the same way is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky import __version__
from sdl_bluesky.data.analysis import content_key, find_analyses, write_analysis
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from tiled.client.container import Container


@dataclass(frozen=True)
class Result:
    """Arrays by name, the names of their dimensions, and what else goes into the metadata (findings, ...)."""

    arrays: Mapping[str, Any]
    dims: Mapping[str, Sequence[str]]
    metadata: Mapping[str, Any]


def put(client: Container, kind: str, metadata: Mapping[str, Any], make: Callable[[], Result]) -> str:
    """Make a result and write it, unless it is there by the same software; returns its key.

    Args:
        client: root of the catalogue.
        kind: of the result.
        metadata: what identifies it, see `data.analysis.write_analysis`; known before it is made.
        make: makes it.

    Raises:
        CatalogueError: the result holds a number that is not finite; nothing is written.
    """
    plain = json.loads(json.dumps(metadata))
    for key, node in find_analyses(client, kind, content=content_key(kind, plain)).items():
        if node.metadata.get("software") == {"sdl_bluesky": __version__, **plain.get("software", {})}:
            return str(key)
    result = make()
    for name, array in result.arrays.items():
        values = np.asarray(array)
        if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            raise CatalogueError(f"{kind}: array {name!r} holds numbers that are not finite: nothing was written")
    return write_analysis(client, kind, result.arrays, result.dims, {**plain, **result.metadata})
