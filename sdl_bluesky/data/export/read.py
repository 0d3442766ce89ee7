"""A bundle from its file: the documents are made again from the columns, and must be those that were written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import h5py
import numpy as np

from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.data.export import hdf
from sdl_bluesky.data.export.runs import FORMAT, SCHEMA, Bundle, RunDocuments, result_digest
from sdl_bluesky.data.export.streams import Stream, Tables, documents_of
from sdl_bluesky.data.export.values import values_of
from sdl_bluesky.data.export.write_results import ABOUT, DATA
from sdl_bluesky.data.export.write_runs import DOCUMENTS, EXACT, PLAIN, TIMESTAMPS
from sdl_bluesky.errors import DataFileError

MARK = "campaign/bundle"


def read_bundle(path: Path | str) -> Bundle:
    """Read a bundle.

    Raises:
        DataFileError: there is no such file; it is half written or damaged, no bundle, of another schema, or its columns
            are not those that were exported.
    """
    path = Path(path)
    try:
        image = path.read_bytes()
    except OSError as fault:
        raise DataFileError(path, f"cannot be read ({fault.strerror})") from fault
    return read_image(image, path)


def read_image(image: bytes, path: Path) -> Bundle:
    """Read a bundle from the bytes of a file; see `read_bundle`."""
    try:
        root = h5py.File(io.BytesIO(image), "r")
    except OSError as fault:
        raise DataFileError(path, f"is no HDF5 file, or only half of one ({fault}): export it again") from fault
    with root:
        _check_mark(root, path)
        try:
            return _read(root)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as fault:
            raise DataFileError(path, f"is damaged ({type(fault).__name__}: {fault}): export it again") from fault


def _check_mark(root: h5py.File, path: Path) -> None:
    try:
        about = dict(hdf.child(root, MARK).attrs) if MARK in root else {}
    except (OSError, RuntimeError, ValueError) as fault:
        raise DataFileError(path, f"is damaged ({fault}): export it again") from fault
    if about.get("format") != FORMAT:
        raise DataFileError(path, "is an HDF5 file, but no bundle that `sdl campaign export` has written")
    if about.get("schema") != SCHEMA:
        raise DataFileError(
            path, f"is of schema {about.get('schema')}, and this version reads {SCHEMA}: export it again"
        )


def _read(root: h5py.File) -> Bundle:
    about = hdf.child(root, MARK)
    findings = json.loads(hdf.get_text(about, "findings"))
    entries = [hdf.child(root, name) for name in sorted(map(str, root), key=lambda name: (len(name), name))]
    runs = tuple(_read_run(entry) for entry in entries if DOCUMENTS in entry)
    results = tuple(_read_result(entry) for entry in entries if ABOUT in entry)
    if (len(runs), len(results)) != (about.attrs["runs"], about.attrs["results"]):
        raise ValueError("runs or results are missing")
    return Bundle(str(about.attrs["campaign"]), runs, results, tuple(findings))


def _read_run(entry: h5py.Group) -> RunDocuments:
    documents = hdf.child(entry, DOCUMENTS)
    plain = hdf.child(documents, PLAIN)
    rows = zip(*(hdf.get(plain, key).tolist() for key in ("place", "name", "document")), strict=True)
    tables = Tables([(place, (name, json.loads(text))) for place, name, text in rows])
    for name in map(str, documents):
        inner = hdf.child(documents, name)
        if "stream" in inner.attrs:
            stream = _read_stream(inner, hdf.child(entry, str(inner.attrs["group"])))
            tables.streams[stream.name] = stream
    run = RunDocuments(documents_of(tables))
    if run.digest() != documents.attrs["sha256"]:
        raise ValueError(f"the columns of {entry.name} are not those that were exported")
    return run


def _read_stream(inner: h5py.Group, group: h5py.Group) -> Stream:
    stream, exact = Stream(str(inner.attrs["stream"])), hdf.child(inner, EXACT)
    stream.place, stream.page_row = (hdf.get(inner, key).tolist() for key in ("place", "page_row"))
    stream.fields = {key: hdf.get(inner, key).tolist() for key in ("descriptor", "uid")}
    stream.fields |= {key: values_of(column) for key, column in hdf.get_columns(group, exact, hdf.FIELD).items()}
    stream.fields["rest"] = [json.loads(text) for text in hdf.get(inner, "rest")]
    stream.data = {key: values_of(column) for key, column in hdf.get_columns(group, exact).items()}
    stamps = hdf.get_columns(hdf.child(inner, TIMESTAMPS), hdf.child(inner, f"{TIMESTAMPS}_{EXACT}"))
    stream.timestamps = {key: values_of(column) for key, column in stamps.items()}
    return stream


def _read_result(entry: h5py.Group) -> Analysis:
    about, data = hdf.child(entry, ABOUT), hdf.child(entry, DATA)
    arrays: dict[str, np.ndarray] = {}
    dims: dict[str, tuple[str, ...]] = {}
    for name, dataset in data.items():
        if isinstance(dataset, h5py.Dataset) and "dims" in dataset.attrs and not hdf.is_link(dataset):
            key = str(dataset.attrs[hdf.DATA_KEY])
            arrays[key] = hdf.get(data, name).astype(str(dataset.attrs["dtype"]))
            dims[key] = tuple(json.loads(str(dataset.attrs["dims"])))
    result = Analysis(str(about.attrs["key"]), json.loads(hdf.get_text(about, "metadata")), arrays, dims)
    if result_digest(result) != about.attrs["sha256"]:
        raise ValueError(f"the arrays of {entry.name} are not those that were exported")
    return result
