"""Active learning of a rate: an initial design, then the candidate whose reading is worth most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sdl_bluesky.agents.choice import Choice
from sdl_bluesky.agents.extinction import Learned, Setting
from sdl_bluesky.agents.learner import RateAgent
from sdl_bluesky.agents.models import Sensors, power_column
from sdl_bluesky.agents.space import Candidates
from sdl_bluesky.inference import acquisition as acquisitions
from sdl_bluesky.inference.design import initial_design
from sdl_bluesky.physics.geometry import Array

_ALTERNATIVES = 5
_APART = 0.15  # of the width of the bounds: alternatives nearer than this are the same idea
_MOST_NEGATIVE = 3
_SCREEN_NODES = 16
_NEAR = 0.05  # of the width of the bounds: a reading this close to a predicted negative rate has answered it


class BALMAgent(RateAgent):
    """Bayesian active learning MacKay with a fully Bayesian Gaussian process, after arXiv:2506.05999.

    By default a reading is worth what it tells of the whole range; "balm-published" counts what it tells of its own place.

    Args:
        acquisition: "balm", "balm-published", "alm", "bald" or "nipv" (see `inference.acquisition`).
        initial: "ends" (the highest power at both ends of every other input; without a power as "corners"), "corners"
            (all corners and the centre), "sobol" or "random" (five points).
        bounds, objective, model, candidates, budget, tolerance, seed, exclude: see `RateAgent`.
        extinction, target_life, sensors: see `RateAgent`.

    A rate cannot be negative: where the model predicts one, it is measured next (an outcome called "rate" or
    "<something>_rate"; at most three times, and never where it was measured).

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
        initial: str = "ends",
        candidates: Candidates = None,
        budget: int = 30,
        tolerance: float | None = None,
        seed: int = 0,
        exclude: float = 0.1,
        extinction: Setting = None,
        target_life: float | None = None,
        sensors: Sensors | None = None,
    ) -> None:
        self._acquisition_name, self._initial_name = acquisition, initial
        self._acquisition = acquisitions.acquisition(acquisition)
        super().__init__(
            bounds, objective, model, candidates, budget, tolerance, seed, exclude, extinction, target_life, sensors
        )
        start = initial_design(initial, self.space.bounds, self.seed, power_column(self.space))
        snapped = [tuple(self.space.snapped(x).tolist()) for x in start]
        self._initial = np.array(list(dict.fromkeys(snapped)))

    def _own_settings(self) -> tuple[str, ...]:
        return self._acquisition_name, self._initial_name

    def least_rows(self) -> int:
        """No stop before as many readings as the initial design has points, or five."""
        return max(super().least_rows(), len(self._initial))

    def _choose(self) -> Choice:
        dive = self.extinction.dive()
        if dive is not None:
            x, gain = dive
            return Choice(x, {"name": "extinction boundary", "value": gain, "unit": "share of the space"})
        for k, corner in enumerate(self._initial):
            x = self.space.snapped(self.extinction.raised(corner))
            if not self.ledger.initial_done(k, x) and self.allowed(x[None])[0]:
                return Choice(x, {"name": f"initial {self._initial_name}"}, mark=f"i{k}")
        points = self.open_candidates()
        if len(self.ledger.y) < 2:
            return Choice(self.farthest(points), {"name": "farthest"})
        negative = self._most_negative(points)
        findings = () if negative is None else (self._told(*negative),)
        if negative is not None and self.ledger.marked("n") < _MOST_NEGATIVE:
            x, ratio = negative
            acquisition = {
                "name": "negative rate",
                "value": ratio,
                "unit": "predicted rate over its standard deviation",
            }
            return Choice(x, acquisition, mark=f"n{self.ledger.marked('n')}", findings=findings)
        return replace(self._most_informative(points), findings=findings)

    def _told(self, x: Array, ratio: float) -> str:
        where = ", ".join(f"{name} {value:g}" for name, value in self.space.point(x).items())
        return f"a negative rate is predicted at {where}: {ratio:.2g} standard deviations from zero"

    def _most_informative(self, points: Array) -> Choice:
        posterior = self.posterior()
        if self.ledger.pending:
            posterior = posterior.believe(np.array(list(self.ledger.pending.values())))
        domain = self.space.domain()
        inside = self.burning(domain)
        value = self._acquisition(posterior, points, domain[inside] if inside.any() else points)
        name, unit = self._acquisition_name, acquisitions.UNITS[self._acquisition_name]
        if isinstance(self.extinction, Learned):
            value = self.extinction.probability(points) * _share(value) + self.extinction.worth(points)
            unit = "P(lit) x share of the best, plus share of the open classes"
        best = _first_best(value)
        chosen = {"name": name, "value": float(value[best]), "unit": unit}
        return Choice(points[best], chosen, self._alternatives(points, value, best))

    def _most_negative(self, points: Array) -> tuple[Array, float] | None:
        """Where the predicted rate is most negative in units of its standard deviation, away from readings; its ratio."""
        if not (self.ledger.objective == "rate" or self.ledger.objective.endswith("_rate")) or not self.ledger.y:
            return None
        rough, std = self.posterior().thinned(_SCREEN_NODES).predict(points)
        points = points[rough < std]  # of a few nodes: nothing else can be negative
        if not len(points):
            return None
        mean, std = self.posterior().predict(points)
        known = self.space.unit(np.array([*self.ledger.x, *self.ledger.pending.values()]))
        apart = np.max(np.abs(self.space.unit(points)[:, None] - known[None]), axis=2).min(axis=1)
        ratio = np.where(apart > _NEAR, mean / std, np.inf)
        worst = int(np.argmin(ratio))
        return (points[worst], float(ratio[worst])) if ratio[worst] < 0 else None

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


def _share(value: Array) -> Array:
    """Acquisition values between 0 for the least and 1 for the most informative candidate."""
    spread = float(np.ptp(value))
    return (value - value.min()) / spread if spread > 0 else np.ones_like(value)
