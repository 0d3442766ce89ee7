"""Who is in charge: a right that one process at a time holds on a data folder, and that ends with that process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sdl_bluesky.errors import ServiceError


class Claim:
    """Holds a lock file, from the moment it is made until `release` or the death of the process, however that comes.

    Args:
        path: the lock file; made if missing, never removed. The process number of the holder is in it.
        what: what the holder does, for the message; as in "runs this lab".

    Raises:
        ServiceError: another process (or another part of this one) holds it; its number is in the message.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        # flock and not lockf: it belongs to the open file, so that it also holds between two sessions of one process
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip() or "(number unknown)"
            self.release()
            raise ServiceError(
                f"process {holder} {what} already ({path.parent}): use it, end it, or choose another --home"
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, str(os.getpid()).encode())

    def release(self) -> None:
        """Give the right up. Harmless to call twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
