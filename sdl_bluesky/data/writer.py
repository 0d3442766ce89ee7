"""The process that feeds Tiled from the document logs.

    TILED_API_KEY=... python -m sdl_bluesky.data.writer --log data/log --uri http://127.0.0.1:8000

It reads the logs and nothing else, so that neither a slow server nor a dead one touches an experiment. Events are to be
seen in Tiled a moment after they are in the log. While the server is away it waits; a run whose writing broke off is
deleted and written anew. SIGTERM: what is in the logs is still written (for some seconds at most), then it ends.

Exit status: 0 all that is in the logs is in Tiled, 1 it is not (it stays in the logs), 2 it could not begin.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sdl_bluesky.data.lifeline import SignalEvent, end_with, spawn
from sdl_bluesky.errors import SDLError, ServiceError, ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

    from sdl_bluesky.data.feeder import Feeder

log = logging.getLogger(__name__)

POLL_S = 0.1
DRAIN_S = 10.0
_HEARTBEAT_S = 1.0
_LOOK_S = 5.0
_LONGEST_PAUSE_S = 2.0


class _OutOfTime(BaseException):
    """The time for the last documents is over."""


class Writer:
    """Feeds one catalogue from one log directory until `stop` is set.

    Args:
        log_dir: where the logs are.
        uri: address of the Tiled server; the key is in TILED_API_KEY.
        once: end as soon as everything is written.
        patience: with `once`, the seconds to wait for a server that is away.
    """

    def __init__(self, log_dir: Path, uri: str, once: bool = False, patience: float = 30.0) -> None:
        self.log_dir, self.uri, self.once, self.patience = log_dir, uri, once, patience
        self.stop = SignalEvent()
        self._feeder: Feeder | None = None
        self._client: Container | None = None
        self._connected = False
        self._catalogue = ""
        self._look_at = 0.0
        self._reason = ""
        self._lock = ExitStack()
        self._said: tuple[object, ...] = ()
        self._said_at = 0.0

    def run(self) -> bool:
        """Work until told to stop; True if everything that is in the logs is in the catalogue.

        Raises:
            ServiceError: the server refuses the key, or another process feeds the same catalogue from the same logs.
        """
        pause, away_since = POLL_S, time.monotonic()
        with self._lock:
            while True:
                try:
                    if self._work():
                        return not self._feeder or not self._feeder.failures()
                    pause, away_since = POLL_S, time.monotonic()
                    continue
                except ServiceMissing as error:
                    self._away(str(error))
                except SDLError:
                    raise
                except Exception as error:  # begin again from what is known to be complete
                    log.exception("unexpected; beginning again")
                    self._away(repr(error))
                    self._feeder = None
                if self.stop.wait(pause) or (self.once and time.monotonic() - away_since > self.patience):
                    return False
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _away(self, reason: str) -> None:
        if self._connected or reason != self._reason:
            log.warning("%s", reason)
        self._connected, self._reason = False, reason
        self._say("waiting", reason)

    def _work(self) -> bool:
        """Write what is new; True if that was all and it is time to end."""
        feeder = self._connect()
        handled = feeder.step()
        settled = feeder.settled()
        ending = self.stop.is_set() or self.once
        if ending and settled and not handled:
            self._say("stopped")
            return True
        self._say("live" if settled else "behind")
        if not handled:
            self._look_again()
            time.sleep(POLL_S) if ending else self.stop.wait(POLL_S)
        return False

    def _look_again(self) -> None:
        """Notice, when there is nothing to write, that the server is gone or that another catalogue is at its place."""
        from sdl_bluesky.data.feeder import is_absence
        from sdl_bluesky.data.layout import identity

        if self._client is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_S
        try:
            if identity(self._client) == self._catalogue:
                return
        except KeyError:  # it has no containers
            pass
        except Exception as error:
            if is_absence(error):
                raise ServiceMissing(f"Tiled does not answer ({error!r})") from error
            raise
        log.warning("another catalogue answers at %s: feeding it from the beginning", self.uri)
        self._connected, self._feeder = False, None

    def _connect(self) -> Feeder:
        """The feeder, once the server is there; a new one if the catalogue was exchanged for another."""
        from sdl_bluesky.data.catalogue import connect
        from sdl_bluesky.data.feeder import Feeder, is_absence
        from sdl_bluesky.data.layout import ensure_containers
        from sdl_bluesky.data.status import feeding, read_status

        if self._connected and self._feeder:
            return self._feeder
        try:
            client = connect(self.uri, timeout=2.0, patience=30.0)
            catalogue = ensure_containers(client)
        except Exception as error:
            known = self._feeder is not None and isinstance(error, ServiceError)  # it let us in before
            if not isinstance(error, ServiceMissing) and (known or is_absence(error)):
                raise ServiceMissing(f"Tiled at {self.uri} cannot be used: {error}") from error
            raise
        if self._feeder is None or catalogue != self._catalogue:
            self._lock.close()
            self._lock.enter_context(feeding(self.log_dir, catalogue))
            status = read_status(self.log_dir, catalogue)
            self._feeder = Feeder(self.log_dir, client, status.files if status else None)
            self._client, self._catalogue = client, catalogue
        log.info("feeding %s from %s", self.uri, self.log_dir)
        self._connected = True
        return self._feeder

    def _say(self, state: str, reason: str = "") -> None:
        from sdl_bluesky.data.status import Status

        if self._feeder is None:
            return
        files, troubled = self._feeder.progress(), self._feeder.failures()
        said = (state, reason, [(name, file["read"], file["resume"]) for name, file in files.items()], troubled)
        now = time.monotonic()
        if said == self._said and now - self._said_at < _HEARTBEAT_S:
            return
        try:
            Status(self._catalogue, self.uri, state, reason, files=files, troubled=troubled).save(self.log_dir)
        except OSError as error:
            log.error("the status cannot be written to %s: %s", self.log_dir, error)
        self._said, self._said_at = said, now


def start_writer(log_dir: Path | str, uri: str, api_key: str, output: Path | str) -> subprocess.Popen[bytes]:
    """Start the writer as a child process that ends with this one.

    Args:
        log_dir: where the logs are.
        uri: address of the Tiled server.
        api_key: its key.
        output: file for what the writer has to say.

    Raises:
        ServiceError: `output` cannot be written.
    """
    arguments = ["--log", str(log_dir), "--uri", uri, "--with-parent", str(os.getpid())]
    return spawn("sdl_bluesky.data.writer", arguments, Path(output), {"TILED_API_KEY": api_key})


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m sdl_bluesky.data.writer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--log", type=Path, required=True, help="directory of the document logs")
    parser.add_argument("--uri", required=True, help="address of the Tiled server; its key in TILED_API_KEY")
    parser.add_argument("--once", action="store_true", help="end as soon as everything is written")
    parser.add_argument("--patience", type=float, default=30.0, help="with --once: seconds to wait for the server")
    parser.add_argument(
        "--with-parent", type=int, nargs="?", const=0, metavar="PID", help="end when the parent (or process PID) dies"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "1")  # read when tiled is imported: the writer itself is patient
    if arguments.with_parent is not None:
        end_with(arguments.with_parent or os.getppid(), last_s=DRAIN_S + 5)
    writer = Writer(arguments.log, arguments.uri, arguments.once, arguments.patience)

    def stop(*_: object) -> None:
        writer.stop.set()
        signal.setitimer(signal.ITIMER_REAL, DRAIN_S)

    def out_of_time(*_: object) -> None:
        raise _OutOfTime

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, out_of_time)
    try:
        arguments.log.mkdir(parents=True, exist_ok=True)
        return 0 if writer.run() else 1
    except (SDLError, OSError) as error:
        log.critical("%s", error)
        return 2
    except _OutOfTime:
        log.warning("ended before everything was written; the rest is in %s", arguments.log)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
