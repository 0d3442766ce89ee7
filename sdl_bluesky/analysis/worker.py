"""A third door: a process that analyses what is finished and has no result yet, and goes on as runs arrive.

    worker = Worker(lambda: connect(uri, key), tell=print)
    worker.once()
    worker.follow(stop)

It keeps nothing of its own: what is to be done stands in the catalogue, and `jobs.analyse_run` makes nothing twice. It may
be killed and started again at any moment, and several may work at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.analysis.kinds import KINDS, kind_of
from sdl_bluesky.data.campaigns import start_of, stop_of
from sdl_bluesky.data.catalogue import Moment, find_runs
from sdl_bluesky.data.consumers.bell import Bell
from sdl_bluesky.data.feeder import is_absence
from sdl_bluesky.data.layout import RUN_CONTAINERS
from sdl_bluesky.errors import SDLError, ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

BATCH = 100
"""Runs after which the catalogue is asked what has come meanwhile."""
LOOK_S = 5.0
"""The catalogue is asked so often at least; a server with a streaming cache tells at once."""
WHOLE_S = 300.0
"""How often it is asked for everything: runs from elsewhere may arrive late."""
LATE_S = 600.0
"""Runs may arrive in the catalogue so long after a newer one."""
AGAIN = 3
"""So many of the newest results are looked at again at the beginning: what follows from them may not have been made."""
PATIENCE_S = 60.0
QUICK_S, BETWEEN_TRIES_S, RING_S = 2.0, 1.0, 0.5


@dataclass(frozen=True, order=True)
class Waiting:
    """A finished run without a result: when it ended, its uid, and what it is analysed to."""

    ended: float
    uid: str
    kind: str


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: which.
        keys: of its results.
        error: why there are none; None if all went well.
    """

    run: Waiting
    keys: tuple[str, ...] = ()
    error: Exception | None = None


