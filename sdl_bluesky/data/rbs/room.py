"""Whether what takes hours to make can be written in the end."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from sdl_bluesky.data.rbs.groups import make_folder
from sdl_bluesky.errors import DataFileError


def check_room(path: Path, size: int) -> None:
    """See that a file of so many bytes could be written; the space is taken for a moment, and the folder is made.

    Raises:
        DataFileError: it could not; says why.
    """
    if path.is_dir():
        raise DataFileError(path, "this is a folder: give the name of a file in it")
    make_folder(path.parent)
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            os.posix_fallocate(probe.fileno(), 0, max(size, 1))
    except OSError as fault:
        if fault.errno == errno.EOPNOTSUPP:  # a file system that keeps no space for anybody: nothing can be said
            return
        why = f"{size / 1e6:.0f} MB cannot be written here ({fault.strerror})"
        raise DataFileError(path, f"{why}: make room, or choose another folder") from fault
