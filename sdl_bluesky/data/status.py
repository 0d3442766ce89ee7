"""What the writer says of itself, and waiting until data have arrived.

The writer keeps one small JSON file for each catalogue in the log directory: how far it has come (which also spares it
work after a restart), and what troubles it. It is a help and no truth: the truth is the catalogue, where a run gets its
stop document only after all its events were found there.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.layout import RUN_CONTAINERS, identity
from sdl_bluesky.data.ledger import find
from sdl_bluesky.data.logfile import log_files
from sdl_bluesky.errors import ServiceError

if TYPE_CHECKING:
    from tiled.client.container import Container

SCHEMA = 1


@dataclass(frozen=True)
class Status:
    """Where a writer stands.

    Attributes:
        catalogue: identity of the catalogue it feeds.
        uri: address of its server.
        state: "live", "behind" (a run is to be written anew), "waiting" (for the server) or "stopped".
        reason: what troubles it, "" if nothing.
        pid: process of the writer.
        time: when this was written, seconds since 1970.
        files: for each log: bytes `read` and written, byte to `resume` from, runs `done` after it.
        troubled: uid -> reason of runs that the server refuses.
    """

    catalogue: str
    uri: str
    state: str = "live"
    reason: str = ""
    pid: int = field(default_factory=os.getpid)
    time: float = field(default_factory=time.time)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    troubled: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def has_all(self, sizes: Mapping[str, int]) -> bool:
        """True if each log was written up to its size given here."""
        if self.state not in ("live", "stopped") or self.troubled:
            return False
        return all(self.files.get(name, {}).get("read", 0) >= size for name, size in sizes.items())

    def save(self, directory: Path) -> None:
        """Write the status file, at once or not at all."""
        path = status_path(directory, self.catalogue)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)


def _stem(directory: Path | str, catalogue: str) -> Path:
    name = "".join(c for c in catalogue if c.isalnum())[-12:]
    return Path(directory) / f"writer-{name}"


def status_path(directory: Path | str, catalogue: str) -> Path:
    """Where the writer of a catalogue keeps its status."""
    return _stem(directory, catalogue).with_suffix(".json")


def read_status(directory: Path | str, catalogue: str) -> Status | None:
    """What the writer of a catalogue last said; None if it never did, or in words of another version."""
    try:
        content = json.loads(status_path(directory, catalogue).read_text())
        status = Status(**content)
    except (OSError, ValueError, TypeError):
        return None
    return status if (status.catalogue, status.schema) == (catalogue, SCHEMA) else None


@contextmanager
def feeding(directory: Path | str, catalogue: str, timeout: float = 10.0) -> Iterator[None]:
    """Be the only process that feeds this catalogue from this directory.

    Raises:
        ServiceError: another one does, and went on doing so for `timeout` seconds.
    """
    path = _stem(directory, catalogue).with_suffix(".lock")
    deadline = time.monotonic() + timeout
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise ServiceError(
                        f"process {file.read().strip() or '?'} feeds this catalogue from {directory} already: "
                        "wait for it, or end it first"
                    ) from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def wait_until_written(log_dir: Path | str, client: Container, uid: str, timeout: float = 30.0) -> Container:
    """Wait until a finished run is in Tiled with all its events; returns the run.

    Args:
        log_dir: where the logs are; used to say what is wrong when it takes too long.
        client: root of the catalogue.
        uid: the run.
        timeout: seconds.

    Raises:
        ServiceError: it is not there in time; the message says what the writer says.
    """
    containers = [client[name] for name in RUN_CONTAINERS]
    deadline = time.monotonic() + timeout
    while True:
        runs = [run for run in (find(container, uid) for container in containers) if run is not None]
        if runs and runs[0].metadata.get("stop"):
            return runs[0]
        seen = "is in Tiled, but has no end yet" if runs else "is not in Tiled"
        if time.monotonic() > deadline:
            raise ServiceError(f"run {uid} {seen} after {timeout:g} s; {_words(log_dir, client, uid)}")
        time.sleep(0.05)


def wait_until_caught_up(log_dir: Path | str, client: Container, timeout: float = 30.0) -> None:
    """Wait until everything that is in the logs now is in Tiled, the events of open runs too.

    Raises:
        ServiceError: it is not in time; the message says what the writer says.
    """
    sizes = {path.name: path.stat().st_size for path in log_files(log_dir)}
    catalogue = identity(client)
    deadline = time.monotonic() + timeout
    while True:
        status = read_status(log_dir, catalogue)
        if status is not None and status.has_all(sizes):
            return
        if time.monotonic() > deadline:
            raise ServiceError(f"the writer has not caught up after {timeout:g} s; {_words(log_dir, client)}")
        time.sleep(0.05)


def _words(log_dir: Path | str, client: Container, uid: str = "") -> str:
    status = read_status(log_dir, identity(client))
    if status is None:
        return f"no writer has ever fed this catalogue from {log_dir}: is one running?"
    trouble = status.troubled.get(uid) or "; ".join(map(str, status.troubled.values()))
    parts = [f"the writer (process {status.pid}) was {status.state!r} {time.time() - status.time:.1f} s ago"]
    return ": ".join(part for part in (*parts, status.reason, trouble) if part)
