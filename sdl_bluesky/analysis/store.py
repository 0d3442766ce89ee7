"""Results into the catalogue, once: what is there already from the same runs in the same way is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky import __version__
from sdl_bluesky.data.analysis import content_key, keep_newest, write_analysis
from sdl_bluesky.data.catalogue import analysis
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

    Killed at any moment and called again, or called by several programs at once, it leaves one complete result: what was
    left half written is removed, and a result that another program has made meanwhile is taken.

    Args:
        client: root of the catalogue.
        kind: of the result.
        metadata: what identifies it, see `data.analysis.write_analysis`; known before it is made.
        make: makes it.

    Raises:
        CatalogueError: the result holds a number that is not finite; nothing is written.
    """
    plain = json.loads(json.dumps(metadata))
    if (known := _there(client, kind, plain)) is not None:
        return known
    result = make()
    for name, array in result.arrays.items():
        values = np.asarray(array)
        if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            raise CatalogueError(f"{kind}: array {name!r} holds numbers that are not finite: nothing was written")
    if (known := _there(client, kind, plain)) is not None:
        return known
    return write_analysis(client, kind, result.arrays, result.dims, {**plain, **result.metadata})


def _there(client: Container, kind: str, metadata: Mapping[str, Any]) -> str | None:
    """Key of the same result by the same software, if there is one. If it is the newest, what else there is goes."""
    from tiled.queries import Eq

    content = content_key(kind, metadata)
    software = {"sdl_bluesky": __version__, **metadata.get("software", {})}
    found: Any = analysis(client).search(Eq("content", content)).sort(("time", 1))
    nodes = {str(key): node.metadata for key, node in found.items()}
    complete = [key for key, about in nodes.items() if about.get("complete")]
    same = [key for key in complete if nodes[key].get("software") == software]
    if not same:
        return None
    if len(nodes) > 1 and same[-1] == complete[-1]:  # a program was killed before it tidied up, or two wrote at once
        return keep_newest(client, content) or same[-1]
    return same[-1]
