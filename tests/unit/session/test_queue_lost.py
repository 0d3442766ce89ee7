"""What a queue server does not notice, its agent does within seconds: a dead worker, a lost end, a Redis that is away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sdl_bluesky.errors import ServiceError, ServiceMissing
from sdl_bluesky.session.claim import Claim, is_held
from sdl_bluesky.session.queue import client
from sdl_bluesky.session.queue.client import QueueClient

IDLE: Mapping[str, Any] = {
    "manager_state": "idle",
    "worker_environment_exists": True,
    "worker_environment_state": "idle",
    "items_in_queue": 0,
    "running_item_uid": None,
}
BUSY = {
    **IDLE,
    "manager_state": "executing_queue",
    "worker_environment_state": "executing_plan",
    "running_item_uid": "a",
}


class Manager:
    """What a queue server answers, one status after the other; the last one for ever."""

    RequestTimeoutError = type("RequestTimeoutError", (TimeoutError,), {})
    RequestFailedError = type("RequestFailedError", (Exception,), {})

    def __init__(self, **_: Any) -> None:
        self.answers: list[Any] = [IDLE]
        self.history: list[Any] = []
        self.looks = self.touched = 0

    def status(self, reload: bool) -> Any:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def history_get(self, reload: bool) -> Any:
        if self.history and isinstance(self.history[0], Exception):
            raise self.history[0]
        return {"items": self.history}

    def send_request(self, method: str) -> Any:
        assert method == "queue_get"
        self.touched += 1
        if self.touched == 1:
            raise self.RequestFailedError("Error while reading from 127.0.0.1")
        return {"items": [], "running_item": {}}

    def item_execute(self, item: Any, **_: Any) -> Any:
        return {"item": {"item_uid": "a"}}

    def close(self) -> None:
        pass


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager()
    monkeypatch.setattr("bluesky_queueserver_api.zmq.REManagerAPI", lambda **_: made)
    monkeypatch.setattr(client, "_LOOK_S", 0.0)
    return made


def test_a_worker_that_dies_is_noticed_though_the_manager_does_not(manager: Manager) -> None:
    lives = iter([True, True, True, *[False] * 20])
    agent = QueueClient(worker_lives=lambda: next(lives))
    manager.answers, manager.looks = [IDLE, BUSY], 0
    with pytest.raises(ServiceError, match=r"worker of the queue server died while it did .*sdl campaign resume"):
        agent.do("measure_rate", {})
    assert manager.looks == 6  # half a second each


def test_a_dead_worker_is_asked_for_nothing(manager: Manager) -> None:
    agent = QueueClient(worker_lives=lambda: False)
    manager.item_execute = None  # type: ignore[assignment]
    with pytest.raises(ServiceError, match=r"environment destroy.*sdl campaign resume"):
        agent.do("measure_rate", {})


def test_an_end_that_the_manager_missed_is_noticed(manager: Manager) -> None:
    agent = QueueClient()
    manager.answers, manager.looks = [IDLE, BUSY, BUSY, {**BUSY, "worker_environment_state": "idle"}], 0
    with pytest.raises(ServiceError, match=r"does not notice .*sdl campaign resume"):
        agent.do("measure_rate", {})
    assert manager.looks <= 3 + 10  # five seconds


def test_a_moment_without_work_is_no_fault(manager: Manager) -> None:
    agent = QueueClient()
    manager.answers = [IDLE, *[{**BUSY, "worker_environment_state": "idle"}] * 3, BUSY, IDLE]
    result = {"exit_status": "completed", "run_uids": ["r"], "msg": "", "traceback": ""}
    manager.history = [{"item_uid": "a", "result": result}]
    assert agent.do("measure_rate", {}).runs == ("r",)
    assert manager.touched == 5  # so that the manager, too, has noticed a new Redis before the end of the item


def test_a_history_that_cannot_be_read_is_a_typed_error(manager: Manager) -> None:
    agent = QueueClient()
    manager.history = [manager.RequestFailedError("Error 111 connecting to Redis")]
    with pytest.raises(ServiceError, match=r"Redis.*sdl campaign resume"):
        agent.do("measure_rate", {})


def test_a_server_that_falls_silent_is_a_typed_error(manager: Manager) -> None:
    agent = QueueClient()
    manager.answers = [IDLE, BUSY, manager.RequestTimeoutError("4 s")]
    with pytest.raises(ServiceMissing, match=r"does not answer.*sdl campaign resume"):
        agent.do("measure_rate", {})


def test_a_right_is_seen_to_be_held_and_to_end_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "session.lock"
    assert not is_held(lock)
    claim = Claim(lock, "runs this lab")
    assert is_held(lock)
    claim.release()
    assert not is_held(lock)
    words = "import sys; from pathlib import Path; from sdl_bluesky.session.claim import Claim\n"
    code = words + "claim = Claim(Path(sys.argv[1]), 'runs this lab'); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert is_held(lock)
        other.kill()
        other.wait()
    assert not is_held(lock)
