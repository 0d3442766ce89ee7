"""A catalogue with its writer, for tests of what becomes of documents: a lab's own, or one on a facility's servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from _facility import free_port, settings_of

from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.server import TiledServer
from sdl_bluesky.data.status import wait_until_caught_up, wait_until_written
from sdl_bluesky.data.writer import start_writer

KEY = "0123456789abcdef"
ARRIVES_WITHIN_S = 60.0


class Lab:
    """A folder with a log, and a server with a writer that fill a catalogue from it. The writer begins first."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.log_dir = folder, folder / "log"
        self.settings = replace(settings_of(kind, folder / "tiled"), port=free_port())
        self.writer = self.start_writer()
        self.server = self.start_server()
        self.client = connect(self.server.uri, KEY)

    def start_server(self):
        return TiledServer.start(self.settings, self.folder / "tiled", KEY)

    def start_writer(self):
        uri = f"http://127.0.0.1:{self.settings.port}"
        return start_writer(self.log_dir, uri, KEY, self.folder / "writer.log")

    def wait(self, uid):
        return wait_until_written(self.log_dir, self.client, uid, ARRIVES_WITHIN_S)

    def end(self):
        """End both, and see that they ended well: all that is in the log has arrived before the writer is told to end."""
        try:
            wait_until_caught_up(self.log_dir, self.client, ARRIVES_WITHIN_S)
        finally:
            self.writer.terminate()
            status = self.writer.wait(60)
            self.server.stop(60)
        assert status == 0, (self.folder / "writer.log").read_text()
        assert self.server.process.returncode == 0, (self.folder / "tiled" / "tiled.log").read_text()
