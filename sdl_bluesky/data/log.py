"""The write-ahead log: every document is a line on the disk before anybody else sees it.

    log = DocumentLog("data/log")
    RE.subscribe(log)

Subscribe it first. It never raises into the RunEngine: where a document cannot be written, it says so in the program's
log, keeps the bytes and tries again with the next document. `failed` tells the reason for as long as something is
missing, so that whoever starts runs can refuse the next one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.data.logfile import HEADER, Owner, RunIndex, is_abandoned, log_files, read_entries, read_log
from sdl_bluesky.errors import ServiceError

__all__ = ["DocumentLog", "close_open_runs", "encode", "read_log"]

log = logging.getLogger(__name__)


def _plain(value: Any) -> Any:
    """Anything as plain Python values: numbers, strings, lists and dicts with string keys."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(v) for v in value), key=repr)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def encode(name: str, doc: Mapping[str, Any]) -> bytes:
    """One line of the log. Floats come back bit for bit, NaN and infinities too; arrays become lists.

    What JSON does not know (a path, a time, an object in the metadata) is kept as its text.
    """

    # event_model.NumpyEncoder does the same, but imports dask when it meets its first array: a stall of a second.
    def default(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else _plain(value)

    try:
        text = json.dumps([name, doc], default=default)
    except (TypeError, ValueError):  # a key that is no string, for example
        text = json.dumps([name, _plain(doc)])
    return text.encode() + b"\n"


class DocumentLog:
    """A callback that appends each document to one file of this process, `<utc>-<pid>.jsonl`, and flushes it.

    Args:
        directory: where the logs are; made if missing.
        keep_bytes: how much may wait in memory while the disk refuses; beyond it documents are lost.

    Attributes:
        failed: why something is not on the disk (yet); None while all is well. It stays once a document is lost.
        lost: number of documents that are lost for good.

    Raises:
        ServiceError: the file cannot be made.
    """

    def __init__(self, directory: Path | str, *, keep_bytes: int = 1 << 28) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.path = Path(directory) / f"{stamp}-{os.getpid()}.jsonl"
        self.failed: str | None = None
        self.lost = 0
        self._keep = keep_bytes
        self._waiting = bytearray()
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd: int | None = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            header = encode(HEADER, Owner.current().as_header())
            if os.write(self._fd, header) < len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise ServiceError(
                f"the document log {self.path} cannot be written ({error}): choose a directory with space and rights"
            ) from error

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write one document. Never raises."""
        try:
            line = encode(name, doc)
        except Exception as error:
            self.lost += 1
            self._complain(f"a document ({name}) cannot be put into words ({error!r}) and is lost")
            return
        try:
            with self._lock:
                self._write(line)
                if name == "stop" and self._fd is not None and not self.failed:
                    os.fsync(self._fd)
        except Exception as error:
            self._complain(f"a document ({name}) is not in {self.path}: {error!r}")

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            self.lost += 1
            raise OSError(errno.EBADF, f"the log is closed; {self.lost} document(s) lost")
        if len(self._waiting) + len(line) > self._keep:
            try:
                self._drain(self._fd)
            except OSError as error:
                self.lost += 1
                raise OSError(error.errno, f"{error.strerror}; {self.lost} document(s) lost") from error
        self._waiting += line
        self._drain(self._fd)
        if self.failed and not self.lost:
            log.warning("%s is complete again", self.path)
            self.failed = None

    def _drain(self, fd: int) -> None:
        while self._waiting:  # a partial write is continued at its byte, now or with the next document
            del self._waiting[: os.write(fd, self._waiting)]

    def _complain(self, reason: str) -> None:
        log.critical("%s. Start no further run before there is space and a right to write", reason)
        self.failed = reason

    def close(self) -> None:
        """Write what waits, then close the file. Never raises; later documents are refused with a loud message."""
        with self._lock:
            if self._fd is None:
                return
            try:
                self._drain(self._fd)
                os.fsync(self._fd)
            except OSError as error:
                self._complain(f"{self.path} could not be completed: {error!r}")
            finally:
                os.close(self._fd)
                self._fd = None

    def __enter__(self) -> DocumentLog:
        """Use it as a context manager to have it closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def close_open_runs(directory: Path | str, reason: str) -> list[str]:
    """Write a stop document (exit_status "abort") for each run without one whose process is dead.

    A run of a living process, or of a process on another host, stays open. The stop's `time` is that of the last
    document of the run, `closed` the present. Safe to call from several processes at once, and again.

    Returns:
        The uids of the runs that were closed now.
    """
    return [uid for path in log_files(directory) if is_abandoned(path) for uid in _close_runs(path, reason)]


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
