"""From starts to minima: a coarse search, a fine one, and restarts for the spectra that are not described by then."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdl_bluesky.inference.rbs_fit.arrays import Indices
from sdl_bluesky.inference.rbs_fit.box import Minimum, Settings, minimise, part
from sdl_bluesky.inference.rbs_fit.coarse import coarse_problem, merged_problem
from sdl_bluesky.inference.rbs_fit.likelihood import Distance, anscombe, paper_chi2
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.inference.rbs_fit.starts import TRIES, CoarseStarts
from sdl_bluesky.physics.geometry import Array

FINE = Settings(evaluations=60, tolerance=1e-2, damping=1e-2)
MERGED = Settings(evaluations=60, tolerance=5e-2, damping=1e-2)
LAST = Settings(evaluations=6, tolerance=3e-2, damping=1e-3)
"""Of fits to the spectrum; to the spectrum with merged channels; of the last steps after those."""
EACH = 3
"""Coarse fits for each restart."""
JITTER = 0.15
"""Logarithmic size of what is done to the best densities where there is no new coarse minimum."""


@dataclass(frozen=True)
class Plan:
    """How to search.

    Attributes:
        distance: what is minimised.
        limit: chi2 below which a spectrum is described.
        restarts: most restarts.
        coarse: begin with the coarse problem; restarts always do.
        confirm: further coarse starts for every spectrum; a second minimum that is about as good goes on, too.
        seed: of the restarts.
    """

    distance: Distance
    limit: float
    restarts: int = 6
    coarse: bool = True
    confirm: int = 1
    seed: int = 0


def search(problem: Problem, start: Array, plan: Plan) -> tuple[Minimum, Indices]:
    """The best minimum of each spectrum from `start` [b, p], and how many restarts it took [b]."""
    parameters = problem.parameters
    d = parameters.densities
    everyone = np.arange(len(start))
    starts = _coarse(problem, start[:, :d], plan.seed) if plan.coarse else None
    fine = _Fine(problem, plan.distance)
    best = fine.fit(start if starts is None else _nearer(problem, start, starts.first(plan.confirm)), everyone)
    if starts is not None and plan.confirm:
        densities, new = starts.second()
        rows = everyone[new]
        begin = np.concatenate([densities[rows], start[rows, d:]], axis=1)
        _keep(best, fine.fit(begin, rows), rows)
    used = np.zeros(len(start), dtype=int)
    rng = np.random.default_rng(plan.seed)
    todo = _not_described(problem, best.theta, everyone, plan.limit)
    for turn in range(plan.restarts):
        if not todo.size:
            break
        used[todo] += 1
        if starts is None:
            starts = _coarse(problem, best.theta[:, :d], plan.seed)
        begin = _jittered(best.theta[todo], d, parameters.lower, parameters.upper, rng)
        if starts is not None:
            first = plan.confirm + TRIES + EACH * turn
            densities, new = starts.more(todo, range(first, first + EACH), start[todo, :d], best.theta[todo, :d])
            begin[new, :d], begin[new, d:] = densities[new], start[todo[new], d:]
        _keep(best, fine.fit(begin, todo), todo)
        todo = _not_described(problem, best.theta, todo, plan.limit)
    return best, used


def _coarse(problem: Problem, densities: Array, seed: int) -> CoarseStarts | None:
    """Coarse starts around densities [b, d]; None where a coarse problem says nothing."""
    smooth = coarse_problem(problem)
    return None if smooth is None else CoarseStarts(smooth, densities, seed)


class _Fine:
    """Fits of the spectra themselves; most of the way with merged channels, where there are more than the detector needs."""

    def __init__(self, problem: Problem, distance: Distance) -> None:
        merged = merged_problem(problem)
        self._merged = None if merged is None else merged.local(distance)
        self._whole = problem.local(distance)
        self._lower, self._upper = problem.parameters.lower, problem.parameters.upper

    def fit(self, start: Array, rows: Indices) -> Minimum:
        """Minima of these rows from `start` [r, p]."""
        if self._merged is None:
            return minimise(part(self._whole, rows), start, self._lower, self._upper, FINE)
        near = minimise(part(self._merged, rows), start, self._lower, self._upper, MERGED)
        last = minimise(part(self._whole, rows), near.theta, self._lower, self._upper, LAST)
        return replace(last, converged=near.converged, evaluations=near.evaluations + last.evaluations)


def _not_described(problem: Problem, theta: Array, rows: Indices, limit: float) -> Indices:
    """Those of the rows whose chi2 is not below the limit."""
    return rows[paper_chi2(problem.counts[rows], problem.expected(theta[rows], rows)) >= limit]


def _nearer(problem: Problem, start: Array, densities: Array) -> Array:
    """The start [b, p] or the coarse minimum [b, d], what is nearer to the counts."""
    rows = np.arange(len(start))
    other = np.array(start)
    other[:, : densities.shape[1]] = densities
    far = [anscombe(problem.counts, problem.expected(theta, rows))[0].sum(axis=1) for theta in (start, other)]
    return np.where((far[0] < far[1])[:, None], start, other)


def _keep(best: Minimum, found: Minimum, rows: Indices) -> None:
    """Take what is better."""
    better = found.value < best.value[rows]
    to = rows[better]
    best.evaluations[rows] += found.evaluations
    best.theta[to], best.value[to] = found.theta[better], found.value[better]
    best.gradient[to], best.curvature[to] = found.gradient[better], found.curvature[better]
    best.converged[to] = found.converged[better]


def _jittered(theta: Array, d: int, lower: Array, upper: Array, rng: np.random.Generator) -> Array:
    """Densities [r, d] a little off, all alike, and off the bounds, where one may be stuck."""
    moved = np.array(theta)
    margin = 0.01 * (upper[:d] - lower[:d])
    noise = rng.standard_normal((2, d))
    moved[:, :d] = moved[:, :d] * np.exp(JITTER * noise[0]) + margin * noise[1]
    moved[:, :d] = np.clip(moved[:, :d], lower[:d] + margin, upper[:d] - margin)
    return moved
