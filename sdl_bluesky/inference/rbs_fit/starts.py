"""Where fine fits begin: minima of the coarse problem, from starts whose layers are thicker, thinner or split.

What a false minimum has wrong is where layers end: an edge of the model lies at another edge of the spectrum, or one layer
of the model stands for two. So new starts scale whole layers, each by its own factor, or split one in two and push the
others down, and leave the composition to the fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.inference.rbs_fit.box import Settings, minimise, part
from sdl_bluesky.inference.rbs_fit.likelihood import anscombe
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.physics.geometry import Array

COARSE = Settings(evaluations=30, tolerance=0.1, damping=0.1)
FACTORS = (0.25, 1.7)
"""What the thickness of a layer is multiplied by."""
THIN = 0.3
"""What all layers are multiplied by in the first start beside the given one: thin layers find more edges than thick ones."""
SHARES = (0.2, 0.8)
"""What the upper part of a split layer keeps."""
TRIES = 7
"""More starts where the first ones lead to no good coarse minimum."""
MOST = 128
"""Different scalings."""
GOOD = 0.5
"""Value of a good coarse minimum for each coarse channel; smoothed noise alone has about a seventh."""
AS_GOOD = 30.0
"""A coarse minimum that is higher than the best one by less than this may belong to the better fine one."""
SAME = 0.5
"""Two coarse minima are one if the curvature makes this or less of their distance."""


@dataclass
class _Minima:
    """Coarse minima: theta [b, d], value [b] (inf where there is none), curvature [b, d, d]."""

    theta: Array
    value: Array
    curvature: Array


class CoarseStarts:
    """Coarse minima of a batch of spectra.

    Args:
        problem: the coarse problem.
        start: densities [b, d] around which starts are laid.
        seed: of the factors.
    """

    def __init__(self, problem: Problem, start: Array, seed: int) -> None:
        p = problem.parameters
        self._function = problem.local(anscombe)
        self._lower, self._upper, self._start = p.lower, p.upper, start
        self._free = p.free
        layer = np.argwhere(p.free)[:, 0]
        self._splits = [k for k in range(len(p.free) - 1) if p.free[k].any() and p.free[k + 1].any()]
        low, high = (math.log(k) for k in FACTORS)
        points = qmc.Sobol(len(p.free) + 1, rng=np.random.default_rng(seed)).random(MOST)
        self._shares = SHARES[0] + (SHARES[1] - SHARES[0]) * points[:, -1]
        self._factors = np.exp(low + (high - low) * points[:, layer])
        self._factors[0] = THIN
        self._limit = GOOD * problem.counts.shape[1]
        self._best = np.full(len(start), np.inf)
        self._pool: list[_Minima] = []
        self._taken: list[tuple[Array, Mask]] = []  # theta [b, d], and for which spectra [b]

    def first(self, more: int) -> Array:
        """The best coarse minimum of each spectrum [b, d].

        Args:
            more: starts beside the given one for every spectrum; up to `TRIES` follow where none leads to a good minimum.
        """
        everyone = np.arange(len(self._start))
        self._add(everyone, self._start)
        for turn in range(more + TRIES):
            rows = everyone if turn < more else everyone[self._best > self._limit]
            if not rows.size:
                break
            self._try(rows, turn, self._start[rows], self._lowest()[rows])
        return self._take(everyone)[0]

    def second(self) -> tuple[Array, Mask]:
        """The next coarse minimum of each spectrum [b, d], and whether there is one that is nearly as good [b]."""
        everyone = np.arange(len(self._start))
        good = np.min([minima.value for minima in self._pool], axis=0) < self._best + AS_GOOD
        best, new = self._take(everyone)
        return best, new & good

    def more(self, rows: Indices, turns: range, scaled: Array, split: Array) -> tuple[Array, Mask]:
        """After coarse fits from more starts: the best minimum not taken before [r, d], and whether there is one [r].

        Args:
            rows: for which spectra.
            turns: numbers of the starts; what a spectrum gets depends on nothing else.
            scaled: densities [r, d] whose layers are scaled, in even turns.
            split: densities [r, d] one of whose layers is split, in odd turns.
        """
        for turn in turns:
            self._try(rows, turn, scaled, split)
        return self._take(rows)

    def _try(self, rows: Indices, turn: int, scaled: Array, split: Array) -> None:
        self._add(rows, self._split(split, turn) if turn % 2 and self._splits else self._scaled(scaled, turn))

    def _lowest(self) -> Array:
        """The best coarse minimum of each spectrum so far [b, d]."""
        pick = np.argmin([minima.value for minima in self._pool], axis=0)
        return np.array([minima.theta for minima in self._pool])[pick, np.arange(len(pick))]

    def _scaled(self, densities: Array, turn: int) -> Array:
        return np.clip(densities * self._factors[turn % MOST], self._lower, self._upper)

    def _split(self, densities: Array, turn: int) -> Array:
        """A layer becomes two, those under it go one down; what was the last one is lost."""
        layers = np.zeros((len(densities), *self._free.shape))
        layers[:, self._free] = densities
        above = self._splits[turn // 2 % len(self._splits)]
        share = self._shares[turn % MOST]
        moved = layers.copy()
        moved[:, above + 2 :] = layers[:, above + 1 : -1]
        moved[:, above] = share * layers[:, above]
        moved[:, above + 1] = (1.0 - share) * layers[:, above]
        return np.clip(moved[:, self._free], self._lower, self._upper)

    def _add(self, rows: Indices, start: Array) -> None:
        found = minimise(part(self._function, rows), start, self._lower, self._upper, COARSE)
        size, d = self._start.shape
        minima = _Minima(np.zeros((size, d)), np.full(size, np.inf), np.zeros((size, d, d)))
        minima.theta[rows], minima.value[rows], minima.curvature[rows] = found.theta, found.value, found.curvature
        self._best[rows] = np.minimum(self._best[rows], found.value)
        for theta, meant in self._taken:
            self._drop_same(minima, rows[meant[rows]], theta)
        self._pool.append(minima)

    def _take(self, rows: Indices) -> tuple[Array, Mask]:
        """The lowest minimum of each row and whether there is one; those like it leave the pool, too."""
        values = np.array([minima.value[rows] for minima in self._pool])
        pick, lowest = np.argmin(values, axis=0), values.min(axis=0)
        best = np.array([minima.theta[rows] for minima in self._pool])[pick, np.arange(len(rows))]
        theta, meant = np.zeros_like(self._start), np.zeros(len(self._start), dtype=bool)
        theta[rows], meant[rows] = best, np.isfinite(lowest)
        for minima in self._pool:
            self._drop_same(minima, rows[meant[rows]], theta)
        self._taken.append((theta, meant))
        return best, np.isfinite(lowest)

    def _drop_same(self, minima: _Minima, rows: Indices, theta: Array) -> None:
        """Out of the pool with the minima of these rows that are the same as theta [b, d]."""
        off = minima.theta[rows] - theta[rows]
        near = 0.5 * np.einsum("rp,rpq,rq->r", off, minima.curvature[rows], off) <= SAME
        minima.value[rows[near]] = np.inf
