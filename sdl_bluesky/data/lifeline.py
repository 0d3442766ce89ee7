"""Processes that end with the one that started them, also when that one is killed.

A child watches its parent through a pidfd. (PR_SET_PDEATHSIG is tied to the *thread* that started the child: a server
started from a worker thread would be killed when the thread ends.) Children get a session of their own, so that Ctrl-C
in a terminal interrupts the plan and not the data server.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdl_bluesky.errors import ServiceError


class SignalEvent:
    """An event that a signal's handler may set.

    A handler runs in the main thread wherever that is. `threading.Event.set` within `Event.wait` waits for ever, for a
    lock that its own thread holds, and `SimpleQueue.get` can wait for ever when a signal comes at its deadline. A pipe that
    has something in it, and from which nobody reads, needs no lock.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end_of_pipe in (self._read, self._write):
            weakref.finalize(self, os.close, end_of_pipe).atexit = False  # a signal may still come

    def set(self) -> None:
        """Set it, for good."""
        if not self.is_set():
            os.write(self._write, b"!")

    def is_set(self) -> bool:
        """Whether it is set."""
        return self.wait(0.0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set, or for `timeout_s`; whether it is."""
        return bool(select.select([self._read], [], [], timeout_s)[0])


def spawn(
    module: str, arguments: Sequence[str], log: Path, env: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments...` with `env` added to the environment; what it prints goes to `log`."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("ab")
    except OSError as error:
        raise ServiceError(f"the log {log} of {module} cannot be written: {error}") from error
    with output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )


def end(process: subprocess.Popen[bytes], timeout: float) -> int:
    """Ask a child to end, kill it if it does not within `timeout` seconds; returns its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def end_with(parent: int, linger_s: float = 0.0, last_s: float = 20.0) -> None:
    """Send this process a SIGTERM `linger_s` after process `parent` has died, and end it hard `last_s` later."""

    def watch() -> None:
        _wait_for_death(parent)
        time.sleep(linger_s)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(last_s)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _wait_for_death(pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or an old kernel
        while os.getppid() == pid:
            time.sleep(0.5)
        return
    select.select([fd], [], [])
    os.close(fd)
