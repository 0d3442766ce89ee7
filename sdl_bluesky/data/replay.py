"""Make a catalogue hold what the logs hold.

Idempotent by uid: a run that is there with the same events and the same end is left alone, so that a second replay
changes nothing; one that differs is deleted and written anew.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sdl_bluesky.data.feeder import Feeder
from sdl_bluesky.data.layout import ensure_containers
from sdl_bluesky.data.report import Report
from sdl_bluesky.data.status import feeding

if TYPE_CHECKING:
    from tiled.client.container import Container

__all__ = ["Report", "replay"]


def replay(log_dir: Path | str, client: Container) -> Report:
    """Bring every run of the logs into the catalogue; see `Report` for what comes back.

    Args:
        log_dir: where the logs are.
        client: root of the catalogue.

    Raises:
        ServiceError: a writer feeds this catalogue from this directory.
        ServiceMissing: the server went away; call again, what was done is kept.
    """
    with feeding(log_dir, ensure_containers(client), timeout=1.0):
        feeder = Feeder(log_dir, client)
        while feeder.step() or not feeder.settled():
            time.sleep(0 if feeder.settled() else 0.02)
        return feeder.report()
