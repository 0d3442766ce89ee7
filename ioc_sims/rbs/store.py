"""State and truth of the station, as they are written to disk."""

from __future__ import annotations

from typing import Any

from ioc_sims.common.store import Store as BaseStore
from ioc_sims.common.store import Truth
from ioc_sims.rbs import state
from ioc_sims.rbs.station import Station


class Store(BaseStore):
    """Keeps a station on disk."""

    def __init__(self, station: Station) -> None:
        super().__init__(station.plant.config)
        self._station = station

    def _take(self, with_truth: bool) -> tuple[dict[str, Any], Truth | None]:
        with self._station.lock:
            saved = state.snapshot(self._station.plant)
            hidden = state.truth(self._station.plant) if with_truth else {}
        return saved, (lambda: hidden) if with_truth else None
