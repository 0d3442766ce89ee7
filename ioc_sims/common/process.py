"""Behaviour of a simulated instrument as a process: its port, its parent, its way out."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ioc_sims.common.errors import PortBusy

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_PARENT_SIGNAL = signal.SIGUSR2


def check_port_free() -> None:
    """Raise if another server has the Channel Access port (two IOCs on one port: the second is unreachable, silently).

    Raises:
        PortBusy: names port and address.
    """
    port = int(os.environ.get("EPICS_CAS_SERVER_PORT") or os.environ.get("EPICS_CA_SERVER_PORT") or 5064)
    addresses = os.environ.get("EPICS_CAS_INTF_ADDR_LIST", "").split() or [""]
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address.split(":")[0], port))
                probe.listen(1)
            except OSError as err:
                raise PortBusy(
                    f"Channel Access port {port} on {address or 'this machine'} cannot be used ({err.strerror}): "
                    "stop the other IOC or set EPICS_CA_SERVER_PORT to a free port"
                ) from err


@contextmanager
def within_seconds(limit_s: float, what: str) -> Iterator[None]:
    """End the process if a step is not done in time: EPICS suspends the thread that cannot listen, for ever.

    Args:
        limit_s: real seconds.
        what: the step, for the log.
    """

    def give_up() -> None:
        log.critical("%s was not done within %g s: ended", what, limit_s)
        os._exit(3)

    timer = threading.Timer(limit_s, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Lifetime:
    """Ends with SIGTERM, SIGINT or with the parent process.

    The kernel tells of the parent's end (PR_SET_PDEATHSIG); as it does so also when only the thread ends that started
    us, the parent's process id decides, and is looked at by `over` as well.

    A signal's handler runs in the main thread wherever that is: `threading.Event.set` waits for ever for a lock that its own
    thread holds, if that is just within `wait`. A pipe that has something in it, and from which nobody reads, needs no lock.
    """

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._told, self._tell = os.pipe()
        for end_of_pipe in (self._told, self._tell):
            weakref.finalize(self, os.close, end_of_pipe).atexit = False  # a signal may still come
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        signal.signal(_PARENT_SIGNAL, self._parent_ended)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _PARENT_SIGNAL, 0, 0, 0)

    def over(self, wait_s: float = 0.0) -> bool:
        """Wait up to `wait_s`; whether it is time to go."""
        asked = bool(select.select([self._told], [], [], wait_s)[0])
        return asked or os.getppid() != self._parent

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        if not select.select([self._told], [], [], 0.0)[0]:
            os.write(self._tell, b"!")

    def _parent_ended(self, number: int, frame: FrameType | None) -> None:
        if os.getppid() != self._parent:
            self._asked(number, frame)
