"""The same problem seen through a poor detector: smooth, nearly free of false minima, and ten times cheaper.

A fit goes wrong where an edge of the model is taken for another one of the spectrum. With a resolution of some percent of
the beam energy the edges overlap and draw each other; the counts are smoothed to that resolution and several channels are
taken together, which is all that a start needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from sdl_bluesky.inference.rbs_fit.arrays import Indices
from sdl_bluesky.inference.rbs_fit.parameters import Parameters
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

PART_OF_BEAM = 0.036
TIMES_RESOLUTION = 4.0
MERGED = 0.6
"""Width of a merged channel over the standard deviation of the detector."""
FEWEST = 12
"""Coarse channels below which a coarse problem says nothing."""
_FWHM = math.sqrt(8.0 * math.log(2.0))


def merged_problem(problem: Problem) -> Problem | None:
    """The same problem with channels merged to six tenths of the resolution; None where that merges none.

    It says the same as the spectrum itself, for less. Merging begins at channel 0, so that the calibration keeps its
    nuisance parameters.
    """
    setups, regions, counts, first = [], [], [], 0
    for setup, channels in zip(problem.parameters.setups, problem.channels, strict=True):
        merged = max(1, int(MERGED * setup.sigma_keV / setup.slope_keV))
        size = setup.channels // merged
        x = np.zeros((len(problem.counts), setup.channels))
        x[:, channels] = problem.counts[:, first : first + len(channels)]
        first += len(channels)
        inside = np.zeros(setup.channels, dtype=bool)
        inside[channels] = True
        whole = np.flatnonzero(np.all(inside[: size * merged].reshape(size, merged), axis=1))
        setups.append(
            replace(
                setup,
                slope_keV=merged * setup.slope_keV,
                quadratic_keV=merged**2 * setup.quadratic_keV,
                channels=size,
            )
        )
        regions.append(whole)
        counts.append(x[:, : size * merged].reshape(len(x), size, merged).sum(axis=2)[:, whole])
    if sum(map(len, regions)) in (0, problem.counts.shape[1]):
        return None
    parameters = replace(problem.parameters, setups=tuple(setups))
    return Problem(parameters, problem.held, tuple(regions), np.concatenate(counts, axis=1))


@dataclass(frozen=True)
class _Part:
    setup: Setup
    channels: Indices
    counts: Array


def coarse_problem(problem: Problem) -> Problem | None:
    """The coarse problem of the free densities, nuisance parameters at their nominal values; None where it is no use."""
    full = problem.parameters
    parts, first = [], 0
    for setup, channels in zip(full.setups, problem.channels, strict=True):
        part = _coarse_part(setup, channels, problem.counts[:, first : first + len(channels)])
        first += len(channels)
        if part is not None:
            parts.append(part)
    if not parts or sum(len(part.channels) for part in parts) < FEWEST:
        return None
    p = full.densities
    parameters = Parameters(
        tuple(part.setup for part in parts),
        full.free,
        (),
        full.lower[:p],
        full.upper[:p],
        full.mean[..., :p],
        full.precision[:p],
    )
    counts = np.concatenate([part.counts for part in parts], axis=1)
    return Problem(parameters, problem.held, tuple(part.channels for part in parts), counts)


def _coarse_part(setup: Setup, channels: Indices, counts: Array) -> _Part | None:
    """Smooth one spectrum and merge its channels; coarse ones that what is outside the region reaches are left out."""
    wide = max(PART_OF_BEAM * setup.energy_keV, TIMES_RESOLUTION * setup.resolution_fwhm_keV)
    spread = math.sqrt(wide**2 - setup.resolution_fwhm_keV**2) / _FWHM / setup.slope_keV
    merged = max(1, int(wide / _FWHM / setup.slope_keV))
    first, last = int(channels[0]), int(channels[-1]) + 1
    size = (last - first) // merged
    reach = round(spread)
    if size < 1:
        return None
    inside = np.zeros(last - first, dtype=bool)
    inside[channels - first] = True
    whole = counts if inside.all() else _filled(counts, channels, first, last)
    smooth = gaussian_filter1d(whole, spread, axis=1, mode="nearest")[:, : size * merged]
    smooth = smooth.reshape(len(counts), size, merged).sum(axis=2)
    # the upper end is open: nothing lies above the spectrum
    padded = np.pad(inside, (reach, reach), constant_values=(False, True))
    clear = np.all(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)
    clear = np.all(clear[: size * merged].reshape(size, merged), axis=1)
    slope = merged * (setup.slope_keV + 2.0 * setup.quadratic_keV * first)
    coarse = replace(
        setup,
        resolution_fwhm_keV=wide,
        offset_keV=setup.offset_keV + first * (setup.slope_keV + setup.quadratic_keV * first),
        slope_keV=slope,
        quadratic_keV=setup.quadratic_keV * merged**2,
        channels=size,
        pile_up=0.0,
    )
    return _Part(coarse, np.flatnonzero(clear), smooth[:, clear])


def _filled(counts: Array, channels: Indices, first: int, last: int) -> Array:
    """Counts [b, last - first] with straight lines where the region has gaps."""
    everywhere = np.arange(first, last)
    return np.array([np.interp(everywhere, channels, row) for row in counts])
