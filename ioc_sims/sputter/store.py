"""State and truth of the chamber, as they are written to disk."""

from __future__ import annotations

import copy
from typing import Any

from ioc_sims.common.store import Store as BaseStore
from ioc_sims.common.store import Truth
from ioc_sims.sputter import state, truth
from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.film import Film


class Store(BaseStore):
    """Keeps a chamber on disk; a film whose doses have not changed is not worked out again."""

    def __init__(self, chamber: Chamber) -> None:
        super().__init__(chamber.plant.config)
        self._chamber = chamber
        self._films: dict[int, tuple[float, dict[str, Any]]] = {}  # by number: total dose, truth

    def _take(self, with_truth: bool) -> tuple[dict[str, Any], Truth | None]:
        plant = self._chamber.plant
        with self._chamber.lock:
            saved = state.snapshot(plant)
            if not with_truth:
                return saved, None
            rates = truth.chamber_truth(plant)
            films = {number: copy.deepcopy(film) for number, film in plant.films.items()}
        return saved, lambda: {**rates, "films": self._film_truths(films)}

    def _film_truths(self, films: dict[int, Film]) -> dict[str, Any]:
        for number, film in films.items():
            dose = sum(float(doses.sum()) for doses in film.doses.values())
            if self._films.get(number, (None, {}))[0] != dose:
                self._films[number] = (dose, truth.film_truth(self._chamber.plant.wafer, film))
        return {str(number): self._films[number][1] for number in films}
