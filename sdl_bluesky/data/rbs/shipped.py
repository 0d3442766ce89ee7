"""Models that come with the program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped_models() -> dict[str, Path]:
    """Their files, by name."""
    folder = Path(str(files("sdl_bluesky.data.rbs"))) / "models"
    return {path.stem: path for path in sorted(folder.glob("*.npz"))}
