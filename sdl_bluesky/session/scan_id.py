"""Scan numbers that go on counting over restarts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ScanId:
    """A source of scan numbers for a RunEngine, kept in a file that several processes may share.

    Args:
        path: the file; made if missing. A damaged one starts again from 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, md: Mapping[str, Any]) -> int:
        """The next number."""
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read().strip()
            number = (int(text) if text.isdigit() else 0) + 1
            file.seek(0)
            file.truncate()
            file.write(str(number))
        return number
