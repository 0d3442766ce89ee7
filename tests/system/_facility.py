"""Real servers of a facility, PostgreSQL and Redis, on free ports and in a temporary folder: one pair for a test process.

A program that is missing is an error that says what to install, never a skipped test.
"""

from __future__ import annotations

import functools
import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.session.epics_env import free_port

READY_WITHIN_S = 60.0
OWNER = "tiled"
KINDS = ("sqlite", "postgresql")
WATCH = """
import os, shutil, signal, sys
sys.stdin.read()  # until the test process has ended, however that came
for pid in map(int, sys.argv[2:]):
    os.kill(pid, signal.SIGINT)  # at SIGTERM PostgreSQL would wait for its clients
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@dataclass(frozen=True)
class Facility:
    """Where the servers answer; the watcher ends them when this process, and with it the watcher's input, has ended."""

    postgresql: str
    redis: str
    programs: Path
    watcher: subprocess.Popen[bytes]

    def database(self) -> str:
        """Make a new database; returns "OWNER@host:port/name"."""
        name = f"tiled_{uuid.uuid4().hex[:12]}"
        host, port = self.postgresql.split(":")
        command = [self.programs / "createdb", "-h", host, "-p", port, "-U", OWNER, name]
        subprocess.run(command, check=True, timeout=READY_WITHIN_S)
        return f"{OWNER}@{self.postgresql}/{name}"


def program(name: str, places: str = "") -> Path:
    """Path of a program.

    Raises:
        RuntimeError: it is not installed.
    """
    found = shutil.which(name) or max(glob.glob(places), default=None)
    if found is None:
        raise RuntimeError(f"{name} is missing: apt-get install -y postgresql redis-server, then run the tests again")
    return Path(found)


def nobody_special() -> dict[str, object]:
    """PostgreSQL refuses to run as root: the account under which it runs instead."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


@functools.cache
def facility() -> Facility:
    """The servers of this process, started at the first call and ended with it."""
    redis_server = program("redis-server")
    programs = program("initdb", "/usr/lib/postgresql/*/bin/initdb").resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="sdl-facility-"))
    account = nobody_special()
    if account:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    data, log = folder / "postgresql", folder / "log"
    initdb = [programs / "initdb", "-D", data, "-U", OWNER, "--auth=trust", "--no-sync", "--encoding=UTF8"]
    done = subprocess.run(initdb, cwd=folder, env=environment, capture_output=True, text=True, check=False, **account)
    assert done.returncode == 0, done.stdout + done.stderr
    first = free_port()  # below those of outgoing connections, which could take it before the server does
    ports = first, free_port(taken=[first])
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    postgres = [programs / "postgres", "-D", data, "-p", str(ports[0])]
    postgres += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    redis = [redis_server, "--port", str(ports[1]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with log.open("w") as output:
        servers = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output, **who)
            for command, who in ((postgres, account), (redis, {}))
        ]
    watch = [sys.executable, "-c", WATCH, str(folder), *(str(process.pid) for process in servers)]
    watcher = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
    _await(("127.0.0.1", ports[1]), log)
    assert servers[1].poll() is None, log.read_text()  # or somebody else answers there
    ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(ports[0])]
    deadline = time.monotonic() + READY_WITHIN_S
    while subprocess.run(ready, check=False).returncode != 0:
        assert servers[0].poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return Facility(f"127.0.0.1:{ports[0]}", f"redis://127.0.0.1:{ports[1]}", programs, watcher)


def _await(address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            socket.create_connection(address, timeout=1.0).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def settings_of(kind: str, folder: Path) -> TiledSettings:
    """A Tiled server of a lab alone ("sqlite"), or of a facility ("postgresql", with Redis), with databases of its own."""
    local = TiledSettings.local(folder)
    if kind == "sqlite":
        return local
    servers = facility()
    storage = (local.storage[0], f"postgresql://{servers.database()}")
    catalog = f"postgresql+asyncpg://{servers.database()}"
    return replace(local, catalog=catalog, storage=storage, streaming_cache=servers.redis)
