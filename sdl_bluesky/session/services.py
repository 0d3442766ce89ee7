"""The services of a lab, started and kept by one process: the simulated instruments, Tiled, and the writer that feeds it.

A Tiled server or a writer that dies is started again; a dead IOC is not: that is a fault of the machine, to be looked at.
Everything ends with the process that started it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from sdl_bluesky.data.lifeline import end
from sdl_bluesky.data.profile import write_profile
from sdl_bluesky.data.server import TiledServer, api_key
from sdl_bluesky.data.writer import start_writer
from sdl_bluesky.errors import ServiceError
from sdl_bluesky.session.catalogue import tiled_settings
from sdl_bluesky.session.claim import Claim
from sdl_bluesky.session.home import Home, ServiceInfo, own_start
from sdl_bluesky.session.lab import LabFile
from sdl_bluesky.session.twin import choose_ports, start_iocs

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
SIMULATED = {"sputter": "simulated chamber", "rbs": "simulated station", "mocvd": "simulated reactor"}


class Services:
    """IOCs, Tiled and writer of one lab.

    Args:
        lab: what to start; nothing is started that the lab has elsewhere.
        home: where data are kept.
        tell: called with a line of text for each service that has started.

    Raises:
        PortInUse, ServiceMissing, ServiceError: a service cannot be started; those started before are ended.
    """

    def __init__(self, lab: LabFile, home: Home, tell: Callable[[str], None] = log.info) -> None:
        self.lab, self.home, self.tell = lab, home, tell
        self.iocs: dict[str, subprocess.Popen[bytes]] = {}
        self.tiled: TiledServer | None = None
        self.writer: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None
        home.make()
        self._claim = Claim(home.services_lock, "keeps the services of this data folder")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        lab, home = self.lab, self.home
        home.wait_for_orphans()
        addresses = choose_ports(lab)
        with ThreadPoolExecutor(1) as beside:  # a server takes seconds to start, most of them imports
            tiled = beside.submit(self._start_tiled) if lab.catalogue.uri == "auto" else None
            try:
                if lab.twin is not None:  # in this thread: an IOC ends with the thread that has started it
                    self.iocs = start_iocs(lab, home, addresses)
                    for ioc, (host, port) in addresses.items():
                        where = f"{lab.prefix_of(ioc)}* on {host}:{port}, {lab.twin.speed:g} x real time"
                        self.tell(f"{SIMULATED[ioc]:20}{where}")
            finally:
                uri = tiled.result().uri if tiled is not None else lab.catalogue.uri
        self.writer = start_writer(home.log, uri, api_key(home.tiled), home.tiled / "writer.log")
        write_profile(home.tiled / "profiles", uri)
        self.tell(f"catalogue           {uri}, fed from {home.log}")
        host, port = addresses["sputter"]
        rbs, mocvd = (addresses.get(ioc, (None, None)) for ioc in ("rbs", "mocvd"))
        self.info = ServiceInfo(
            os.getpid(), own_start(), lab.name, lab.prefix, host, port, uri, self._children(), *rbs, *mocvd
        )
        home.write_services(self.info)
        self._watcher = threading.Thread(target=self._watch, name="services", daemon=True)
        self._watcher.start()

    def _start_tiled(self) -> TiledServer:
        port = self.lab.catalogue.port
        settings = tiled_settings(self.lab, self.home, 0 if port == "auto" else port)
        self.tiled = TiledServer.start(settings, self.home.tiled)
        return self.tiled

    def _children(self) -> dict[str, int]:
        processes = {
            "ioc": self.iocs.get("sputter"),
            "rbs": self.iocs.get("rbs"),
            "mocvd": self.iocs.get("mocvd"),
            "tiled": self.tiled.process if self.tiled is not None else None,
            "writer": self.writer,
        }
        return {name: process.pid for name, process in processes.items() if process is not None}

    def _watch(self) -> None:
        ended: set[str] = set()
        while not self._ending.wait(LOOK_EVERY_S):
            try:
                if self.tiled is not None and self.tiled.process.poll() is not None:
                    log.warning("Tiled ended (%s): starting it again", self.tiled.process.returncode)
                    port = int(self.info.tiled_uri.rsplit(":", 1)[1])
                    self.tiled = TiledServer.start(tiled_settings(self.lab, self.home, port), self.home.tiled)
                if self.writer is not None and self.writer.poll() is not None:
                    log.warning("the writer ended (%s): starting it again", self.writer.returncode)
                    key = api_key(self.home.tiled)
                    self.writer = start_writer(self.home.log, self.info.tiled_uri, key, self.home.tiled / "writer.log")
                if self._children() != self.info.children:
                    self.info = replace(self.info, children=self._children())
                    self.home.write_services(self.info)
                for ioc, process in self.iocs.items():
                    if process.poll() is not None and ioc not in ended:
                        ended.add(ioc)
                        where = self.home.log_of(ioc)
                        log.error("the %s ended (%s): see %s", SIMULATED[ioc], process.returncode, where)
            except (ServiceError, OSError) as fault:
                log.error("a service cannot be started again, trying on: %s", fault)

    def stop(self) -> None:
        """End everything in the order in which nothing is lost: the machine, the writer, the server."""
        self._ending.set()
        if self._watcher is not None:
            self._watcher.join(90.0)
        for ioc in self.iocs.values():
            ioc.terminate()
        for ioc in self.iocs.values():
            end(ioc, 5.0)
        if self.writer is not None:
            end(self.writer, 20.0)
        if self.tiled is not None:
            self.tiled.stop()
        running = self.home.services()
        if running is not None and running.pid == os.getpid():
            with suppress(FileNotFoundError):
                self.home.services_file.unlink()
        self._claim.release()

    def __enter__(self) -> Services:
        """Use as a context manager to have everything ended."""
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.stop()
