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
    one is complete; one that is not complete is never seen.

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
    from tiled.queries import Eq

    values = {name: np.asarray(array) for name, array in arrays.items()}
    _check(kind, values, dims, metadata)
    content = content_key(kind, metadata)
    results = analysis(client)
    before = list(results.search(Eq("content", content)))
    software = {"sdl_bluesky": __version__, **cast("Mapping[str, str]", metadata.get("software", {}))}
    full = {"time": time.time(), **metadata, "kind": kind, "schema": SCHEMA, "software": software, "content": content}
    key = f"{uuid.uuid4()}-{kind}"
    node = results.create_container(key, metadata={**full, "complete": False})
    for name, array in values.items():
        node.write_array(array, key=name, dims=tuple(dims[name]))
    node.update_metadata({"complete": True}, drop_revision=True)
    for old in before:
        results.delete_contents(old, recursive=True, external_only=False)
        log.info("analysis %s takes the place of %s", key, old)
    return key


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
