"""The callback door: runs are analysed as they end, beside the experiments and never in their way.

    callback = AnalysisCallback(lambda: connect(uri, key), log_dir)
    RE.subscribe(callback)
    ...
    callback.wait(60)
    callback.keys, callback.findings

The other door is `jobs.analyse_run`, which this one calls: for any run, at any time, from anywhere.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from sdl_bluesky.analysis.kinds import KINDS, kind_of
from sdl_bluesky.data.status import wait_until_written
from sdl_bluesky.errors import SDLError, ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

_BETWEEN_TRIES_S = 0.5


@dataclass(frozen=True)
class Finding:
    """A run that could not be analysed, and why."""

    uid: str
    kind: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.kind} of run {self.uid}: {self.error}"


class AnalysisCallback:
    """Hands each run that ends well to one background thread, which waits for it in the catalogue and analyses it.

    A failure is logged and kept in `findings`; nothing is ever raised into the RunEngine.

    Args:
        connect: makes a client of the catalogue's root; called in the thread, again after each lost connection.
        log_dir: where the documents are logged; to say what is wrong when a run does not arrive.
        kinds: which results are wanted, of "flux", "rate_surface", "composition", "rbs".
        arrival_s: how long a run may take until it is in the catalogue.
        models: folders with networks for spectra, see `jobs.analyse_run`.

    Attributes:
        keys: uid of the run -> keys of its results.
        findings: runs that could not be analysed.
    """

    def __init__(
        self,
        connect: Callable[[], Container],
        log_dir: Path | str,
        kinds: Collection[str] = KINDS,
        arrival_s: float = 60.0,
        models: Sequence[Path] = (),
    ) -> None:
        self._connect, self._log_dir, self._kinds, self._arrival_s = connect, Path(log_dir), frozenset(kinds), arrival_s
        self._models = tuple(models)
        self.keys: dict[str, list[str]] = {}
        self.findings: list[Finding] = []
        self._open: dict[str, str] = {}
        self._todo: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._pending = 0
        self._idle = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="analysis", daemon=True)
        self._thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document of a RunEngine. Never raises, never waits."""
        try:
            if name == "start":
                kind = kind_of(doc)
                if kind in self._kinds:
                    self._open[doc["uid"]] = str(kind)
            elif name == "stop":
                kind = self._open.pop(doc["run_start"], None)
                if kind is not None and doc.get("exit_status") == "success":
                    self._put(doc["run_start"], kind)
        except Exception:
            log.exception("a %s document could not be handed to the analysis", name)

    def _put(self, uid: str, kind: str) -> None:
        with self._idle:
            if self._closed:
                log.warning("run %s is not analysed: the analysis is closed", uid)
                return
            self._pending += 1
        self._todo.put((uid, kind))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every run handed over so far is analysed or has failed; False if `timeout` [s] came first."""
        with self._idle:
            return self._idle.wait_for(lambda: self._pending == 0, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Take no more runs, finish those at hand, end the thread; False if `timeout` [s] came first."""
        with self._idle:
            if not self._closed:
                self._closed = True
                self._todo.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def __enter__(self) -> AnalysisCallback:
        """Use it as a context manager to have it closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what is at hand."""
        self.close()

    def _work(self) -> None:
        client: Container | None = None
        while (item := self._todo.get()) is not None:
            uid, kind = item
            try:
                client, self.keys[uid] = self._analyse(client, uid)
            except Exception as error:
                client = None
                self.findings.append(Finding(uid, kind, error))
                log.warning("no %s of run %s: %s", kind, uid, error, exc_info=not _is_expected(error))
            finally:
                with self._idle:
                    self._pending -= 1
                    self._idle.notify_all()

    def _analyse(self, client: Container | None, uid: str) -> tuple[Container, list[str]]:
        from sdl_bluesky.analysis.jobs import analyse_run

        deadline = time.monotonic() + self._arrival_s
        while True:
            try:
                client = client or self._connect()
                wait_until_written(self._log_dir, client, uid, timeout=max(deadline - time.monotonic(), 0.0))
                return client, analyse_run(client, uid, self._models)
            except (httpx.TransportError, ServiceMissing):  # the server is away: perhaps it comes back
                client = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(_BETWEEN_TRIES_S)


def _is_expected(error: Exception) -> bool:
    return isinstance(error, SDLError | httpx.HTTPError)
