"""The bell of a consumer, at a websocket server that speaks as Tiled does."""

import threading
import time
from http import HTTPStatus
from types import SimpleNamespace

import msgpack
import pytest
from websockets.sync.server import serve

from sdl_bluesky.data.consumers.bell import Bell

WITHIN_S = 30.0


class Server:
    """Tells what it is asked to tell, at "campaigns" and below."""

    def __init__(self, port=0, refuse=None):
        self.refuse = refuse or {}
        self.sockets, self.asked, self.keys = {}, [], []
        self.server = serve(self._serve, "127.0.0.1", port, process_request=self._look)
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _look(self, connection, request):
        path = request.path.split("?")[0].removeprefix("/api/v1/stream/single/")
        self.asked.append(path)
        self.keys.append(request.headers.get("Authorization"))
        return connection.respond(self.refuse[path], "") if path in self.refuse else None

    def _serve(self, socket):
        path = socket.request.path.split("?")[0].removeprefix("/api/v1/stream/single/")
        self.sockets[path] = socket
        socket.send(msgpack.packb({"type": "container-schema", "version": 1}))
        for _ in socket:
            pass

    def tell(self, path, **message):
        self.sockets[path].send(msgpack.packb(message))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for socket in self.sockets.values():
            socket.close()
        self.server.shutdown()


def bell_of(server):
    context = SimpleNamespace(api_uri=f"http://127.0.0.1:{server.port}/api/v1/", api_key="c0ffee")
    return Bell(SimpleNamespace(context=context))


def ring_of(bell, *paths):
    """Wait until each of these nodes has rung."""
    deadline, left = time.monotonic() + WITHIN_S, set(paths)
    while left := left - bell.wait(0.1):
        assert time.monotonic() < deadline, f"{left} did not ring"


def quiet(bell):
    while bell.wait(0.5):
        pass


def test_it_rings_when_it_listens_and_at_each_message():
    with Server() as server, bell_of(server) as bell:
        bell.listen(["campaigns"])
        ring_of(bell, "campaigns")
        assert bell.hears
        assert server.keys == ["Apikey c0ffee"]
        quiet(bell)
        server.tell("campaigns", type="container-child-metadata-updated", key="u")
        ring_of(bell, "campaigns")
        bell.listen([])
        assert not bell.hears


def test_rows_ring_again_since_they_are_told_before_they_are_written():
    with Server() as server, bell_of(server) as bell:
        bell.listen(["campaigns/u/decision/internal"])
        ring_of(bell, "campaigns/u/decision/internal")
        quiet(bell)
        rung, ring = [], bell.ring

        def count(path):  # who hears late hears several at once
            rung.append(path)
            ring(path)

        bell.ring = count
        server.tell("campaigns/u/decision/internal", type="table-data", payload=b"\x00" * 2_000_000)
        ring_of(bell, "campaigns/u/decision/internal")
        deadline = time.monotonic() + WITHIN_S
        while len(rung) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert set(rung) == {"campaigns/u/decision/internal"}


def test_a_node_made_anew_and_one_that_is_new_are_listened_to_at_once():
    with Server() as server, bell_of(server) as bell:
        bell.listen(["campaigns", "campaigns/u"])
        ring_of(bell, "campaigns", "campaigns/u")
        quiet(bell)
        old = server.sockets["campaigns/u"]
        server.tell("campaigns", type="container-child-created", key="u")
        ring_of(bell, "campaigns/u")
        assert server.sockets["campaigns/u"] is not old
        server.tell("campaigns/u", type="container-child-created", key="decision")
        ring_of(bell, "campaigns/u/decision")
        quiet(bell)
        server.tell("campaigns", type="container-child-created", key="of somebody else")
        ring_of(bell, "campaigns")
        assert "campaigns/of%20somebody%20else" not in server.asked


def test_a_lost_connection_comes_back_and_rings():
    with Server() as server, bell_of(server) as bell:
        bell.listen(["campaigns"])
        ring_of(bell, "campaigns")
        quiet(bell)
        server.__exit__()
        with Server(server.port) as again:
            ring_of(bell, "campaigns")
            assert again.asked == ["campaigns"]


@pytest.mark.parametrize(
    ("path", "status", "refused"),
    [
        ("campaigns", HTTPStatus.INTERNAL_SERVER_ERROR, "HTTP 500"),
        ("campaigns", HTTPStatus.NOT_FOUND, ""),
        ("campaigns/u", HTTPStatus.INTERNAL_SERVER_ERROR, ""),
    ],
)
def test_a_server_without_news_is_known_by_its_refusal_at_the_top(path, status, refused):
    with Server(refuse={path: status}) as server, bell_of(server) as bell:
        bell.listen([path])
        deadline = time.monotonic() + WITHIN_S
        while server.asked.count(path) < 2:
            assert time.monotonic() < deadline
            bell.wait(0.05)
        assert bell.refused == refused
        assert not bell.hears
