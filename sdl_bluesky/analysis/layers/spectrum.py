"""A photoluminescence spectrum to the wavelength of its peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.geometry import Array

LEAST_POINTS = 9
LEAST_SIGMAS = 6.0
"""Standard deviations of the background by which a peak stands out of it."""
TOP = 0.3
"""Share of the peak's height above which its form is fitted."""
DEGREE = 5
FORM = 1e-3
"""Share of the width by which the form may shift the peak: what an asymmetric line leaves to the polynomial."""
_ROUNDS = 30


@dataclass(frozen=True)
class PeakReduction:
    """A peak.

    Attributes:
        peak_nm, std_nm: its wavelength and standard error.
        height: over the background [counts].
        width_nm: full width at half maximum.
        findings: "name: what".
    """

    peak_nm: float
    std_nm: float
    height: float
    width_nm: float
    findings: tuple[str, ...]


def reduce_spectrum(wavelength_nm: ArrayLike, counts: ArrayLike) -> PeakReduction:
    """The highest peak of a spectrum, by any smooth form.

    Around the highest point the light is background + exp(polynomial of degree 5), fitted by weighted least squares (as a
    generalised linear model with logarithmic link; McCullagh and Nelder, 1989) with variances that grow with the light and
    a scale that is learned, so that counts, and light in other units, both have honest errors.

    Args:
        wavelength_nm: increasing [n].
        counts: light [n]; negative values are noise of a dark level that was taken off.

    Raises:
        OutOfRange: the arrays are no spectrum.
        WeakSignal: no peak stands out of the noise, or it is cut off by the end of the spectrum.
    """
    w, n = np.asarray(wavelength_nm, dtype=float), np.asarray(counts, dtype=float)
    if w.ndim != 1 or w.shape != n.shape:
        raise OutOfRange(f"wavelengths {w.shape} and counts {n.shape} must be lists of one length")
    good = np.isfinite(w) & np.isfinite(n)
    findings = [f"dead: {int((~good).sum())} points hold no reading"] if not good.all() else []
    w, n = w[good], n[good]
    if len(w) < 2 * LEAST_POINTS or np.any(np.diff(w) <= 0):
        raise OutOfRange(f"{len(w)} points: a spectrum needs {2 * LEAST_POINTS} or more, with increasing wavelengths")
    low, high, background = _window(w, n)
    if int((n == n.max()).sum()) >= 3 and n.max() > background:
        findings.append("saturated: several points share the highest reading; the detector is at its end")
    return _fit(w, n, low, high, background, findings)


def _window(w: Array, n: Array) -> tuple[int, int, float]:
    """Ends of the peak's top, and the background."""
    background = float(np.quantile(gaussian_filter1d(n, len(n) / 100), 0.1))
    noise = max(1.4826 * float(np.median(np.abs(np.diff(n)))) / np.sqrt(2), 1e-12)
    width = 1.0
    smooth = gaussian_filter1d(n, width)
    for _ in range(3):  # as smooth as a fifth of the peak
        top = int(np.argmax(smooth))
        level = background + 0.5 * (smooth[top] - background)
        reach = int(
            np.argmax(np.append(smooth[top:] < level, True)) + np.argmax(np.append(smooth[top::-1] < level, True))
        )
        width = float(np.clip(0.1 * reach, 1.0, len(n) / 20))
        smooth = gaussian_filter1d(n, width)
    top = int(np.argmax(smooth))
    spread = noise / np.sqrt(2 * np.sqrt(np.pi) * width)
    if smooth[top] - background < LEAST_SIGMAS * spread + 1e-9 * abs(background):
        raise WeakSignal("no peak stands out of the spectrum's noise: check laser, focus and exposure")
    level = background + TOP * (smooth[top] - background)
    low = top - int(np.argmax(np.append(smooth[top::-1] < level, True))) + 1
    high = top + int(np.argmax(np.append(smooth[top:] < level, True))) - 1
    if low <= 0 or high >= len(n) - 1:
        raise WeakSignal(f"the peak near {w[top]:.0f} nm is cut off by the end of the spectrum: measure a wider range")
    if high - low + 1 < LEAST_POINTS:
        raise WeakSignal(
            f"the peak near {w[top]:.0f} nm has {high - low + 1} points above {100 * TOP:.0f} % of its height"
        )
    return low, high, background


def _fit(w: Array, n: Array, low: int, high: int, background: float, findings: list[str]) -> PeakReduction:
    part, light = w[low : high + 1], n[low : high + 1]
    middle, half = 0.5 * (part[0] + part[-1]), 0.5 * (part[-1] - part[0])
    u = (part - middle) / half
    floor = max(float(np.var(np.diff(n[n <= np.quantile(n, 0.3)]))) / 2, 1e-12)
    beta, cov = _polynomial(u, light - background, max(background, 0.0) + floor)
    fine = np.linspace(-1, 1, 2001)
    k = int(np.argmax(np.vander(fine, DEGREE + 1, increasing=True) @ beta))
    if k in (0, len(fine) - 1):
        raise WeakSignal(f"the light near {middle:.0f} nm has no peak of its own")
    powers = np.arange(DEGREE + 1)
    at, curve = fine[k], 0.0
    for _ in range(5):
        slope_terms = powers * np.power(at, np.maximum(powers - 1, 0))
        curve = float(np.sum(powers * (powers - 1) * beta * np.power(at, np.maximum(powers - 2, 0))))
        at = at - float(slope_terms @ beta) / curve
    slope_terms = powers * np.power(at, np.maximum(powers - 1, 0))
    std = float(np.sqrt(slope_terms @ cov @ slope_terms)) / abs(curve) * half
    height = float(np.exp(np.power(at, powers) @ beta))
    width = _width(w, n, background, height)
    return PeakReduction(float(middle + half * at), float(np.hypot(std, FORM * width)), height, width, tuple(findings))


def _polynomial(u: Array, light: Array, extra: float) -> tuple[Array, Array]:
    """Coefficients of the logarithm of the light, and their covariance."""
    design = np.vander(u, DEGREE + 1, increasing=True)
    above = np.maximum(light, 0.05 * light.max())
    beta = np.linalg.lstsq(design * above[:, None], np.log(above) * above, rcond=None)[0]
    information, squares = np.eye(DEGREE + 1), 0.0
    for _ in range(_ROUNDS):
        m = np.exp(np.clip(design @ beta, -50, 50 + np.log(above.max())))
        variance = m + extra
        jacobian = design * m[:, None]
        information = (jacobian / variance[:, None]).T @ jacobian
        step = np.linalg.lstsq(information, jacobian.T @ ((light - m) / variance), rcond=None)[0]
        beta = beta + step
        squares = float(np.sum((light - m) ** 2 / variance))
        if np.abs(step).max() < 1e-9:
            break
    scale = squares / max(len(u) - DEGREE - 1, 1)
    return np.asarray(beta, dtype=float), np.asarray(scale * np.linalg.pinv(information), dtype=float)


def _width(w: Array, n: Array, background: float, height: float) -> float:
    above = np.flatnonzero(gaussian_filter1d(n, 2.0) - background > 0.5 * height)
    return float(w[above[-1]] - w[above[0]])
