"""An agent that learns one outcome as a surface over its inputs; subclasses say how it chooses points."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.agents.ledger import Ledger
from sdl_bluesky.agents.protocol import Point
from sdl_bluesky.agents.space import Candidates, Mask, Space
from sdl_bluesky.agents.stopping import Budget, PredictedError
from sdl_bluesky.errors import OutOfRange, Unidentifiable, UnknownName
from sdl_bluesky.inference.gp import FullyBayesianGP, PowerScaledGP
from sdl_bluesky.inference.posterior import Posterior
from sdl_bluesky.physics.geometry import Array

MODELS = ("power-scaled", "standard")
_LEAST_ROWS_TO_STOP = 5
_FITS_KEPT = 4
_MOST_AT_ONE_PLACE = 3
_SAME_PLACE = 0.01  # of the width of the bounds


def make_model(name: str, space: Space, seed: int = 0) -> FullyBayesianGP:
    """The model of a name over a space.

    Raises:
        UnknownName: there is none of that name.
        OutOfRange: the power-scaled model without an input called "power", or with bounds that are not positive.
    """
    if name == "standard":
        return FullyBayesianGP(space.bounds, seed=seed)
    if name != "power-scaled":
        raise UnknownName("model", name, MODELS)
    columns = [k for k, n in enumerate(space.names) if n == "power" or n.endswith("_power")]
    if len(columns) != 1:
        raise OutOfRange(
            f"the power-scaled model needs one input called 'power', not {list(space.names)}; or use 'standard'"
        )
    return PowerScaledGP(space.bounds, seed=seed, power=columns[0])


class RateAgent(ABC):
    """Base of the agents that learn a rate. Its state is its settings and what it was told, nothing else.

    Args:
        bounds: (low, high) of each input by name, e.g. {"power": (10., 100.), "pressure": (4., 20.)}.
        objective: name of the outcome in the rows.
        model: "power-scaled" (rate = power x smooth function of the logarithms) or "standard".
        candidates: points that may be suggested; None searches a grid of the bounds.
        budget: most experiments, failed ones included.
        tolerance: stop when the predicted RMS error, as a fraction of the mean, is below this twice in a row.
        seed: of everything that has chance in it.
        exclude: how far from a failure nothing is suggested, in widths of the bounds, unless a success is nearer.

    Raises:
        OutOfRange, UnknownName: a setting cannot be used.
    """

    name = "rate"

    def __init__(
        self,
        bounds: Mapping[str, tuple[float, float]],
        objective: str = "rate",
        model: str = "power-scaled",
        candidates: Candidates = None,
        budget: int = 30,
        tolerance: float | None = None,
        seed: int = 0,
        exclude: float = 0.1,
    ) -> None:
        self.space = Space.make(bounds, candidates)
        if not isinstance(objective, str) or not objective or objective.startswith("_") or objective in bounds:
            raise OutOfRange(f"objective {objective!r}: give the name of an outcome, e.g. 'rate'")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise OutOfRange(f"seed = {seed!r}: give a whole number, 0 or more")
        if not np.isfinite(exclude) or exclude < 0:
            raise OutOfRange(f"exclude = {exclude}: give a share of the width of the bounds, e.g. 0.1")
        self.seed, self.exclude = int(seed), float(exclude)
        self.model = make_model(model, self.space, self.seed)
        self.budget = Budget(budget)
        self.stop_rule = None if tolerance is None else PredictedError(tolerance)
        identity = (self.name, self.space.names, self.space.bounds, objective, model, self.seed, self.exclude)
        listed = self.space.candidates.tobytes() if self.space.listed else b""
        digest = hashlib.sha256(repr(identity + self._own_settings()).encode() + listed).hexdigest()[:8]
        self.ledger = Ledger(self.space, objective, f"{self.name}-{digest}")
        self._fits: dict[int, Posterior] = {}
        self._explained: dict[str, Any] = {}

    # what subclasses say

    def _own_settings(self) -> tuple[str, ...]:
        """Settings of the subclass, as part of its identity."""
        return ()

    @abstractmethod
    def _choose(self) -> tuple[Array, dict[str, Any], list[tuple[Array, float]], int | None]:
        """Next point [d]; acquisition as explained; alternatives with values; number within the initial design."""

    # protocol

    def suggest(self, num_points: int = 1) -> list[Point]:
        """Points to measure next, each a dict of inputs with an "_id". Several points are chosen to be measured together.

        Raises:
            OutOfRange: num_points is below 1, or failures have excluded every candidate.
        """
        if num_points < 1:
            raise OutOfRange(f"num_points = {num_points}: ask for one point or more")
        out: list[Point] = []
        for _ in range(num_points):
            x, acquisition, alternatives, initial = self._choose()
            identity = self.ledger.new_id(initial)
            point = self.space.point(x)
            prediction = None
            if self.ledger.y:
                mean, std = self.posterior().predict(x[None])
                prediction = {"mean": float(mean[0]), "std": float(std[0])}
            self._explained = {
                "point": {"_id": identity, **point},
                "prediction": prediction,
                "acquisition": acquisition,
                "alternatives": [{"point": self.space.point(a), "value": v} for a, v in alternatives],
                "based_on": list(self.ledger.refs),
            }
            self.ledger.note(identity, x)
            out.append({"_id": identity, **point})
        return out

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Learn from rows: inputs (readbacks), the objective, optional "<objective>_std", "_id", "uid".

        Raises:
            IngestError: names rows that are not finite, incomplete, far outside the bounds or known; the others are kept.
        """
        self.ledger.ingest(points)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take note of points that could not be measured; they use budget and keep later suggestions away.

        A point with `"exclude": False` failed for a reason that has nothing to do with the place.
        """
        self.ledger.fail(points)

    def register_suggestions(self, suggestions: Sequence[Mapping[str, Any]]) -> list[Point]:
        """Take note of points that are being measured though this agent did not just choose them; gives missing ids."""
        out: list[Point] = []
        for suggestion in suggestions:
            x = self.space.read(suggestion)
            identity = str(suggestion.get("_id") or self.ledger.new_id())
            self.ledger.note(identity, x)
            out.append({**suggestion, "_id": identity})
        return out

    def get_best_points(self) -> list[Point]:
        """The row with the highest outcome (empty without rows)."""
        rows = self.ledger.rows
        return [dict(rows[int(np.argmax(self.ledger.y))])] if rows else []

    def should_stop(self) -> tuple[bool, str]:
        """Whether to stop, and why."""
        stop, reason = self.budget.check(len(self.ledger.y), self.ledger.failed)
        if not stop and not self.allowed().any():
            stop, reason = True, "failures have excluded every candidate"
        if not stop and self.stop_rule is not None:
            n = len(self.ledger.y)
            counts = range(max(n - self.stop_rule.in_a_row, self.least_rows() - 1) + 1, n + 1)
            stop, reason = self.stop_rule.check([self.predicted_error(k) for k in counts])
        return stop, reason

    def explain(self) -> dict[str, Any]:
        """Why the latest suggestion was made: point, prediction, acquisition, alternatives, based_on. Empty before it."""
        return dict(self._explained)

    # the model

    def posterior(self, rows: int | None = None) -> Posterior:
        """Posterior given the first `rows` readings (all by default).

        Raises:
            Unidentifiable: there are no readings.
        """
        n = len(self.ledger.y) if rows is None else rows
        if n not in self._fits:
            if n < 1:
                raise Unidentifiable("no rows ingested yet: nothing can be predicted")
            self._fits[n] = self.model.fit(*self.ledger.arrays(n))
            while len(self._fits) > _FITS_KEPT:
                del self._fits[next(iter(self._fits))]
        return self._fits[n]

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [n] and standard deviation [n] of the noise-free outcome at x [n, d], columns in the order of the bounds."""
        return self.posterior().predict(x)

    def predicted_error(self, rows: int | None = None) -> float:
        """Predicted RMS error over the candidates not excluded, as a fraction of the mean."""
        x = self.space.candidates[self.allowed()]
        mean, std = self.posterior(rows).predict(x if len(x) else self.space.candidates)
        return float(np.sqrt(np.mean(std**2)) / max(abs(float(mean.mean())), 1e-300))

    def least_rows(self) -> int:
        """Readings that there must be before the predicted error is believed."""
        return _LEAST_ROWS_TO_STOP

    # what may be suggested

    def allowed(self, points: Array | None = None) -> Mask:
        """Which candidates (or points [q, d]) failures leave open: [q], bool."""
        u = self.space.unit(self.space.candidates if points is None else points)
        if not self.ledger.failures:
            return np.ones(len(u), dtype=bool)
        failure = self._nearest(u, self.ledger.failures)
        success = self._nearest(u, self.ledger.x)
        return (failure >= self.exclude) & (failure > 0) | (success < failure)

    def open_candidates(self) -> Array:
        """Candidates [q, d] that failures leave open, were not measured too often, and do not wait for an outcome.

        Raises:
            OutOfRange: failures have excluded every candidate.
        """
        points = self.space.candidates[self.allowed()]
        if not len(points):
            raise OutOfRange("failures have excluded every candidate: widen the bounds or reduce `exclude`")
        u = self.space.unit(points)
        often = np.zeros(len(u), dtype=int)
        for x in self.ledger.x:
            often += np.max(np.abs(u - self.space.unit(x)), axis=1) < _SAME_PLACE
        waiting = self._nearest(u, list(self.ledger.pending.values())) == 0
        for closed in (waiting | (often >= _MOST_AT_ONE_PLACE), waiting):
            if not closed.all():
                return points[~closed]
        return points

    def farthest(self, points: Array) -> Array:
        """The point [d] farthest from everything tried so far."""
        tried = [*self.ledger.x, *self.ledger.failures, *self.ledger.pending.values()]
        if not tried:
            return points[int(np.argmin(np.sum((self.space.unit(points) - 0.5) ** 2, axis=1)))]
        return points[int(np.argmax(self._nearest(self.space.unit(points), tried)))]

    def _nearest(self, u: Array, points: Sequence[Array]) -> Array:
        if not points:
            return np.full(len(u), np.inf)
        other = self.space.unit(np.array(points))
        return np.sqrt(np.min(np.sum((u[:, None, :] - other[None, :, :]) ** 2, axis=2), axis=1))
