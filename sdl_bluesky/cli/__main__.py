"""`python -m sdl_bluesky.cli` is the command `sdl`."""

from __future__ import annotations

from sdl_bluesky.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
