"""Keeps state and truth on disk, off the tick: a slow or full disk must not stop the instrument."""

from __future__ import annotations

import copy
import logging
import threading
from typing import Any

from ioc_sims.common.files import write_json
from ioc_sims.sputter import state, truth
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.film import Film

log = logging.getLogger(__name__)

_STATE_PERIOD_S = 0.5


class Store:
    """Writes the state twice a second and the truth when asked, on a thread of its own.

    Attributes:
        healthy: whether the last writes worked.
    """

    def __init__(self, chamber: Chamber) -> None:
        self._chamber = chamber
        self._config = chamber.plant.config
        self._films: dict[int, tuple[float, dict[str, Any]]] = {}  # by number: total dose, truth
        self._wake = threading.Event()
        self._truth_wanted = True
        self._closing = False
        self._failing: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    @property
    def healthy(self) -> bool:
        """Whether the last write of each file worked."""
        return not self._failing

    def start(self) -> None:
        """Write both files once, then go on in the background."""
        self._write()
        self._thread.start()

    def want_truth(self) -> None:
        """A film has changed: write the truth soon."""
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
        with self._chamber.lock:
            saved = state.snapshot(self._chamber.plant)
            rates = truth.chamber_truth(self._chamber.plant) if wanted else {}
            films = {} if not wanted else {n: copy.deepcopy(f) for n, f in self._chamber.plant.films.items()}
        self._attempt("state", saved)
        if wanted:
            self._attempt("truth", {**rates, "films": self._film_truths(films)})

    def _film_truths(self, films: dict[int, Film]) -> dict[str, Any]:
        for number, film in films.items():
            dose = sum(float(doses.sum()) for doses in film.doses.values())
            if self._films.get(number, (None, {}))[0] != dose:
                self._films[number] = (dose, truth.film_truth(self._chamber.plant.wafer, film))
        return {str(number): self._films[number][1] for number in films}

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
