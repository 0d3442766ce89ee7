"""Keeps state and truth on disk, off the tick: a slow or full disk must not stop the instrument."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ioc_sims.common.config import InstrumentConfig
from ioc_sims.common.files import write_json

log = logging.getLogger(__name__)

_STATE_PERIOD_S = 0.5

Truth = Callable[[], dict[str, Any]]


class Store(ABC):
    """Writes the state twice a second and the truth when asked, on a thread of its own.

    Args:
        config: names the two files.
    """

    def __init__(self, config: InstrumentConfig) -> None:
        self._config = config
        self._wake = threading.Event()
        self._truth_wanted = True
        self._closing = False
        self._failing: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    @abstractmethod
    def _take(self, with_truth: bool) -> tuple[dict[str, Any], Truth | None]:
        """The state of this moment, and what makes the truth of this moment if it is wanted (called without a lock)."""

    @property
    def healthy(self) -> bool:
        """Whether the last write of each file worked."""
        return not self._failing

    def start(self) -> None:
        """Write both files once, then go on in the background."""
        self._write()
        self._thread.start()

    def want_truth(self) -> None:
        """Something of the truth has changed: write it soon."""
        self._truth_wanted = True
        self._wake.set()

    def close(self) -> None:
        """Write both files for the last time."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._truth_wanted = True
        self._write()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(_STATE_PERIOD_S)
            self._wake.clear()
            self._write()

    def _write(self) -> None:
        wanted, self._truth_wanted = self._truth_wanted, False
        saved, truth = self._take(wanted)
        self._attempt("state", saved)
        if truth is not None:
            self._attempt("truth", truth())

    def _attempt(self, which: str, content: dict[str, Any]) -> None:
        path = self._config.state_file if which == "state" else self._config.truth_file
        try:
            write_json(path, content)
        except (OSError, ValueError) as err:
            if which not in self._failing:
                log.error("the %s file %s cannot be written (%s); the simulation goes on", which, path, err)
            self._failing.add(which)
            if which == "truth":
                self._truth_wanted = True
        else:
            if which in self._failing:
                log.warning("the %s file %s can be written again", which, path)
            self._failing.discard(which)
