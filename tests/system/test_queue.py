"""The startup folder in the worker of a queue server, with a real Redis."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _terminal import Place, Terminal, alive, descendants

pytestmark = [
    pytest.mark.system,
    pytest.mark.redis,
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="needs redis-server (apt-get install redis-server)"
    ),
]


@dataclass(frozen=True)
class Queue:
    """A running queue server with its environment open."""

    place: Place
    manager: Terminal
    api: Any

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run one item to its end; what the history says of it."""
        from bluesky_queueserver_api import BPlan

        uid = self.api.item_add(BPlan(*args, **kwargs))["item"]["item_uid"]
        self.api.queue_start()
        self.api.wait_for_idle(timeout=90)
        [item] = [item for item in self.api.history_get()["items"] if item["item_uid"] == uid]
        self.api.queue_clear()  # a failed item goes back to the front
        return item


def free_ports(count: int) -> list[int]:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        sockets = [first, second, third][:count]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis server of our own that writes nothing."""
    [port] = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)

    def answers() -> bool:
        assert server.poll() is None, "redis-server ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for("redis", answers)
        yield port
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def queue(redis: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A queue server as startup/README.md says, on ports of its own; its worker starts the lab's services."""
    from bluesky_queueserver_api.zmq import REManagerAPI

    place = Place(tmp_path_factory.mktemp("queue"))
    control, info = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    manager = place.start(
        str(Path(sys.executable).with_name("start-re-manager")),
        *("--config", "startup/queue-server.yml", "--redis-addr", f"127.0.0.1:{redis}"),
        *("--zmq-control-addr", control, "--zmq-info-addr", info),
    )
    api = REManagerAPI(zmq_control_addr=control, zmq_info_addr=info)
    try:
        wait_for("the manager", lambda: answers(api))
        api.environment_open()
        api.wait_for_idle(timeout=90)
        assert api.status()["worker_environment_exists"], manager.text
        yield Queue(place, manager, api)
    finally:
        api.close()
        manager.end()


def answers(api: Any) -> bool:
    try:
        return bool(api.status()["manager_state"] == "idle")
    except api.RequestTimeoutError:
        return False


def test_plans_are_described_and_bare_moves_are_not_offered(queue: Queue) -> None:
    plans = queue.api.plans_allowed()["plans_allowed"]
    sputter = {"measure_rate", "cosputter", "calibrate_light", "measure_reactive", "run_campaign"}
    assert {*sputter, "measure_rbs", "make_safe", "count"} == set(plans)
    parameters = {p["name"]: p for p in plans["measure_rate"]["parameters"]}
    assert {name: p["annotation"]["type"] for name, p in parameters.items()} == {
        "source": "str",
        "power": "float",
        "pressure": "float",
        "sample": "str",
    }
    assert all(p["description"] for plan in plans.values() if plan["name"] != "count" for p in plan["parameters"])
    assert parameters["power"]["description"] == "Power [W]."
    assert parameters["sample"]["default"] == "''"
    cosputter = {p["name"]: p["annotation"]["type"] for p in plans["cosputter"]["parameters"]}
    assert cosputter["powers"] == "dict[str, float]"
    assert {"cu", "qcm1", "gauge"} <= set(queue.api.devices_allowed()["devices_allowed"])


def test_a_measurement_runs_as_an_item(queue: Queue) -> None:
    item = queue.run("measure_rate", "cu", 50, 8.0, sample="queue")
    assert item["result"]["exit_status"] == "completed", item["result"]
    [uid] = item["result"]["run_uids"]
    start = queue.place.wait_for_run(uid).metadata["start"]
    assert (start["sample"], start["plan_name"], start["sources"]) == ("queue", "measure_rate", ["cu"])


def test_faults_are_typed(queue: Queue) -> None:
    result = queue.run("measure_rate", "xx", 50.0, 8.0)["result"]
    assert result["exit_status"] == "failed"
    assert result["run_uids"] == []
    assert "unknown source 'xx': choose one of 'cu', 'sn', 'ni', 'al'" in result["msg"]
    assert "sdl_bluesky.errors.UnknownName" in result["traceback"]
    with pytest.raises(queue.api.RequestFailedError, match="power"):
        queue.run("measure_rate", "cu", "much", 8.0)
    with pytest.raises(queue.api.RequestFailedError, match="mv"):
        queue.run("mv", "cu.power", 20.0)


def test_it_listens_on_this_machine_only_and_keeps_the_lab_to_itself(queue: Queue) -> None:
    assert "tcp://*" not in queue.manager.text
    refused = queue.place.sdl("shell", "-c", "print('not' + ' reached')")
    assert refused.returncode == 1
    assert "runs this lab already" in refused.stderr


def test_closing_the_environment_ends_what_it_started(queue: Queue) -> None:
    services = queue.place.services()
    assert services["pid"] in descendants(queue.manager.process.pid)
    assert services["pid"] != os.getpid()
    queue.api.environment_close()
    queue.api.wait_for_idle(timeout=60)
    assert not queue.api.status()["worker_environment_exists"]
    assert not alive(set(services["children"].values()), 20.0)
    file = queue.place.home / "services.json"
    wait_for("the session closed in order and was not left to die", lambda: not file.exists(), 10.0)
    assert queue.place.listing() == queue.place.files
