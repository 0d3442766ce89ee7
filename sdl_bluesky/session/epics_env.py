"""The EPICS environment of a process. It is read once, when the client library loads: set it before ophyd is imported."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import MutableMapping, Sequence

Address = tuple[str, int]


def address_list(addresses: Sequence[Address]) -> list[str]:
    """Addresses of IOCs as EPICS_CA_ADDR_LIST has them, each once."""
    return list(dict.fromkeys(f"{host}:{port}" for host, port in addresses))


PORTS = range(15000, 32000)
"""Where free ports are looked for: below those that systems hand out for outgoing connections, which could be taken again
before the server listens."""


def client_variables(host: str, port: int, *others: Address) -> dict[str, str]:
    """Variables with which a Channel Access client finds exactly these IOCs, and no other on the network."""
    return {
        "EPICS_CA_ADDR_LIST": " ".join(address_list([(host, port), *others])),
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_CONN_TMO": "5",
        "EPICS_CA_REPEATER_PORT": str(port + 1),
    }


def server_variables(host: str, port: int) -> dict[str, str]:
    """Variables with which an IOC serves on one port of one address only."""
    return {
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": host,
        "EPICS_CAS_BEACON_ADDR_LIST": host,
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CA_REPEATER_PORT": str(port + 1),
        "EPICS_CA_ADDR_LIST": host,
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
    }


def set_client(addresses: Sequence[Address], environ: MutableMapping[str, str] | None = None) -> None:
    """Point this process (or another environment) at IOCs."""
    first, *others = addresses
    (os.environ if environ is None else environ).update(client_variables(*first, *others))


def free_port(host: str = "127.0.0.1", taken: Sequence[int] = (), among: Sequence[int] = PORTS) -> int:
    """A port that nobody uses at this moment, for TCP and UDP, with the next one free as well.

    Args:
        host: address to listen on.
        taken: ports that were handed out before and are not in use yet.
        among: where it is looked for.
    """
    near = {number for port in taken for number in (port - 1, port, port + 1)}
    for _ in range(50):
        port = random.choice(among)
        if port in near:
            continue
        with (
            socket.socket() as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as repeater,
        ):
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
                repeater.bind((host, port + 1))
            except OSError:
                continue
            return port
    raise OSError("no free port found")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
