"""Active learning of a rate: an initial design, then the candidate whose reading is worth most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdl_bluesky.agents.learner import RateAgent
from sdl_bluesky.agents.space import Candidates
from sdl_bluesky.inference import acquisition as acquisitions
from sdl_bluesky.inference.design import initial_design
from sdl_bluesky.physics.geometry import Array

_ALTERNATIVES = 5
_APART = 0.15  # of the width of the bounds: alternatives nearer than this are the same idea


class BALMAgent(RateAgent):
    """Bayesian active learning MacKay with a fully Bayesian Gaussian process, after arXiv:2506.05999.

    Args:
        acquisition: "balm", "alm", "bald" or "nipv" (see `inference.acquisition`).
        initial: "corners" (all corners and the centre), "sobol" or "random" (five points).
        bounds, objective, model, candidates, budget, tolerance, seed, exclude: see `RateAgent`.

    >>> agent = BALMAgent(bounds={"power": (10.0, 100.0), "pressure": (4.0, 20.0)}, budget=10)
    >>> point = agent.suggest()[0]
    >>> agent.ingest([{**point, "rate": 3.1}])
    """

    name = "balm"

    def __init__(
        self,
        bounds: Mapping[str, tuple[float, float]],
        objective: str = "rate",
        model: str = "power-scaled",
        acquisition: str = "balm",
        initial: str = "corners",
        candidates: Candidates = None,
        budget: int = 30,
        tolerance: float | None = None,
        seed: int = 0,
        exclude: float = 0.1,
    ) -> None:
        self._acquisition_name, self._initial_name = acquisition, initial
        self._acquisition = acquisitions.acquisition(acquisition)
        super().__init__(bounds, objective, model, candidates, budget, tolerance, seed, exclude)
        start = initial_design(initial, self.space.bounds, self.seed)
        snapped = [tuple(self.space.snapped(x).tolist()) for x in start]
        self._initial = np.array(list(dict.fromkeys(snapped)))

    def _own_settings(self) -> tuple[str, ...]:
        return self._acquisition_name, self._initial_name

    def least_rows(self) -> int:
        """No stop before as many readings as the initial design has points, or five."""
        return max(super().least_rows(), len(self._initial))

    def _choose(self) -> tuple[Array, dict[str, Any], list[tuple[Array, float]], int | None]:
        for k, x in enumerate(self._initial):
            if not self.ledger.initial_done(k, x) and self.allowed(x[None])[0]:
                return x, {"name": f"initial {self._initial_name}"}, [], k
        points = self.open_candidates()
        if len(self.ledger.y) < 2:
            return self.farthest(points), {"name": "farthest"}, [], None
        posterior = self.posterior()
        if self.ledger.pending:
            posterior = posterior.believe(np.array(list(self.ledger.pending.values())))
        domain = self.space.domain()
        inside = self.allowed(domain)
        value = self._acquisition(posterior, points, domain[inside] if inside.any() else points)
        best = _first_best(value)
        name = self._acquisition_name
        chosen = {"name": name, "value": float(value[best]), "unit": acquisitions.UNITS[name]}
        return points[best], chosen, self._alternatives(points, value, best), None

    def _alternatives(self, points: Array, value: Array, best: int) -> list[tuple[Array, float]]:
        """The next best points, each away from the better ones."""
        u = self.space.unit(points)
        taken = [best]
        free = np.max(np.abs(u - u[best]), axis=1) > _APART
        while free.any() and len(taken) <= _ALTERNATIVES:
            k = int(np.argmax(np.where(free, value, -np.inf)))
            taken.append(k)
            free &= np.max(np.abs(u - u[k]), axis=1) > _APART
        return [(points[k], float(value[k])) for k in taken[1:]]


def _first_best(value: Array) -> int:
    """The first of the candidates that are as good as the best within rounding."""
    best = float(value.max())
    return int(np.argmax(value >= best - 1e-9 * max(1.0, abs(best))))
