"""Levenberg-Marquardt in a box, many small problems at once.

Each step minimises the damped quadratic model g d + d (H + lambda D) d / 2 in the box, exactly. D is the diagonal of H, but
never less than what the width of the box says. The damping follows Nielsen (IMM-REP-1999-05): smooth where the model
predicts well, growing ever faster while steps fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.physics.geometry import Array

Local = tuple[Array, Array, Array]
"""Value [r], gradient [r, p], curvature [r, p, p]."""
Function = Callable[[Array, Indices], Local]
"""(theta [r, p], rows [r]) -> value, gradient, curvature; `rows` says which problems are meant."""
ACCEPTED = 1e-4
"""Least part of the promised decrease that a step must bring."""
LEAST_DAMPING = 1e-5
TRUSTED_DAMPING = 1e-3
"""Below this a step that promises nothing is the end."""
MOST_DAMPING = 1e10
PATIENCE = 3
"""Exchanges of whole blocks without progress before parameters change sides one by one."""
PIVOTS = 5
"""Most exchanges for each parameter."""


@dataclass(frozen=True)
class Settings:
    """When to stop, and how to begin.

    Attributes:
        evaluations: most evaluations of one problem.
        tolerance: a step that promises less than this, or two that bring less, end the search [units of the value].
        damping: first lambda.
    """

    evaluations: int = 60
    tolerance: float = 1e-2
    damping: float = 0.1


@dataclass
class Minimum:
    """Where the problems ended.

    Attributes:
        theta: [b, p].
        value: [b].
        gradient: [b, p].
        curvature: [b, p, p].
        converged: [b], whether the search ended by itself.
        evaluations: of the model [b].
    """

    theta: Array
    value: Array
    gradient: Array
    curvature: Array
    converged: Mask
    evaluations: Indices


def minimise(function: Function, start: Array, lower: Array, upper: Array, settings: Settings = Settings()) -> Minimum:
    """Minimise functions with a known gradient and a positive curvature in a box.

    Args:
        function: see `Function`.
        start: [b, p]; what is outside the box is brought to its edge.
        lower, upper: of the box [p].
        settings: when to stop.
    """
    size, p = start.shape
    rows = np.arange(size)
    theta = np.clip(start, lower, upper)
    value, gradient, curvature = (np.array(k) for k in function(theta, rows))
    floor = 12.0 / (upper - lower) ** 2
    damping, growth = np.full(size, settings.damping), np.full(size, 2.0)
    calm = np.zeros(size, dtype=int)
    converged = np.zeros(size, dtype=bool)
    evaluations = np.ones(size, dtype=int)
    diagonal = np.arange(p)
    while rows.size:
        matrix = curvature[rows]
        scale = np.maximum(matrix[:, diagonal, diagonal], floor)
        damped = matrix.copy()
        damped[:, diagonal, diagonal] += damping[rows, None] * scale
        step = box_step(theta[rows], gradient[rows], damped, lower, upper)
        bent = np.einsum("rpq,rq->rp", matrix, step)
        promised = -np.einsum("rp,rp->r", gradient[rows] + 0.5 * bent, step)
        over = (promised < settings.tolerance) & (damping[rows] <= TRUSTED_DAMPING)
        converged[rows[over]] = True
        rows, step, promised = rows[~over], step[~over], promised[~over]
        if not rows.size:
            break
        trial = np.clip(theta[rows] + step, lower, upper)
        new_value, new_gradient, new_curvature = function(trial, rows)
        evaluations[rows] += 1
        brought = value[rows] - new_value
        good = np.isfinite(new_value) & (brought > ACCEPTED * promised) & (brought > 0.0)
        moved, failed = rows[good], rows[~good]
        theta[moved], value[moved] = trial[good], new_value[good]
        gradient[moved], curvature[moved] = new_gradient[good], new_curvature[good]
        ratio = np.minimum(brought[good] / promised[good], 2.0)
        damping[moved] = np.maximum(damping[moved] * np.clip(1.0 - (2.0 * ratio - 1.0) ** 3, 0.1, 2.0), LEAST_DAMPING)
        growth[moved] = 2.0
        damping[failed] *= growth[failed]
        growth[failed] *= 2.0
        small = (promised < settings.tolerance) & (np.abs(brought) < settings.tolerance)
        calm[rows] = np.where(small, calm[rows] + 1, 0)
        done = (calm[rows] >= 2) | (damping[rows] > MOST_DAMPING)
        converged[rows[done]] = True
        rows = rows[~done & (evaluations[rows] < settings.evaluations)]
    return Minimum(theta, value, gradient, curvature, converged, evaluations)


def joined(parts: Sequence[Minimum]) -> Minimum:
    """The minima of several batches as one."""
    return Minimum(*(np.concatenate([getattr(k, spec.name) for k in parts]) for spec in fields(Minimum)))


def part(function: Function, some: Indices) -> Function:
    """The function of some of the problems [r]."""
    return lambda theta, rows: function(theta, some[rows])


def box_step(theta: Array, gradient: Array, matrix: Array, lower: Array, upper: Array) -> Array:
    """The step in the box that minimises g d + d M d / 2: [r, p].

    Block principal pivoting (Judice and Pires, Computers Ops. Res. 21, 587, 1994): all parameters that are on the wrong side
    change sides at once, and one at a time where that goes round in circles.

    Args:
        theta, gradient: [r, p]; theta inside the box.
        matrix: M, positive definite [r, p, p].
        lower, upper: of the box [p].
    """
    count, p = theta.shape
    low, high = np.minimum(lower - theta, 0.0), np.maximum(upper - theta, 0.0)
    room = 1e-12 * (upper - lower)
    side = np.where((low >= -room) & (gradient > 0.0), -1, np.where((high <= room) & (gradient < 0.0), 1, 0))
    step = np.zeros_like(theta)
    fewest, patience = np.full(count, p + 1), np.full(count, PATIENCE)
    todo = np.arange(count)
    for _ in range(PIVOTS * p):
        s, m, g = side[todo], matrix[todo], gradient[todo]
        at = np.where(s < 0, low[todo], np.where(s > 0, high[todo], 0.0))
        found = _free_part(m, g, at, s != 0)
        rise = g + np.einsum("rpq,rq->rp", m, found)
        slack = 1e-9 * (np.abs(g) + np.abs(rise))
        below, above = (s == 0) & (found < low[todo] - room), (s == 0) & (found > high[todo] + room)
        wrong = below | above | ((s < 0) & (rise < -slack)) | ((s > 0) & (rise > slack))
        step[todo] = np.clip(found, low[todo], high[todo])
        bad = wrong.sum(axis=1)
        fewer = bad < fewest[todo]
        patience[todo] = np.where(fewer, PATIENCE, patience[todo] - 1)
        fewest[todo] = np.minimum(bad, fewest[todo])
        last = np.arange(p) == (p - 1 - np.argmax(wrong[:, ::-1], axis=1))[:, None]
        change = wrong & (last | (patience[todo] > 0)[:, None])
        side[todo] = np.where(change, np.where(below, -1, np.where(above, 1, 0)), s)
        todo = todo[bad > 0]
        if not todo.size:
            break
    return step


def _free_part(matrix: Array, gradient: Array, at: Array, held: Mask) -> Array:
    """Minimum over the parameters that are not held [r, p], the others being where they are."""
    p = at.shape[1]
    diagonal = np.arange(p)
    side = np.where(held, at, -gradient - np.einsum("rpq,rq->rp", matrix, np.where(held, at, 0.0)))
    reduced = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix)
    reduced[:, diagonal, diagonal] = np.where(held, 1.0, matrix[:, diagonal, diagonal])
    return np.linalg.solve(reduced, side[..., None])[..., 0]
