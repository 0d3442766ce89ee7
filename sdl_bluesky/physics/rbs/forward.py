"""From layers to counts and their derivatives: the door to the compiled kernels."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.kernels.counts import ERROR, many
from sdl_bluesky.physics.rbs.kernels.derivatives import many_columns
from sdl_bluesky.physics.rbs.kernels.paths import SLICES, WIDE_SLICES
from sdl_bluesky.physics.rbs.setup import Nuisance, Setup
from sdl_bluesky.physics.rbs.tables import Lines, tables

EXACT = Nuisance()
TRACE = 1e-3
"""Density [1e15 at/cm2] that an empty layer is given where derivatives are asked for: what would come must be known."""
_one_at_a_time = threading.Lock()  # numba's simplest threading layer dies of concurrent calls


@dataclass(frozen=True, eq=False)
class Jacobian:
    """Counts and their derivatives.

    Attributes:
        counts: [batch, channel].
        matrix: [batch, column, channel]: areal densities layer by layer, then the nuisance parameters in the order of
            `Setup.nuisance_names`.
        layers: view [batch, layer, element, channel], counts per 1e15 at/cm2.
        nuisance: view [batch, parameter, channel].
    """

    counts: Array
    matrix: Array
    layers: Array
    nuisance: Array


def simulate(setup: Setup, layers: ArrayLike, nuisance: Nuisance = EXACT) -> Array:
    """Noise-free spectra.

    Args:
        setup: beam, geometry, detector.
        layers: areal densities [batch, layer, element] or [layer, element] in 1e15 at/cm2, the first layer at the surface,
            columns in the order of `setup.elements`; a layer of zeros is passed over.
        nuisance: what differs from the set-up as it is written.

    Returns:
        Counts [batch, channel], or [channel] for one sample.

    Raises:
        OutOfRange: shapes do not fit, a density is negative or not finite.
    """
    batch, single = _batch(setup, layers)
    scalars, factors = nuisance.arrays(len(batch), len(setup.elements))
    counts = _counts(setup, batch, scalars, factors)
    return counts[0] if single else counts


def jacobian(
    setup: Setup, layers: ArrayLike, nuisance: Nuisance = EXACT, columns: NDArray[np.bool_] | None = None
) -> Jacobian:
    """Spectra and their derivatives; arguments and errors as for `simulate`, always with the axis of the batch.

    `columns` [column] says which of `Jacobian.matrix` are worked out, which saves time; the others are zero.
    Pile-up is taken as given: the derivatives are those without it.
    """
    batch, _ = _batch(setup, layers)
    count, rows, elements = batch.shape
    scalars, factors = nuisance.arrays(count, elements)
    counts = _counts(setup, batch, scalars, factors)
    t = tables(setup)
    matrix = np.empty((count, (rows + 1) * elements + 4, setup.channels))
    own = rows * elements
    wanted = np.ones(own + 4 + elements, dtype=bool) if columns is None else np.asarray(columns, dtype=bool)
    if wanted.shape != (own + 4 + elements,):
        raise OutOfRange(f"columns {wanted.shape}: there are {own + 4 + elements} derivatives")
    order = [own + 1, own + 3, *range(own + 4, own + 4 + elements), *range(own)]  # of the kernel
    in_kernel = wanted[order]
    in_kernel[0] = wanted[own + 1] or wanted[own + 2]
    seen = np.where(batch.sum(axis=2, keepdims=True) > TRACE, batch, TRACE)
    with _one_at_a_time:
        many_columns(
            seen,
            scalars,
            factors,
            *_beam(setup, WIDE_SLICES),
            t.stopping,
            t.straggling,
            _fields(t.lines),
            ERROR,
            in_kernel,
            counts,
            matrix,
        )
    matrix[:, :, _unseen(setup)] = 0.0
    matrix[:, ~wanted] = 0.0
    return Jacobian(
        counts,
        matrix,
        matrix[:, :own].reshape(count, rows, elements, setup.channels),
        matrix[:, own:],
    )


def _counts(setup: Setup, batch: Array, scalars: Array, factors: Array) -> Array:
    t = tables(setup)
    counts = np.empty((len(batch), setup.channels))
    with _one_at_a_time:
        many(
            batch,
            scalars,
            factors,
            *_beam(setup, SLICES),
            t.stopping,
            t.straggling,
            _fields(t.lines),
            ERROR,
            counts,
        )
    np.maximum(counts, 0.0, out=counts)  # rounding where there is nothing
    counts[:, _unseen(setup)] = 0.0
    return counts if setup.pile_up == 0.0 else _piled_up(counts, setup)


def _unseen(setup: Setup) -> NDArray[np.bool_]:
    """Channels below the lowest energy [channel]."""
    return setup.edges_keV()[1:] <= setup.lowest_keV


def _beam(setup: Setup, slices: tuple[float, float]) -> tuple[Any, ...]:
    beta = setup.beta_deg if setup.beta_deg is not None else 0.0
    beam = (
        setup.energy_keV,
        setup.lowest_keV,
        abs(math.cos(math.radians(setup.alpha_deg))),
        abs(math.cos(math.radians(beta))),
        *slices,
        setup.sigma_keV,
    )
    calibration = np.array([setup.offset_keV, setup.slope_keV, setup.quadratic_keV])
    return beam, setup.sigma_keV, calibration, setup.fluence_ions * setup.solid_angle_msr * 1e-3


def _fields(lines: Lines) -> tuple[Any, ...]:
    return (
        lines.element, lines.exit_ion, lines.sigma, lines.cumulative, lines.leaving, lines.spread, lines.sharp
    )  # fmt: skip


def _piled_up(counts: Array, setup: Setup) -> Array:
    """Two pulses within the resolving time are one pulse of the sum of their energies.

    Of N pulses p N pairs are lost and p N sums appear, spread as the spectrum convolved with itself.
    """
    total = counts.sum(axis=1, keepdims=True)
    size = 2 * setup.channels
    shift = round(setup.offset_keV / setup.slope_keV)  # energies add, so offsets do
    spectrum = np.fft.rfft(counts, size, axis=1)
    sums = np.fft.irfft(spectrum * spectrum, size, axis=1)
    sums = np.roll(sums, shift, axis=1)[:, : setup.channels] / np.maximum(total, 1e-300)
    return counts * (1.0 - 2.0 * setup.pile_up) + setup.pile_up * np.maximum(sums, 0.0)


def _batch(setup: Setup, layers: ArrayLike) -> tuple[Array, bool]:
    given = np.asarray(layers, dtype=float)
    single = given.ndim == 2
    batch = given[None] if single else given
    if batch.ndim != 3 or batch.shape[2] != len(setup.elements) or batch.shape[1] == 0 or not setup.elements:
        raise OutOfRange(
            f"layers {given.shape}: give areal densities [batch, layer, element] or [layer, element] "
            f"with {len(setup.elements)} elements ({', '.join(setup.elements)})"
        )
    if not np.all(np.isfinite(batch)) or np.any(batch < 0):
        raise OutOfRange("an areal density is negative or not finite")
    return np.ascontiguousarray(batch), single
