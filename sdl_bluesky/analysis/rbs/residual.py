"""What a fit leaves over: near which energy and which element the misfit lies.

The residuals are summed over windows of one and of four widths of the detector's resolution, all over the spectrum. A window
in which counts and model differ by more than chance allows, all windows taken together, is told with the elements whose
surface edge it could be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from periodictable import elements
from scipy.special import xlogy
from scipy.stats import norm

from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.kinematics import kinematic_factor
from sdl_bluesky.physics.rbs.setup import Setup

MODEL = 0.005
"""Relative error of a sum of counts that the model itself may have."""
SHIFT = 0.02
"""Error of the energy of an edge that the model itself may have, in resolutions."""
CHANCE = 1e-3
"""With which a spectrum that the model describes gives a finding."""
NAMED = 3
ALIKE = 0.6
"""Resolutions within which two edges are not told apart."""
_LEAST_EXPECTED = 0.05
_TAIL, _CLEAR, _EXPLAINED = 0.3, 3.0, 0.6

ABOVE, AT_EDGE, FOREIGN, LACKING = "above every edge", "at an edge", "foreign element", "too few counts"


@dataclass(frozen=True)
class Misfit:
    """A part of a spectrum that the model does not describe.

    Attributes:
        kind: one of the kinds above.
        low_keV, high_keV: where.
        sigma: counts less model, over the standard deviation of the difference, where it is worst.
        words: what a person reads.
        elements: that have their surface edge there; of those of the model and others.
    """

    kind: str
    low_keV: float
    high_keV: float
    sigma: float
    words: str
    elements: tuple[str, ...]


def find_misfit(setup: Setup, counts: Array, expected: Array, first: int, film: Sequence[str]) -> Misfit | None:
    """The worst misfit of a spectrum [channel] from channel `first` up, if chance does not explain it.

    Args:
        setup: with the calibration as fitted.
        counts, expected: [channel].
        first: lowest channel to look at.
        film: elements of the film.
    """
    width = max(round(setup.resolution_fwhm_keV / setup.slope_keV), 1)
    slack = SHIFT * setup.resolution_fwhm_keV / setup.slope_keV
    narrow, wide = (_windows(counts, expected, first, channels, slack) for channels in (width, 4 * width))
    if not (narrow.size or wide.size):
        return None
    limit = norm.isf(CHANCE / (2.0 * (narrow.size + wide.size)))
    sigmas, channels = max(((narrow, width), (wide, 4 * width)), key=lambda k: float(np.abs(k[0]).max(initial=0.0)))
    worst = int(np.argmax(np.abs(sigmas)))
    sigma = float(sigmas[worst])
    if abs(sigma) < limit:
        return None
    begin, end = worst * _step(channels), worst * _step(channels) + channels
    inside = np.sign(sigma) * narrow[begin // _step(width) : max((end - width) // _step(width) + 1, 0)]
    if inside.size and inside.max() > _CLEAR:  # seen in narrow windows, too: how far it reaches
        begin, end = _reach(np.sign(sigma) * narrow, begin // _step(width) + int(np.argmax(inside)), width)
    shift = _shift(counts, expected, slice(first + begin, first + end)) * setup.slope_keV
    edges = setup.edges_keV()
    half = (
        first + begin + _half_height(np.sign(sigma) * (counts - expected)[first + begin : first + end + width], width)
    )
    low, high, edge = (float(edges[k]) for k in (first + begin, first + end, half))
    return _described(setup, low, high, edge, sigma, shift, film)


def _half_height(left: Array, width: int) -> int:
    """The last channel at which what is left over, smoothed, is half of its highest."""
    smooth = np.convolve(left, np.full(width, 1.0 / width), mode="same")
    return int(np.flatnonzero(smooth >= 0.5 * smooth.max())[-1])


def _shift(counts: Array, expected: Array, where: slice) -> float:
    """Channels by which the model would have to move up for the misfit to vanish; 0 if that does not explain it."""
    rise = np.gradient(expected)[where]
    left, weight = (counts - expected)[where], 1.0 / np.maximum(expected[where], 1.0)
    inertia = float(np.sum(rise**2 * weight))
    if inertia <= 0.0:
        return 0.0
    moved = float(np.sum(left * rise * weight)) / inertia
    explained = moved**2 * inertia / float(np.sum(left**2 * weight))
    return -moved if explained > _EXPLAINED else 0.0


def _reach(sigmas: Array, top: int, width: int) -> tuple[int, int]:
    """Channels, from the first window on, of the windows around window `top` that are alike."""
    alike = sigmas > max(_CLEAR, _TAIL * sigmas[top])
    others = np.flatnonzero(~alike)
    low = int(others[others < top].max(initial=-1)) + 1
    high = int(others[others > top].min(initial=alike.size)) - 1
    return low * _step(width), high * _step(width) + width


def _step(channels: int) -> int:
    return max(channels // 2, 1)


def _windows(counts: Array, expected: Array, first: int, channels: int, slack: float) -> Array:
    """Standard normal equivalents of the sums over windows of so many channels, half overlapping.

    The model may err by `MODEL` of a sum, and by what a shift of `slack` channels carries over the ends of a window.
    """
    starts = np.arange(first, counts.size - channels + 1, _step(channels))
    sums = [np.concatenate([[0.0], np.cumsum(k)]) for k in (counts, expected)]
    x, mu = (np.maximum(s[starts + channels] - s[starts], 0.0) for s in sums)
    m = np.maximum(mu, _LEAST_EXPECTED)
    deviance = 2.0 * np.maximum(m - x + xlogy(x, x / m), 0.0)
    carried = slack * np.abs(expected[np.minimum(starts + channels, counts.size - 1)] - expected[starts])
    return np.sign(x - m) * np.sqrt(deviance / (1.0 + MODEL**2 * mu + carried**2 / m))


def _described(
    setup: Setup, low: float, high: float, edge: float, sigma: float, shift: float, film: Sequence[str]
) -> Misfit:
    above = low > max(surface_edge_keV(setup, name) for name in setup.elements)
    moved = 0.0 < abs(shift) < setup.resolution_fwhm_keV
    kind = ABOVE if above else AT_EDGE if moved else FOREIGN if sigma > 0 else LACKING
    names = _at(setup, edge, film)
    why = {
        ABOVE: f"above every edge of the model: pile-up, or a heavier element ({_names(names)})",
        AT_EDGE: f"as if what lies there were {abs(shift):.1f} keV {'higher' if shift > 0 else 'lower'}: calibration, "
        f"stopping, or a film that is not one even layer{_beside(setup, low, high, film)}",
        FOREIGN: f"an element that is not in the model of the film? At the surface it would be {_names(names)}; "
        "deeper, a heavier one",
        LACKING: "layers or substrate are not as described, or a cross section is not Rutherford's",
    }
    what = f"{'more' if sigma > 0 else 'fewer'} counts than the model from {low:.0f} to {high:.0f} keV ({sigma:+.0f} sigma)"
    return Misfit(kind, low, high, sigma, f"{what}: {why[kind]}", names)


def _beside(setup: Setup, low: float, high: float, film: Sequence[str]) -> str:
    """The film's elements whose surface edge lies there: an element of nearly their mass would do the same."""
    reach = setup.resolution_fwhm_keV / 2.0
    near = [name for name in film if low - reach <= surface_edge_keV(setup, name) <= high + reach]
    return f", or an element beside {', '.join(near)}" if near else ""


def surface_edge_keV(setup: Setup, element: str) -> float:
    """Energy of the beam's ions scattered at the surface by an element of mean mass; 0 where none are."""
    ion = nuclides.ion(setup.ion)
    return setup.energy_keV * kinematic_factor(
        ion.mass_u, nuclides.target(element).mass_u, math.radians(setup.theta_deg)
    )


@cache
def _natural() -> tuple[str, ...]:
    """Elements that have stable isotopes, lithium and heavier."""
    found = (elements[z] for z in range(3, nuclides.MAX_Z + 1))
    return tuple(e.symbol for e in found if any(e[a].abundance > 0 for a in e.isotopes))


def _at(setup: Setup, edge: float, film: Sequence[str]) -> tuple[str, ...]:
    """Elements whose surface edge the detector cannot tell from an energy, the lightest first; at least the nearest."""
    off = {name: abs(surface_edge_keV(setup, name) - edge) for name in _natural() if name not in film}
    near = tuple(name for name, energy in off.items() if energy <= ALIKE * setup.resolution_fwhm_keV)
    return near or (min(off, key=off.__getitem__),)


def _names(names: Sequence[str]) -> str:
    return " or ".join(names) if len(names) <= NAMED else f"{names[0]} to {names[-1]}"
