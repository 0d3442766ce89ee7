"""A queue server with its environment open, on a Redis of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _terminal import Place, Terminal

from sdl_bluesky.session.epics_env import free_port

ANSWERS_WITHIN_S = 20.0
"""A manager that stands still for a moment is not gone; the client's own patience is 2 s."""
IDLE_WITHIN_S = 180.0


@dataclass(frozen=True)
class Queue:
    """A running queue server with its environment open."""

    place: Place
    manager: Terminal
    api: Any
    address: str

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run one item to its end; what the history says of it."""
        from bluesky_queueserver_api import BPlan

        uid = self.api.item_add(BPlan(*args, **kwargs))["item"]["item_uid"]
        self.api.queue_start()
        self.api.wait_for_idle(timeout=IDLE_WITHIN_S)
        [item] = [item for item in self.api.history_get(reload=True)["items"] if item["item_uid"] == uid]
        self.api.queue_clear()  # a failed item goes back to the front
        return item


def free_ports(count: int) -> list[int]:
    """Ports below those of outgoing connections, which could take them again before a server does."""
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(taken=ports))
    return ports


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.05)


@contextmanager
def running_redis(folder: Path) -> Iterator[int]:
    """A Redis server that writes nothing; yields its port."""
    [port] = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)

    def ready() -> bool:
        assert server.poll() is None, "redis-server ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for("redis", ready)
        yield port
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def running_queue(place: Place, redis: int) -> Iterator[Queue]:
    """A queue server as startup/README.md says, on ports of its own; its worker starts the lab's services."""
    from bluesky_queueserver_api.zmq import REManagerAPI

    control, info = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    manager = place.start(
        str(Path(sys.executable).with_name("start-re-manager")),
        *("--config", "startup/queue-server.yml", "--redis-addr", f"127.0.0.1:{redis}"),
        *("--zmq-control-addr", control, "--zmq-info-addr", info),
    )
    patience = {"timeout_recv": ANSWERS_WITHIN_S, "timeout_send": ANSWERS_WITHIN_S}
    api = REManagerAPI(zmq_control_addr=control, zmq_info_addr=info, **patience)
    try:
        wait_for("the manager", lambda: answers(api), 120.0)
        api.environment_open()
        api.wait_for_idle(timeout=IDLE_WITHIN_S)
        assert api.status(reload=True)["worker_environment_exists"], manager.text
        yield Queue(place, manager, api, control)
        api.send_request(method="manager_stop", params={"option": "safe_off"})
        manager.process.wait(60)
    finally:
        api.close()
        manager.end()


def answers(api: Any) -> bool:
    try:
        return bool(api.status(reload=True)["manager_state"] == "idle")
    except api.RequestTimeoutError:
        return False
