"""Agents that learn with the same models but choose without looking: what the others have to beat."""

from __future__ import annotations

import numpy as np

from sdl_bluesky.agents.choice import Choice
from sdl_bluesky.agents.learner import RateAgent
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference import design
from sdl_bluesky.physics.geometry import Array

_TRIES = 64


class _SequenceAgent(RateAgent):
    """Follows a fixed sequence of points; those that failures exclude, or that were listed before, are passed over."""

    def _sequence(self, first: int, n: int) -> Array:
        raise NotImplementedError

    def _choose(self) -> Choice:
        candidates = self.open_candidates()
        for x in self._sequence(self.ledger.count, _TRIES):
            if self.space.listed:
                far = np.sum((self.space.unit(candidates) - self.space.unit(x)) ** 2, axis=1)
                x = candidates[int(np.argmin(far))]
            if self.allowed(x[None])[0] and not self.ledger.tried(x):
                return Choice(x, {"name": self.name})
        raise OutOfRange("failures have excluded nearly every point: widen the bounds or reduce `exclude`")


class RandomAgent(_SequenceAgent):
    """Independent uniform points (the paper's baseline). Settings: see `RateAgent`."""

    name = "random"

    def _sequence(self, first: int, n: int) -> Array:
        return design.random(self.space.bounds, n, self.seed, first)


class SobolAgent(_SequenceAgent):
    """A scrambled Sobol sequence. Settings: see `RateAgent`."""

    name = "sobol"

    def _sequence(self, first: int, n: int) -> Array:
        return design.sobol(self.space.bounds, n, self.seed, first)
