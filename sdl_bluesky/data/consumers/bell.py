"""A bell that a Tiled server rings: something under one of these paths is new.

What is new is read from the catalogue afterwards, not from the message. So nothing is lost or doubled when a message is,
a server forgets its stream at a restart, or a run is written anew; a connection that was lost rings when it is back. Tiled
tells of rows before it has written them, so rows ring again a moment later.

Tiled's own subscriptions make a key for each connection where a server knows several keys, which a key that only reads
cannot do. Here the consumer's key opens the connection itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_OPEN_S = 5.0
_CREATED = "container-child-created"
_ROWS = ("table-data", "table-schema")
_ECHOES_S = (0.0, 0.05, 0.15, 0.4)
_NO_STREAM = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED)


class Bell:
    """Listens at nodes of a catalogue, in a thread of its own, until it is closed.

    What is made below a node of a container at the top is listened to at once, since the first news may come with it.

    Args:
        client: root of the catalogue; its address and key are used.

    Attributes:
        refused: why the server has no news to tell at all; "" if it has.
        limited: True if the key may not hear of a node, since that tells of things that it does not open.
    """

    def __init__(self, client: Container) -> None:
        base = urlsplit(str(client.context.api_uri))
        scheme = "wss" if base.scheme == "https" else "ws"
        self._base = urlunsplit((scheme, base.netloc, base.path.rstrip("/") + "/stream/single/", "", ""))
        self._headers = {"Authorization": f"Apikey {client.context.api_key}"} if client.context.api_key else {}
        self._proxy = None if base.hostname in ("127.0.0.1", "localhost", "::1") else True
        self._rung = threading.Event()
        self._where: set[str] = set()
        self._lock = threading.Lock()
        self._connected: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.refused = ""
        self.limited = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bell", daemon=True)
        self._thread.start()

    def listen(self, paths: Iterable[str]) -> None:
        """Listen at these nodes ("campaigns/UID/decision") and at no others; each rings once it is listened to."""
        asyncio.run_coroutine_threadsafe(self._listen(set(paths)), self._loop).result()

    @property
    def hears(self) -> bool:
        """True if a connection stands."""
        return bool(self._connected)

    def wait(self, timeout_s: float) -> set[str]:
        """Wait for a ring, `timeout_s` seconds at most; returns the nodes that rang since the last call."""
        self._rung.wait(timeout_s)
        with self._lock:
            rang, self._where = self._where, set()
            self._rung.clear()
        return rang

    def ring(self, path: str) -> None:
        """Wake whoever waits: there may be something new at a node."""
        with self._lock:
            self._where.add(path)
            self._rung.set()

    def close(self) -> None:
        """Listen no more."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._listen(set()), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Bell:
        """Use it as a context manager to have it closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    async def _listen(self, paths: set[str]) -> None:
        gone = [self._tasks.pop(path) for path in self._tasks.keys() - paths]
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        self._connected &= paths
        for path in paths - self._tasks.keys():
            self._tasks[path] = self._loop.create_task(self._attend(path), name=path)

    async def _attend(self, path: str) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                await self._hear(path)
                pause = _FIRST_PAUSE_S  # the server ended it well
            except InvalidStatus as refusal:
                if refusal.response.status_code == HTTPStatus.FORBIDDEN:  # for as long as the key lives
                    self.limited = True
                    self.ring(path)
                    return
                self._note(path, refusal.response.status_code)
                pause = _LONGEST_PAUSE_S
            except (OSError, WebSocketException) as fault:
                log.debug("%s is not listened to: %r", path, fault)
                pause = _FIRST_PAUSE_S if path in self._connected else pause
            self._connected.discard(path)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _note(self, path: str, status: int) -> None:
        log.debug("the server refuses news of %s (%d)", path, status)
        if "/" not in path and status in _NO_STREAM and not self.refused:  # below the top it may just be gone
            self.refused = f"HTTP {status}"
            self.ring(path)

    async def _hear(self, path: str) -> None:
        uri = f"{self._base}{quote(path)}?envelope_format=msgpack"
        options: dict[str, Any] = {
            "proxy": self._proxy,
            "max_size": None,
            "open_timeout": _OPEN_S,
            "close_timeout": 1.0,
        }
        async with connect(uri, additional_headers=self._headers, **options) as socket:
            schema = await socket.recv()  # from here on nothing escapes us
            self._connected.add(path)
            self.refused = ""
            self._take(path, _told(schema))
            async for message in socket:
                self._take(path, _told(message))

    def _take(self, path: str, told: Mapping[str, Any]) -> None:
        if told.get("type") == _CREATED:
            self._renew(path, f"{path}/{told['key']}")
        if told.get("type") in _ROWS:
            self._echo(path)
        else:
            self.ring(path)

    def _echo(self, path: str) -> None:
        for echo_s in _ECHOES_S:
            self._loop.call_later(echo_s, self.ring, path)

    def _renew(self, path: str, child: str) -> None:
        """A node that was deleted and made again is another one, though its name is the same: listen to the new one."""
        for known in [name for name in self._tasks if name == child or name.startswith(child + "/")]:
            self._tasks.pop(known).cancel()
            self._connected.discard(known)
            self._tasks[known] = self._loop.create_task(self._attend(known), name=known)
        if "/" in path and child not in self._tasks:
            self._tasks[child] = self._loop.create_task(self._attend(child), name=child)


def _told(message: str | bytes) -> Mapping[str, Any]:
    told = msgpack.unpackb(message) if isinstance(message, bytes) else {}
    return told if isinstance(told, dict) else {}
