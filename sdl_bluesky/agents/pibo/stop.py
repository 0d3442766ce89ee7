"""When a growth campaign is over: a layer in specification, no hope of one, a recipe sure enough, or the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdl_bluesky.agents.pibo.search import search
from sdl_bluesky.agents.space import Space
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.pibo.normal import Normal
from sdl_bluesky.inference.pibo.worth import Aim
from sdl_bluesky.physics.alloys import mismatch
from sdl_bluesky.physics.geometry import Array

UNREACHABLE = 25.0
"""Squared distance, in standard deviations of the model and of a run, from which a target counts as out of reach."""
LEAST_RUNS = 3
_NEAR = 0.1
_AT = 0.02  # of the width of the bounds: this near is at a bound


def described(aim: Aim) -> str:
    """The target in words."""
    s = aim.specification
    return f"{s.wavelength:g} nm, {s.lattice:g} A"


def layer_met(aim: Aim, rows: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether one of the rows is a layer in specification."""
    for row in reversed(rows):
        if bool(aim.specification.met(row["wavelength"], row["lattice"])):
            off = row["wavelength"] - aim.specification.wavelength
            strain = float(mismatch(row["lattice"], aim.specification.lattice))
            text = f"a layer is in specification of {described(aim)}: {off:+.1f} nm, mismatch {strain:+.3f} %"
            return True, text
    return False, ""


def out_of_reach(
    aim: Aim, space: Space, normal: Callable[[Array], Normal], penalty: Callable[[Array], Array], grown: Array
) -> tuple[bool, str]:
    """Whether the target lies outside the bounds or where nothing may be grown, as far as the model knows.

    A model that tells no noise of a run may be far too sure: it is believed once a run was grown near the nearest point.

    Args:
        aim: the target.
        space: the bounds.
        normal: what the model predicts at flows [q, 2].
        penalty: of the phase diagram at flows [q, 2]; inf is forbidden.
        grown: flows [n, 2] of runs.
    """

    def surprise(flows: Array) -> Array:
        return aim.surprise(normal(flows))

    def miss(flows: Array) -> Array:
        return np.sum((normal(flows).mean - aim.target) ** 2, axis=1)

    def allowed(cost: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda flows: np.where(np.isfinite(penalty(flows)), cost(flows), np.inf)

    try:
        likeliest = search(space.bounds, allowed(surprise))
    except OutOfRange as fault:
        return True, str(fault)
    if likeliest.cost < UNREACHABLE:
        return False, ""
    nearest = search(space.bounds, allowed(miss))
    there = normal(nearest.x[None])
    near = np.max(np.abs(space.unit(grown) - space.unit(nearest.x)), axis=1) < _NEAR
    if not there.noise.any() and not near.any():
        return False, ""
    named = bounds_at(space, nearest.x)
    if named:
        where = " and ".join(named)
    elif not np.all(np.isfinite(penalty(space.candidates))):
        where = "the edge of what the phase diagram allows"
    else:
        return False, ""
    x, y = there.mean[0]
    text = f"the target ({described(aim)}; x = {aim.target[0]:.4f}, y = {aim.target[1]:.4f}) is out of reach"
    return True, f"{text}: the nearest layer, x = {x:.4f}, y = {y:.4f}, is at {where}"


def bounds_at(space: Space, x: Array) -> list[str]:
    """Names of the bounds that a point [2] lies at."""
    u = space.unit(x)[0]
    named = []
    for k, name in enumerate(space.names):
        low, high = space.bounds[k]
        if u[k] <= _AT:
            named.append(f"the lower bound of {name}, {low:g}")
        elif u[k] >= 1 - _AT:
            named.append(f"the upper bound of {name}, {high:g}")
    return named
