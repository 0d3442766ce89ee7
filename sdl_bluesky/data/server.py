"""A Tiled server of one's own, as a child process that ends with this one.

with TiledServer.start(TiledSettings.local("data/tiled", port=8000), "data/tiled") as server:
    server.uri, server.api_key
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx
import yaml

from sdl_bluesky.data.layout import ensure_containers
from sdl_bluesky.data.lifeline import end, spawn, tail
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.errors import PortInUse, ServiceError

KEY_VARIABLE = "TILED_API_KEY"
LAB_KEY_VARIABLE = "SDL_LAB_KEY"


def api_key(directory: Path | str) -> str:
    """The key of the server: from the environment (TILED_API_KEY), else from the folder's `api-key`, else a new one.

    Raises:
        ServiceError: the key cannot be kept, or Tiled would refuse it (letters and digits only).
    """
    path = Path(directory) / "api-key"
    key = os.environ.get(KEY_VARIABLE, "")
    try:
        if not key and path.exists():
            key = path.read_text().strip()
        if not key:
            key = _keep(secrets.token_hex(32), path)
    except OSError as error:
        raise ServiceError(f"the API key in {path} cannot be read or written: {error}") from error
    if not (key.isascii() and key.isalnum()):
        raise ServiceError(f"an API key of Tiled has letters and digits only: change {KEY_VARIABLE} or {path}")
    return key


def _hexadecimal(key: str, folder: Path) -> str:
    try:
        enough = len(bytes.fromhex(key)) >= 4
    except ValueError:
        enough = False
    if not enough:
        raise ServiceError(
            "the key of a server of one's own has hexadecimal digits, an even number, 8 at least: "
            f"change {KEY_VARIABLE} or {folder / 'api-key'} (without both, a good one is made)"
        )
    return key


def _keep(key: str, path: Path) -> str:
    """Write a new key, whole or not at all; returns the one that is kept if another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    _write_secret(part, key + "\n")
    try:
        os.link(part, path)
    except FileExistsError:
        return path.read_text().strip()
    finally:
        part.unlink()
    return key


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        os.fchmod(file.fileno(), 0o600)  # the file may be an old one
        file.write(text)


class TiledServer:
    """A running server; `start` makes one.

    Attributes:
        uri: address, for clients.
        api_key: key, for clients.
        directory: folder with its configuration, key and log (`tiled.log`).
        process: the child process.
    """

    def __init__(self, uri: str, api_key: str, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.uri, self.api_key, self.directory, self.process = uri, api_key, directory, process

    @classmethod
    def start(
        cls, settings: TiledSettings, directory: Path | str, key: str | None = None, timeout: float = 60.0
    ) -> TiledServer:
        """Start a server and wait until it serves the containers raw, campaigns and analysis.

        Args:
            settings: what it is made of; port 0 takes a free one.
            directory: folder for configuration, key and log, made if missing.
            key: the lab's own API key; default see `api_key`.
            timeout: seconds until it must answer.

        Raises:
            PortInUse: the port is somebody else's.
            ServiceError: it does not come up; the message ends with the tail of its log.
        """
        folder = Path(directory).resolve()
        settings = replace(settings, keys=settings.keys or f"sqlite:///{folder / 'keys.db'}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_secret(folder / "tiled.yml", yaml.safe_dump(dict(settings.config())))  # URIs may hold passwords
        except OSError as error:
            raise ServiceError(f"the folder {folder} of Tiled cannot be written: {error}") from error
        key = _hexadecimal(key or api_key(folder), folder)
        with _bind(settings.host, settings.port) as listener:
            host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
            uri = f"http://{host}:{listener.getsockname()[1]}"
            process = spawn(
                "sdl_bluesky.data.serve",
                [str(folder / "tiled.yml"), "--fd", str(listener.fileno()), "--parent", str(os.getpid())],
                folder / "tiled.log",
                {LAB_KEY_VARIABLE: key},
                pass_fds=[listener.fileno()],
            )
        server = cls(uri, key, folder, process)
        try:
            server._wait(time.monotonic() + timeout)
        except BaseException:
            server.stop()
            raise
        return server

    def _wait(self, deadline: float) -> None:
        from sdl_bluesky.data.catalogue import connect

        while True:
            if self.process.poll() is not None:
                raise ServiceError(f"Tiled ended at once ({self.process.returncode}):\n{tail(self._log)}")
            try:
                if httpx.get(f"{self.uri}/healthz", timeout=1.0, trust_env=False).is_success:
                    break
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise ServiceError(f"Tiled does not serve at {self.uri} in time:\n{tail(self._log)}")
            time.sleep(0.05)
        try:
            ensure_containers(connect(self.uri, self.api_key))
        except httpx.HTTPError as error:
            raise ServiceError(f"Tiled serves, but refuses its containers ({error}):\n{tail(self._log)}") from error

    @property
    def _log(self) -> Path:
        return self.directory / "tiled.log"

    def stop(self, timeout: float = 10.0) -> None:
        """End the server."""
        end(self.process, timeout)

    def __enter__(self) -> TiledServer:
        """Use it as a context manager to have it stopped."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        kind, advice = (
            (PortInUse, "end the program that has the port, or choose another one (0 takes a free one)")
            if error.errno == errno.EADDRINUSE
            else (ServiceError, "choose another address")
        )
        raise kind(f"Tiled cannot listen on {host}:{port} ({error.strerror}): {advice}") from error
    return listener
