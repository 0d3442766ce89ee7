"""How well models are kept true: interacting plasmas, worn targets, jumps of the rate.

"numpy chamber" and "twin" rows: two sources with ten runs each, four checks; `found_by_k` is the part of the trials in which
the rates were found not to add up after k checks (for a change of 0: false alarms). "spacing": the same against the
distance of the sources. "wear": error of a model over its whole range. "discontinuity": steps found (0 %: false alarms).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdl_bluesky.bench.health_additivity import SPACINGS_DEG, numpy_rows, spacing_rows, twin_rows
from sdl_bluesky.bench.health_ageing import jump_rows, wear_rows

SEEDS = 200
"""Trials in numpy; the twin makes one for `PER_CHAMBER` of them."""
PER_CHAMBER = 17


def run(seeds: int | None, quick: bool, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """The study, see `sdl_bluesky.bench`."""
    trials = 3 if quick else seeds or SEEDS
    chambers = 1 if quick else max(1, -(-trials // PER_CHAMBER))
    rows = numpy_rows(trials)
    tell(f"interaction: {trials} trials in numpy")
    rows += twin_rows(-(-2 * chambers // 3))
    tell("interaction: chambers of the twin")
    rows += spacing_rows(SPACINGS_DEG[::3] if quick else SPACINGS_DEG, 1 if quick else 2)
    tell("interaction: distance of the sources")
    rows += wear_rows(chambers)
    tell(f"wear: {chambers} chamber(s)")
    return [*rows, *jump_rows(2 if quick else max(5, trials // 4))]
