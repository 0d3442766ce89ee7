"""Energy and straggling along a path, compiled. For one layer of areal densities n_i (factors s_i on the stopping):

    A(E) = sum n_i s_i S_i(E)        energy lost in the layer crossed at right angles
    F(E) = integral dE / A           so that E after the part s of the layer is F^-1(F(E) - s / cos)
    V(E) = integral W / A^3 dE       with W = sum n_i w_i: the variance after E1 -> E2 is
                                     A2^2 (V1 / A1^2 + V(E1) - V(E2)): straggling, and its growth where stopping falls

Within a step of the grid A is linear. Energies in keV, areal densities in 1e15 at/cm2.
"""

from __future__ import annotations

import math

import numpy as np

from sdl_bluesky.physics.rbs.kernels.compile import kernel
from sdl_bluesky.physics.rbs.kernels.grid import E_0, H

STOPPED = -1.0


@kernel(inline="always")
def at(table, energy):
    """A table at an energy, linear."""
    x = (energy - E_0) / H
    i = min(max(int(x), 0), table.size - 2)
    x -= i
    return table[i] + (table[i + 1] - table[i]) * x


@kernel(inline="always")
def smooth_at(table, slope, energy):
    """A table at an energy, cubic: its derivative is known on the grid."""
    x = (energy - E_0) / H
    i = min(max(int(x), 0), table.size - 2)
    x -= i
    y = 1.0 - x
    low, high = table[i], table[i + 1]
    return low + (high - low) * x * x * (3.0 - 2.0 * x) + H * x * y * (slope[i] * y - slope[i + 1] * x)


@kernel()
def fill(n, factor, stopping, straggling, top, A, R, F, V):
    """Tables of one layer up to the energy `top`: A, R = 1/A, F, V; returns the number of points."""
    points = min(A.size, int((top - E_0) / H) + 3)
    for g in range(points):
        A[g] = 0.0
        V[g] = 0.0
    for i in range(n.size):
        if n[i] > 0.0:
            scaled = n[i] * factor[i]
            for g in range(points):
                A[g] += scaled * stopping[i, g]
                V[g] += n[i] * straggling[i, g]  # W for the moment
    R[0] = 1.0 / A[0]
    F[0] = 0.0
    before = V[0]
    V[0] = 0.0
    for g in range(1, points):
        R[g] = 1.0 / A[g]
        mean = 2.0 / (A[g - 1] + A[g])
        ratio = (A[g] - A[g - 1]) * mean * 0.5
        F[g] = F[g - 1] + H * mean * (1.0 + ratio * ratio * (1.0 / 3.0))
        here = V[g]
        V[g] = V[g - 1] + H * 0.5 * (before + here) * mean * mean * mean * (1.0 + 2.0 * ratio * ratio)
        before = here
    return points


@kernel()
def invert(f, F, R, start):
    """Energy at which F is f, and its step of the grid, looked for from the step `start` downwards."""
    if f <= 0.0:
        return STOPPED, 0
    i = start
    # a search in doubling steps, then by halves
    low = 0
    jump = 1
    high = i + 1
    while i > 0 and F[i] > f:
        high = i
        i -= jump
        jump *= 2
        if i < 0:
            i = 0
    low = i
    while high - low > 1:
        middle = (high + low) // 2
        if F[middle] > f:
            high = middle
        else:
            low = middle
    i = low
    fa, fb = F[i], F[i + 1]
    ra, rb = H * R[i], H * R[i + 1]
    x = (f - fa) / (fb - fa)
    y = 1.0 - x  # one step of Newton's from the straight line
    value = fa + (fb - fa) * x * x * (3.0 - 2.0 * x) + x * y * (ra * y - rb * x)
    x += (f - value) / (ra * y + rb * x)
    return E_0 + (i + x) * H, i


@kernel()
def cross(energy, variance, path, A, R, F, V, hint):
    """Energy, variance, dE2/dE1 and grid step after a path (in thicknesses of the layer); STOPPED if it ends inside.

    `hint`: grid step of an ion with a little more energy that went the same way, or -1.
    """
    f = smooth_at(F, R, energy) - path
    start = hint
    if start < 0:
        start = int((energy - E_0) / H)
    out, i = invert(f, F, R, start)
    if out < 0.0:
        return STOPPED, 0.0, 0.0, 0
    a1, a2 = at(A, energy), at(A, out)
    ratio = a2 / a1
    return out, ratio * ratio * variance + a2 * a2 * (at(V, energy) - at(V, out)), ratio, i


@kernel()
def top_of(grid):
    """The highest energy of a grid of that many points."""
    return E_0 + (grid - 1) * H


def error_tables() -> np.ndarray:
    """Of a Gaussian on a grid of z [4, n]: R = z Phi + phi, its integral T = ((z^2 + 1) Phi + z phi) / 2, Phi and phi."""
    z = np.arange(-Z_MAX, Z_MAX + 1.5 * Z_STEP, Z_STEP)
    cdf = np.array([0.5 * math.erfc(-k / math.sqrt(2.0)) for k in z])
    pdf = np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    once = z * cdf + pdf
    return np.ascontiguousarray(np.stack([once, 0.5 * ((z * z + 1.0) * cdf + z * pdf), cdf, pdf]))


Z_MAX = 5.5
Z_STEP = 1.0 / 64.0
