"""An agent that learns one outcome as a surface over its inputs; subclasses say how it chooses points."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.agents.choice import Choice, plain
from sdl_bluesky.agents.earlier import fitted
from sdl_bluesky.agents.extinction import Setting, make_rule
from sdl_bluesky.agents.ledger import Ledger
from sdl_bluesky.agents.models import Sensors, make_model, outcome_names
from sdl_bluesky.agents.protocol import Point
from sdl_bluesky.agents.space import Candidates, Mask, Space
from sdl_bluesky.agents.stopping import Budget, PredictedError, TargetLife
from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.posterior import Predictive
from sdl_bluesky.physics.geometry import Array

_LEAST_ROWS_TO_STOP = 5
_FITS_KEPT = 4
_MOST_AT_ONE_PLACE = 3
_SAME_PLACE = 0.01  # of the width of the bounds
_NOTHING_OPEN = "failures have excluded every candidate"


class RateAgent(ABC):
    """Base of the agents that learn a rate. Its state is its settings and what it was told, nothing else.

    Args:
        bounds: (low, high) of each input by name, e.g. {"power": (10., 100.), "pressure": (4., 20.)}.
        objective: name of the outcome in the rows.
        model: "power-scaled" (rate = power x smooth function of the logarithms), "standard", or "joint" (cos^n at several
            sensors, see `inference.joint`).
        candidates: points that may be suggested; None searches a grid of the bounds.
        budget: most experiments, failed ones included.
        tolerance: stop when the predicted RMS error, as a fraction of the mean, is below this twice in a row.
        seed: of everything that has chance in it.
        exclude: how far from a failure nothing is suggested, in widths of the bounds, unless a success is nearer.
        extinction: None, the pressure [mTorr] below which nothing is suggested, or "learn": the boundary below which
            plasmas go out is learned from what was seen (see `agents.extinction`), and once one went out nothing is
            suggested that is likely to. Needs inputs called "power" and "pressure" (or "cu_power", ...).
        target_life: energy [kWh] that the target may have had at the end; rows tell it as "energy".
        sensors: for the joint model, ln cos(phi) and reach [cm^-2] of each sensor by name; rows then may hold
            "<sensor>_rate" and "<sensor>_rate_std" of each, and the objective is one of them.

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
        extinction: Setting = None,
        target_life: float | None = None,
        sensors: Sensors | None = None,
    ) -> None:
        self.space = Space.make(bounds, candidates)
        if not isinstance(objective, str) or not objective or objective.startswith("_") or objective in bounds:
            raise OutOfRange(f"objective {objective!r}: give the name of an outcome, e.g. 'rate'")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise OutOfRange(f"seed = {seed!r}: give a whole number, 0 or more")
        if not np.isfinite(exclude) or exclude < 0:
            raise OutOfRange(f"exclude = {exclude}: give a share of the width of the bounds, e.g. 0.1")
        self.seed, self.exclude = int(seed), float(exclude)
        self.model = make_model(model, self.space, self.seed, objective, sensors)
        self.budget = Budget(budget)
        self.stop_rule = None if tolerance is None else PredictedError(tolerance)
        self.target_life = None if target_life is None else TargetLife(target_life)
        identity = (self.name, self.space.names, self.space.bounds, objective, model, self.seed, self.exclude)
        identity += () if extinction is None else (extinction,)
        identity += () if sensors is None else (tuple(sensors.items()),)
        listed = self.space.candidates.tobytes() if self.space.listed else b""
        digest = hashlib.sha256(repr(identity + self._own_settings()).encode() + listed).hexdigest()[:8]
        outcomes = () if sensors is None else outcome_names(objective, sensors)
        self.ledger = Ledger(self.space, objective, f"{self.name}-{digest}", outcomes)
        self.extinction = make_rule(extinction, self.space, self.ledger, self.seed)
        self._fits: dict[int, Predictive] = {}
        self._explained: dict[str, Any] = {}

    # what subclasses say

    def _own_settings(self) -> tuple[str, ...]:
        """Settings of the subclass, as part of its identity."""
        return ()

    @abstractmethod
    def _choose(self) -> Choice:
        """The next point."""

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
            choice = self._choose()
            identity = self.ledger.new_id(choice.mark)
            point = self.space.point(choice.x)
            self._explained = self._explanation({"_id": identity, **point}, choice)
            self.ledger.note(identity, choice.x)
            out.append({"_id": identity, **point})
        return out

    def _explanation(self, point: Point, choice: Choice) -> dict[str, Any]:
        prediction = None
        if self.ledger.y:
            mean, std = self.posterior().predict(choice.x[None])
            prediction = {"mean": float(mean[0]), "std": float(std[0])}
        return {
            "point": point,
            "prediction": prediction,
            "acquisition": choice.acquisition,
            "alternatives": [{"point": self.space.point(a), "value": v} for a, v in choice.alternatives],
            "based_on": list(self.ledger.refs),
            "posterior": None if prediction is None else self._digest(),
            **({"findings": list(choice.findings)} if choice.findings else {}),
        }

    def _digest(self) -> dict[str, Any]:
        """What the agent believes, in a few numbers: median and logarithmic spread of each hyper-parameter."""
        found = self.posterior().hyperparameters()
        return {"readings": len(self.ledger.y), "hyperparameters": {k: list(v) for k, v in found.items()}}

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Learn from rows: inputs (readbacks), the objective, optional "<objective>_std", "_id", "uid".

        They may tell more (`agents.rows`): "plasma" 0, with or without "lit_pressure" and "out_pressure", is an extinction
        and no rate; "crystal_life" and "saturated" are the quality of the reading; "energy" is what the target has had;
        "earlier" and "earlier_scale" mark a reading that was made before, which uses no budget.

        Raises:
            IngestError: names rows that are not finite, incomplete, far outside the bounds, known, or of a sensor that is
                dead or saturated; the others are kept. `refused` remembers them.
        """
        self.ledger.ingest(points)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take note of points that could not be measured; they use budget and keep later suggestions away.

        A point with `"exclude": False` failed for a reason that has nothing to do with the place. One with "plasma" 0 is an
        extinction, with "lit_pressure" and "out_pressure" a bracket of its pressure, as in rows.
        """
        self.ledger.fail(points)

    def register_suggestions(self, suggestions: Sequence[Mapping[str, Any]]) -> list[Point]:
        """Take note of points that are being measured though this agent did not just choose them; gives missing ids."""
        return self.ledger.expect(suggestions)

    def get_best_points(self) -> list[Point]:
        """The row with the highest outcome (empty without rows)."""
        rows = self.ledger.rows
        return [dict(rows[int(np.argmax(self.ledger.y))])] if rows else []

    def should_stop(self) -> tuple[bool, str]:
        """Whether to stop, and why."""
        stop, reason = self.budget.check(self.ledger.own, self.ledger.failed)
        if not stop and self.target_life is not None:
            stop, reason = self.target_life.check(self.ledger.energies)
        if not stop and not self.allowed().any() and self.extinction.dive() is None:
            stop, reason = True, _NOTHING_OPEN
        if not stop and self.stop_rule is not None:
            n = len(self.ledger.y)
            counts = range(max(n - self.stop_rule.in_a_row, self.least_rows() - 1) + 1, n + 1)
            stop, reason = self.stop_rule.check([self.predicted_error(k) for k in counts])
        return stop, reason

    def explain(self) -> dict[str, Any]:
        """Why the latest suggestion was made: point, prediction, acquisition, alternatives, based_on, and "posterior", a
        digest of what was believed. Empty before it.

        With "findings" (texts) and "refused" (rows with the reason) if there are any. All of it can be written as JSON.
        """
        refused = {"refused": [plain(entry) for entry in self.refused]} if self.refused else {}
        return {**self._explained, **refused}

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Rows that were refused, in order: {"row": the row, "reason": why}."""
        return [dict(entry) for entry in self.ledger.refused]

    # the model

    def posterior(self, rows: int | None = None) -> Predictive:
        """Posterior given the first `rows` readings (all by default).

        Raises:
            Unidentifiable: there are no readings.
        """
        n = len(self.ledger.y) if rows is None else rows
        if n not in self._fits:
            if n < 1:
                raise Unidentifiable("no rows ingested yet: nothing can be predicted")
            self._fits[n] = fitted(self.model, *self.ledger.arrays(n), self.ledger.origins[:n])
            while len(self._fits) > _FITS_KEPT:
                del self._fits[next(iter(self._fits))]
        return self._fits[n]

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [n] and standard deviation [n] of the noise-free outcome at x [n, d], columns in the order of the bounds."""
        return self.posterior().predict(x)

    def lit_probability(self, x: ArrayLike) -> Array:
        """Probability [n] that a plasma lit at high pressure burns at x [n, d], columns in the order of the bounds.

        1 everywhere without an extinction rule; 0 or 1 with a fixed pressure.
        """
        points = np.asarray(x, dtype=float)
        if points.ndim != 2 or points.shape[1] != len(self.space.names) or not np.all(np.isfinite(points)):
            raise OutOfRange(f"inputs of shape {points.shape}: give finite numbers [n, {len(self.space.names)}]")
        return self.extinction.probability(points)

    def careful_below(self, point: Mapping[str, Any]) -> float | None:
        """Pressure [mTorr] below which the plasma of a point may conceivably go out, so that the gas should go down in
        small steps there; None if that is not learned."""
        return self.extinction.careful(self.space.read(point))

    def predicted_error(self, rows: int | None = None) -> float:
        """Predicted RMS error over the candidates not excluded, as a fraction of the mean."""
        x = self.space.candidates
        inside = self.burning(x)
        mean, std = self.posterior(rows).predict(x[inside] if inside.any() else x)
        return float(np.sqrt(np.mean(std**2)) / max(abs(float(mean.mean())), 1e-300))

    def least_rows(self) -> int:
        """Readings that there must be before the predicted error is believed."""
        return _LEAST_ROWS_TO_STOP

    # what may be suggested

    def allowed(self, points: Array | None = None) -> Mask:
        """Which candidates (or points [q, d]) failures and the plasma leave open: [q], bool."""
        x = self.space.candidates if points is None else points
        return self._far_from_failures(x) & self.extinction.allowed(x)

    def burning(self, x: Array) -> Mask:
        """Where the rate has a meaning: points [q, d] that failures leave open and at which a plasma is likely to burn."""
        return self._far_from_failures(x) & (self.extinction.probability(x) > 0.5)

    def _far_from_failures(self, x: Array) -> Mask:
        u = self.space.unit(x)
        blamed = self.extinction.blamed(self.ledger)
        if not blamed:
            return np.ones(len(u), dtype=bool)
        failure = self._nearest(u, blamed)
        success = self._nearest(u, self.ledger.x)
        return (failure >= self.exclude) & (failure > 0) | (success < failure)

    def open_candidates(self) -> Array:
        """Candidates [q, d] that failures and the plasma leave open, were not measured too often, and wait for no outcome.

        Raises:
            OutOfRange: there is none.
        """
        points = np.concatenate([self.space.candidates, self.extinction.edge()])
        points = points[self.allowed(points)]
        if not len(points):
            raise OutOfRange(f"{_NOTHING_OPEN}: widen the bounds or reduce `exclude`")
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
