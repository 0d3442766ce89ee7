"""Files and folders that are there whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdl_bluesky.errors import DataFileError


def require_new(*paths: Path) -> None:
    """Check that nothing would be written over.

    Raises:
        DataFileError: one of the paths exists.
    """
    for path in paths:
        if path.exists():
            raise DataFileError(path, "is there already: choose another name, or remove it first")


@contextmanager
def whole(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Temporary names beside the paths; what is written there gets its own name when all of it is complete.

    Args:
        *paths: files or folders that do not exist yet. The last one appears last.

    Yields:
        A temporary path for each, in the same order.

    Raises:
        DataFileError: one exists already, or cannot be written (no room, no right); nothing is left behind.
    """
    require_new(*paths)
    parts = tuple(path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths)
    renamed: list[Path] = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield parts
        for part, path in zip(parts, paths, strict=True):
            os.rename(part, path)
            renamed.append(path)
    except BaseException as fault:
        for path in (*parts, *renamed):
            _remove(path)
        if isinstance(fault, OSError):
            raise DataFileError(
                paths[-1],
                f"cannot be written ({fault.strerror or fault}): nothing was left behind; make room, or "
                "choose another place",
            ) from fault
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
