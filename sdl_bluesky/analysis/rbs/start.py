"""Where a fit begins, from the spectrum alone: the most likely of a set of films that are simulated once.

The set holds films from a fraction of a monolayer to several micrometres in steps of 1.3 and compositions spread evenly, so
that a start is within the reach of a fit also where the signals of the elements overlap, or lie on that of the substrate,
and the surface approximation has nothing to count.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import xlogy
from scipy.stats import qmc

from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

LEAST, MOST = 1.0, 3e4
"""Total areal densities that are tried, 1e15 at/cm2."""
STEP = 1.3
BACKGROUND = 0.01


def films(elements: int) -> Array:
    """Areal densities [n, element] of the films that are tried."""
    total = LEAST * STEP ** np.arange(int(np.log(MOST / LEAST) / np.log(STEP)) + 1)
    return (total[:, None, None] * compositions(elements)[None]).reshape(-1, elements)


def compositions(elements: int) -> Array:
    """Atomic fractions [n, element] spread over all compositions; the pure elements are not among them."""
    if elements == 1:
        return np.ones((1, 1))
    if elements == 2:
        first = np.array([0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])
        return np.stack([first, 1.0 - first], axis=1)
    even = qmc.Sobol(elements, scramble=False).random(8 * 2 ** (elements - 1))[1:]
    shares = -np.log(np.clip(1.0 - even, 1e-9, 1.0))  # exponential shares are even over the simplex
    return shares / shares.sum(axis=1, keepdims=True)


def best_start(setup: Setup, spectra: Array, fluence: Array, film: int, substrate: Array, region: slice) -> Array:
    """The most likely film for each spectrum, [p, film].

    Args:
        setup: of one of the spectra; the others may differ a little.
        spectra: [p, channel].
        fluence: of each [p].
        film: the first so many columns of the layers are those of the film.
        substrate: layers [layer, element].
        region: channels to compare.
    """
    from sdl_bluesky.physics.rbs import simulate

    tried = films(film)
    layers = np.zeros((len(tried), 1 + len(substrate), substrate.shape[1]))
    layers[:, 0, :film] = tried
    layers[:, 1:] = substrate
    counts = simulate(replace(setup, fluence_ions=1.0), layers)[:, region]
    found = np.empty((len(spectra), film))
    for i, (spectrum, ions) in enumerate(zip(spectra, fluence)):
        x, mu = spectrum[region], counts * ions + BACKGROUND
        found[i] = tried[int(np.argmin(np.sum(mu - xlogy(x, mu), axis=1)))]
    return found
