"""What an agent that grows says of its data, and where it begins without any."""

from __future__ import annotations

import numpy as np

from sdl_bluesky.agents.pibo.ledger import MAINTENANCE, GrowthLedger
from sdl_bluesky.agents.pibo.models import GrowthPosterior
from sdl_bluesky.agents.pibo.stop import LEAST_RUNS, bounds_at
from sdl_bluesky.agents.space import Space
from sdl_bluesky.physics.geometry import Array

_ODD = 0.5
_STILL = 1e-6  # of the width of the bounds
_INNER = (
    *((0.5, 0.5), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.25, 0.25)),
    *((0.5, 0.9), (0.9, 0.5), (0.5, 0.1), (0.1, 0.5)),
)


def findings(book: GrowthLedger, posterior: GrowthPosterior, x: Array) -> tuple[str, ...]:
    """What a person should know: flows that never varied, a point [2] at a bound, runs that do not fit the others."""
    space, flows = book.space, np.array(book.x)
    width = np.diff(np.asarray(space.bounds), axis=1)[:, 0]
    flat = [
        f"{name} never varied: nothing is known against it"
        for k, name in enumerate(space.names)
        if np.ptp(flows[:, k]) < _STILL * width[k]
    ]
    at = [f"the best point lies at {bound}: the target may be out of reach" for bound in bounds_at(space, x)]
    bad = posterior.bad_runs()
    odd = [
        f"run {book.refs[k]} does not fit the others (P = {bad[k]:.2f}): it has little weight"
        for k in np.flatnonzero(bad > _ODD)
    ]
    return (*flat, *posterior.findings, *at, *odd, *_opened(book))


def _opened(book: GrowthLedger) -> tuple[str, ...]:
    """After a maintenance, until the offset is known from a few runs."""
    name, mark, count = book.campaign.partition(MAINTENANCE)
    before = [k for k in book.campaigns if k.startswith(name + mark) and k != book.campaign]
    runs = book.campaigns.count(book.campaign)
    if not mark or not before or runs >= LEAST_RUNS:
        return ()
    return (f"maintenance {count}: an offset of its own, known from {runs} run(s)",)


def inner_points(space: Space) -> Array:
    """Points [9, 2] to begin with: the middle, then inside the bounds, in an order that soon varies both flows."""
    low, high = np.asarray(space.bounds).T
    return low + np.array(_INNER) * (high - low)
