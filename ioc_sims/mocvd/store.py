"""State and truth of the reactor, as they are written to disk."""

from __future__ import annotations

from typing import Any

from ioc_sims.common.store import Store as BaseStore
from ioc_sims.common.store import Truth
from ioc_sims.mocvd import state
from ioc_sims.mocvd.reactor import Reactor
from ioc_sims.mocvd.truth import Known, truth


class Store(BaseStore):
    """Keeps a reactor on disk; a wafer on which nothing has grown is not worked out again."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__(reactor.plant.config)
        self._reactor = reactor
        self._known: Known = {}

    def _take(self, with_truth: bool) -> tuple[dict[str, Any], Truth | None]:
        with self._reactor.lock:
            saved = state.snapshot(self._reactor.plant)
            hidden = truth(self._reactor.plant, self._known) if with_truth else {}
        return saved, (lambda: hidden) if with_truth else None
