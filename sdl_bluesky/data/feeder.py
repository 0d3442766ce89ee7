"""Brings every run of a log directory into a catalogue, and keeps them equal.

One engine for the writer process (for ever, live) and for `replay` (once). For each run it sees it asks the catalogue
first: what is there already is compared, not written again; what differs is deleted and written anew from the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from sdl_bluesky.data.columns import Misfit
from sdl_bluesky.data.feed import RunFeed
from sdl_bluesky.data.journal import Journal, Run, State
from sdl_bluesky.data.layout import container_of
from sdl_bluesky.data.ledger import delete, find
from sdl_bluesky.data.logfile import log_files, read_entries
from sdl_bluesky.data.report import Report
from sdl_bluesky.errors import ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

BATCH = 2000
_STEP_S = 0.5
GIVE_UP = 3
_LONGEST_PAUSE_S = 60.0


class Feeder:
    """Reads the logs of a directory and feeds a catalogue.

    Args:
        directory: where the logs are.
        client: root of the catalogue; its containers must exist.
        progress: what `progress` returned earlier, to spare the comparison of what was complete then.
    """

    def __init__(
        self, directory: Path | str, client: Container, progress: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.directory, self._client, self._progress = Path(directory), client, progress or {}
        self._logs: dict[Path, Journal] = {}
        self._seen: dict[str, set[str]] = {"written": set(), "skipped": set(), "repaired": set()}
        self._events = 0
        self._containers: dict[str, Container] = {}

    def step(self) -> int:
        """Read what is new (some of each log at most) and write it; returns the number of documents handled.

        Raises:
            ServiceMissing: the server does not answer; call again when it does, nothing is lost.
        """
        handled = 0
        files = log_files(self.directory)
        for gone in self._logs.keys() - set(files):
            del self._logs[gone]
        for path in files:
            if path not in self._logs:
                self._logs[path] = self._new_log(path)
            handled += self._read(self._logs[path])
        for journal in self._logs.values():
            for run in list(journal.runs.values()):
                handled += self._tend(journal, run)
        return handled

    def settled(self) -> bool:
        """True if all that was read is in the catalogue, but for runs that the server refused several times."""
        return all(run.attempts >= GIVE_UP or run.up_to_date() for run in self._open_runs())

    def failures(self) -> dict[str, str]:
        """Runs in trouble, with the reason."""
        return {run.uid: run.reason for run in self._open_runs() if run.attempts}

    def report(self) -> Report:
        """What was done so far."""
        failed = self.failures()
        seen = {key: tuple(sorted(uids - failed.keys())) for key, uids in self._seen.items()}
        live = sum(run.ledger.events - run.feed.waiting for run in self._open_runs() if run.feed is not None)
        return Report(**seen, failed=failed, events=self._events + live)

    def progress(self) -> dict[str, dict[str, Any]]:
        """For each log: bytes that were read, the byte from which to begin again, complete runs after it."""
        state = {}
        for path, journal in self._logs.items():
            resume = min((run.start for run in journal.runs.values()), default=journal.offset)
            journal.done = {uid: start for uid, start in journal.done.items() if start >= resume}
            state[path.name] = {"read": journal.offset, "resume": resume, "done": journal.done}
        return state

    def _open_runs(self) -> list[Run]:
        return [run for journal in self._logs.values() for run in journal.runs.values()]

    def _new_log(self, path: Path) -> Journal:
        known = self._progress.get(path.name, {})
        offset = known.get("resume", 0)
        return Journal(path, offset=offset if offset <= path.stat().st_size else 0, done=dict(known.get("done", {})))

    def _read(self, journal: Journal) -> int:
        size = journal.path.stat().st_size
        if size in (journal.offset, journal.size):  # nothing new, or only the torn line that was seen before
            return 0
        handled, enough = 0, time.monotonic() + _STEP_S
        for entry in read_entries(journal.path, journal.offset):
            journal.offset = entry.end  # first: if writing fails below, the whole run is written anew, from its start
            handled += 1
            self._take(journal, entry.name, entry.doc, entry.offset)
            if handled >= BATCH or time.monotonic() > enough:
                return handled
        journal.size = size
        return handled

    def _take(self, journal: Journal, name: str, doc: dict[str, Any], offset: int) -> None:
        try:
            uid = journal.index.run_of(name, doc)
        except (KeyError, TypeError) as error:
            log.warning("%s: byte %d: a %s without %s was passed over", journal.path, offset, name, error)
            return
        if uid is None or uid in journal.done:
            return
        if name == "start":
            journal.runs[uid] = Run(uid, container_of(doc), offset)
        run = journal.runs.get(uid)
        if run is None:
            return
        with self._care(run):
            run.ledger.note(name, doc)
            if name == "start":
                self._begin(run, doc)
            elif run.feed is not None and name == "stop":
                run.feed.finish(doc, run.ledger)
                run.state = State.DONE
            elif run.feed is not None:
                run.feed.put(name, doc)
        self._retire(journal, run)

    def _retire(self, journal: Journal, run: Run) -> None:
        if run.state is State.DONE:
            journal.forget(run)
            self._events += 0 if run.uid in self._seen["skipped"] else run.ledger.events

    def _begin(self, run: Run, start: dict[str, Any]) -> None:
        if find(self._container(run), run.uid) is not None:
            run.state = State.COMPARE
            return
        feed = RunFeed(self._container(run), run.columns)
        feed.put("start", start)
        run.state, run.feed = State.LIVE, feed
        self._seen["written"].add(run.uid)

    def _tend(self, journal: Journal, run: Run) -> int:
        """Do for a run what is due once its documents were read; returns the number of documents handled."""
        handled = 0
        with self._care(run):
            fresh = run.ledger.documents > run.compared
            if run.state is State.COMPARE and fresh and (run.ledger.stop is not None or journal.at_end()):
                self._compare(run)
            if run.state is State.REWRITE and time.monotonic() >= run.retry_at:
                handled = self._rewrite(journal, run)
            elif run.feed is not None:
                run.feed.flush()
        self._retire(journal, run)
        return handled

    def _compare(self, run: Run) -> None:
        there = find(self._container(run), run.uid)
        if there is None or not run.ledger.matches(there):
            run.state = State.REWRITE
            return
        self._seen["skipped"].add(run.uid)
        run.compared = run.ledger.documents
        if run.ledger.stop is not None:
            run.state = State.DONE

    def _rewrite(self, journal: Journal, run: Run) -> int:
        container = self._container(run)
        again = delete(container, run.uid)
        feed, handled = RunFeed(container, run.columns), 0
        for name, doc in journal.documents(run):
            if name == "stop":
                feed.finish(doc, run.ledger)
            else:
                feed.put(name, doc)
            handled += 1
            if handled % BATCH == 0:
                feed.flush()
        feed.flush()
        run.attempts, run.reason = 0, ""
        run.state, run.feed = (State.LIVE, feed) if run.ledger.stop is None else (State.DONE, None)
        if run.uid not in self._seen["written"]:
            self._seen["skipped"].discard(run.uid)
            self._seen["repaired" if again else "written"].add(run.uid)
        return handled

    def _container(self, run: Run) -> Container:
        if run.container not in self._containers:
            self._containers[run.container] = self._client[run.container]
        return self._containers[run.container]

    @contextmanager
    def _care(self, run: Run) -> Iterator[None]:
        """Whatever goes wrong with a run, it is written anew later; other runs go on unless the server is gone."""
        try:
            yield
        except Misfit as misfit:
            log.info("run %s: %s", run.uid, misfit)
            run.columns.widen(misfit)
            run.state, run.feed, run.retry_at = State.REWRITE, None, 0.0
        except Exception as error:
            run.state, run.feed = State.REWRITE, None
            if is_absence(error):
                raise ServiceMissing(f"Tiled does not answer ({error!r}); the log keeps everything") from error
            run.attempts += 1
            run.reason = f"{type(error).__name__}: {error}"
            run.retry_at = time.monotonic() + min(0.25 * 4 ** (run.attempts - 1), _LONGEST_PAUSE_S)
            log.log(
                logging.ERROR if run.attempts >= GIVE_UP else logging.WARNING,
                "run %s was not taken by Tiled (attempt %d), it is in %s: %s",
                *(run.uid, run.attempts, self.directory, run.reason),
                exc_info=run.attempts == GIVE_UP,
            )


def is_absence(error: Exception) -> bool:
    """True if an error says that the server is not there, or lets nobody in, rather than that it refuses one run."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (401, 403, 429, 502, 503, 504)
    return isinstance(error, httpx.TransportError)
