"""The launcher of the simulated instruments: it writes their configuration and starts them as a process of their own."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sdl_bluesky.errors import PortInUse, ServiceError
from sdl_bluesky.session.epics_env import is_free, server_variables
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import LabFile

READY_WITHIN_S = 30.0


def twin_config(lab: LabFile, home: Home) -> dict[str, Any]:
    """What the simulated chamber needs to know of the lab: addresses, places, ranges; nothing of what we believe of it.

    Raises:
        ServiceError: the lab has no twin.
    """
    if lab.twin is None:
        raise ServiceError(f"lab {lab.name!r} has real instruments: add a `twin` part to its file to simulate it")
    chamber = lab.chamber
    return {
        "schema": 1,
        "prefix": lab.prefix,
        "speed": lab.twin.speed,
        "seed": lab.twin.seed,
        "heartbeat_timeout_s": lab.twin.heartbeat_timeout,
        "faults": lab.twin.faults,
        "state_file": str(home.twin / "sputter-state.json"),
        "truth_file": str(home.truth),
        "sources": [
            {
                "name": name,
                "element": source.element,
                "pv": source.pv,
                "position_cm": list(source.position_cm),
                "axis": list(source.axis),
                "max_power_W": source.max_power,
            }
            for name, source in chamber.sources.items()
        ],
        "sensors": [
            {
                "name": name,
                "pv": sensor.pv,
                "position_cm": list(sensor.position_cm),
                "normal": [0.0, 0.0, 1.0],
                "f0_Hz": sensor.crystal,
            }
            for name, sensor in chamber.sensors.items()
        ],
        "grid": {"power_W": list(chamber.ranges.power), "pressure_mTorr": list(chamber.ranges.pressure)},
        "physics": dict(lab.twin.physics),
    }


def start_ioc(lab: LabFile, home: Home, port: int) -> subprocess.Popen[bytes]:
    """Start the simulated chamber and wait until its records are served.

    Returns:
        The running process; it ends with this one.

    Raises:
        PortInUse: somebody else listens on the port.
        ServiceError: it ended, or did not become ready; the end of its log is in the message.
    """
    host = lab.epics.host
    if not is_free(host, port):
        raise PortInUse(f"port {port} on {host} is in use: stop that IOC, or write `port: auto` under `epics`")
    config = home.twin / "sputter.json"
    config.write_text(json.dumps(twin_config(lab, home), indent=1))
    log_path = home.twin / "ioc.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ioc_sims", "sputter", str(config)],
            env={**os.environ, **server_variables(host, port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    _wait_ready(process, log_path)
    return process


def _wait_ready(process: subprocess.Popen[bytes], log_path: Path) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_WITHIN_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        seen = b""
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                break
            seen += chunk
            if any(line.startswith(b"READY") for line in seen.splitlines()):
                return
    process.kill()
    process.wait()
    tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-5:])
    raise ServiceError(f"the simulated chamber did not become ready; its log {log_path} ends with:\n{tail}")
