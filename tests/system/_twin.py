"""Simulated chambers for system tests: real IOC processes on loopback, each with its own port and prefix.

Channel Access reads its addresses once per process, so this module reserves a handful of free ports when it is imported
and lists all of them in EPICS_CA_ADDR_LIST. Import it before the first device is made (`from _twin import Twin` at the
top of a test module is early enough). Every Twin takes the next port for its IOC process only: several can run at the
same time, and a restarted Twin keeps its port, so that clients find it again. Ports are found by binding, not guessed.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import cos, radians, sin
from pathlib import Path
from typing import Any

from _bench import ANSWERED_WITHIN_S, own_port

log = logging.getLogger(__name__)

PORTS_RESERVED = 12
READY_TIMEOUT_S = 60.0


def _reserve(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        ports.append(own_port(ports))
    return ports


PORTS = _reserve(PORTS_RESERVED)
CLIENT_ENV = {
    "EPICS_CA_ADDR_LIST": " ".join(f"127.0.0.1:{port}" for port in PORTS),
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CA_REPEATER_PORT": str(own_port(PORTS)),
}
os.environ.update(CLIENT_ENV)
_unused_ports = list(PORTS)


def server_env(port: int) -> dict[str, str]:
    """Environment of an IOC that listens on one port of loopback, for clients of this process."""
    return {
        **os.environ,
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    }


def default_sources(names: Sequence[str] = ("cu", "sn", "ni", "al")) -> list[dict[str, Any]]:
    """Sources 14 cm from the substrate's centre, tilted 30 degrees, at azimuth 0, 90, 180, 270 degrees."""
    tilt = radians(30.0)
    found = []
    for i, name in enumerate(names):
        phi = radians(90.0 * i)
        outward = (sin(tilt) * cos(phi), sin(tilt) * sin(phi), cos(tilt))
        found.append(
            {
                "name": name,
                "element": name.capitalize(),
                "pv": f"S{i + 1}:",
                "position_cm": [14.0 * c for c in outward],
                "axis": [-c for c in outward],
                "max_power_W": 100.0,
            }
        )
    return found


def default_sensors(count: int = 3) -> list[dict[str, Any]]:
    """Sensors on a ring of 5.5 cm, evenly spread from azimuth 20 degrees, facing +z."""
    found = []
    for i in range(count):
        phi = radians(20.0 + 360.0 * i / count)
        found.append(
            {
                "name": f"qcm{i + 1}",
                "pv": f"Q{i + 1}:",
                "position_cm": [5.5 * cos(phi), 5.5 * sin(phi), 0.0],
                "normal": [0.0, 0.0, 1.0],
                "f0_Hz": 6e6,
            }
        )
    return found


