"""The startup folder in the worker of a queue server, with a real Redis."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from _manager import IDLE_WITHIN_S, Queue, running_queue, running_redis, wait_for
from _terminal import STEADY, Place, alive, descendants

pytestmark = [
    pytest.mark.system,
    pytest.mark.redis,
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="needs redis-server (apt-get install redis-server)"
    ),
]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    place = Place(tmp_path_factory.mktemp("queue"), measurement=STEADY)
    with running_redis(tmp_path_factory.mktemp("redis")) as redis, running_queue(place, redis) as running:
        yield running


def test_plans_are_described_and_bare_moves_are_not_offered(queue: Queue) -> None:
    plans = queue.api.plans_allowed()["plans_allowed"]
    sputter = {"measure_rate", "measure_total", "cosputter", "calibrate_light", "measure_reactive", "run_campaign"}
    assert {*sputter, "measure_rbs", "make_safe", "count"} == set(plans)
    parameters = {p["name"]: p for p in plans["measure_rate"]["parameters"]}
    types = {name: p["annotation"]["type"] for name, p in parameters.items()}
    assert types.items() >= {"source": "str", "power": "float", "pressure": "float", "sample": "str"}.items()
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
    queue.api.wait_for_idle(timeout=IDLE_WITHIN_S)
    assert not queue.api.status(reload=True)["worker_environment_exists"]
    assert not alive(set(services["children"].values()), 60.0)
    file = queue.place.home / "services.json"
    wait_for("the session closed in order and was not left to die", lambda: not file.exists())
    assert queue.place.listing() == queue.place.files
