"""Derived arrays in the catalogue, beside the runs they come from.

One result is a container of `analysis` with named arrays, each with named dimensions; the axes are arrays too (`x` with
the dimension x). What it is and what it was made from stands in its metadata.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sdl_bluesky import __version__
from sdl_bluesky.data.catalogue import analysis
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    import xarray as xr
    from tiled.client.container import Container

log = logging.getLogger(__name__)

SCHEMA = 1
REQUIRED = ("units", "derived_from", "method")
ABANDONED_S = 600.0
"""A result that is not complete after so long never will be."""


@dataclass(frozen=True)
class Analysis:
    """A derived result that was read back.

    Attributes:
        key: its name in the container `analysis`.
        metadata: what it is, from which runs, by which method.
        arrays: the arrays by name, axes included.
        dims: the names of the dimensions of each array.
    """

    key: str
    metadata: dict[str, Any]
    arrays: dict[str, np.ndarray]
    dims: dict[str, tuple[str, ...]]

    def to_xarray(self) -> xr.Dataset:
        """As an xarray Dataset; an array named as its only dimension becomes a coordinate."""
        import xarray as xr

        variables = {name: (self.dims[name], array) for name, array in self.arrays.items()}
        axes = {name: v for name, v in variables.items() if v[0] == (name,)}
        return xr.Dataset({k: v for k, v in variables.items() if k not in axes}, axes, attrs=self.metadata)


def content_key(kind: str, metadata: Mapping[str, Any]) -> str:
    """What makes two results the same one: kind, runs, method and parameters (not version, time or who asked)."""
    content = [kind, sorted(metadata["derived_from"]), metadata["method"], metadata.get("parameters", {})]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def write_analysis(
    client: Container,
    kind: str,
    arrays: Mapping[str, Any],
    dims: Mapping[str, Sequence[str]],
    metadata: Mapping[str, Any],
) -> str:
    """Write a derived result; returns its key in `analysis`.

    The same result again (see `content_key`) takes the place of the one before. Readers see the old one until the new
    one is complete; one that is not complete is never seen, and goes with the next that is. Of several that are written
    at once the newest remains.

    Args:
        client: root of the catalogue.
        kind: "composition", "rate_surface", ...
        arrays: arrays by name; axes too, as arrays of one dimension with the dimension's name (texts are allowed).
        dims: names of the dimensions of each array.
        metadata: must have `units` (by array), `derived_from` (uids) and `method`; should have `parameters`. Schema,
            software version and time are added.

    Raises:
        CatalogueError: metadata are missing, or an array and its dimensions do not agree.
    """
    from tiled.client.utils import ClientError

    values = {name: np.asarray(array) for name, array in arrays.items()}
    _check(kind, values, dims, metadata)
    content = content_key(kind, metadata)
    results = analysis(client)
    software = {"sdl_bluesky": __version__, **cast("Mapping[str, str]", metadata.get("software", {}))}
    full = {"time": time.time(), **metadata, "kind": kind, "schema": SCHEMA, "software": software, "content": content}
    key = f"{uuid.uuid4()}-{kind}"
    node = results.create_container(key, metadata={**full, "complete": False})
    try:
        for name, array in values.items():
            node.write_array(array, key=name, dims=tuple(dims[name]))
        node.update_metadata({"complete": True}, drop_revision=True)
    except ClientError as error:
        other = keep_newest(client, content) if error.response.status_code == HTTPStatus.NOT_FOUND else None
        if other is None:
            raise
        log.info("analysis %s was written by another program meanwhile: %s", key, other)
        return other
    return keep_newest(client, content) or key


def keep_newest(client: Container, content: str) -> str | None:
    """Of complete results of one content keep the newest, and remove what is older than it.

    One that is newer and not complete may be at work elsewhere: it is left alone until it is `ABANDONED_S` old. So
    whatever several programs see of each other, the newest that is complete is removed by none.

    Args:
        client: root of the catalogue.
        content: from `content_key`.

    Returns:
        Key of the one that is kept; None if none is complete, and nothing was removed.
    """
    from tiled.queries import Eq

    results = analysis(client)
    found: Any = results.search(Eq("content", content))
    nodes: dict[str, Any] = {str(key): dict(node.metadata) for key, node in found.items()}
    kept = _newest(nodes)
    if kept is None:
        return None
    for key, about in nodes.items():
        older = _age(key, about) < _age(kept, nodes[kept])
        abandoned = not about.get("complete") and time.time() - float(about["time"]) > ABANDONED_S
        if key != kept and (older or abandoned):
            _remove(results, key)
            log.info("analysis %s is removed: %s takes its place", key, kept)
    return kept


def _age(key: str, about: Mapping[str, Any]) -> tuple[float, str]:
    """By which results are in order; a clock may tell the same time twice, and every program must choose the same one."""
    return float(about["time"]), key


def _newest(nodes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Of those that are complete."""
    complete = (key for key, about in nodes.items() if about.get("complete"))
    return max(complete, key=lambda key: _age(key, nodes[key]), default=None)


