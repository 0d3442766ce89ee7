"""A laboratory whose programs can be killed one by one, and that is brought back as people and service managers would.

`sdl up` starts Tiled and the writer again. An IOC, a Redis and the worker of a queue server are brought back by the study.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.lifeline import tail
from sdl_bluesky.data.server import api_key
from sdl_bluesky.errors import ServiceError, ServiceMissing
from sdl_bluesky.session.epics_env import free_port
from sdl_bluesky.session.home import Home, ServiceInfo
from sdl_bluesky.session.lab import default_lab_path
from sdl_bluesky.session.twin import start_ioc

if TYPE_CHECKING:
    from tiled.client.container import Container

SDL = (sys.executable, "-m", "sdl_bluesky.cli")
FOREIGN = ("EPICS_", "TILED_", "SDL_", "QSERVER_")
"""Variables of whoever runs the study; they are not for its laboratory."""
READY_S = 300.0
"""Until a program serves or a campaign moves: a machine may have other things to do."""
ENDS_S = 20.0
TRIES = 3
"""To start a service."""

log = logging.getLogger(__name__)
T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = READY_S) -> None:
    """Wait until something that another process does is done.

    Raises:
        ServiceError: it is not, in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)


class Program:
    """A command that runs; what it says goes into a file.

    Args:
        command: with its arguments.
        env: its whole environment.
        output: file for what it says.
        folder: where it is started.
    """

    def __init__(self, command: tuple[str, ...], env: Mapping[str, str], output: Path, folder: Path) -> None:
        self.output = output
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self, within_s: float = 0.0) -> int | None:
        """Its exit status, if it ends within that time."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self, pid: int | None = None) -> None:
        """End it as the system does when memory is short: at once."""
        os.kill(pid or self.process.pid, signal.SIGKILL)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ask it to end as Ctrl-C does; kill it and its group if it does not."""
        if self.ended() is None:
            os.killpg(self.process.pid, number)
            if self.ended(ENDS_S) is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def said(self, lines: int = 5) -> str:
        """The end of what it said."""
        return tail(self.output, lines)


class Laboratory:
    """The shipped laboratory on simulated instruments, in a folder of its own.

    Args:
        folder: of everything.
        speed: simulated seconds per second.
        seed: of the simulated instruments.
        stack: ends what is started.
    """

    def __init__(self, folder: Path, speed: float, seed: int, stack: ExitStack) -> None:
        self.folder, self.home, self._stack = folder, Home(folder / "home").make(), stack
        data = yaml.safe_load(default_lab_path().read_text())
        del data["rbs"]
        data["name"] = "kills"
        data["twin"] |= {"speed": speed, "seed": seed}
        data["mocvd"] |= {"strain": "coherent"}
        self.home.lab_file.write_text(yaml.safe_dump(data, sort_keys=False))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        self.env |= {"SDL_HOME": str(self.home.path), "PYTHONUNBUFFERED": "1"}
        self._count = 0
        self._iocs: dict[str, subprocess.Popen[bytes]] = {}
        self._dead: dict[str, int] = {}
        self.up = _patiently(self._start_up)

    def _start_up(self) -> Program:
        up = self.start("up", *SDL, "up")
        wait_for("sdl up", lambda: up.ended() is not None or self.home.services() is not None)
        if up.ended() is not None:
            raise ServiceError(f"`sdl up` ended: {up.said(20)}")
        return up

    def start(self, name: str, *command: str) -> Program:
        """Start a command; it is ended with the study."""
        self._count += 1
        program = Program(command, self.env, self.folder / f"{self._count:02d}-{name}.txt", self.folder)
        self._stack.callback(program.stop)
        return program

    def campaign(self, *words: str) -> Program:
        """Start `sdl campaign ...`."""
        return self.start("campaign", *SDL, "campaign", *words)

    @property
    def services(self) -> ServiceInfo:
        """What `sdl up` says of its services.

        Raises:
            ServiceError: it does not run.
        """
        info = self.home.services()
        if info is None:
            raise ServiceError(f"`sdl up` has ended: {self.up.said(20)}")
        return info

    def client(self) -> Container:
        """The catalogue."""
        return connect(self.services.tiled_uri, api_key(self.home.tiled), patience=READY_S)

    def pid(self, service: str) -> int:
        """Process number of "tiled", "writer", "ioc" or "mocvd"."""
        own = self._iocs.get(service)
        return own.pid if own is not None else self.services.children[service]

    def kill_service(self, service: str) -> None:
        """Kill a service that serves; an IOC is started again."""
        self.wait_until_back()
        pid = self.pid(service)
        os.kill(pid, signal.SIGKILL)
        if service in ("tiled", "writer"):
            self._dead[service] = pid
        else:
            self._start_ioc(service)

    def wait_until_back(self) -> None:
        """Wait until `sdl up` has started again what was killed."""
        for service, killed in self._dead.items():
            wait_for(f"a new {service}", lambda service=service, killed=killed: self.pid(service) != killed)
        self._dead.clear()

    def _start_ioc(self, service: str) -> None:
        ioc = "sputter" if service == "ioc" else service
        where: dict[str, tuple[str, int]] = dict(zip(("ioc", "mocvd"), self.services.addresses))
        host, port = where[service]
        before = self._iocs.get(service)
        if before is not None:
            before.wait()
        wait_for(f"port {port} is free", lambda: _is_closed(host, port))
        started = _patiently(lambda: start_ioc(self.home.load_lab(), self.home, port, ioc))
        self._iocs[service] = started
        self._stack.callback(lambda: (started.kill(), started.wait()))


def _patiently(start: Callable[[], T]) -> T:
    """Start something as a service manager does, which tries again."""
    for _ in range(TRIES - 1):
        try:
            return start()
        except ServiceError as fault:
            log.warning("trying again: %s", fault)
    return start()


def _is_closed(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) != 0


class Redis:
    """A Redis server that keeps what it was told in a file, and can be killed.

    Raises:
        ServiceMissing: there is no redis-server.
    """

    def __init__(self, lab: Laboratory) -> None:
        self._lab, self.port = lab, free_port("127.0.0.1")
        if shutil.which("redis-server") is None:
            raise ServiceMissing("the study of kills needs redis-server (apt-get install redis-server)")
        self._start()

    def _start(self) -> None:
        keeps = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(self._lab.folder))
        place = ("--port", str(self.port), "--bind", "127.0.0.1")
        self._program = self._lab.start("redis", "redis-server", *place, *keeps)
        wait_for("redis-server", lambda: not _is_closed("127.0.0.1", self.port))

    def kill(self) -> None:
        """Kill it and start it again."""
        self._program.kill()
        self._program.process.wait()
        self._start()
