"""The launcher of the simulated instruments: it writes their configuration and starts them as a process of their own."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdl_bluesky.errors import PortInUse, ServiceError
from sdl_bluesky.session.epics_env import Address, free_port, is_free, server_variables
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import LabFile, TwinPart
from sdl_bluesky.session.lab_mocvd import MOCVDPart
from sdl_bluesky.session.lab_rbs import RBSPart

READY_WITHIN_S = 30.0
PROGRAMS = {"sputter": ("ioc_sims", "sputter"), "rbs": ("ioc_sims", "rbs"), "mocvd": ("ioc_sims.mocvd",)}
"""Module of each simulated instrument, and its arguments before the configuration."""


def twin_config(lab: LabFile, home: Home, ioc: str = "sputter") -> dict[str, Any]:
    """What a simulated instrument needs to know of the lab: addresses, places, ranges; nothing of what we believe of it.

    Args:
        lab: the lab.
        home: its data folder.
        ioc: "sputter", "rbs" or "mocvd".

    Raises:
        ServiceError: the lab has no twin. LabFileError: it has no such machine.
    """
    if lab.twin is None:
        raise ServiceError(f"lab {lab.name!r} has real instruments: add a `twin` part to its file to simulate it")
    lab.epics_of(ioc)
    common = {
        "schema": 1,
        "prefix": lab.prefix_of(ioc),
        "speed": lab.twin.speed,
        "seed": lab.twin.seed,
        "heartbeat_timeout_s": lab.twin.heartbeat_timeout,
        "faults": lab.twin.faults,
        "state_file": str(home.twin / f"{ioc}-state.json"),
        "truth_file": str(home.truth_of(ioc)),
    }
    if ioc == "rbs" and lab.rbs is not None:
        return {**common, **_rbs(lab.rbs, home)}
    if ioc == "mocvd" and lab.mocvd is not None:
        return {**common, **_mocvd(lab.mocvd)}
    return {**common, **_sputter(lab, lab.twin)}


def _sputter(lab: LabFile, twin: TwinPart) -> dict[str, Any]:
    chamber = lab.chamber
    return {
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
        "physics": dict(twin.physics),
    }


def _rbs(part: RBSPart, home: Home) -> dict[str, Any]:
    return {
        "films_file": str(home.truth),  # the films of the simulated chamber, carried over by the station itself
        "samples": {},
        "setup": {
            "ion": part.ion,
            "theta_deg": part.theta,
            "geometry": "IBM",
            "slope_keV": part.slope,
            "offset_keV": part.offset,
            "resolution_fwhm_keV": part.resolution,
            "solid_angle_msr": part.solid_angle,
            "channels": part.channels,
        },
        "substrate": [dict(layer) for layer in part.substrate],
        "physics": dict(part.physics),
    }


def _mocvd(part: MOCVDPart) -> dict[str, Any]:
    return {"gallium": part.gallium, "physics": dict(part.physics)}


def choose_ports(lab: LabFile) -> dict[str, Address]:
    """Host and port of every IOC of a lab; free ones where the lab file says ``auto``."""
    found: dict[str, Address] = {}
    for ioc in lab.iocs:
        part = lab.epics_of(ioc)
        port = free_port(part.host, [p for _, p in found.values()]) if part.port == "auto" else part.port
        found[ioc] = (part.host, port)
    return found


def start_ioc(lab: LabFile, home: Home, port: int, ioc: str = "sputter") -> subprocess.Popen[bytes]:
    """Start a simulated instrument and wait until its records are served.

    Args:
        lab: the lab.
        home: its data folder.
        port: of Channel Access.
        ioc: "sputter", "rbs" or "mocvd".

    Returns:
        The running process; it ends with this one.

    Raises:
        PortInUse: somebody else listens on the port.
        ServiceError: it ended, or did not become ready; the end of its log is in the message.
    """
    return start_iocs(lab, home, {ioc: (lab.epics_of(ioc).host, port)})[ioc]


def start_iocs(lab: LabFile, home: Home, addresses: Mapping[str, Address]) -> dict[str, subprocess.Popen[bytes]]:
    """Start several simulated instruments side by side and wait until all of them serve; as `start_ioc`.

    Call it from a thread that lives on: an IOC ends with the thread that has started it.
    """
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for ioc, (host, port) in addresses.items():
            if not is_free(host, port):
                raise PortInUse(f"port {port} on {host} is in use: stop that IOC, or write `port: auto` under `epics`")
            started[ioc] = _launch(lab, home, ioc, host, port)
        for ioc, process in started.items():
            _wait_ready(process, ioc, home.log_of(ioc))
    except BaseException:
        for process in started.values():
            process.kill()
            process.wait()
        raise
    return started


def _launch(lab: LabFile, home: Home, ioc: str, host: str, port: int) -> subprocess.Popen[bytes]:
    config = home.twin / f"{ioc}.json"
    config.write_text(json.dumps(twin_config(lab, home, ioc), indent=1))
    with home.log_of(ioc).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *PROGRAMS[ioc], str(config)],
            env={**os.environ, **server_variables(host, port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(process: subprocess.Popen[bytes], ioc: str, log_path: Path) -> None:
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
    raise ServiceError(f"the simulated instrument {ioc!r} did not become ready; its log {log_path} ends with:\n{tail}")
