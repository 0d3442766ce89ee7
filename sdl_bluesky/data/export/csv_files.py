"""A bundle as tables in CSV, with a `datapackage.json` that says what each is and what the units are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.data.export.axes import axis_of
from sdl_bluesky.data.export.hdf import safe_name
from sdl_bluesky.data.export.runs import Bundle
from sdl_bluesky.data.export.streams import Stream, tables_of
from sdl_bluesky.data.export.tables import Table, decision_table, graph_tables, run_table
from sdl_bluesky.data.export.values import column_of

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = "datapackage.json"
MISSING = "NaN"
_TYPES = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}


def write_csv(bundle: Bundle, folder: Path) -> None:
    """Write every table of a bundle into a new folder.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir()
    resources: list[dict[str, Any]] = []
    taken: set[str] = set()
    for table in all_tables(bundle):
        frame = frame_of(table)
        name = safe_name(table.name, taken)
        taken.add(name)
        frame.to_csv(folder / f"{name}.csv", index=False, na_rep=MISSING, lineterminator="\n")
        resources.append(_resource(name, table, frame))
    package = {
        "name": f"campaign-{bundle.campaign}",
        "profile": "tabular-data-package",
        "title": "a campaign of sdl_bluesky as tables; `unit` of a field is the unit of its column",
        "resources": resources,
    }
    (folder / DESCRIPTION).write_text(json.dumps(package, indent=1) + "\n", encoding="utf-8")


def all_tables(bundle: Bundle) -> Iterator[Table]:
    """Runs, decisions, provenance, streams and results."""
    yield run_table(bundle)
    yield decision_table(bundle)
    yield from graph_tables(bundle)
    yield from stream_tables(bundle)
    for i, result in enumerate(bundle.results, 1):
        yield from result_tables(f"result_{i:03d}", result)


def frame_of(table: Table) -> pd.DataFrame:
    """A table for pandas: numbers with NaN where one is missing."""
    import pandas as pd

    columns: dict[str, np.ndarray] = {}
    for key, values in table.columns.items():
        texts = any(isinstance(value, str) for value in values)
        columns[key] = column_of(["" if value is None and texts else value for value in values]).array
    return pd.DataFrame(columns)


def _resource(name: str, table: Table, frame: pd.DataFrame) -> dict[str, Any]:
    fields = []
    for key in map(str, frame.columns):
        field = {"name": key, "type": _TYPES.get(frame[key].dtype.kind, "string")}
        fields.append(field | ({"unit": table.units[key]} if table.units.get(key) else {}))
    dialect = {"delimiter": ",", "header": True}
    schema = {"fields": fields, "missingValues": [MISSING]}
    path = {"name": name, "path": f"{name}.csv", "title": table.title, "encoding": "utf-8"}
    return path | {"profile": "tabular-data-resource", "dialect": dialect, "schema": schema}


def stream_tables(bundle: Bundle) -> Iterator[Table]:
    """The streams; those with the same columns of all runs of one plan are one table, with the run in its first column.

    A column of arrays is a table of its own, with a row for each number.
    """
    joined: dict[tuple[Any, ...], tuple[dict[str, list[Any]], dict[str, str]]] = {}
    for run in bundle.runs:
        plan = str(run.start.get("plan_name") or "run")
        for stream in tables_of(run).streams.values():
            if not stream.place:
                continue
            scalars, arrays = _columns(run.uid, stream)
            parts = [(f"{plan}_{stream.name}", scalars)]
            parts += [(f"{plan}_{stream.name}_{key}", columns) for key, columns in arrays.items()]
            for name, columns in parts:
                units = {"time": "s"} | {key: stream.units(key) for key in columns if stream.units(key)}
                if "value" in columns:
                    units |= {"value": stream.units(name.removeprefix(f"{plan}_{stream.name}_"))}
                kinds = tuple((key, units.get(key, "")) for key in columns)
                into = joined.setdefault((name, kinds), ({key: [] for key in columns}, units))[0]
                for key, values in columns.items():
                    into[key].extend(values)
    for (name, _), (columns, units) in joined.items():
        yield Table(name, f"an event of {name}", columns, units)


def _columns(uid: str, stream: Stream) -> tuple[dict[str, list[Any]], dict[str, dict[str, list[Any]]]]:
    """The scalar columns of a stream; and for each column of arrays the number of the event, indices, and values."""
    rows = len(stream.place)
    scalars: dict[str, list[Any]] = {
        "run": [uid] * rows,
        "seq_num": stream.fields["seq_num"],
        "time": stream.fields["time"],
    }
    arrays: dict[str, dict[str, list[Any]]] = {}
    for key, values in stream.data.items():
        array = column_of(values).array
        if array.ndim == 1:
            scalars[safe_name(key, scalars)] = array.tolist()
            continue
        indices = np.indices(array.shape).reshape(array.ndim, -1)
        arrays[key] = {"run": [uid] * array.size, "seq_num": np.array(stream.fields["seq_num"])[indices[0]].tolist()}
        arrays[key] |= {f"index_{i}": one.tolist() for i, one in enumerate(indices[1:])}
        arrays[key] |= {"value": array.ravel().tolist()}
    return scalars, arrays


def result_tables(name: str, result: Analysis) -> Iterator[Table]:
    """The arrays of a result; those with the same dimensions are one table, with a row for each point of the grid."""
    units: Mapping[str, str] = result.metadata.get("units") or {}
    kind = str(result.metadata.get("kind", "result"))
    groups: dict[tuple[str, ...], list[str]] = {}
    for key in result.arrays:
        if result.dims[key] and result.dims[key] != (key,):
            groups.setdefault(result.dims[key], []).append(key)
    for dims, keys in groups.items():
        shape = result.arrays[keys[0]].shape
        columns = {dim: _axis(result, dim, i, shape).tolist() for i, dim in enumerate(dims)}
        columns |= {key: result.arrays[key].ravel().tolist() for key in keys}
        known = {key: str(units[key]) for key in columns if units.get(key)}
        yield Table(f"{name}_{kind}_{'_'.join(dims)}", f"a point of {result.key}", columns, known)


def _axis(result: Analysis, dim: str, i: int, shape: Sequence[int]) -> np.ndarray:
    """The coordinate of each point along a dimension; its number where the dimension has no axis."""
    own = axis_of(result, dim)
    axis = np.arange(shape[i]) if own is None else own
    return np.broadcast_to(axis.reshape([-1 if k == i else 1 for k in range(len(shape))]), shape).ravel()
