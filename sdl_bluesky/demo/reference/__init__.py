"""A backscattering spectrum that another program made: data to learn with, and to check a fit."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

NAMES = ("cases.json", "CuSn_on_glass.csv", "README.md")


def write_reference(folder: Path | str) -> Path:
    """Write the case, its noise-free spectrum and where they are from into a folder, which is made if missing.

    Raises:
        OSError: the folder cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (place / name).write_text((files(__name__) / name).read_text(encoding="utf-8"), encoding="utf-8")
    return place
