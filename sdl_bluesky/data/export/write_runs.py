"""Runs as NXentry groups: columns to be seen and plotted, and beside them what makes them documents again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from sdl_bluesky.data.campaigns import DECISION
from sdl_bluesky.data.export import hdf
from sdl_bluesky.data.export.provenance import title_of
from sdl_bluesky.data.export.runs import RunDocuments, campaign_of
from sdl_bluesky.data.export.streams import Stream, tables_of
from sdl_bluesky.data.export.tables import iso
from sdl_bluesky.data.export.values import Column, column_of

TIME, ELAPSED, SEQ_NUM = "time", "elapsed", "seq_num"
DOCUMENTS, TIMESTAMPS, EXACT, PLAIN = "documents", "timestamps", "exact", "plain"
EPOCH = "1970-01-01T00:00:00Z"


def write_run(root: h5py.File, name: str, run: RunDocuments) -> None:
    """One run as an NXentry."""
    entry = hdf.group(root, name, "NXentry")
    start, stop = run.start, run.stop or {}
    hdf.text(entry, "title", title_of(run))
    hdf.text(entry, "entry_identifier", run.uid)
    hdf.text(entry, "experiment_identifier", campaign_of(start) or run.uid)
    hdf.text(entry, "start_time", iso(start["time"]))
    hdf.text(entry, "end_time", iso(stop.get("time", start["time"])))
    hdf.text(entry, "program_name", "sdl_bluesky", version=str((start.get("versions") or {}).get("sdl-bluesky", "")))
    hdf.text(hdf.group(entry, "sample", "NXsample"), "name", str(start.get("sample", "")))
    hdf.text(hdf.group(entry, "user", "NXuser"), "name", str(start.get("operator", "")))
    tables = tables_of(run)
    documents = hdf.group(entry, DOCUMENTS, "NXcollection", sha256=run.digest(), number=len(run.documents))
    plain = hdf.group(documents, PLAIN, "NXcollection")
    hdf.put(plain, "place", np.array([place for place, _ in tables.plain], dtype=np.int64))
    hdf.put(plain, "name", np.array([name for _, (name, _) in tables.plain], dtype=object))
    hdf.put(plain, "document", np.array([json.dumps(doc) for _, (_, doc) in tables.plain], dtype=object))
    _parameters(entry, "start", start)
    _parameters(entry, "stop", stop)
    shown: dict[str, int] = {}
    for stream in tables.streams.values():
        if stream.place:
            group, plotted = _write_stream(entry, documents, stream, start["time"])
            if plotted:
                shown[group] = len(stream.place) + (10**9 if stream.name == DECISION else 0)
                shown[group] -= 10**9 if stream.name == "baseline" else 0
    if shown:
        entry.attrs["default"] = max(shown, key=lambda key: shown[key])


def _parameters(entry: h5py.Group, name: str, doc: Mapping[str, Any]) -> None:
    """A document to be looked at: a field for each key, what is no number or text as JSON."""
    made = hdf.group(entry, name, "NXparameters")
    for key, value in doc.items():
        field = hdf.safe_name(key, made)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
            made.create_dataset(field, data=value)
        else:
            hdf.text(made, field, value if isinstance(value, str) else json.dumps(value))


def _write_stream(entry: h5py.Group, documents: h5py.Group, stream: Stream, begin: float) -> tuple[str, bool]:
    """The columns of a stream; returns the name of its group, and whether it can be plotted."""
    data = {key: column_of(values) for key, values in stream.data.items()}
    signal = _signal(stream, data)
    name = hdf.safe_name(stream.name, entry)
    group = hdf.group(entry, name, "NXdata" if signal else "NXcollection")
    inner = hdf.group(documents, hdf.safe_name(stream.name, documents), "NXcollection", stream=stream.name, group=name)
    hdf.put(inner, "place", np.array(stream.place, dtype=np.int64))
    hdf.put(inner, "page_row", np.array(stream.page_row, dtype=np.int64))
    for key in ("descriptor", "uid"):
        hdf.put(inner, key, np.array(stream.fields[key], dtype=object))
    hdf.put(inner, "rest", np.array([json.dumps(one) for one in stream.fields["rest"]], dtype=object))
    stamps = [(key, "s", column_of(values)) for key, values in stream.timestamps.items()]
    exact = hdf.group(inner, f"{TIMESTAMPS}_{EXACT}", "NXcollection")
    hdf.put_columns(hdf.group(inner, TIMESTAMPS, "NXcollection"), exact, stamps, titles=False)
    exact = hdf.group(inner, EXACT, "NXcollection")
    times = column_of(stream.fields[TIME])
    fields = [(SEQ_NUM, "", column_of(stream.fields[SEQ_NUM])), (TIME, "s", times)]
    hdf.put_columns(group, exact, fields, mark=hdf.FIELD)
    group[TIME].attrs["start"] = EPOCH
    elapsed = np.asarray(times.array, dtype=np.float64) - begin
    hdf.put(group, ELAPSED, elapsed, "s", long_name="time since the start of the run (s)")
    columns = [(key, stream.units(key), column) for key, column in data.items()]
    names = hdf.put_columns(group, exact, columns, (SEQ_NUM, TIME, ELAPSED))
    if signal:
        others = [names[key] for key in _beside(stream, data, signal)]
        axes = [ELAPSED, *"." * (data[signal].array.ndim - 1)]
        std = names.get(f"{signal}_std")
        hdf.plot(group, names[signal], axes, others, std)
    return name, bool(signal)


def _signal(stream: Stream, data: Mapping[str, Column]) -> str:
    """The column that a viewer shows first: spectra, else the first finite numbers with a unit that is not time."""
    numbers = {
        key: column.array
        for key, column in data.items()
        if column.array.dtype.kind in "if" and column.array.size and np.isfinite(column.array).any()
    }
    arrays = [key for key, array in numbers.items() if array.ndim > 1]
    units = [key for key in numbers if stream.units(key) not in ("", "s")]
    return next(iter([*arrays, *units, *numbers]), "")


def _beside(stream: Stream, data: Mapping[str, Column], signal: str) -> list[str]:
    """Columns like the signal: the same unit and shape."""
    return [
        key
        for key, column in data.items()
        if key != signal
        and stream.units(signal)
        and stream.units(key) == stream.units(signal)
        and column.array.shape == data[signal].array.shape
        and column.array.dtype.kind in "if"
        and not key.endswith("_std")
    ]
