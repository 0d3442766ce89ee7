"""Reading document logs: files with one JSON line for each document, `[name, document]`.

The first line of a file is `["header", {...}]` and says which process writes it. A process that was killed leaves a
torn last line at most; a line that cannot be read is reported and passed over, whatever stands in it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

HEADER = "header"
UNREADABLE = "unreadable"
SCHEMA = 1


class Entry(NamedTuple):
    """One line of a log: the document, and the bytes `[offset, end)` of the file that hold it."""

    name: str
    doc: dict[str, Any]
    offset: int
    end: int


def _process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks after boot; None if there is no such process or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])  # field 22; the name before it may hold spaces and brackets


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Owner:
    """The process that writes a log: host, pid, and what tells a reused pid from the same process."""

    host: str
    pid: int
    started: int | None
    boot: str

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _process_start(os.getpid()), _boot_id())

    @classmethod
    def of(cls, path: Path) -> Owner | None:
        """The owner that the header of a log names; None where there is no header."""
        for entry in read_entries(path):
            if entry.name != HEADER:
                return None
            doc = entry.doc
            return cls(doc.get("host", ""), doc.get("pid", 0), doc.get("started"), doc.get("boot", ""))
        return None

    def as_header(self) -> dict[str, Any]:
        """The header document of a log."""
        return {"schema": SCHEMA, **asdict(self)}

    def is_dead(self) -> bool:
        """True if the process is gone for certain. Of a process on another host nothing is certain."""
        here = Owner.current()
        if self.host != here.host:
            return False
        if self.boot != here.boot:
            return True
        started = _process_start(self.pid)
        if started is None:
            return not Path(f"/proc/{self.pid}").exists()  # without /proc the lock alone decides, see `is_abandoned`
        return self.started is not None and started != self.started


def is_abandoned(path: Path) -> bool:
    """True if the process that wrote this log is dead and no other one holds the file."""
    owner = Owner.of(path)
    if owner is None or not owner.is_dead():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # seen also from a container with other pids
        except OSError:
            return False
    return True


def read_entries(path: Path, offset: int = 0, end: int | None = None) -> Iterator[Entry]:
    """Yield the complete lines of one log from byte `offset` on, up to byte `end`.

    A line that is no document comes as an entry named "unreadable"; a last line without its newline does not come.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n") or (end is not None and offset >= end):
                return
            try:
                name, doc = json.loads(line)
                entry = Entry(str(name), dict(doc), offset, offset + len(line))
            except (ValueError, TypeError) as error:
                log.warning("%s: byte %d: a line that is no document was passed over (%s)", path, offset, error)
                entry = Entry(UNREADABLE, {}, offset, offset + len(line))
            offset = entry.end
            yield entry


def log_files(directory: Path | str) -> list[Path]:
    """The logs of a directory, the oldest first."""
    return sorted(Path(directory).glob("*.jsonl"))


def read_log(path: Path | str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `(name, document)` of one log, or of every log of a directory, the oldest file first."""
    path = Path(path)
    for file in log_files(path) if path.is_dir() else [path]:
        for entry in read_entries(file):
            if entry.name not in (HEADER, UNREADABLE):
                yield entry.name, entry.doc


class RunIndex:
    """Tells to which run a document belongs, also when several runs share a log."""

    def __init__(self) -> None:
        self._run_of: dict[str, str] = {}
        self._latest: str | None = None

    def run_of(self, name: str, doc: Mapping[str, Any]) -> str | None:
        """The uid of the document's run; None for what belongs to none. Documents must come in their order."""
        if name == "start":
            self._latest = doc["uid"]
            return self._latest
        if name in ("descriptor", "stop"):
            if name == "descriptor":
                self._run_of[doc["uid"]] = doc["run_start"]
            return doc["run_start"]
        if name in ("resource", "stream_resource"):
            return self._run_of.setdefault(doc["uid"], doc.get("run_start") or self._latest or "")
        if name in ("event", "event_page", "stream_datum"):
            return self._run_of.get(doc["descriptor"])
        if name in ("datum", "datum_page"):
            return self._run_of.get(doc["resource"])
        return None
