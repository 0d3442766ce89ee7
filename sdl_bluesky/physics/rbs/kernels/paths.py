"""Ways of the ions, compiled: into a layer, back from an element, out to the detector; for counts and derivatives."""

from __future__ import annotations

import numpy as np

from sdl_bluesky.physics.rbs.kernels.compile import kernel
from sdl_bluesky.physics.rbs.kernels.transport import at, cross, fill, smooth_at, top_of

MAX_EDGES = 600
SLICES = (1.5, 0.03)
"""Width of a slice at the detector: standard deviations of its Gaussian, part of its energy; the larger one counts."""
WIDE_SLICES = (2.0, 0.05)
"""The same for derivatives."""
EMPTY = -1.0
NOTHING = 1e-8
"""Areal density [1e15 at/cm2] up to which a layer is taken as empty: the differences of energies would be rounding."""


@kernel()
def fill_layer(layer, layers, factor, stopping, straggling, top, A, R, F, V):
    """Tables [ion, layer, energy] of a layer for every ion that leaves; whether there is anything in it."""
    thickness = 0.0
    for i in range(layers.shape[1]):
        thickness += layers[layer, i]
    for ion in range(stopping.shape[0]):
        if thickness <= NOTHING:
            F[ion, layer, 0] = EMPTY  # it is passed over
        else:
            reach = top if ion == 0 else top_of(A.shape[2])
            fill(
                layers[layer], factor, stopping[ion], straggling[ion], reach,
                A[ion, layer], R[ion, layer], F[ion, layer], V[ion, layer],
            )  # fmt: skip
    return thickness > NOTHING


@kernel()
def walk(
    layer,
    ion,
    sharp,
    leaving,
    spread,
    top,
    top_variance,
    bottom,
    lowest,
    cos_in,
    cos_out,
    slice_sigma,
    slice_part,
    nominal,
    variance,
    A,
    R,
    F,
    V,
    hints,
    e,
    depth,
    out,
    width,
    trace,
):
    """Cut a layer into slices for one line; returns the index of the last edge, or -1.

    For each edge: energy `e` of the beam, `depth` as part of the layer, energy `out` at the detector and its standard
    deviation `width`; `trace` [edge, layer + 2, 2]: energy and variance after the collision and after each layer on the way
    out. The width of a slice follows from how fast `out` falls. Where the ion would leave with less than `lowest`, the last
    slice is cut.
    """
    a, r, f, v = A[0, layer], R[0, layer], F[0, layer], V[0, layer]
    f_top, a_top = smooth_at(f, r, top), at(a, top)
    before = top_variance / (a_top * a_top) + at(v, top)
    relative = slice_part
    if sharp:
        relative = 0.0
    for i in range(layer + 1):
        hints[i] = -1
    here, used, ending, rate = top, -1, False, 1.0
    while used < MAX_EDGES - 1:
        x = at(leaving, here)
        if not x > lowest:
            break
        a_here = at(a, here)
        gain = at(leaving, here + 1.0) - x
        depth_here = cos_in * (f_top - smooth_at(f, r, here))
        s2 = gain * gain * a_here * a_here * (before - at(v, here)) + (spread * here) ** 2
        path = depth_here / cos_out
        rate_here = 0.0
        row = used + 1
        trace[row, layer + 1, 0], trace[row, layer + 1, 1] = x, s2
        for i in range(layer, -1, -1):
            if F[0, i, 0] >= 0.0:
                x, s2, ratio, hints[i] = cross(x, s2, path, A[ion, i], R[ion, i], F[ion, i], V[ion, i], hints[i])
                if x < 0.0:
                    break
                if i == layer:
                    rate_here = gain * ratio + at(A[ion, i], x) * cos_in / (a_here * cos_out)
                else:
                    rate_here *= ratio
                path = 1.0 / cos_out
            trace[row, i, 0], trace[row, i, 1] = x, s2
        if x < lowest and not ending:
            if used < 0:
                break
            if x > 0.0:
                here = e[used] - (e[used] - here) * (out[used] - lowest) / (out[used] - x)
            else:
                here = e[used] - 0.9 * (out[used] - lowest) / rate
            ending = True
            for i in range(layer + 1):
                hints[i] = -1
            continue
        if x < 0.5 * lowest:
            break
        used = row
        e[used], depth[used], out[used] = here, depth_here, x
        width[used] = np.sqrt(s2 + variance)
        rate = rate_here
        if ending or here <= bottom:
            break
        step = max(slice_sigma * np.sqrt(s2 + nominal * nominal), relative * x) / rate
        left = int((here - bottom) / step) + 1
        here = bottom if left <= 1 else here - (here - bottom) / left
    return used


@kernel()
def raise_bricks(used, cos_in, sigma, cumulative, e, depth, out, unit, slope):
    """Height and slope of the brick of each slice, for an areal density of one."""
    before = smooth_at(cumulative, sigma, e[0])
    for j in range(used):
        after = smooth_at(cumulative, sigma, e[j + 1])
        loss = e[j] - e[j + 1]
        mean = (before - after) / loss if loss > 1e-6 else at(sigma, e[j])
        span = out[j] - out[j + 1]
        if abs(span) < 1e-9:
            span = 1e-9
        unit[j] = mean * (depth[j + 1] - depth[j]) / (cos_in * span)
        before = after
    for j in range(used):
        left, right = max(j - 1, 0), min(j + 1, used - 1)
        run = 0.5 * (out[left] + out[left + 1] - out[right] - out[right + 1])
        slope[j] = (unit[left] - unit[right]) / run if right > left else 0.0
    if used > 2:  # at the ends a parabola through three bricks
        for end in range(2):
            first, step = (0, 1) if end == 0 else (used - 1, -1)
            near, far = slope[first], slope[first + step]  # over one step, over two
            a = 0.5 * (out[first] + out[first + 1] - out[first + step] - out[first + step + 1])
            b = 0.5 * (out[first] + out[first + 1] - out[first + 2 * step] - out[first + 2 * step + 1])
            slope[first] = near + (near - far) * a / (b - a)


@kernel(inline="always")
def edge_of(j, used, out, unit, slope):
    """Jump of the height and of the slope at an edge, going up in energy."""
    jump, bend = 0.0, 0.0
    if j > 0:
        jump += unit[j - 1] + slope[j - 1] * 0.5 * (out[j] - out[j - 1])
        bend += slope[j - 1]
    if j < used:
        jump -= unit[j] + slope[j] * 0.5 * (out[j] - out[j + 1])
        bend -= slope[j]
    return jump, bend


__all__ = ["MAX_EDGES", "SLICES", "WIDE_SLICES", "edge_of", "fill_layer", "raise_bricks", "walk"]