def _remove(results: Container, key: str) -> None:
    """Delete a result; nothing if another program was faster."""
    from tiled.client.utils import ClientError

    try:
        results.delete_contents(key, recursive=True, external_only=False)
    except ClientError as error:
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise


def _check(
    kind: str, arrays: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], metadata: Mapping[str, Any]
) -> None:
    missing = [key for key in REQUIRED if key not in metadata]
    if missing:
        raise CatalogueError(f"analysis {kind!r}: the metadata lack {', '.join(missing)}")
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        if name not in dims or len(dims[name]) != array.ndim or 0 in array.shape:
            raise CatalogueError(
                f"analysis {kind!r}: array {name!r} of shape {array.shape} has the dimensions {dims.get(name)}; "
                "every array needs a name for each dimension, and none may be empty"
            )
        for dim, size in zip(dims[name], array.shape):
            if sizes.setdefault(dim, size) != size:
                raise CatalogueError(f"analysis {kind!r}: dimension {dim!r} is {sizes[dim]} and {size} long")


def find_analyses(client: Container, kind: str, **filters: str | float | bool) -> Container:
    """Complete results of a kind, oldest first, as a Tiled container.

    Args:
        client: root of the catalogue.
        kind: kind of the results.
        **filters: keys of the metadata with the value wanted; `derived_from=uid` finds what was made from that run.
    """
    from tiled.queries import Contains, Eq

    found: Any = analysis(client).search(Eq("kind", kind)).search(Eq("complete", True))
    for key, value in filters.items():
        found = found.search(Contains(key, f'"{value}"') if key == "derived_from" else Eq(key, value))
    return cast("Container", found.sort(("time", 1)))


def latest_analysis(client: Container, kind: str, **filters: str | float | bool) -> Analysis:
    """The newest result of a kind; `filters` as in `find_analyses`.

    Raises:
        CatalogueError: there is none.
    """
    found = find_analyses(client, kind, **filters).items().tail(1)
    if not found:
        what = ", ".join(f"{key}={value!r}" for key, value in filters.items())
        raise CatalogueError(f"no analysis {kind!r} with {what or 'any metadata'} in the catalogue {client.uri}")
    return _read(*found[0])


def read_analysis(client: Container, key: str) -> Analysis:
    """Read a result by its key.

    Raises:
        CatalogueError: there is none of this key, or its writing was broken off.
    """
    try:
        node = analysis(client)[key]
    except KeyError:
        raise CatalogueError(f"no analysis {key!r} in the catalogue {client.uri}") from None
    if not node.metadata.get("complete"):
        raise CatalogueError(f"analysis {key!r} is not complete: whoever wrote it was interrupted")
    return _read(key, cast("Container", node))


def _read(key: str, node: Container) -> Analysis:
    nodes: dict[str, Any] = dict(node.items())
    arrays = {name: np.asarray(child.read()) for name, child in nodes.items()}
    dims = {name: tuple(child.dims) for name, child in nodes.items()}
    return Analysis(key, dict(cast("Mapping[str, Any]", node.metadata)), arrays, dims)
