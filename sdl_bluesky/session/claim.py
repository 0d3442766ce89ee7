"""Who is in charge: a right that one process at a time holds on a data folder, and that ends with that process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from sdl_bluesky.errors import ServiceError

_BETWEEN_TRIES_S = 0.1


class Claim:
    """Holds a lock file, from the moment it is made until `release` or the death of the process, however that comes.

    Args:
        path: the lock file; made if missing, never removed. The process number of the holder is in it.
        what: what the holder does, for the message; as in "runs this lab".
        patience_s: how long to wait for a holder that is about to end.

    Raises:
        ServiceError: another process (or another part of this one) holds it; its number is in the message.
    """

    def __init__(self, path: Path, what: str, patience_s: float = 0.0) -> None:
        self.path = path
        # flock and not lockf: it belongs to the open file, so that it also holds between two sessions of one process
        self._fd: int | None = None
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            holder = self._take(self._fd, patience_s)
        except OSError as fault:
            self.release()
            raise ServiceError(f"{path} cannot be locked ({fault}): choose another folder with --home") from fault
        if holder is not None:
            self.release()
            raise ServiceError(
                f"process {holder} {what} already ({path.parent}): use it, end it, or choose another --home"
            )

    @staticmethod
    def _take(fd: int, patience_s: float) -> str | None:
        """None if the lock is ours now, else who has it."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return os.read(fd, 32).decode(errors="replace").strip() or "(number unknown)"
                time.sleep(_BETWEEN_TRIES_S)
            else:
                os.ftruncate(fd, 0)
                os.write(fd, str(os.getpid()).encode())
                return None

    def release(self) -> None:
        """Give the right up. Harmless to call twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(path: Path) -> bool:
    """Whether a living process holds the right of this lock file; a missing file is held by nobody."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back at once; who wants it meanwhile tries again
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