class Twin:
    """One simulated chamber as a real IOC process.

    `with Twin(tmp_path, speed=100) as twin:` starts it and waits for READY; `twin.prefix` and `twin.chamber_spec()`
    make the devices. `hang()` and `wake()` stop and continue the process (SIGSTOP, SIGCONT), `kill()` is SIGKILL,
    `restart()` starts it again with the same prefix, port and state file. Its watchdog is patient, so that a client that
    stands still for a moment trips nothing: a test of the watchdog gives another `heartbeat_timeout_s`.
    """

    def __init__(
        self,
        tmp_path: Path,
        *,
        speed: float = 100.0,
        seed: int = 0,
        faults: bool = True,
        heartbeat_timeout_s: float = 15.0,
        sources: Sequence[dict[str, Any]] | None = None,
        sensors: Sequence[dict[str, Any]] | None = None,
        physics: dict[str, Any] | None = None,
        **config: Any,
    ) -> None:
        if not _unused_ports:
            raise RuntimeError(f"all {PORTS_RESERVED} reserved ports are in use: stop() a Twin before starting more")
        self.port = _unused_ports.pop(0)
        self.prefix = f"T{secrets.token_hex(4).upper()}:"
        self.tmp_path = Path(tmp_path)
        self.sources = list(sources if sources is not None else default_sources())
        self.sensors = list(sensors if sensors is not None else default_sensors())
        self.truth_file = self.tmp_path / f"truth-{self.port}.json"
        self.config: dict[str, Any] = {
            "schema": 1,
            "prefix": self.prefix,
            "speed": speed,
            "seed": seed,
            "heartbeat_timeout_s": heartbeat_timeout_s,
            "faults": faults,
            "state_file": str(self.tmp_path / f"sputter-state-{self.port}.json"),
            "truth_file": str(self.truth_file),
            "sources": self.sources,
            "sensors": self.sensors,
            "grid": {"power_W": [10, 100], "pressure_mTorr": [2, 20]},
            "physics": physics or {},
            **config,
        }
        self.process: subprocess.Popen[str] | None = None
        self.lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Twin:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log_file(self) -> Path:
        """What the IOC wrote on stderr."""
        return self.tmp_path / f"ioc-{self.port}.log"

    def start(self) -> Twin:
        """Start the IOC and wait until it says READY."""
        config_file = self.tmp_path / f"ioc-{self.port}.json"
        config_file.write_text(json.dumps(self.config))
        command = os.environ.get("SDL_TEST_IOC", f"{sys.executable} -m ioc_sims sputter").split()
        with self.log_file.open("a") as errors:
            self.process = subprocess.Popen(
                [*command, str(config_file)],
                env=server_env(self.port),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        threading.Thread(target=self._drain, args=(self.process,), daemon=True).start()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if self.lines.get(timeout=0.1).startswith(f"READY {self.prefix}"):
                    return self
            except queue.Empty:
                if self.process.poll() is not None:
                    break
        code = self.process.poll()
        self.kill()
        raise RuntimeError(f"the IOC did not get READY (exit code {code}): {self.log_file.read_text()[-3000:]}")

    def _drain(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.put(line)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def hang(self) -> None:
        """SIGSTOP: connected, but answering nothing."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT after hang()."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def restart(self) -> Twin:
        """Kill (if it still runs) and start again: same prefix, same port, same state file."""
        self.kill()
        return self.start()

    def stop(self) -> None:
        """SIGTERM, SIGKILL if that is not enough; the port can be used again by another Twin."""
        if self.process is not None and self.process.poll() is None:
            self.wake()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.port not in _unused_ports:
            _unused_ports.append(self.port)

    def put(self, suffix: str, value: Any, timeout_s: float = ANSWERED_WITHIN_S) -> None:
        """Put a PV of this chamber as an independent client would (`twin.put("SIM:FAULT:DOOR", 1)`)."""
        done = self._pv(suffix, timeout_s).put(value, wait=True, timeout=timeout_s)
        if done is None or done < 0:
            raise TimeoutError(f"the put to {self.prefix}{suffix} was not processed")

    def get(self, suffix: str, timeout_s: float = ANSWERED_WITHIN_S) -> Any:
        """The value of a PV, asked for from the IOC and not from a monitor."""
        pv = self._pv(suffix, timeout_s)
        value = pv.get(timeout=timeout_s, use_monitor=False)
        if value is None:
            raise TimeoutError(f"{pv.pvname} does not answer")
        return value

    def _pv(self, suffix: str, timeout_s: float) -> Any:
        import epics

        pv = epics.get_pv(self.prefix + suffix, connect=True, timeout=timeout_s)
        if not pv.wait_for_connection(timeout_s):
            raise TimeoutError(f"{pv.pvname} does not answer")
        return pv

    def published(self) -> None:
        """Wait for the end of a publication that began after this moment; see `_bench.Bench.published`."""
        seen = self.get("IOC:BEAT")
        wait_until(lambda: self.get("IOC:BEAT") >= seen + 2, 60.0, "two publications")

    def chamber_spec(self, **changes: Any) -> Any:
        """The ChamberSpec (sdl_bluesky.devices) that belongs to this chamber; its IOC may stand still for a moment."""
        from sdl_bluesky.devices import ChamberSpec, QCMSpec, SourceSpec

        return ChamberSpec(
            sources=tuple(
                SourceSpec(
                    name=s["name"],
                    pv=s["pv"],
                    element=s["element"],
                    position_cm=tuple(s["position_cm"]),
                    axis=tuple(s["axis"]),
                    max_power_W=s["max_power_W"],
                )
                for s in self.sources
            ),
            qcms=tuple(
                QCMSpec(
                    name=q["name"],
                    pv=q["pv"],
                    position_cm=tuple(q["position_cm"]),
                    normal=tuple(q["normal"]),
                    f0_Hz=q["f0_Hz"],
                )
                for q in self.sensors
            ),
            **{"stale_after_s": 8.0, **changes},
        )


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str = "the condition") -> float:
    """Poll until a condition holds; returns the seconds it took, fails with what it was waiting for.

    Only a look that began after the limit says that the condition does not hold.
    """
    start = looked = time.monotonic()
    while not condition():
        if looked - start > timeout_s:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.02)
        looked = time.monotonic()
    return time.monotonic() - start


def meanwhile(condition: Callable[[], bool], act: Callable[[], None], what: str) -> Callable[[], None]:
    """Do something in another thread once a condition holds; the returned function waits, and raises what was raised."""

    def run() -> None:
        wait_until(condition, 120.0, what)
        act()

    pool = ThreadPoolExecutor(1)
    found = pool.submit(run)
    pool.shutdown(wait=False)
    return lambda: found.result(240.0)
