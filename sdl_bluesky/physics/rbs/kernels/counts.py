"""The forward kernel: layers -> counts, many spectra at once, compiled.

Each layer is cut into slices. What a slice sends back lies between the energies of its two edges at the detector: its
yield Q over that width is the height of a brick, and the heights of the neighbours give its slope. A brick with a straight
top, convolved with a Gaussian, is a sum over its edges; so each edge j deposits

    C(E) = J sigma R(z) + M sigma^2 T(z),   z = (E - E_j) / sigma_j

on the cumulated spectrum, with the jump J of the height and M of the slope, R and T the first and second integral of the
Gaussian's distribution function. Counts of a channel are the difference of C at its edges.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from sdl_bluesky.physics.rbs.kernels.compile import kernel
from sdl_bluesky.physics.rbs.kernels.paths import MAX_EDGES, edge_of, fill_layer, raise_bricks, walk
from sdl_bluesky.physics.rbs.kernels.transport import Z_MAX, Z_STEP, cross, error_tables

ERROR = error_tables()


@kernel()
def first_edge(begin, edges, inverse_slope):
    """Index of the first edge of a channel at or above an energy."""
    last = edges.size
    first = min(max(int((begin - edges[0]) * inverse_slope), 0), last - 1)
    while first > 0 and edges[first - 1] >= begin:
        first -= 1
    while first < last and edges[first] < begin:
        first += 1
    return first


@kernel()
def deposit(center, sigma, jump, bend, edges, inverse_slope, error, total, tail):
    """Add one edge of a brick to the cumulated spectrum `total` [edge]; what lies beyond goes into `tail` [edge, 3]."""
    inverse = 1.0 / sigma
    a = jump * sigma
    b = bend * sigma * sigma
    reach = (Z_MAX - 1e-9) * sigma
    first = first_edge(center - reach, edges, inverse_slope)
    k = first_edge(center + reach, edges, inverse_slope)
    energy, row = edges[first:k], total[first:k]
    for m in range(k - first):
        z = (energy[m] - center) * inverse
        i = int((z + Z_MAX) * (1.0 / Z_STEP) + 0.5)
        d = z - (i * Z_STEP - Z_MAX)  # T' = R, R' = Phi, Phi' = phi
        once, twice, cdf, pdf = error[0, i], error[1, i], error[2, i], error[3, i]
        row[m] += a * (once + d * (cdf + 0.5 * d * pdf)) + b * (
            twice + d * (once + 0.5 * d * (cdf + (1.0 / 3.0) * d * pdf))
        )
    if k < edges.size:  # J (E - c) + M ((E - c)^2 + sigma^2) / 2
        tail[k, 0] += -jump * center + 0.5 * bend * (center * center + sigma * sigma)
        tail[k, 1] += jump - bend * center
        tail[k, 2] += 0.5 * bend


@kernel()
def close_tails(edges, total, tail):
    """Add what lies beyond the window of each deposit: polynomials in the energy, summed up along the edges."""
    p, q, r = 0.0, 0.0, 0.0
    for k in range(edges.size):
        p += tail[k, 0]
        q += tail[k, 1]
        r += tail[k, 2]
        total[k] += p + edges[k] * (q + edges[k] * r)


@kernel()
def calibrate(calibration, slope, offset, edges):
    """Energies of the edges of the channels; returns one over the slope."""
    for k in range(edges.size):
        edges[k] = calibration[0] + offset + calibration[1] * slope * k + calibration[2] * k * k
    return 1.0 / (calibration[1] * slope)


@kernel()
def one(layers, factor, beam, sigma_detector, edges, inverse_slope, stopping, straggling, lines, error, total, tail):
    """One spectrum, cumulated at the edges of the channels, for one ion times steradian.

    `beam`: (energy, lowest, cos_in, cos_out, slice_sigma, slice_part, nominal resolution); `lines`: fields of `Lines`.
    """
    energy, lowest, cos_in, cos_out, slice_sigma, slice_part, nominal = beam
    line_element, line_ion, line_sigma, line_cumulative, line_leaving, line_spread, line_sharp = lines
    count = layers.shape[0]
    size = (stopping.shape[0], count, stopping.shape[2])
    A, R, F, V = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    e, depth, out = np.empty(MAX_EDGES), np.empty(MAX_EDGES), np.empty(MAX_EDGES)
    width, unit, slope = np.empty(MAX_EDGES), np.empty(MAX_EDGES), np.empty(MAX_EDGES)
    trace = np.empty((MAX_EDGES, count + 1, 2))
    hints = np.empty(count, dtype=np.int64)
    variance = sigma_detector * sigma_detector
    bottom, bottom_variance = energy, 0.0
    for layer in range(count):
        top, top_variance = bottom, bottom_variance
        if not fill_layer(layer, layers, factor, stopping, straggling, top, A, R, F, V):
            continue
        bottom, bottom_variance, _, _ = cross(
            top, top_variance, 1.0 / cos_in, A[0, layer], R[0, layer], F[0, layer], V[0, layer], -1
        )
        through = bottom > lowest
        for k in range(line_element.size):
            density = layers[layer, line_element[k]]
            if density <= 0.0:
                continue
            used = walk(
                layer, line_ion[k], line_sharp[k], line_leaving[k], line_spread[k], top, top_variance,
                bottom if through else lowest, lowest, cos_in, cos_out, slice_sigma, slice_part, nominal, variance,
                A, R, F, V, hints, e, depth, out, width, trace,
            )  # fmt: skip
            if used < 1:
                continue
            raise_bricks(used, cos_in, line_sigma[k], line_cumulative[k], e, depth, out, unit, slope)
            for j in range(used + 1):
                jump, bend = edge_of(j, used, out, unit, slope)
                deposit(out[j], width[j], density * jump, density * bend, edges, inverse_slope, error, total, tail)
        if not through:
            break


@kernel(parallel=True)
def many(
    layers, scalars, factors, beam, sigma_detector, calibration, particles, stopping, straggling, lines, error, counts
):
    """Counts [batch, channel] of a batch; `scalars` [batch, 4] as in `setup.SCALARS`, `factors` [batch, element]."""
    channels = counts.shape[1]
    for b in prange(layers.shape[0]):
        edges, total, tail = np.empty(channels + 1), np.zeros(channels + 1), np.zeros((channels + 1, 3))
        inverse_slope = calibrate(calibration, scalars[b, 1], scalars[b, 2], edges)
        one(
            layers[b], factors[b], beam, sigma_detector * scalars[b, 3], edges, inverse_slope, stopping, straggling, lines,
            error, total, tail,
        )  # fmt: skip
        close_tails(edges, total, tail)
        scale = particles * scalars[b, 0]
        for k in range(channels):
            counts[b, k] = scale * (total[k + 1] - total[k])
