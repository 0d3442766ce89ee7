"""A bundle as an HDF5 file by the rules of NeXus."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import cast

import h5py

from sdl_bluesky import __version__
from sdl_bluesky.data.export import hdf
from sdl_bluesky.data.export.csv_files import write_csv
from sdl_bluesky.data.export.output import whole, write_bytes
from sdl_bluesky.data.export.read import read_image
from sdl_bluesky.data.export.runs import FORMAT, SCHEMA, Bundle
from sdl_bluesky.data.export.tables import decision_table, graph_tables, iso
from sdl_bluesky.data.export.write_results import write_decisions, write_result, write_table
from sdl_bluesky.data.export.write_runs import write_run

CAMPAIGN, BUNDLE, DECISIONS = "campaign", "bundle", "decisions"


def csv_folder(path: Path) -> Path:
    """The folder of tables that belongs to a file."""
    return path.with_name(f"{path.stem}-csv")


def paths_of(path: Path, *, csv: bool = True) -> tuple[Path, ...]:
    """What is written for a file."""
    return (csv_folder(path), path) if csv else (path,)


def write_bundle(bundle: Bundle, path: Path | str, *, csv: bool = True) -> list[Path]:
    """Write a bundle, and its tables as CSV into the folder ``NAME-csv`` beside it; read it back before it gets its name.

    Returns:
        What was written.

    Raises:
        DataFileError: the file or the folder exists, cannot be written, or did not give the documents back.
    """
    path = Path(path)
    paths = paths_of(path, csv=csv)
    with whole(*paths) as parts:
        image = bundle_image(bundle, path.name)
        read_image(image, path)  # what does not come back as it was is refused, before anything is written
        if csv:
            write_csv(bundle, parts[0])
        write_bytes(parts[-1], image)
    return list(paths)


def bundle_image(bundle: Bundle, name: str) -> bytes:
    """The bytes of the file. They are made in memory, so that a full disk is met by one plain write and not by HDF5."""
    with h5py.File(name, "w", driver="core", backing_store=False) as root:
        _write(root, bundle, name)
        root.flush()
        return cast("bytes", root.id.get_file_image())


def _write(root: h5py.File, bundle: Bundle, name: str) -> None:
    now = iso(time.time())
    attributes = {
        "NX_class": "NXroot",
        "file_name": name,
        "file_time": now,
        "creator": "sdl_bluesky",
        "creator_version": __version__,
        "HDF5_Version": h5py.version.hdf5_version,
        "h5py_version": h5py.version.version,
    }
    root.attrs.update(attributes)
    places: dict[str, str] = {}
    for i, run in enumerate(bundle.runs, 1):
        places[run.uid] = f"/run_{i:03d}"
        write_run(root, f"run_{i:03d}", run)
    for i, result in enumerate(bundle.results, 1):
        places[result.key] = f"/result_{i:03d}"
        write_result(root, f"result_{i:03d}", result)
    entry = hdf.group(root, CAMPAIGN, "NXentry")
    runs = bundle.campaign_runs()
    start = runs[0].start
    hdf.text(entry, "title", str(start.get("goal") or start.get("campaign_name") or "campaign"))
    hdf.text(entry, "entry_identifier", bundle.campaign)
    hdf.text(entry, "experiment_identifier", bundle.campaign)
    hdf.text(entry, "start_time", iso(start["time"]))
    hdf.text(entry, "end_time", iso((runs[-1].stop or start)["time"]))
    hdf.text(entry, "program_name", "sdl_bluesky", version=__version__)
    if write_decisions(entry, decision_table(bundle)):
        entry.attrs["default"] = DECISIONS
    graph = hdf.group(entry, "provenance", "NXcollection")
    for table in graph_tables(bundle, places):
        write_table(graph, table)
    about = hdf.group(entry, BUNDLE, "NXcollection", format=FORMAT, schema=SCHEMA)
    about.attrs.update({"campaign": bundle.campaign, "runs": len(bundle.runs), "results": len(bundle.results)})
    hdf.text(about, "findings", json.dumps(list(bundle.findings)))
    root.attrs["default"] = CAMPAIGN
