"""The catalogue of a lab without its machine: for readers, analyses and the replay of the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.server import TiledServer, api_key
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.session.claim import Claim
from sdl_bluesky.session.home import Home, find_home
from sdl_bluesky.session.lab import LabFile, load_lab

if TYPE_CHECKING:
    from tiled.client.container import Container


def tiled_settings(lab: LabFile, home: Home, port: int = 0) -> TiledSettings:
    """What the Tiled server of a lab is made of: databases that its file names, else files in the data folder."""
    local, part = TiledSettings.local(home.tiled, port=port), lab.catalogue
    storage = (local.storage[0], part.tables) if part.tables else local.storage
    return TiledSettings(
        part.catalog or local.catalog, storage, part.streaming_cache, port=port, keys=part.keys or local.keys
    )


@contextmanager
def open_catalogue(lab: Path | None = None, home: Path | None = None) -> Iterator[Container]:
    """Connect to the catalogue of a lab: the server that runs, that of the lab file, or one of our own for the moment.

    Args:
        lab: lab file; as in `sdl_bluesky.session.open.open_session`.
        home: data folder.

    Yields:
        The root of the catalogue.

    Raises:
        ServiceMissing, ServiceError: it cannot be reached or started.
    """
    place = find_home(home, load_lab(lab) if lab else None)
    checked = place.load_lab(lab)
    running = place.services()
    uri = running.tiled_uri if running is not None else checked.catalogue.uri
    if uri != "auto":
        yield connect(uri, os.environ.get("TILED_API_KEY") or api_key(place.tiled))
        return
    place.make()
    claim = Claim(place.services_lock, "keeps the services of this data folder")
    try:
        place.wait_for_orphans()
        with TiledServer.start(tiled_settings(checked, place), place.tiled) as server:
            yield connect(server.uri, server.api_key)
    finally:
        claim.release()
