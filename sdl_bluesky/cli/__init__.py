"""The command `sdl`: the lab in a terminal. Each group of commands is a file; what they do is done elsewhere."""

from __future__ import annotations

from sdl_bluesky.cli.entry import main

__all__ = ["main"]
