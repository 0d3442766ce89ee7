"""Where a plasma burns, learned from plasmas seen lit and seen out; and which rule a setting names."""

from __future__ import annotations

from numbers import Real
from typing import TypeAlias

import numpy as np

from sdl_bluesky.agents.ledger import Ledger
from sdl_bluesky.agents.plasma import FixedCut, Rule, column, moved
from sdl_bluesky.agents.space import Mask, Space
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.boundary import Boundary, BoundaryModel, PlasmaData
from sdl_bluesky.physics.geometry import Array

Setting: TypeAlias = str | float | None

SAFE = 0.995
"""Least probability of burning of a point that is not meant to find the boundary."""
CONCEIVABLE = 0.999
"""Probability of burning from which on a plasma needs no watching on the way down."""
WORTH = 0.003
"""A plasma is let go out only if that is expected to put this share of the space into its right class."""
_DOMAIN = 500
_GROUPS = 16
_PLACES = 64
_THINNED = 4  # every so many curves are enough for a ranking


class Learned(Rule):
    """A boundary learned from plasmas seen lit and seen out.

    Until one extinction has been seen, the best place to let the plasma go out once is worth more than anything else: on the
    way down the experiment brackets the boundary there. All other points keep the probability of burning above `SAFE`.

    Raises:
        OutOfRange: no power or no pressure among the inputs, or one that is not positive.
    """

    def __init__(self, space: Space, ledger: Ledger, seed: int = 0) -> None:
        super().__init__(space)
        self.ledger = ledger
        self._power, self._pressure = column(space, "power"), column(space, "pressure")
        if min(space.bounds[k][0] for k in (self._power, self._pressure)) <= 0:
            raise OutOfRange("extinction = 'learn' takes logarithms of power and pressure: both bounds must be above 0")
        self._model = BoundaryModel(space.bounds[self._power], seed=seed)
        self._known: dict[tuple[int, int], Boundary] = {}

    @property
    def boundary(self) -> Boundary:
        """Posterior given all that the ledger knows."""
        state = len(self.ledger.x), len(self.ledger.extinctions)
        if state not in self._known:
            self._known = {state: self._model.fit(self._data())}
        return self._known[state]

    def _data(self) -> PlasmaData:
        columns = [self._power, self._pressure]
        lit, out, brackets = [x[columns] for x in self.ledger.x if np.all(x[columns] > 0)], [], []
        for seen in self.ledger.extinctions:
            power, asked = seen.x[columns]
            at = asked if seen.out_pressure is None else seen.out_pressure
            if seen.lit_pressure is None:
                out.append([power, at])
            else:
                brackets.append([power, seen.lit_pressure, at])
        return PlasmaData(np.array(lit), np.array(out), np.array(brackets))

    def _points(self, x: Array) -> Array:
        return x[:, [self._power, self._pressure]]

    def allowed(self, x: Array) -> Mask:
        """Points that burn with a probability of `SAFE`."""
        return self.probability(x) >= SAFE

    def probability(self, x: Array) -> Array:
        """Mean over the posterior of the boundary."""
        return self.boundary.probability_lit(self._points(x))

    def blamed(self, ledger: Ledger) -> list[Array]:
        """Failures that are no extinctions: the boundary explains those."""
        return [x for x in ledger.failures if not any(x is seen.x for seen in ledger.extinctions)]

    def raised(self, x: Array) -> Array:
        """The point at a safe pressure, at most the upper bound."""
        [safe] = self.boundary.safe_pressure([x[self._power]], SAFE)
        high = self.space.bounds[self._pressure][1]
        return moved(x[None], self._pressure, min(max(x[self._pressure], safe), high))[0]

    def edge(self) -> Array:
        """Points at the lowest safe pressure of each power of the grid."""
        if self.space.listed:
            return np.empty((0, len(self.space.names)))
        low, high = self.space.bounds[self._pressure]
        at = self.space.candidates[self.space.candidates[:, self._pressure] == low]
        edge = moved(at, self._pressure, self.boundary.safe_pressure(at[:, self._power], SAFE))
        return edge[(edge[:, self._pressure] > low) & (edge[:, self._pressure] <= high)]

    def _classes(self) -> Array:
        """Whether each curve has the plasma burn at the points of the space [curves, points]."""
        step = -(-len(self.space.candidates) // _DOMAIN)
        return self.boundary.lit(self._points(self.space.candidates[::step]))

    def worth(self, x: Array) -> Array:
        """From the curves with which each point burns, and those with which it does not."""
        lit = self._classes()[::_THINNED]
        n, open_now = len(lit), _unsettled(lit.mean(axis=0))
        if not open_now > 0:
            return np.zeros(len(x))
        after = np.empty(len(x))
        powers, of = np.unique(x[:, self._power], return_inverse=True)
        at = self.boundary.log_pressure(powers)[::_THINNED]
        for k in range(len(powers)):
            here = np.flatnonzero(of == k)
            order = np.argsort(at[:, k], kind="stable")
            burning = np.concatenate([np.zeros((1, lit.shape[1])), np.cumsum(lit[order], axis=0)])
            count = np.searchsorted(at[order, k], np.log(x[here, self._pressure]))
            burns = burning[count]
            count = count[:, None].astype(float)
            after[here] = _unsettled(burns, count) + _unsettled(burning[-1] - burns, n - count)
        return np.maximum(1.0 - after / n / open_now, 0.0)

    def careful(self, x: Array) -> float | None:
        """Where burning is not all but certain."""
        return float(self.boundary.safe_pressure([x[self._power]], CONCEIVABLE)[0])

    def dive(self) -> tuple[Array, float] | None:
        """The lowest candidate of the power whose boundary tells most; None once one went out, or if it is not worth it."""
        if self.ledger.extinctions or any(not self.allowed(x[None])[0] for x in self.ledger.pending.values()):
            return None
        lit = self._classes()
        open_now = float(_unsettled(lit.mean(axis=0)))
        if open_now < WORTH:
            return None
        places = _lowest(self.space.candidates, self._power, self._pressure)
        gain = np.array([open_now - self._bracketed(lit, x) for x in places])
        best = int(np.argmax(gain))
        return (places[best], float(gain[best])) if gain[best] >= WORTH else None

    def _bracketed(self, lit: Array, x: Array) -> float:
        """Share of the space in a wrong class after an experiment asked at x [d]: it burns there, or tells the boundary."""
        power, pressure = self._points(x[None])[0]
        at = np.maximum(self.boundary.log_pressure([power])[:, 0], np.log(pressure))
        order = np.argsort(at, kind="stable")
        burns = int(np.sum(at <= np.log(pressure)))
        edges = np.linspace(burns, len(at), _GROUPS + 1).astype(int)
        starts = np.unique(np.concatenate([[0], edges[:-1]]))
        starts = starts[starts < len(at)]
        sums, count = np.add.reduceat(lit[order], starts, axis=0), np.diff([*starts, len(at)]).astype(float)
        return float(_unsettled(sums, count[:, None]).sum()) / len(at)


def _unsettled(burning: Array, of: Array | float = 1.0) -> Array:
    """Share of points put into the wrong class, given how many of some curves burn there: [..., points] -> [...]."""
    return np.minimum(burning, of - burning).mean(axis=-1)


def _lowest(candidates: Array, power: int, pressure: int) -> Array:
    """For each power the candidate of the lowest pressure, thinned."""
    order = np.lexsort((candidates[:, pressure], candidates[:, power]))
    _, first = np.unique(candidates[order, power], return_index=True)
    places = candidates[order[first]]
    return places[:: -(-len(places) // _PLACES)]


def make_rule(setting: Setting, space: Space, ledger: Ledger, seed: int = 0) -> Rule:
    """The rule that a setting names: None, "learn", or a pressure [mTorr].

    Raises:
        OutOfRange: it is none of these, or does not fit the space.
    """
    if setting is None:
        return Rule(space)
    if setting == "learn":
        return Learned(space, ledger, seed)
    if isinstance(setting, bool) or not isinstance(setting, Real):
        raise OutOfRange(f"extinction = {setting!r}: give None, 'learn' or a pressure in mTorr")
    return FixedCut(space, float(setting))
