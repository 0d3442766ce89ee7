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
import logging
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdl_bluesky.data.closing import close_open_runs
from sdl_bluesky.data.encoding import encode
from sdl_bluesky.data.logfile import HEADER, Owner, read_log
from sdl_bluesky.errors import ServiceError

__all__ = ["DocumentLog", "close_open_runs", "encode", "read_log"]

log = logging.getLogger(__name__)


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
