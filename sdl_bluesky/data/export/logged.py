"""Runs of the document log, by their uid."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdl_bluesky.data.export.runs import Document, RunDocuments, campaign_of
from sdl_bluesky.data.export.streams import EXTERNAL
from sdl_bluesky.data.logfile import UNREADABLE, RunIndex, log_files, read_entries
from sdl_bluesky.errors import CampaignError, DataFileError


@dataclass(frozen=True)
class Logged:
    """Where a run is: its start document, and the logs that have it (more than one after an import)."""

    start: dict[str, Any]
    paths: tuple[Path, ...]


def logged_runs(log_dir: Path | str) -> dict[str, Logged]:
    """Every run of the logs by its uid; quick, since nothing but start documents is decoded."""
    found: dict[str, Logged] = {}
    for path in log_files(log_dir):
        with path.open("rb") as lines:
            for line in lines:
                if not (line.startswith(b'["start",') and line.endswith(b"\n")):
                    continue
                try:
                    start = dict(json.loads(line)[1])
                    uid = str(start["uid"])
                except (ValueError, TypeError, LookupError):  # the writer passes it over too, with a warning
                    continue
                before = found.get(uid)
                found[uid] = Logged(start, (path,)) if before is None else Logged(before.start, (*before.paths, path))
    return found


def members(uid: str, logged: Mapping[str, Logged]) -> set[str]:
    """The runs that a uid stands for: of a campaign all its runs and experiments, else the run itself."""
    run = logged.get(uid)
    if run is not None and run.start.get("purpose") != "campaign":
        return {uid}
    campaign = uid if run is None else campaign_of(run.start)
    return {other for other, one in logged.items() if campaign_of(one.start) == campaign}


def read_runs(wanted: Collection[str], logged: Mapping[str, Logged], findings: list[str]) -> dict[str, RunDocuments]:
    """The documents of runs as they stand in the logs, with or without an end; of two copies the one that has an end.

    Lines that belong to nothing are told in `findings`.

    Raises:
        DataFileError: a run refers to files outside of its documents.
    """
    runs: dict[str, RunDocuments] = {}
    for path in sorted({path for uid in wanted for path in logged[uid].paths}):
        for uid, documents in _documents(path, wanted, findings).items():
            if uid not in runs or runs[uid].stop is None:
                runs[uid] = RunDocuments(tuple(documents))
    for uid, run in runs.items():
        if foreign := {name for name, _ in run.documents} & set(EXTERNAL):
            what = ", ".join(sorted(foreign))
            raise DataFileError(
                logged[uid].paths[0], f"run {uid} keeps data in other files ({what}), which a bundle does not carry"
            )
    return runs


def require_ended(runs: Mapping[str, RunDocuments]) -> None:
    """Check that every run has its end.

    Raises:
        CampaignError: one is open.
    """
    for uid, run in runs.items():
        if run.stop is None:
            raise CampaignError(
                f"run {uid} has no end yet: wait for it, or end it; what a dead process left open, the next session "
                "(`sdl shell`) closes"
            )


def _documents(path: Path, wanted: Collection[str], findings: list[str]) -> dict[str, list[Document]]:
    index = RunIndex()
    found: dict[str, list[Document]] = {}
    for entry in read_entries(path):
        try:
            uid = None if entry.name == UNREADABLE else index.run_of(entry.name, entry.doc)
        except (KeyError, TypeError):
            findings.append(f"{path.name}, byte {entry.offset}: a document ({entry.name}) that belongs to no run")
            continue
        if entry.name == UNREADABLE:
            findings.append(f"{path.name}, byte {entry.offset}: a line that cannot be read")
        elif uid is not None and uid in wanted:
            found.setdefault(uid, []).append((entry.name, entry.doc))
    return found
