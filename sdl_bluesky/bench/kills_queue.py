"""A queue server whose worker can be killed, and what a person does then: see what is the matter, open it again."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import yaml

from sdl_bluesky.bench.kills_lab import Laboratory, Redis, wait_for
from sdl_bluesky.errors import ServiceError, ServiceMissing
from sdl_bluesky.session.epics_env import free_port

STARTUP = """\
from sdl_bluesky.session.startup import start

globals().update(start())
"""
_EVERYTHING = {
    "allowed_plans": [":.*"],
    "forbidden_plans": [None],
    "allowed_devices": [":?.*:depth=5"],
    "forbidden_devices": [None],
    "allowed_functions": [],
    "forbidden_functions": [":.*"],
}
PERMISSIONS = {"user_groups": {"root": _EVERYTHING, "primary": _EVERYTHING}}
_ANSWERS_S = 4.0
_STUCK_S = 5.0


class QueueServer:
    """A queue server with its environment open.

    Args:
        lab: whose machines its worker runs.
        redis: where it keeps its queue.

    Raises:
        ServiceMissing: it is not installed. ServiceError: it does not start.
    """

    def __init__(self, lab: Laboratory, redis: Redis) -> None:
        if find_spec("bluesky_queueserver_api") is None:
            raise ServiceMissing("the study of kills needs a queue server: pip install 'sdl-bluesky[queue]'")
        from bluesky_queueserver_api.zmq import REManagerAPI

        self._lab, self._redis = lab, redis
        control = free_port("127.0.0.1")
        self.address, self._info = (f"tcp://127.0.0.1:{port}" for port in (control, free_port("127.0.0.1", [control])))
        self._api: Any = REManagerAPI(
            zmq_control_addr=self.address,
            zmq_info_addr=self._info,
            timeout_recv=_ANSWERS_S,
            timeout_send=_ANSWERS_S,
            request_fail_exceptions=False,
        )
        self._write(lab.folder / "startup")
        self._start()

    @staticmethod
    def _write(folder: Path) -> None:
        folder.mkdir()
        (folder / "00_lab.py").write_text(STARTUP)
        (folder / "user_group_permissions.yaml").write_text(yaml.safe_dump(PERMISSIONS))

    def _start(self) -> None:
        self._manager = self._lab.start(
            "manager",
            str(Path(sys.executable).with_name("start-re-manager")),
            *("--startup-dir", "startup", "--update-existing-plans-devices", "NEVER"),
            *("--redis-addr", f"127.0.0.1:{self._redis.port}", "--redis-name-prefix", "qs_sdl"),
            *("--zmq-control-addr", self.address, "--zmq-info-addr", self._info),
        )
        wait_for("the queue server", lambda: self.status().get("manager_state") == "idle")
        self._open()

    def _open(self) -> None:
        self._api.environment_open()
        wait_for("the environment opens", self.is_open)

    def is_open(self) -> bool:
        """Whether it waits for work with its environment open."""
        status = self.status()
        return status.get("manager_state") == "idle" and bool(status.get("worker_environment_exists"))

    def status(self) -> dict[str, Any]:
        """What it says of itself; nothing if it does not answer."""
        try:
            return dict(self._api.status(reload=True))
        except self._api.RequestTimeoutError:
            return {}

    def worker(self) -> int | None:
        """Process number of the worker, which holds the right to run the lab; None if it is dead."""
        with self._lab.home.session_lock.open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
        return None

    def kill_worker(self) -> None:
        """Kill the process that runs the machines.

        Raises:
            ServiceError: there is none.
        """
        pid = self.worker()
        if pid is None:
            raise ServiceError("the queue server has no worker that could be killed")
        os.kill(pid, signal.SIGKILL)

    def mend(self) -> str:
        """Do what a person does who finds an agent ended; returns what it was, or "" if nothing had to be done."""
        if self.worker() is None:
            self._api.environment_destroy()
            wait_for("the environment is gone", lambda: self.status().get("worker_environment_exists") is False, 30.0)
            wait_for("the manager has settled", lambda: self.status().get("manager_state") == "idle", 30.0)
            self._open()
            return "environment opened again"
        if self._settles():
            return ""
        self._restart()
        return "queue server started again"

    def _settles(self) -> bool:
        """Whether it is idle, or its worker at work."""
        try:
            wait_for("the queue server answers", lambda: _is_alive(self.status()), _STUCK_S)
        except ServiceError:
            return False
        return True

    def _restart(self) -> None:
        worker = self.worker()
        os.killpg(self._manager.process.pid, signal.SIGKILL)
        self._manager.process.wait()
        wait_for(f"worker {worker} is gone", lambda: self.worker() is None)
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connection; the server is ended by the laboratory."""
        self._api.close()


def _is_alive(status: dict[str, Any]) -> bool:
    if status.get("manager_state") == "idle":
        return bool(status["worker_environment_exists"])
    return status.get("worker_environment_state") == "executing_plan"
