"""The result "layer" of a run that grew a layer and measured its light and its diffraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdl_bluesky.analysis.layers.maps import reduce_map
from sdl_bluesky.analysis.layers.result import LayerResult, reduce_layer
from sdl_bluesky.analysis.layers.scan import reduce_scan
from sdl_bluesky.analysis.layers.stack import Stack
from sdl_bluesky.analysis.recipes import common
from sdl_bluesky.analysis.store import Result
from sdl_bluesky.errors import CatalogueError

COLUMNS = ("wafer_number", "pl_axis", "pl_map", "xrd_two_theta", "xrd_counts")
METHOD = "robust mean of the PL map; Poisson likelihood of a kinematical theta-2theta pattern; Vegard's law with bowing"


def layer_of(start: Mapping[str, Any], data: Mapping[str, Any]) -> LayerResult:
    """The layer of a `grow_and_measure` run.

    Args:
        start: its start document; says the stack that was meant, the strain, and the mapper's systematic error.
        data: its primary event.

    Raises:
        CatalogueError: a column is missing.
        WeakSignal, OutOfRange: map or scan carry no layer, see `reduce_map` and `reduce_scan`.
    """
    missing = [name for name in COLUMNS if name not in data]
    if missing:
        raise CatalogueError(
            f"run {start.get('uid', '')} has no {', '.join(missing)}: it was not made by grow_and_measure"
        )
    axis = np.asarray(data["pl_axis"], dtype=float)
    light = reduce_map(data["pl_map"], axis, axis, systematic_nm=float(start.get("pl_systematic", 0.0)))
    scan = reduce_scan(data["xrd_two_theta"], data["xrd_counts"], _stack(start))
    return reduce_layer(light, scan, start.get("strain", "relaxed"))


def _stack(start: Mapping[str, Any]) -> Stack:
    meant = {str(k["name"]): float(k["thickness"]) for k in start.get("stack", ())}
    usual = Stack()
    return Stack(layer_nm=meant.get("layer", usual.layer_nm), cap_nm=meant.get("cap", usual.cap_nm))


def layer_metadata(start: Mapping[str, Any]) -> dict[str, Any]:
    """Of the layer of a run."""
    return common(
        start,
        flows=dict(start.get("flows", {})),
        wafer=int(start["wafer_number"]),
        maintenance=int(start.get("maintenance_number", 0)),
        units={"pl_map": "nm", "pl_axis": "mm", "xrd_two_theta": "deg", "xrd_counts": "counts"},
        derived_from=[str(start["uid"])],
        method=METHOD,
        parameters={"strain": start.get("strain", "relaxed"), "pl_systematic_nm": start.get("pl_systematic", 0.0)},
    )


def layer_result(start: Mapping[str, Any], data: Mapping[str, Any]) -> Result:
    """Arrays pl_map [y, x] (0: no reading), pl_axis, xrd_two_theta, xrd_counts; the layer in the metadata.

    Raises:
        CatalogueError, WeakSignal, OutOfRange: see `layer_of`.
    """
    found = layer_of(start, data)
    arrays = {
        "pl_map": np.nan_to_num(np.asarray(data["pl_map"], dtype=float)),
        "pl_axis": np.asarray(data["pl_axis"], dtype=float),
        "xrd_two_theta": np.asarray(data["xrd_two_theta"], dtype=float),
        "xrd_counts": np.asarray(data["xrd_counts"], dtype=float),
    }
    dims = {"pl_map": ["y", "x"], "pl_axis": ["x"], "xrd_two_theta": ["angle"], "xrd_counts": ["angle"]}
    told = found.as_document().items()
    layer = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in told if k != "findings"}
    return Result(arrays, dims, {"layer": layer, "findings": list(found.findings)})
