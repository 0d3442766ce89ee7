"""The kernel of the derivatives: the same walk as for the counts, with the derivatives carried along, compiled.

Along a path E1 -> E2 through a layer, with A' = dA/dE, H_i = integral S_i / A^2, X = V2 / A2^2 and c = dA/dp over S_i
(1 for the density of element i, n_i / s_i for its stopping factor s_i):

    dE2 = A2 (dE1 / A1 - c (H_i(E1) - H_i(E2)))
    dX  = dV1 / A1^2 - 2 V1 dA1 / A1^3 + W1 dE1 / A1^3 - W2 dE2 / A2^3 - 3 c integral W S_i / A^4 + integral w_i / A^3
    dV2 = 2 A2 X dA2 + A2^2 dX,   dA = A' dE + c S_i

Columns: density of the spectrum (for the calibration), resolution, stopping factor of each element, then element by element
the areal densities of the first layer, the second, ... : what a layer does not know of comes after its own columns.
The integrals are kept on a grid four times as wide: a derivative need not be better than a per mille.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from sdl_bluesky.physics.rbs.kernels.compile import kernel
from sdl_bluesky.physics.rbs.kernels.counts import calibrate, first_edge
from sdl_bluesky.physics.rbs.kernels.grid import E_0, H
from sdl_bluesky.physics.rbs.kernels.paths import MAX_EDGES, edge_of, fill_layer, raise_bricks, walk
from sdl_bluesky.physics.rbs.kernels.transport import Z_MAX, Z_STEP, at, cross

WIDE = 4
LANES = 16
CHUNKS = 64
FIXED = 2
"""Columns before those of the elements: density, resolution."""


@kernel()
def fill_wide(layer, layers, factor, stopping, straggling, top, A, HI, GI, UI, W):
    """Integrals for the derivatives of a layer, [ion, layer, energy, element], and W [ion, layer, energy]."""
    grid, elements = A.shape[2], layers.shape[1]
    for ion in range(stopping.shape[0]):
        limit = min(top if ion == 0 else 1e9, E_0 + (grid - 1) * H)
        points = min(W.shape[2], int((limit - E_0) / (H * WIDE)) + 3)
        for g in range(points):
            s = min(g * WIDE, grid - 1)
            a = A[ion, layer, s] if s <= int((limit - E_0) / H) + 2 else 0.0
            if a == 0.0:
                for i in range(elements):
                    a += layers[layer, i] * factor[i] * stopping[ion, i, s]
            w = 0.0
            for i in range(elements):
                w += layers[layer, i] * straggling[ion, i, s]
            W[ion, layer, g] = w
            r = 1.0 / a
            for i in range(elements):
                scaled = factor[i] * stopping[ion, i, s] * r * r
                HI[ion, layer, g, i] = scaled
                GI[ion, layer, g, i] = -3.0 * w * scaled * r * r
                UI[ion, layer, g, i] = straggling[ion, i, s] * r * r * r
        half = 0.5 * H * WIDE
        for i in range(elements):
            h, k, u = 0.0, 0.0, 0.0
            h_0, k_0, u_0 = HI[ion, layer, 0, i], GI[ion, layer, 0, i], UI[ion, layer, 0, i]
            HI[ion, layer, 0, i] = GI[ion, layer, 0, i] = UI[ion, layer, 0, i] = 0.0
            for g in range(1, points):
                h_1, k_1, u_1 = HI[ion, layer, g, i], GI[ion, layer, g, i], UI[ion, layer, g, i]
                h += half * (h_0 + h_1)
                k += half * (k_0 + k_1)
                u += half * (u_0 + u_1)
                HI[ion, layer, g, i], GI[ion, layer, g, i], UI[ion, layer, g, i] = h, k, u
                h_0, k_0, u_0 = h_1, k_1, u_1


@kernel(inline="always")
def wide_at(energy, size):
    """Point and part of the wide grid."""
    x = (energy - E_0) / (H * WIDE)
    i = min(max(int(x), 0), size - 2)
    return i, x - i


@kernel(inline="always")
def slope_at(table, energy):
    """Derivative of a table."""
    i = min(max(int((energy - E_0) / H), 0), table.size - 2)
    return (table[i + 1] - table[i]) / H


@kernel()
def advance(
    ion,
    layer,
    active,
    layers,
    factor,
    stopping,
    energy_1,
    variance_1,
    energy_2,
    variance_2,
    A,
    HI,
    GI,
    UI,
    W,
    d_energy,
    d_variance,
):
    """Take the derivatives of energy and variance along a path through (a part of) a layer, in place."""
    elements = layers.shape[1]
    a = A[ion, layer]
    a1, a2 = at(a, energy_1), at(a, energy_2)
    b1, b2 = slope_at(a, energy_1), slope_at(a, energy_2)
    size = W.shape[2]
    i1, x1 = wide_at(energy_1, size)
    i2, x2 = wide_at(energy_2, size)
    w1 = W[ion, layer, i1] * (1.0 - x1) + W[ion, layer, i1 + 1] * x1
    w2 = W[ion, layer, i2] * (1.0 - x2) + W[ion, layer, i2 + 1] * x2
    r1, r2 = 1.0 / a1, 1.0 / a2
    ratio = a2 * r1
    rest = variance_2 * r2 * r2  # X
    by_e1 = (w1 - 2.0 * variance_1 * b1) * r1 * r1 * r1
    by_e2 = -w2 * r2 * r2 * r2
    for p in range(active):
        e1 = d_energy[p]
        e2 = ratio * e1
        d_energy[p] = e2
        d_variance[p] = 2.0 * a2 * rest * b2 * e2 + a2 * a2 * (d_variance[p] * r1 * r1 + by_e1 * e1 + by_e2 * e2)
    own = elements * (layer + 1)
    g1 = int(min(max((energy_1 - E_0) / H, 0.0), a.size - 2.0))
    g2 = int(min(max((energy_2 - E_0) / H, 0.0), a.size - 2.0))
    for i in range(elements):
        h = (
            HI[ion, layer, i1, i] * (1.0 - x1) + HI[ion, layer, i1 + 1, i] * x1
            - HI[ion, layer, i2, i] * (1.0 - x2) - HI[ion, layer, i2 + 1, i] * x2
        )  # fmt: skip
        k = (
            GI[ion, layer, i1, i] * (1.0 - x1) + GI[ion, layer, i1 + 1, i] * x1
            - GI[ion, layer, i2, i] * (1.0 - x2) - GI[ion, layer, i2 + 1, i] * x2
        )  # fmt: skip
        u = (
            UI[ion, layer, i1, i] * (1.0 - x1) + UI[ion, layer, i1 + 1, i] * x1
            - UI[ion, layer, i2, i] * (1.0 - x2) - UI[ion, layer, i2 + 1, i] * x2
        )  # fmt: skip
        e2 = -a2 * h
        s1 = factor[i] * stopping[ion, i, g1]
        s2 = factor[i] * stopping[ion, i, g2]
        v2 = 2.0 * a2 * rest * (b2 * e2 + s2) + a2 * a2 * (k - 2.0 * variance_1 * s1 * r1 * r1 * r1 + by_e2 * e2)
        d_energy[own + i] += e2
        d_variance[own + i] += v2 + a2 * a2 * u
        c = layers[layer, i] / factor[i]
        d_energy[i] += c * e2
        d_variance[i] += c * v2


@kernel()
def deposit_columns(center, sigma, active, wanted, by, edges, inverse_slope, error, basis, total, tail):
    """Add the columns of one edge: by_0 sigma R + by_1 sigma^2 T + by_2 Phi + by_3 phi.

    `total` [column, edge]; what lies beyond goes into `tail` [column, block of edges, 3]. Windows are whole blocks of LANES
    edges: a length that the processor likes.
    """
    last = edges.size
    inverse = 1.0 / sigma
    square = sigma * sigma
    first = first_edge(center - Z_MAX * sigma, edges, inverse_slope)
    first -= first % LANES
    size = 0
    while first + size < last:
        z = (edges[first + size] - center) * inverse
        if z <= -Z_MAX:
            basis[0, size] = basis[1, size] = basis[2, size] = basis[3, size] = 0.0
        elif z < Z_MAX:
            i = int((z + Z_MAX) * (1.0 / Z_STEP) + 0.5)
            d = z - (i * Z_STEP - Z_MAX)
            basis[0, size] = sigma * (error[0, i] + d * (error[2, i] + 0.5 * d * error[3, i]))
            basis[1, size] = square * (error[1, i] + d * (error[0, i] + 0.5 * d * error[2, i]))
            basis[2, size] = error[2, i] + d * error[3, i]
            basis[3, size] = error[3, i] * (1.0 - z * d)
        elif size % LANES == 0:
            break
        else:
            basis[0, size] = sigma * z
            basis[1, size] = 0.5 * square * (z * z + 1.0)
            basis[2, size] = 1.0
            basis[3, size] = 0.0
        size += 1
    b0, b1, b2, b3 = basis[0, :size], basis[1, :size], basis[2, :size], basis[3, :size]
    for p in range(active):
        if not wanted[p]:
            continue
        a, b, c, d = by[0, p], by[1, p], by[2, p], by[3, p]
        row = total[p, first : first + size]
        for k in range(size):
            row[k] += a * b0[k] + b * b1[k] + c * b2[k] + d * b3[k]
    if first + size < last:
        block = (first + size) // LANES
        square = 0.5 * (center * center + square)
        for p in range(active):
            tail[p, block, 0] += by[2, p] - by[0, p] * center + by[1, p] * square
            tail[p, block, 1] += by[0, p] - by[1, p] * center
            tail[p, block, 2] += 0.5 * by[1, p]


@kernel()
def close_columns(edges, wanted, total, tail, basis):
    """Add what lies beyond the windows, see `kernel.close_tails`."""
    size = edges.size
    t0, t1, t2 = basis[0, :size], basis[1, :size], basis[2, :size]
    for p in range(total.shape[0]):
        if not wanted[p]:
            continue
        x, y, z = 0.0, 0.0, 0.0
        for block in range(tail.shape[1]):
            x += tail[p, block, 0]
            y += tail[p, block, 1]
            z += tail[p, block, 2]
            for k in range(block * LANES, (block + 1) * LANES):
                t0[k], t1[k], t2[k] = x, y, z
        row = total[p]
        for k in range(size):
            row[k] += t0[k] + edges[k] * (t1[k] + edges[k] * t2[k])


@kernel()
def columns(
    layers,
    factor,
    beam,
    resolution,
    edges,
    inverse_slope,
    stopping,
    straggling,
    lines,
    error,
    wanted,
    basis,
    total,
    tail,
):
    """Derivatives of one cumulated spectrum at the edges of the channels [edge, column]."""
    energy, lowest, cos_in, cos_out, slice_sigma, slice_part, nominal = beam
    line_element, line_ion, line_sigma, line_cumulative, line_leaving, line_spread, line_sharp = lines
    count, elements = layers.shape
    size = (stopping.shape[0], count, stopping.shape[2])
    wide = (size[0], count, stopping.shape[2] // WIDE + 3, elements)
    A, R, F, V = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    HI, GI, UI, W = np.empty(wide), np.empty(wide), np.empty(wide), np.empty(wide[:3])
    e, depth, out = np.empty(MAX_EDGES), np.empty(MAX_EDGES), np.empty(MAX_EDGES)
    width, unit, slope = np.empty(MAX_EDGES), np.empty(MAX_EDGES), np.empty(MAX_EDGES)
    trace = np.empty((MAX_EDGES, count + 1, 2))
    hints = np.empty(count, dtype=np.int64)
    many_p = elements * (count + 1)
    d_e, d_v = np.zeros(many_p), np.zeros(many_p)
    top_e, top_v = np.zeros(many_p), np.zeros(many_p)  # of the beam at the top of the layer
    in_e = np.empty((MAX_EDGES, many_p))
    d_out = np.empty((MAX_EDGES, many_p))
    d_width = np.empty((MAX_EDGES, many_p))
    d_unit = np.empty((MAX_EDGES, many_p))
    d_slope = np.zeros((MAX_EDGES, many_p))
    by = np.zeros((4, many_p + FIXED))
    variance = resolution * resolution
    bottom, bottom_variance = energy, 0.0
    for layer in range(count):
        top, top_variance = bottom, bottom_variance
        fill_layer(layer, layers, factor, stopping, straggling, top, A, R, F, V)
        fill_wide(layer, layers, factor, stopping, straggling, top, A, HI, GI, UI, W)
        active = elements * (layer + 2)
        bottom, bottom_variance, _, _ = cross(
            top, top_variance, 1.0 / cos_in, A[0, layer], R[0, layer], F[0, layer], V[0, layer], -1
        )
        through = bottom > lowest
        for k in range(line_element.size):
            density = layers[layer, line_element[k]]
            ion = line_ion[k]
            used = walk(
                layer, ion, line_sharp[k], line_leaving[k], line_spread[k], top, top_variance,
                bottom if through else lowest, lowest, cos_in, cos_out, slice_sigma, slice_part, nominal, variance,
                A, R, F, V, hints, e, depth, out, width, trace,
            )  # fmt: skip
            if used < 1:
                continue
            raise_bricks(used, cos_in, line_sigma[k], line_cumulative[k], e, depth, out, unit, slope)
            a_top = at(A[0, layer], top)
            for j in range(used + 1):
                d_e[:] = top_e
                d_v[:] = top_v
                here = at(A[0, layer], e[j])
                variance_in = here * here * (
                    top_variance / (a_top * a_top) + at(V[0, layer], top) - at(V[0, layer], e[j])
                )  # fmt: skip
                advance(
                    0,
                    layer,
                    active,
                    layers,
                    factor,
                    stopping,
                    top,
                    top_variance,
                    e[j],
                    variance_in,
                    A,
                    HI,
                    GI,
                    UI,
                    W,
                    d_e,
                    d_v,
                )
                gain = at(line_leaving[k], e[j] + 1.0) - at(line_leaving[k], e[j])
                by_spread = 2.0 * line_spread[k] * line_spread[k] * e[j]
                for p in range(active):
                    in_e[j, p] = d_e[p]
                    d_v[p] = gain * gain * d_v[p] + by_spread * d_e[p]
                    d_e[p] *= gain
                for i in range(layer, -1, -1):
                    advance(
                        ion, i, active, layers, factor, stopping, trace[j, i + 1, 0], trace[j, i + 1, 1],
                        trace[j, i, 0], trace[j, i, 1], A, HI, GI, UI, W, d_e, d_v,
                    )  # fmt: skip
                half = 0.5 / width[j]
                for p in range(active):
                    d_out[j, p] = d_e[p]
                    d_width[j, p] = half * d_v[p]
            for j in range(used):
                s1, s2 = slope_at(line_sigma[k], e[j]), slope_at(line_sigma[k], e[j + 1])
                mean = 0.5 * (at(line_sigma[k], e[j]) + at(line_sigma[k], e[j + 1]))
                span = out[j] - out[j + 1]
                if abs(span) < 1e-9:
                    span = 1e-9
                for p in range(active):
                    d_mean = 0.5 * (s1 * in_e[j, p] + s2 * in_e[j + 1, p]) / mean
                    d_unit[j, p] = unit[j] * (d_mean - (d_out[j, p] - d_out[j + 1, p]) / span)
            for j in range(used):
                left, right = max(j - 1, 0), min(j + 1, used - 1)
                if right == left:
                    for p in range(active):
                        d_slope[j, p] = 0.0
                    continue
                run = 0.5 * (out[left] + out[left + 1] - out[right] - out[right + 1])
                for p in range(active):
                    d_run = 0.5 * (d_out[left, p] + d_out[left + 1, p] - d_out[right, p] - d_out[right + 1, p])
                    d_slope[j, p] = (d_unit[left, p] - d_unit[right, p] - slope[j] * d_run) / run
            own = elements * (layer + 1) + line_element[k] + FIXED
            for j in range(used + 1):
                jump, bend = edge_of(j, used, out, unit, slope)
                for p in range(active):
                    d_jump, d_bend = 0.0, 0.0
                    if j > 0:
                        d_jump += d_unit[j - 1, p] + 0.5 * (
                            d_slope[j - 1, p] * (out[j] - out[j - 1]) + slope[j - 1] * (d_out[j, p] - d_out[j - 1, p])
                        )
                        d_bend += d_slope[j - 1, p]
                    if j < used:
                        d_jump -= d_unit[j, p] + 0.5 * (
                            d_slope[j, p] * (out[j] - out[j + 1]) + slope[j] * (d_out[j, p] - d_out[j + 1, p])
                        )
                        d_bend -= d_slope[j, p]
                    q = p + FIXED
                    by[0, q] = density * (d_jump - bend * d_out[j, p])
                    by[1, q] = density * d_bend
                    by[2, q] = density * (bend * width[j] * d_width[j, p] - jump * d_out[j, p])
                    by[3, q] = density * jump * d_width[j, p]
                by[0, own] += jump
                by[1, own] += bend
                by[0, 0], by[2, 0] = density * bend, density * jump
                wider = variance / width[j]
                by[2, 1], by[3, 1] = density * bend * width[j] * wider, density * jump * wider
                deposit_columns(
                    out[j], width[j], active + FIXED, wanted, by, edges, inverse_slope, error, basis, total, tail
                )
        if not through:
            break
        advance(
            0,
            layer,
            active,
            layers,
            factor,
            stopping,
            top,
            top_variance,
            bottom,
            bottom_variance,
            A,
            HI,
            GI,
            UI,
            W,
            top_e,
            top_v,
        )


@kernel(parallel=True)
def many_columns(
    layers,
    scalars,
    factors,
    beam,
    sigma_detector,
    calibration,
    particles,
    stopping,
    straggling,
    lines,
    error,
    wanted,
    counts,
    found,
):
    """Derivatives [batch, column, channel]: layer by layer, then fluence, slope, offset, resolution, stopping.

    Only the `wanted` columns, in the order of this kernel; the others are zero.
    """
    channels = counts.shape[1]
    elements = layers.shape[2]
    own = elements * layers.shape[1]
    width = FIXED + elements + own
    blocks = channels // LANES + 1
    chunks = min(CHUNKS, layers.shape[0])
    for chunk in prange(chunks):
        edges, basis = np.empty(blocks * LANES), np.empty((4, (blocks + 1) * LANES))
        total, tail = np.empty((width, blocks * LANES)), np.empty((width, blocks, 3))
        for b in range(chunk, layers.shape[0], chunks):
            total[:, :] = 0.0
            tail[:, :, :] = 0.0
            inverse_slope = calibrate(calibration, scalars[b, 1], scalars[b, 2], edges)
            columns(
                layers[b], factors[b], beam, sigma_detector * scalars[b, 3], edges, inverse_slope, stopping, straggling,
                lines, error, wanted, basis, total, tail,
            )  # fmt: skip
            close_columns(edges, wanted, total, tail, basis)
            scale = particles * scalars[b, 0]
            for p in range(1, width):
                factor = scale / scalars[b, 3] if p == 1 else scale
                if p >= FIXED + elements:
                    row = p - FIXED - elements
                else:
                    row = own + 3 if p == 1 else own + 4 + p - FIXED
                column, values = total[p], found[b, row]
                if not wanted[p]:
                    values[:] = 0.0
                    continue
                for k in range(channels):
                    values[k] = factor * (column[k + 1] - column[k])
            column = total[0]
            for k in range(channels):
                found[b, own, k] = counts[b, k] / scalars[b, 0] if scalars[b, 0] > 0.0 else 0.0
                found[b, own + 1, k] = scale * calibration[1] * ((k + 1) * column[k + 1] - k * column[k])
                found[b, own + 2, k] = scale * (column[k + 1] - column[k])
