"""Growth to target: the flows whose layer is likeliest to have a wanted wavelength and lattice constant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.agents.choice import Choice, plain
from sdl_bluesky.agents.pibo.ledger import GrowthLedger
from sdl_bluesky.agents.pibo.models import GrowthPosterior, Simulator, checked_simulator, make_growth_model
from sdl_bluesky.agents.pibo.phase import Phase, penalty_of
from sdl_bluesky.agents.pibo.search import search
from sdl_bluesky.agents.pibo.stop import LEAST_RUNS, layer_met, out_of_reach
from sdl_bluesky.agents.pibo.target import aim_at, campaign_name
from sdl_bluesky.agents.pibo.words import findings, inner_points
from sdl_bluesky.agents.protocol import Point
from sdl_bluesky.agents.space import Space
from sdl_bluesky.agents.stopping import Budget
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.pibo.logodds import LogOddsPosterior
from sdl_bluesky.inference.pibo.worth import ACQUISITIONS, UNITS, check_p
from sdl_bluesky.physics.alloys import InGaAsP, Quaternary
from sdl_bluesky.physics.geometry import Array

_SAME_PLACE = 0.01  # of the width of the bounds: points of a batch are further apart


class PIBOAgent:
    """Physics-informed Bayesian optimisation of growth. Its state is its settings and what it was told, nothing else.

    Args:
        bounds: (low, high) [sccm] of two flows by name, that of the Ga precursor first, then that of As.
        target: {"wavelength": nm, "lattice": Angstrom}, optional "wavelength_tolerance" (10 nm) and "mismatch_tolerance"
            (.05 %).
        model: "log-odds" (see `inference.pibo.logodds`), "published", or "gp" (knows no physics).
        acquisition: "distance" (exact p-quantile), "published" (noncentral chi-squared), or "probability" (of being in
            specification).
        p: of the quantile; several that do not grow are for one run after another.
        campaign: runs that name no campaign are of this one; runs of other campaigns have an offset of their own.
        budget: most runs for one target, failed ones included; runs that were not asked for are not counted.
        seed: of everything that has chance in it.
        exclude: how far from a failed run nothing is suggested, in widths of the bounds.
        alloy: between properties and composition; In(1-x)Ga(x)As(y)P(1-y) by default.
        phase: phase diagram, see `agents.pibo.phase`: what is forbidden there is never suggested.
        simulator: flows [n, 2] to compositions [n, 2], the mean that the log-odds model corrects.
        stop_probability: stop as well when the next layer is in specification with this probability; None: grow it.

    Raises:
        OutOfRange, UnknownName: a setting cannot be used; a target outside the alloy is told the range.

    >>> agent = PIBOAgent({"f_ga": (2.0, 8.0), "f_as": (4.0, 14.0)}, {"wavelength": 1180.0, "lattice": 5.8688})
    >>> point = agent.suggest()[0]
    >>> agent.ingest([{**point, "wavelength": 1150.0, "lattice": 5.871}])
    """

    name = "pibo"

    def __init__(
        self,
        bounds: Mapping[str, tuple[float, float]],
        target: Mapping[str, float],
        model: str = "log-odds",
        acquisition: str = "distance",
        p: float | tuple[float, ...] = 0.1,
        campaign: str = "default",
        budget: int = 15,
        seed: int = 0,
        exclude: float = 0.03,
        alloy: Quaternary | None = None,
        phase: Phase = None,
        simulator: Simulator | None = None,
        stop_probability: float | None = None,
    ) -> None:
        self.space = Space.make(bounds)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise OutOfRange(f"seed = {seed!r}: give a whole number, 0 or more")
        if not np.isfinite(exclude) or exclude < 0:
            raise OutOfRange(f"exclude = {exclude}: give a share of the width of the bounds, e.g. 0.03")
        if acquisition not in ACQUISITIONS:
            raise UnknownName("acquisition", acquisition, ACQUISITIONS)
        if stop_probability is not None and not 0 < stop_probability < 1:
            raise OutOfRange(f"stop_probability = {stop_probability}: give a probability above 0 and below 1, or None")
        self.seed, self.exclude, self.acquisition, self.p = int(seed), float(exclude), acquisition, check_p(p)
        self.model = make_growth_model(model, self.space, self.seed, checked_simulator(simulator))
        self.budget, self.stop_probability = Budget(budget), stop_probability
        self.penalty = penalty_of(phase, self.space.names)
        alloy = InGaAsP() if alloy is None else alloy
        self.aim = aim_at(target, alloy)
        identity = (self.name, self.space.names, self.space.bounds, model, acquisition, self.p, self.seed, self.exclude)
        digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:8]
        self.ledger = GrowthLedger.make(self.space, f"{self.name}-{digest}", alloy, campaign_name(campaign))
        self._fitted: tuple[tuple[int, str], GrowthPosterior] | None = None
        self._explained: dict[str, Any] = {}

    def retarget(self, target: Mapping[str, float], campaign: str | None = None) -> None:
        """Another target from now on, with everything learned so far; in a campaign of another name after maintenance.

        Raises:
            OutOfRange: it lies outside the alloy; the old target stays.
        """
        name = self.ledger.campaign if campaign is None else campaign_name(campaign)
        self.aim = aim_at(target, self.ledger.alloy)
        self.ledger.new_target(name)

    # protocol

    def suggest(self, num_points: int = 1) -> list[Point]:
        """Points to grow next, each a dict of flows with an "_id".

        Those of a batch, and what waits for an outcome, are taken to come out as predicted before the next is chosen.

        Raises:
            OutOfRange: num_points is below 1, or failures and the phase diagram leave nothing open.
        """
        if isinstance(num_points, bool) or num_points < 1:
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

    def ingest(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Learn from runs: flows (readbacks), "wavelength" [nm] and "lattice" [Angstrom].

        Optional: "<outcome>_std", "_id", "uid", "campaign", and "maintenance", how many there had been before the run: runs
        with another number have an offset of their own, and the campaign goes on with that of its latest run.

        Raises:
            IngestError: names rows that are not finite, incomplete, far outside the bounds, known, or of no composition of
                the alloy; the others are kept. `refused` remembers them.
        """
        self.ledger.ingest(rows)

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take note of runs that gave no layer; they use budget and, unless `"exclude": False`, keep later ones away."""
        self.ledger.fail(points)

    def register_suggestions(self, suggestions: Sequence[Mapping[str, Any]]) -> list[Point]:
        """Take note of points that are being grown though this agent did not just choose them; gives missing ids."""
        return self.ledger.expect(suggestions)

    def get_best_points(self) -> list[Point]:
        """The layer nearest to the target in units of its tolerances, of this campaign if it has any (empty without)."""
        s = self.aim.specification
        here = [r for r in self.ledger.rows if r["campaign"] == self.ledger.campaign] or self.ledger.rows
        width = s.mismatch_tolerance / 100.0 * s.lattice
        off = [
            max(abs(r["wavelength"] - s.wavelength) / s.wavelength_tolerance, abs(r["lattice"] - s.lattice) / width)
            for r in here
        ]
        return [dict(here[int(np.argmin(off))])] if off else []

    def should_stop(self) -> tuple[bool, str]:
        """Whether to stop, and why: a layer in specification, the budget, a target out of reach, a recipe sure enough."""
        book = self.ledger
        here = [r for r in book.rows[book.target_row :] if r["campaign"] == book.campaign]
        stop, reason = layer_met(self.aim, here)
        if not stop:
            stop, reason = self.budget.check(book.asked_since, book.failed - book.target_failed)
        if not stop and len(book.y) >= LEAST_RUNS:
            stop, reason = out_of_reach(self.aim, self.space, self.posterior().normal, self.penalty, np.array(book.x))
        if not stop and self.stop_probability is not None and len(book.y) >= LEAST_RUNS:
            best = search(self.space.bounds, lambda f: self._blocked(f, 1.0 - self._chance(f)))
            if 1.0 - best.cost >= self.stop_probability:
                where = ", ".join(f"{k} {v:.4g}" for k, v in self.space.point(best.x).items())
                stop, reason = True, f"a layer grown at {where} is in specification with P = {1 - best.cost:.3f}"
        return stop, reason

    def explain(self) -> dict[str, Any]:
        """Why the latest suggestion was made; empty before it.

        Keys point, prediction, acquisition, alternatives, based_on, findings, and "refused" (rows with the reason) if there
        are any. All of it can be written as JSON.
        """
        refused = {"refused": [plain(entry) for entry in self.refused]} if self.refused else {}
        return {**self._explained, **refused}

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Rows that were refused, in order: {"row": the row, "reason": why}."""
        return [dict(entry) for entry in self.ledger.refused]

    # the model

    def posterior(self) -> GrowthPosterior:
        """Posterior given all runs, for the campaign that goes on.

        Raises:
            Unidentifiable: there are no runs.
        """
        key = (len(self.ledger.y), self.ledger.campaign)
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = (key, self.model.fit(self.ledger.data()))
        return self._fitted[1]

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Means and standard deviations [n, 2] of the noise-free (x, y) at flows [n, 2] in the order of the bounds."""
        points = np.asarray(x, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or not np.all(np.isfinite(points)):
            raise OutOfRange(f"inputs of shape {points.shape}: give finite flows [n, 2]")
        normal = self.posterior().normal(points)
        return normal.mean, normal.std

    def _chance(self, flows: Array) -> Array:
        return self.aim.probability(self.posterior().normal(flows))

    # choice

    def _choose(self) -> Choice:
        book = self.ledger
        if len(book.y) < LEAST_RUNS:
            return self._first_points()
        waiting = np.array(list(book.pending.values())).reshape(-1, 2)
        posterior = self.posterior()
        if len(waiting):
            posterior = self.model.fit(book.data((waiting, posterior.normal(waiting).mean)))
        p = self.p[min(book.asked_since + len(waiting), len(self.p) - 1)]

        def cost(flows: Array) -> Array:
            return self._blocked(flows, self.aim.cost(self.acquisition, posterior.normal(flows), p))

        found = search(self.space.bounds, cost)
        told = {"name": self.acquisition, "value": found.cost, "unit": UNITS[self.acquisition], "p": p}
        return Choice(found.x, told, found.others, findings=findings(book, self.posterior(), found.x))

    def _first_points(self) -> Choice:
        """With fewer than three runs no line is known: points that spread over the bounds, apart from what was tried."""
        points = inner_points(self.space)
        open_ = points[np.isfinite(self._blocked(points, np.zeros(len(points))))]
        if not len(open_):
            open_ = search(self.space.bounds, lambda f: self._blocked(f, np.zeros(len(f)))).x[None]
        tried = np.array([*self.ledger.x, *self.ledger.failures, *self.ledger.pending.values()]).reshape(-1, 2)
        best = 0
        if len(tried):
            u, known = self.space.unit(open_), self.space.unit(tried)
            best = int(np.argmax(np.min(np.sum((u[:, None] - known[None]) ** 2, axis=2), axis=1)))
        finding = f"{len(self.ledger.y)} run(s) so far: with fewer than {LEAST_RUNS} the model does not choose"
        return Choice(open_[best], {"name": "initial design"}, findings=(finding,))

    def _blocked(self, flows: Array, cost: Array) -> Array:
        """Costs [n] with the phase diagram's penalties, and inf near failures and points that wait for an outcome."""
        penalty = self.penalty(flows)
        free = np.isfinite(penalty)
        out = np.where(free, cost * (1.0 + np.where(free, penalty, 0.0)), np.inf)
        u = self.space.unit(flows)
        for points, reach in ((self.ledger.failures, self.exclude), (self.ledger.pending.values(), _SAME_PLACE)):
            for x in points:
                out = np.where(np.max(np.abs(u - self.space.unit(x)), axis=1) < reach, np.inf, out)
        return out

    def _explanation(self, point: Point, choice: Choice) -> dict[str, Any]:
        prediction = None
        if self.ledger.y:
            normal = self.posterior().normal(choice.x[None])
            chance = float(self.aim.probability(normal)[0])
            prediction = {"mean": normal.mean[0].tolist(), "std": normal.std[0].tolist(), "in_specification": chance}
        return {
            "point": point,
            "prediction": prediction,
            "acquisition": choice.acquisition,
            "alternatives": [{"point": self.space.point(a), "value": v} for a, v in choice.alternatives],
            "based_on": list(self.ledger.refs),
            "posterior": None if prediction is None else self._digest(),
            "findings": list(choice.findings),
        }

    def _digest(self) -> dict[str, Any]:
        """What the agent believes, in a few numbers: slopes d ln(odds of x, y) / d ln(flows) and errors, if it has any."""
        found: dict[str, Any] = {"layers": len(self.ledger.y), "campaign": self.ledger.campaign}
        posterior = self.posterior()
        if isinstance(posterior, LogOddsPosterior):
            slopes, std = posterior.slopes()
            found |= {"slopes": slopes.tolist(), "slopes_std": std.tolist()}
        return found
