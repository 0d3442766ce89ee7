"""A whole lab in a process of its own: services, session and a script, watched and hurt from the test.

The test's process only looks (Channel Access, Tiled) and sends signals; what is tested is in the other process, which can
be killed. Import this before ophyd, as `_twin`.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from _twin import PORTS, _unused_ports

ANSWERS_WITHIN_S = 10.0
"""An IOC that stands still for a moment is not gone."""

PRELUDE = """
import logging, os, sys, threading, time
logging.basicConfig(level=logging.WARNING)
from sdl_bluesky.session.open import open_session
session = open_session()
RE, chamber = session.RE, session.chamber
def say(*words):
    print(*words, flush=True)
say("SESSION")
"""


def lab_data(
    port: int | str,
    *,
    speed: float = 20.0,
    seed: int = 0,
    faults: bool = True,
    heartbeat_timeout_s: float = 3.0,
    **changes: Any,
) -> dict[str, Any]:
    """The shipped lab file as data, with another prefix, port and clock; without the reactor, if it is not in `changes`."""
    from sdl_bluesky.session.lab import default_lab_path

    data = yaml.safe_load(default_lab_path().read_text())
    data["name"] = "test"
    data["prefix"] = f"L{secrets.token_hex(4).upper()}:"
    data["epics"]["port"] = port
    data["twin"] |= {"speed": speed, "seed": seed, "faults": faults, "heartbeat_timeout": f"{heartbeat_timeout_s:g} s"}
    data["chamber"]["measurement"] |= changes.pop("measurement", {})
    del data["mocvd"]
    return {**data, **changes}


class LabProcess:
    """Runs a script in a lab of its own; `expect` waits for a line that it prints."""

    def __init__(
        self, tmp_path: Path, script: str, *, prelude: str = PRELUDE, data: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        self.port = _unused_ports.pop(0)
        self.home = tmp_path / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.data = data or lab_data(self.port, **changes)
        self.data["epics"]["port"] = self.port
        self.prefix = self.data["prefix"]
        (self.home / "lab.yml").write_text(yaml.safe_dump(self.data, sort_keys=False))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_", "TILED_", "SDL_"))}
        self.env |= {"SDL_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        self.output = tmp_path / f"output-{secrets.token_hex(2)}.txt"
        self.seen: list[str] = []
        self.lines: queue.Queue[str | None] = queue.Queue()
        with self.output.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", prelude + script],
                env=self.env,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def expect(self, start: str, timeout_s: float = 120.0) -> str:
        """Wait for a line that begins so; returns the rest of it."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line {start!r} within {timeout_s} s: {self.story()}") from None
            if line is None:
                raise AssertionError(f"the process ended without a line {start!r}: {self.story()}")
            self.seen.append(line)
            if line.startswith(start):
                return line.removeprefix(start).strip()

    def story(self) -> str:
        """What the process said, for a failure."""
        return "\n".join([*self.seen[-30:], "--- stderr", self.output.read_text()[-4000:]])

    def services(self) -> dict[str, Any]:
        """Addresses and process numbers of the lab's services."""
        found: dict[str, Any] = json.loads((self.home / "services.json").read_text())
        return found

    def child(self, name: str) -> int:
        """Process number of "ioc", "tiled" or "writer"."""
        return int(self.services()["children"][name])

    def signal_child(self, name: str, number: int) -> None:
        """Send a signal to a service."""
        os.kill(self.child(name), number)

    def wait(self, timeout_s: float = 120.0) -> int:
        """Wait for the end of the process; its exit status."""
        return self.process.wait(timeout_s)

    def get(self, suffix: str) -> Any:
        """The value of a record now, asked from the IOC; None if it does not answer."""
        import epics

        pv = epics.get_pv(self.prefix + suffix, connect=True, timeout=ANSWERS_WITHIN_S)
        return pv.get(timeout=ANSWERS_WITHIN_S, use_monitor=False)

    def put(self, suffix: str, value: Any) -> None:
        """Write a record as an independent client."""
        import epics

        pv = epics.get_pv(self.prefix + suffix, connect=True, timeout=ANSWERS_WITHIN_S)
        pv.put(value, wait=True, timeout=ANSWERS_WITHIN_S)

    def machine(self) -> dict[str, float]:
        """Shutters and powers of the machine now; {} if its IOC does not answer."""
        stubs = [source["pv"] for source in self.data["chamber"]["sources"].values()]
        names = [f"{s}{n}" for s in stubs for n in ("SHUTTER", "POWER")] + ["SUBSTRATE:SHUTTER"]
        values: dict[str, float] = {}
        for name in names:
            if (value := self.get(name)) is None:
                return {}
            values[name] = float(value)
        return values

    def is_safe(self) -> bool:
        """Whether every shutter is closed and every power below 1 W."""
        state = self.machine()
        return bool(state) and all(v < 1.0 for v in state.values())

    def seconds_until_safe(self, limit_s: float) -> float:
        """Real seconds until the machine is safe. Only a look that began after the limit says that it was not."""
        begin = looked = time.monotonic()
        while not self.is_safe():
            if looked - begin > limit_s:
                raise AssertionError(f"not safe within {limit_s} s: {self.machine()}\n{self.story()}")
            time.sleep(0.05)
            looked = time.monotonic()
        return time.monotonic() - begin

    def stop(self) -> None:
        """End the lab."""
        services = {}
        if (self.home / "services.json").exists():
            services = self.services()["children"]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in services.values():
            for number in (signal.SIGCONT, signal.SIGTERM):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    break
        if self.port not in _unused_ports and self.port in PORTS:
            _unused_ports.append(self.port)

    def __enter__(self) -> LabProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
