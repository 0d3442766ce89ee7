"""Inverse design: the powers and the pressure that make a wanted composition, and how likely the film is in tolerance.

    found = design(prediction, Target.at({"Cu": 0.6}, tolerance=0.01), box)
    found.powers_W, found.pressure_mTorr, found.probability

A composition fixes the ratio of the powers, and leaves their level and the pressure. From several levels and pressures
the powers are solved for (least squares of the error over the tolerance); of what was found, the setting with the highest
probability is taken, and improved where the fractions cannot all be met. Settings of nearly the same probability are ties:
the fastest of them, and among those the one farthest from the edges of what was learned. No chance and no clock: the same
models give the same design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sdl_bluesky.analysis.design.box import Box, Predicts
from sdl_bluesky.analysis.design.search import Design, Search
from sdl_bluesky.analysis.design.target import Target
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.composition import mass_densities

__all__ = ["Box", "Design", "Predicts", "deposition_time", "design"]

TIE = 0.01
"""Probabilities that differ by less are a tie."""
AS_FAST = 0.05
"""Rates that differ by less, relatively, are a tie."""
LEVELS = (1.0, 0.7, 0.4)
"""Of the (logarithmic) range of the powers, mean over the sources."""
PRESSURES = 5
ALTERNATIVES = 5


def design(
    prediction: Predicts,
    target: Target,
    box: Box,
    *,
    rate: tuple[float, float] | None = None,
) -> Design:
    """The setting with the best chance to make a film as wanted.

    Args:
        prediction: of fluxes and fractions, with samples.
        target: what is wanted, where, how exactly.
        box: sources, powers and pressures to choose from; all its sources burn.
        rate: wanted range of the total mass rate [ng cm^-2 s^-1], mean over the target's points.

    Returns:
        The design; those that were passed over are its `alternatives`.

    Raises:
        OutOfRange: no setting of the box is expected within tolerance; the message says what can be reached.
        UnknownName: an element is wanted that no source of the box has.
    """
    box.for_target(target)
    if rate is not None and not (0.0 < rate[0] < rate[1] and np.isfinite(rate[1])):
        raise OutOfRange(f"wanted rates {rate[0]:g} to {rate[1]:g}: give two numbers above 0 ng cm^-2 s^-1, in order")
    search = Search(prediction, target, box, rate)
    low, high = box.pressure_mTorr
    pressures = [low] if low == high else [float(p) for p in np.geomspace(low, high, PRESSURES)]
    found: list[Design] = []
    for level in LEVELS:
        near: Design | None = None  # the powers change little with the pressure
        for pressure in pressures:
            one = search.solved(level, pressure, near)
            if one is not None:
                near = one
                found.append(one)
    within = [d for d in found if search.fits(d)]
    if not within:
        raise OutOfRange(search.refusal(found))
    best = _chosen(within)
    if not search.centred(best):
        better = search.polished(best)
        if search.fits(better) and better.probability > best.probability + TIE:
            best, within = better, [better, *within]
    return replace(best, alternatives=_others(best, within))


def _chosen(found: Sequence[Design]) -> Design:
    """The most probable; of ties the fastest; of ties again the one farthest from the edges."""
    top = max(d.probability for d in found)
    tied = [d for d in found if d.probability >= top - TIE]
    fastest = max(d.rate for d in tied)
    fast = [d for d in tied if d.rate >= fastest * (1.0 - AS_FAST)]
    return max(fast, key=lambda d: (round(d.margin, 2), d.probability, d.rate))


def _others(best: Design, found: Sequence[Design]) -> tuple[Design, ...]:
    """The next best settings, each by itself: the same powers were often found from several levels."""
    kept = [best]
    for one in sorted(found, key=lambda d: (-d.probability, -d.rate)):
        if all(_apart(one, other) > 0.02 for other in kept):
            kept.append(one)
    return tuple(kept[1 : ALTERNATIVES + 1])


def _apart(one: Design, other: Design) -> float:
    ratios = [one.powers_W[k] / other.powers_W[k] for k in one.powers_W]
    return float(np.max(np.abs(np.log([*ratios, one.pressure_mTorr / other.pressure_mTorr]))))


def deposition_time(found: Design, thickness_nm: float) -> float:
    """Time [s] in which a film of this mean thickness grows: as thick as its elements would be side by side.

    t = d / sum_e (F_e / rho_e), with F in ng cm^-2 s^-1 and rho in g cm^-3: 1 ng cm^-2 of 1 g cm^-3 is 0.01 nm.

    Raises:
        OutOfRange: the thickness is no positive number, or a density is not known.
    """
    if not np.isfinite(thickness_nm) or thickness_nm <= 0.0:
        raise OutOfRange(f"thickness {thickness_nm} nm: give a number above 0 nm")
    nm_per_s = 0.01 * float((found.flux.mean(axis=1) / mass_densities(found.elements)).sum())
    return thickness_nm / nm_per_s
