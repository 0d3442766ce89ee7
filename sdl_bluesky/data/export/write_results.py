"""Derived results as NXentry groups, and tables as groups."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.data.export import hdf
from sdl_bluesky.data.export.axes import axis_of
from sdl_bluesky.data.export.runs import result_digest
from sdl_bluesky.data.export.tables import INPUT, OUTCOME, Table, iso
from sdl_bluesky.data.export.values import column_of

ABOUT, DATA = "about", "data"


def write_result(root: h5py.File, name: str, result: Analysis) -> None:
    """One result as an NXentry: its arrays, how it was made, and its metadata as they are in the catalogue."""
    about = result.metadata
    entry = hdf.group(root, name, "NXentry", default=DATA)
    kind = str(about.get("kind", ""))
    hdf.text(entry, "title", " ".join(str(about[key]) for key in ("kind", "source", "sample") if about.get(key)))
    hdf.text(entry, "entry_identifier", result.key)
    hdf.text(entry, "experiment_identifier", str(about.get("campaign", "")))
    process = hdf.group(entry, "process", "NXprocess")
    hdf.text(process, "program", "sdl_bluesky")
    hdf.text(process, "version", str((about.get("software") or {}).get("sdl_bluesky", "")))
    if isinstance(about.get("time"), int | float):
        hdf.text(process, "date", iso(about["time"]))
    note = hdf.group(process, "method", "NXnote")
    hdf.text(note, "type", "text/plain")
    hdf.text(note, "description", str(about["method"]))
    _parameters(process, about.get("parameters") or {})
    kept = hdf.group(entry, ABOUT, "NXcollection", key=result.key, kind=kind, sha256=result_digest(result))
    hdf.text(kept, "metadata", json.dumps(about))
    hdf.put(kept, "derived_from", np.array(list(about["derived_from"]), dtype=object))
    units = about.get("units") or {}
    signal = _signal(result)
    data = hdf.group(entry, DATA, "NXdata" if signal else "NXcollection")
    names: dict[str, str] = {}
    for key, array in result.arrays.items():
        names[key] = hdf.safe_name(key, data)
        unit = str(units.get(key) or "")
        more = {hdf.DATA_KEY: key, "dims": json.dumps(list(result.dims[key])), "dtype": array.dtype.str}
        hdf.put(data, names[key], array, unit, long_name=hdf.long_name(key, unit), **more)
    if signal:
        axes = [_axis(data, names, result, dim) for dim in result.dims[signal]]
        std = names.get(f"{signal}_std")
        hdf.plot(data, names[signal], axes, errors=std)
    else:
        del entry.attrs["default"]


def _axis(data: h5py.Group, names: dict[str, str], result: Analysis, dim: str) -> str:
    """Name of the axis of a dimension in the file, "." if it has none."""
    if result.dims.get(dim) == (dim,):
        return names[dim]
    axis = axis_of(result, dim)
    if axis is None:
        return "."
    name = hdf.safe_name(dim, data)
    hdf.put(data, name, axis, long_name=dim)
    return name


def _parameters(process: h5py.Group, parameters: dict[str, Any]) -> None:
    made = hdf.group(process, "parameters", "NXparameters")
    for key, value in parameters.items():
        hdf.text(made, hdf.safe_name(key, made), value if isinstance(value, str) else json.dumps(value))


def _signal(result: Analysis) -> str:
    """The array that a viewer shows first: that of the result's kind, else the one with the most dimensions."""
    numbers = {
        key: array.ndim
        for key, array in result.arrays.items()
        if array.dtype.kind in "iuf" and result.dims[key] != (key,) and not key.endswith(("_std", "_cov", "covariance"))
    }
    if result.metadata.get("kind") in numbers:
        return str(result.metadata["kind"])
    return max(numbers, key=lambda key: numbers[key], default="")


def write_table(parent: h5py.Group, table: Table, nx_class: str = "NXcollection") -> h5py.Group:
    """A table as a group with a dataset for each column; a missing number is NaN, a missing text empty."""
    made = hdf.group(parent, table.name, nx_class)
    for key, values in table.columns.items():
        texts = any(isinstance(value, str) for value in values)
        array = column_of(["" if value is None and texts else value for value in values]).array
        unit = table.units.get(key, "")
        hdf.put(made, hdf.safe_name(key, made), array, unit, long_name=hdf.long_name(key, unit))
    return made


def write_decisions(parent: h5py.Group, table: Table) -> bool:
    """The table of decisions, plotted by step: what the experiments found, with what was predicted; False if not."""
    inputs = {key.removeprefix(INPUT) for key in table.columns if key.startswith(INPUT)}
    found = [
        key
        for key in table.units
        if key.startswith(OUTCOME) and key.removeprefix(OUTCOME) not in inputs and not key.endswith("_std")
    ]
    signal = next(iter([*found, *(key for key in table.units if key.startswith(INPUT))]), "")
    data = write_table(parent, table, "NXdata" if signal else "NXcollection")
    if signal:
        predicted = "prediction_mean"
        others = [predicted] if table.units.get(predicted) == table.units[signal] else []
        axis = "step" if "step" in table.columns else "seq_num"
        std = f"{signal}_std"
        hdf.plot(data, signal, [axis], others, std if std in data else None)
    return bool(signal)
