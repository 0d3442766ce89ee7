"""Roots of many monotone functions at once, each within its bracket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdl_bluesky.physics.geometry import Array

STEPS = 100
"""More than halving alone would need for double precision."""
SMALL = 1e-9
"""A step of Newton's of this size leaves an error of about its square, for arguments of order one."""
TINY = 1e-15


def bracketed_root(function: Callable[[Array], tuple[Array, Array]], low: Array, high: Array) -> Array:
    """The root of each of n functions that have different signs at `low` and `high` (or are zero at one of them), [n].

    Newton's steps where they fall into the bracket, halving where they do not; the bracket always shrinks round the root.

    Args:
        function: arguments [n] to values and slopes [n].
        low, high: ends of the brackets [n].
    """
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    f_low, f_high = function(low)[0], function(high)[0]
    rising = f_high >= f_low
    t = np.clip(low - f_low * (high - low) / np.where(f_high == f_low, 1.0, f_high - f_low), low, high)
    last = np.full_like(t, np.inf)
    for _ in range(STEPS):
        value, slope = function(t)
        above = (value > 0) == rising
        high, low = np.where(above, t, high), np.where(above, low, t)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = t - value / slope
        step = np.abs(new - t)
        good = (new >= low) & (new <= high) & (step <= 0.5 * last)
        new = np.where(value == 0, t, np.where(good, new, 0.5 * (low + high)))
        last = np.where(good, step, np.inf)
        moved = np.abs(new - t)
        t = new
        if np.all((moved <= TINY) | (good & (moved <= SMALL))):
            break
    return t