class Worker:
    """Analyses the finished runs of a catalogue in the order in which they ended. A failure is told, and the next one done.

    Args:
        connect: makes a client of the catalogue's root; called again after each lost connection.
        kinds: which results are wanted, of `kinds.KINDS`.
        since: runs that started before are left alone: seconds since 1970, datetime, or ISO text.
        models: folders with networks for spectra, see `jobs.analyse_run`.
        again: look also at runs that have a result: new software, or a new model, makes a new one.
        tell: called after each run.

    Attributes:
        done, failed: numbers of runs.
    """

    def __init__(
        self,
        connect: Callable[[], Container],
        *,
        kinds: Collection[str] = KINDS,
        since: Moment | None = None,
        models: Sequence[Path] = (),
        again: bool = False,
        tell: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self._connect, self._kinds, self._since = connect, frozenset(kinds), since
        self._models, self._again, self._tell = tuple(models), again, tell
        self.done = self.failed = 0
        self._seen: set[str] = set()
        self._waiting: dict[str, Waiting] = {}
        self._newest, self._whole_at = 0.0, -WHOLE_S

    def once(self, stop: threading.Event | None = None, patience_s: float = PATIENCE_S) -> bool:
        """Analyse what is there; True if nothing failed.

        Args:
            stop: when it is set, the run at hand is the last one.
            patience_s: how long a server may be away.

        Raises:
            ServiceMissing: it is away for longer.
            ServiceError: it does not let us in.
        """
        ending = stop or threading.Event()
        deadline = time.monotonic() + patience_s
        while True:
            before = len(self._seen)
            try:
                self._drain(self._connect(), ending)
                return not self.failed
            except Exception as fault:
                if not _is_away(fault):
                    raise
                if len(self._seen) > before:
                    deadline = time.monotonic() + patience_s
                if time.monotonic() > deadline or ending.wait(BETWEEN_TRIES_S):
                    raise ServiceMissing(f"the catalogue does not answer ({fault}); what is analysed stays") from fault

    def follow(self, stop: threading.Event) -> None:
        """The same, and then each run as it ends, until `stop` is set. A server that is away is waited for.

        Raises:
            ServiceError: the server does not let us in.
        """
        away = False
        while not stop.is_set():
            try:
                client = self._connect()
                with Bell(client) as bell:
                    bell.listen(RUN_CONTAINERS)
                    if away:
                        log.warning("the catalogue %s answers again", client.uri)
                    away = False
                    while not stop.is_set():
                        self._drain(client, stop)
                        _sit(bell, stop)
            except Exception as fault:
                if not _is_away(fault):
                    raise
                if not away:
                    log.warning("the catalogue does not answer (%s): waiting for it", fault)
                away = True
                stop.wait(BETWEEN_TRIES_S)

    def _drain(self, client: Container, stop: threading.Event) -> None:
        """Analyse what waits until nothing waits."""
        self._look(client)
        while self._waiting and not stop.is_set():
            for run in sorted(self._waiting.values())[:BATCH]:
                if stop.is_set():
                    return
                self._analyse(client, run)
            self._look(client)

    def _analyse(self, client: Container, run: Waiting) -> None:
        from sdl_bluesky.analysis.jobs import analyse_run

        try:
            outcome = Outcome(run, tuple(analyse_run(client, run.uid, self._models)))
            self.done += 1
        except Exception as error:
            if _is_away(error):
                raise
            outcome = Outcome(run, error=error)
            self.failed += 1
            if not isinstance(error, SDLError):
                log.warning("run %s could not be analysed", run.uid, exc_info=True)
        self._seen.add(run.uid)
        del self._waiting[run.uid]
        self._tell(outcome)

    def _look(self, client: Container) -> None:
        """Take note of runs that have ended."""
        client.context.http_client.get(client.context.api_uri, timeout=QUICK_S)  # Tiled's own requests wait for long
        now = time.monotonic()
        whole = now - self._whole_at >= WHOLE_S
        known = self._with_results(client) if whole and not self._again else set[str]()
        for run in ended_runs(client, self._kinds, self._since, 0.0 if whole else self._newest - LATE_S):
            self._newest = max(self._newest, run.ended)
            if run.uid in known:
                self._seen.add(run.uid)
            elif run.uid not in self._seen:
                self._waiting[run.uid] = run
        if whole:
            self._whole_at = now

    def _with_results(self, client: Container) -> set[str]:
        """Runs that have a result; at the first look not those of the newest, for what should follow from them."""
        from sdl_bluesky.data.analysis import find_analyses

        found: set[str] = set()
        for kind in self._kinds:
            runs = [str(node.metadata.get("run", "")) for node in find_analyses(client, kind).values()]
            found |= set(runs if self._whole_at >= 0.0 else runs[:-AGAIN])
        return found


def ended_runs(
    client: Container, kinds: Collection[str], since: Moment | None = None, ended_since: float = 0.0
) -> list[Waiting]:
    """Runs that ended well and can be analysed to one of the kinds, in the order of their ends.

    Args:
        client: root of the catalogue.
        kinds: of `kinds.KINDS`.
        since: they started not before.
        ended_since: they ended not before, seconds since 1970.
    """
    from tiled.queries import Comparison

    found: list[Waiting] = []
    for container in RUN_CONTAINERS:
        ended: Any = find_runs(client, since=since, container=container)
        for run in ended.search(Comparison("ge", "stop.time", ended_since)).values():
            start, stop = start_of(run), stop_of(run)
            kind = kind_of(start)
            well = stop is not None and (stop.get("exit_status") == "success" or start.get("purpose") == "campaign")
            if stop is not None and well and kind in kinds:
                found.append(Waiting(float(stop["time"]), str(start["uid"]), str(kind)))
    return sorted(found)


def _sit(bell: Bell, stop: threading.Event) -> None:
    """Wait for a ring, not for ever."""
    deadline = time.monotonic() + LOOK_S
    while not stop.is_set() and time.monotonic() < deadline:
        if bell.wait(RING_S):
            return


def _is_away(fault: Exception) -> bool:
    """Whether the server is not there, rather than that a run is not as it should be."""
    return isinstance(fault, ServiceMissing) or is_absence(fault)
