"""A simulated instrument as a real process, and a client of its own beside it.

Channel Access reads its addresses once per process, so the client is a process of its own: this file, started as a
program, answers one JSON request per line (`serve_requests`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from sdl_bluesky.session.epics_env import free_port

PREFIX = f"SIM{os.getpid()}:"
RECONNECTED_WITHIN_S = 60.0
"""A client that lost its server searches for each channel at intervals that grow."""
ANSWERED_WITHIN_S = 30.0
STALL_S = 2.0
"""A loaded machine may let any process stand still for so long: limits by the clock on the wall allow for it once."""


def own_port(taken: Sequence[int] = ()) -> int:
    """A free port of this pytest worker: nobody else looks for ports there, so it stays free while no server has it."""
    first = 10000 + 500 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10)
    return free_port(taken=taken, among=range(first, first + 500))


def poll(condition: Callable[[], Any], timeout_s: float = 30.0) -> float:
    """Wait until the condition holds; seconds it took. Only a look that began after the limit says that it does not."""
    start = looked = time.monotonic()
    while not condition():
        assert looked - start < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.02)
        looked = time.monotonic()
    return time.monotonic() - start


class Bench:
    """One IOC and one client on a port of their own.

    Args:
        folder: where configuration, log and files go.
        instrument: name of the subcommand of `python -m ioc_sims`.
        config: configuration; its prefix must be PREFIX.
    """

    def __init__(self, folder: Path, instrument: str, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(config))
        self.instrument = instrument
        self.port = own_port()
        loopback = dict.fromkeys(
            ("EPICS_CAS_INTF_ADDR_LIST", "EPICS_CAS_BEACON_ADDR_LIST", "EPICS_CA_ADDR_LIST"), "127.0.0.1"
        )
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("EPICS_")},
            **loopback,
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_REPEATER_PORT": str(own_port([self.port])),
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_CONN_TMO": "5",
        }
        self.ioc: subprocess.Popen[str] | None = None
        self.client: subprocess.Popen[str] | None = None

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ioc_sims", self.instrument, str(self.config)]

    def start(self) -> Self:
        with (self.folder / "ioc.log").open("a") as log:
            self.ioc = subprocess.Popen(self.command, env=self.env, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.ioc.stdout is not None
        ready = self.ioc.stdout.readline()
        assert re.fullmatch(rf"READY {PREFIX} \d+ PVs\n", ready), (self.folder / "ioc.log").read_text()
        if self.client is None:
            self.new_client()
        return self

    def new_client(self) -> None:
        """Start a client; the one before, if there was one, is killed."""
        if self.client is not None:
            self.client.kill()
            self.client.wait(10)
        self.client = subprocess.Popen(
            [sys.executable, __file__],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def signal(self, number: int) -> None:
        assert self.ioc is not None
        self.ioc.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; the client has noticed it."""
        self.signal(signal.SIGKILL)
        assert self.ioc is not None
        self.ioc.wait(30)
        poll(lambda: not self.ask("connected", PREFIX + "SIM:TIME"))

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        assert self.ioc is not None
        return self.ioc.wait(60)

    def close(self) -> None:
        for process in (self.client, self.ioc):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(10)

    def ask(self, op: str, *args: Any) -> Any:
        assert self.client is not None
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps([op, *args]) + "\n")
        self.client.stdin.flush()
        answer = json.loads(self.client.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def get(self, name: str) -> Any:
        return self.ask("get", PREFIX + name)

    def put(self, name: str, value: Any) -> str:
        return self.ask("put", PREFIX + name, value)

    def beat(self, alive: bool) -> None:
        self.ask("beat", PREFIX + "HEARTBEAT", alive)

    def published(self) -> None:
        """Wait for the end of a publication that began after this moment.

        A publication writes one record after the other, IOC:BEAT among the last: who reads two of them may read one of
        this publication and one of that before. Afterwards every record shows what was done before.
        """
        seen = self.get("IOC:BEAT")
        poll(lambda: self.get("IOC:BEAT") >= seen + 2)

    def saved(self) -> dict[str, Any]:
        """The state that the IOC has last written to the disk; it does so twice a second, or later on a loaded machine."""
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# the client process ---------------------------------------------------------------------------------------------------


def serve_requests() -> None:
    """Answer [op, args...] lines with {"value": ...} or {"error": ...} lines until stdin ends."""
    import epics

    answers, sys.stdout = sys.stdout, sys.stderr  # pyepics writes messages to stdout
    stop = threading.Event()

    def pv(name: str) -> Any:
        found = epics.get_pv(name, form="time", connect=True, timeout=5.0)
        if not found.wait_for_connection(RECONNECTED_WITHIN_S):
            raise TimeoutError(f"{name} does not answer")
        return found

    def put(name: str, value: Any) -> str:
        try:
            done = pv(name).put(value, wait=True, timeout=ANSWERED_WITHIN_S)
        except epics.ca.CASeverityException:
            return "refused"
        if done is None or done < 0:
            raise TimeoutError(f"the put to {name} was not processed")
        return "ok"

    def beat(name: str, alive: bool) -> None:
        heart = pv(name)
        stop.set()
        if not alive:
            return
        stop.clear()

        def run() -> None:
            epics.ca.use_initial_context()
            count = 0
            while not stop.wait(0.4):
                count += 1
                if heart.connected:
                    heart.put(count)

        threading.Thread(target=run, daemon=True).start()

    def monitor(names: list[str], common: int) -> dict[str, list[tuple[float, float]]]:
        """Updates as (time stamp, value), until so many time stamps are common to all: a client may miss some."""
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}

        def seen(pvname: str, value: float, timestamp: float, **_: Any) -> None:
            rows[pvname].append((timestamp, value))

        def enough() -> bool:
            return len(set.intersection(*({stamp for stamp, _ in list(rows[name])} for name in names))) >= common

        callbacks = [(pv(name), pv(name).add_callback(seen)) for name in names]
        poll(enough, 60.0)
        for one, index in callbacks:
            one.remove_callback(index)
        return rows

    def stamped(name: str) -> dict[str, Any]:
        found = pv(name).get_with_metadata(use_monitor=False, timeout=ANSWERED_WITHIN_S)
        if found is None:
            raise TimeoutError(f"{name} does not answer")
        return dict(found)

    def get(name: str) -> Any:
        value = stamped(name)["value"]
        return value.tolist() if hasattr(value, "tolist") else value

    def time_and_value(name: str) -> tuple[float, Any]:
        found = stamped(name)
        return found["timestamp"], found["value"]

    operations: dict[str, Callable[..., Any]] = {
        "get": get,
        "connected": lambda name: epics.get_pv(name, connect=True, timeout=0.5).connected,
        "units": lambda name: (pv(name).get_ctrlvars(timeout=ANSWERED_WITHIN_S) or {}).get("units"),
        "put": put,
        "beat": beat,
        "monitor": monitor,
        "severity": lambda name: int(stamped(name)["severity"]),
        "time_and_value": time_and_value,
    }
    for line in sys.stdin:
        op, *args = json.loads(line)
        try:
            answer = {"value": operations[op](*args)}
        except Exception as err:  # the other process shows it
            answer = {"error": f"{type(err).__name__}: {err}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve_requests()
