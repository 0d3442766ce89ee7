"""What is handed to a fit, brought to arrays; what cannot be is a typed error that names the place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

Roi = Sequence[tuple[int, int]] | ArrayLike
"""[(first, last + 1), ...] or bool [channel]."""
CLEAR = 3.0
"""Resolutions between the model's lowest energy and the first channel that it describes."""


def channels_of(roi: Roi | None, setup: Setup) -> Indices:
    """Numbers of the channels of a region of interest; None: those from three resolutions over the model's lowest energy on.

    Raises:
        OutOfRange: a region has no channels, or lies outside the spectrum.
    """
    channels = setup.channels
    if roi is None:
        return channels_of(setup.edges_keV()[:-1] >= setup.lowest_keV + CLEAR * setup.resolution_fwhm_keV, setup)
    given = np.asarray(roi)
    if given.dtype == bool:
        if given.shape != (channels,):
            raise OutOfRange(f"region of interest {given.shape}: the spectrum has {channels} channels")
        inside = given
    else:
        if given.ndim != 2 or given.shape[1] != 2 or not len(given) or not np.array_equal(given, given.astype(int)):
            raise OutOfRange(
                "the region of interest is empty or no region: give [(first, last + 1), ...], as [(100, 800)]"
            )
        inside = np.zeros(channels, dtype=bool)
        for first, end in given.astype(int):
            if not 0 <= first < end <= channels:
                raise OutOfRange(f"region of interest ({first}, {end}): the spectrum has channels 0 to {channels - 1}")
            inside[first:end] = True
    if not inside.any():
        raise OutOfRange("the region of interest is empty: it needs one channel or more")
    return np.flatnonzero(inside)


def spectra_of(spectra: ArrayLike, setup: Setup) -> Array:
    """Counts [b, channel].

    Raises:
        OutOfRange: the length differs from the set-up's channels, or a count is negative or not finite.
    """
    x = np.atleast_2d(np.asarray(spectra, dtype=float))
    if x.ndim != 2 or x.shape[1] != setup.channels or not len(x):
        raise OutOfRange(
            f"spectra {x.shape}: give counts [batch, channel] of {setup.channels} channels, as the set-up has"
        )
    wrong = np.argwhere(~np.isfinite(x) | (x < 0.0))
    if wrong.size:
        row, channel = wrong[0]
        what = f"{len(wrong)} count(s) are negative or not finite, the first is {x[row, channel]} in channel {channel}"
        raise OutOfRange(f"{what} of spectrum {row}: fit counts as they were measured, nothing taken off")
    return x


def free_of(free: ArrayLike, elements: Sequence[str]) -> Mask:
    """Which densities are fitted, bool [layer, element].

    Raises:
        OutOfRange: a wrong shape, or nothing is free.
    """
    found = np.asarray(free)
    if found.dtype != bool or found.ndim != 2 or found.shape[1] != len(elements):
        raise OutOfRange(
            f"free {found.shape}: give bool [layer, element] of {len(elements)} elements ({', '.join(elements)})"
        )
    if not found.any():
        raise OutOfRange("no density is free: there is nothing to be fitted")
    return found


def box_of(bounds: tuple[ArrayLike, ArrayLike], free: Mask, names: Sequence[str]) -> tuple[Array, Array]:
    """Lower and upper bounds of the free densities [d].

    Raises:
        OutOfRange: bounds that are negative, not finite, not in order, or of a wrong shape.
    """
    try:
        lower, upper = (np.array(np.broadcast_to(np.asarray(k, dtype=float), free.shape))[free] for k in bounds)
    except ValueError as fault:
        raise OutOfRange(
            f"bounds: give (lower, upper), each a number or [layer, element] {free.shape}: {fault}"
        ) from None
    wrong = np.flatnonzero(~(np.isfinite(upper) & (lower >= 0.0) & (lower < upper)))
    if wrong.size:
        k = wrong[0]
        raise OutOfRange(
            f"bounds of {names[k]}: {lower[k]:g} to {upper[k]:g}: both finite, from 0 up, the lower one first"
        )
    return lower, upper


def start_of(start: ArrayLike, free: Mask, count: int, box: tuple[Array, Array], names: Sequence[str]) -> Array:
    """Densities [b, layer, element] to start from.

    Raises:
        OutOfRange: a wrong shape, a density that is negative or not finite, or a free one outside its bounds.
    """
    given = np.asarray(start, dtype=float)
    if given.ndim not in (2, 3) or given.shape[-2:] != free.shape or (given.ndim == 3 and len(given) not in (1, count)):
        raise OutOfRange(
            f"start {given.shape}: give densities [batch, layer, element] {(count, *free.shape)}, or one for all"
        )
    layers = np.array(np.broadcast_to(given, (count, *free.shape)))
    if not np.all(np.isfinite(layers)) or np.any(layers < 0.0):
        raise OutOfRange("start: an areal density is negative or not finite")
    wrong = np.argwhere((layers[:, free] < box[0]) | (layers[:, free] > box[1]))
    if wrong.size:
        row, k = wrong[0]
        value, lower, upper = layers[row][free][k], box[0][k], box[1][k]
        raise OutOfRange(
            f"start of {names[k]} for spectrum {row}: {value:g} is not in its bounds {lower:g} to {upper:g}"
        )
    return layers


def priors_of(
    priors: tuple[ArrayLike, ArrayLike] | None, free: Mask, count: int, names: Sequence[str]
) -> tuple[Array, Array]:
    """Means [b, d] and precisions [d] of normal priors on the free densities, from (mean, sd); sd inf: none.

    Raises:
        OutOfRange: a wrong shape, a mean that is not finite, a standard deviation that is not positive.
    """
    if priors is None:
        return np.zeros((count, int(free.sum()))), np.zeros(int(free.sum()))
    try:
        mean = np.broadcast_to(np.asarray(priors[0], dtype=float), (count, *free.shape))[:, free]
        sd = np.broadcast_to(np.asarray(priors[1], dtype=float), free.shape)[free]
    except ValueError as fault:
        raise OutOfRange(
            f"priors: give (mean, standard deviation), each [layer, element] {free.shape}: {fault}"
        ) from None
    wrong = np.flatnonzero(~(np.isfinite(mean).all(axis=0) & (sd > 0.0)))
    if wrong.size:
        raise OutOfRange(f"prior of {names[wrong[0]]}: the mean must be finite and the standard deviation positive")
    return np.array(mean), 1.0 / sd**2
