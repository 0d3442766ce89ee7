"""Optical emission: intensities of lines in a spectrum, and the ratio of a metal's line to one of argon (actinometry).

Intensities are areas of Gaussians of known width on a straight background, by weighted least squares with the errors of
counting. The ratio of two lines excited by the same electrons follows the density of the metal, whatever the density and
number of the electrons (J. W. Coburn, M. Chen, J. Appl. Phys. 51, 3134, 1980), as long as their energies stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.geometry import Array

ARGON_NM = 811.5
OXYGEN_NM = 777.4
STRONG_LINES_NM: Mapping[str, float] = {
    "Al": 396.2, "Si": 390.6, "Ti": 453.3, "V": 437.9, "Cr": 425.4, "Mn": 403.1, "Fe": 372.0, "Co": 345.4, "Ni": 352.5,
    "Cu": 324.8, "Zn": 481.1, "Zr": 468.8, "Nb": 405.9, "Mo": 386.4, "Ag": 328.1, "In": 451.1, "Sn": 452.5,
    "Ta": 481.3, "W": 429.5, "Pt": 306.5, "Au": 312.3,
}  # fmt: skip
"""A strong line of the neutral atom in a magnetron plasma [nm] (NIST Atomic Spectra Database)."""
WINDOW = 4.0
"""Half width of what is fitted round a line, in widths at half maximum."""
_SIGMA = 1.0 / math.sqrt(8.0 * math.log(2.0))
_LEAST_RATIO_SIGNAL = 3.0
_PASSES = 3


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        intensity: its area [counts].
        std: standard error by counting [counts].
        chi2: of the fit over its degrees of freedom; far above 1: something else shines there.
    """

    intensity: float
    std: float
    chi2: float


def line_intensity(
    wavelength_nm: ArrayLike, counts: ArrayLike, line_nm: float, resolution_nm: float, beside_nm: Sequence[float] = ()
) -> Line:
    """Area of one line above the background.

    Args:
        wavelength_nm: of each pixel [n], rising.
        counts: [n], as counted (sums of several spectra are counts too).
        line_nm: where the line is.
        resolution_nm: full width at half maximum of a line.
        beside_nm: other lines that may shine near it; they get areas of their own.

    Raises:
        OutOfRange: counts that are negative or no numbers, a line outside the spectrum, or too few pixels round it.
    """
    x, y = np.asarray(wavelength_nm, dtype=float), np.asarray(counts, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or x.size < 2 or not np.all(np.diff(x) > 0):
        raise OutOfRange(f"wavelengths {x.shape} and counts {y.shape} are no spectrum: give both [n], rising in nm")
    if not np.all(np.isfinite(y)) or np.any(y < 0):
        raise OutOfRange("a spectrum has counts that are negative or no numbers: look at the spectrometer")
    if not (math.isfinite(resolution_nm) and resolution_nm > 0):
        raise OutOfRange(f"a resolution of {resolution_nm} nm is none: give the width of a line at half maximum")
    if not x[0] + resolution_nm <= line_nm <= x[-1] - resolution_nm:
        raise OutOfRange(f"the line at {line_nm:g} nm is outside the spectrum, {x[0]:g} to {x[-1]:g} nm")
    use = np.abs(x - line_nm) <= WINDOW * resolution_nm
    x, y, step = x[use], y[use], np.gradient(x)[use]
    others = [k for k in beside_nm if 0.3 * resolution_nm < abs(k - line_nm) < (WINDOW + 1.0) * resolution_nm]
    if x.size < 5 + len(others):
        raise OutOfRange(f"{x.size} pixels round {line_nm:g} nm are too few to tell a line from its background")
    sigma = _SIGMA * resolution_nm
    shapes = [
        step * np.exp(-0.5 * ((x - k) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi)) for k in (line_nm, *others)
    ]
    design = np.stack([*shapes, np.ones_like(x), (x - line_nm) / resolution_nm], axis=1)
    model = np.maximum(np.convolve(y, np.ones(3) / 3.0, mode="same"), 1.0)
    for _ in range(_PASSES):  # weights from the fit and not from the noisy counts, which would pull it down
        model = np.maximum(design @ _least_squares(design, y, model)[0], 1.0)
    beta, cov = _least_squares(design, y, model)
    chi2 = float(np.sum((y - design @ beta) ** 2 / model)) / (x.size - design.shape[1])
    return Line(float(beta[0]), float(np.sqrt(cov[0, 0])), chi2)


def _least_squares(design: Array, y: Array, variance: Array) -> tuple[Array, Array]:
    normal = design.T @ (design / variance[:, None])
    beta: Array = np.asarray(np.linalg.solve(normal, design.T @ (y / variance)), dtype=float)
    return beta, np.asarray(np.linalg.inv(normal), dtype=float)


def actinometric_ratio(metal: Line, reference: Line) -> tuple[float, float]:
    """Metal line over reference line, and its standard error.

    Raises:
        WeakSignal: the reference line is not seen.
    """
    if reference.intensity < _LEAST_RATIO_SIGNAL * reference.std:
        raise WeakSignal(
            f"the reference line has {reference.intensity:.3g} +- {reference.std:.2g} counts: does a plasma burn, is the "
            "spectrometer's window clean, is the exposure long enough?"
        )
    ratio = metal.intensity / reference.intensity
    return ratio, math.hypot(metal.std, ratio * reference.std) / reference.intensity


def strong_line_nm(element: str) -> float:
    """A strong line of an element [nm].

    Raises:
        OutOfRange: none is known here; the lab file can name one.
    """
    if element not in STRONG_LINES_NM:
        known = ", ".join(STRONG_LINES_NM)
        raise OutOfRange(f"no line of {element} is known (only of {known}): name one under chamber.reactive.lines")
    return STRONG_LINES_NM[element]
