"""Runs that a dead process left open get their end."""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdl_bluesky.data.encoding import encode
from sdl_bluesky.data.logfile import RunIndex, is_abandoned, log_files, read_entries


def close_open_runs(directory: Path | str, reason: str) -> list[str]:
    """Write a stop document (exit_status "abort") for each run without one whose process is dead.

    A run of a living process, or of a process on another host, stays open. The stop's `time` is that of the last
    document of the run, `closed` the present. Safe to call from several processes at once, and again.

    Returns:
        The uids of the runs that were closed now.
    """
    paths = [path for path in log_files(directory) if _lacks_a_stop(path) and is_abandoned(path)]
    return [uid for path in paths for uid in _close_runs(path, reason)]


def _lacks_a_stop(path: Path) -> bool:
    """Whether it is worth while to read a log: months of them are looked through at each start."""
    begun = ended = 0
    with path.open("rb") as file:
        for line in file:
            begun += line.startswith(b'["start",')
            ended += line.startswith(b'["stop",')
    return begun > ended


def _close_runs(path: Path, reason: str) -> list[str]:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process is at it
            return []
        stops = [_stop_document(uid, run, reason) for uid, run in _open_runs(path).items()]
        if stops:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"\n", b"")
            file.write((b"\n" if torn else b"") + b"".join(encode("stop", stop) for stop in stops))
            file.flush()
            os.fsync(file.fileno())
        return [stop["run_start"] for stop in stops]


def _open_runs(path: Path) -> dict[str, dict[str, Any]]:
    """What is known of each run without a stop: time of the last document, events of each stream."""
    index, streams = RunIndex(), {}
    runs: dict[str, dict[str, Any]] = {}
    for name, doc, *_ in read_entries(path):
        uid = index.run_of(name, doc)
        if uid is None:
            continue
        if name == "stop":
            runs.pop(uid, None)
            continue
        run = runs.setdefault(uid, {"time": 0.0, "events": {}})
        times = doc.get("time", 0.0)
        run["time"] = max([run["time"], *times] if isinstance(times, list) else [run["time"], times])
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
            run["events"].setdefault(doc["name"], 0)
        elif name in ("event", "event_page"):
            count = 1 if name == "event" else len(doc["seq_num"])
            run["events"][streams[doc["descriptor"]]] += count
    return runs


def _stop_document(uid: str, run: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {
        "uid": str(uuid.uuid4()),
        "time": run["time"],
        "run_start": uid,
        "exit_status": "abort",
        "reason": reason,
        "num_events": run["events"],
        "closed": time.time(),
    }
