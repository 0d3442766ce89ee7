"""A map of photoluminescence wavelengths over a wafer to its mean, spread and radial trend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.geometry import Array

LEAST_PIXELS = 12
OUTLIER = 5.0
"""Robust standard deviations from the smooth map beyond which a pixel is no reading of the layer."""
MOST_OUTLIERS = 0.2
"""Share of outliers above which the map has no one mean."""
SPREAD_NM = 10.0
"""Standard deviation over the wafer above which it is uneven: the tolerance of the wavelength itself."""
BLOCKS = 5
_ROUNDS = 20


@dataclass(frozen=True)
class MapReduction:
    """What a map says.

    Attributes:
        mean_nm, std_nm: mean over the wafer, lost pixels filled by the smooth map, and its standard error.
        spread_nm: standard deviation over the wafer of the smooth map and the noise.
        noise_nm: of a pixel.
        edge_nm, edge_std_nm: wavelength at the edge less that in the middle (radial part), and its standard error.
        pixels, dead, outliers: pixels used, without a reading, and left out.
        findings: "name: what".
    """

    mean_nm: float
    std_nm: float
    spread_nm: float
    noise_nm: float
    edge_nm: float
    edge_std_nm: float
    pixels: int
    dead: int
    outliers: int
    findings: tuple[str, ...]


def reduce_map(
    wavelength_nm: ArrayLike,
    x_mm: ArrayLike,
    y_mm: ArrayLike,
    radius_mm: float | None = None,
    systematic_nm: float = 0.0,
) -> MapReduction:
    """Mean, standard error, spread and radial trend of a map.

    A smooth map (1, x, y, r2, r4) is fitted with bisquare weights, so that outliers do not pull it. Where the rest is
    correlated from pixel to pixel, the standard error is that of the means of `BLOCKS` x `BLOCKS` blocks.

    Args:
        wavelength_nm: [y, x] over the axes, or [n] with one place for each; nan, inf, 0 or below for a dead pixel.
        x_mm, y_mm: axes [x], [y], or places [n].
        radius_mm: of the wafer; pixels beyond belong to no wafer. As far as there are readings, if not given.
        systematic_nm: standard error of the mapper's calibration, added in quadrature.

    Raises:
        OutOfRange: shapes that do not belong together.
        WeakSignal: too few pixels with a reading, or a fifth of them outliers.
    """
    w, x, y = _flat(wavelength_nm, x_mm, y_mm)
    if not (np.isfinite(systematic_nm) and systematic_nm >= 0):
        raise OutOfRange(f"systematic_nm = {systematic_nm}: give a finite number that is not negative")
    alive = np.isfinite(w) & (np.nan_to_num(w) > 0)
    r = np.hypot(x, y)
    if radius_mm is None:
        radius_mm = float(r[alive].max()) if alive.any() else 0.0
    wafer = r <= radius_mm * (1 + 1e-9)
    alive &= wafer
    if int(alive.sum()) < LEAST_PIXELS or alive.sum() < 0.25 * wafer.sum():
        raise WeakSignal(
            f"{int(alive.sum())} of {int(wafer.sum())} pixels hold a wavelength: a mean needs {LEAST_PIXELS} and a "
            "quarter of the wafer; check laser, focus and detector"
        )
    terms = _terms(x, y, max(radius_mm, 1e-9))
    beta, noise, good = _robust(terms[alive], w[alive])
    outliers = int((~good).sum())
    if outliers > MOST_OUTLIERS * alive.sum():
        raise WeakSignal(
            f"{outliers} of {int(alive.sum())} pixels stray from any smooth map: the layer has no one wavelength"
        )
    used = np.flatnonzero(alive)[good]
    rest = w[used] - terms[used] @ beta
    filled = terms[wafer] @ beta
    cov = noise**2 * np.linalg.pinv(terms[used].T @ terms[used])
    middle = terms[wafer].mean(axis=0)
    std, correlated = _mean_error(x[used], y[used], rest, noise, float(np.sqrt(middle @ cov @ middle)))
    # radial part only: the r2 and r4 columns are 1 at the edge and 0 in the middle
    edge, edge_std = float(beta[3] + beta[4]), float(np.sqrt(cov[3:, 3:].sum()))
    spread = float(np.hypot(filled.std(), noise))
    findings = []
    dead = int(wafer.sum() - alive.sum())
    if dead:
        findings.append(f"dead: {dead} of {int(wafer.sum())} pixels on the wafer hold no wavelength")
    if outliers:
        findings.append(
            f"outliers: {outliers} pixels stray by more than {OUTLIER:g} standard deviations and are left out"
        )
    if correlated:
        findings.append("texture: the wavelength varies in patches that no smooth map follows; the error allows for it")
    if spread > SPREAD_NM:
        findings.append(f"uneven: the wavelength spreads by {spread:.1f} nm over the wafer, {edge:+.1f} nm at the edge")
    return MapReduction(
        mean_nm=float(filled.mean() + np.mean(rest)),
        std_nm=float(np.hypot(std, systematic_nm)),
        spread_nm=spread,
        noise_nm=noise,
        edge_nm=edge,
        edge_std_nm=edge_std,
        pixels=len(used),
        dead=dead,
        outliers=outliers,
        findings=tuple(findings),
    )


def _flat(wavelength_nm: ArrayLike, x_mm: ArrayLike, y_mm: ArrayLike) -> tuple[Array, Array, Array]:
    w, x, y = (np.asarray(k, dtype=float) for k in (wavelength_nm, x_mm, y_mm))
    if w.ndim == 2 and x.ndim == 1 and y.ndim == 1 and w.shape == (len(y), len(x)):
        x, y = np.meshgrid(x, y)
    if not (w.shape == x.shape == y.shape):
        raise OutOfRange(f"map {w.shape} with places {x.shape}, {y.shape}: give [y, x] with its axes, or three alike")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise OutOfRange("a place on the wafer is not finite")
    return w.ravel(), x.ravel(), y.ravel()


def _terms(x: Array, y: Array, radius: float) -> Array:
    u, v = x / radius, y / radius
    s = u**2 + v**2
    return np.stack([np.ones_like(s), u, v, s, s**2], axis=1)


def _robust(terms: Array, w: Array) -> tuple[Array, float, NDArray[np.bool_]]:
    """Coefficients, noise and which pixels belong: bisquare weights from the median on, then least squares."""
    beta = np.zeros(terms.shape[1])
    beta[0] = np.median(w)
    for _ in range(_ROUNDS):
        rest = w - terms @ beta
        scale = max(1.4826 * float(np.median(np.abs(rest))), 1e-9)
        weight = np.clip(1 - (rest / (OUTLIER * scale)) ** 2, 0.0, None)
        new = np.linalg.lstsq(terms * weight[:, None], w * weight, rcond=None)[0]
        moved = float(np.abs(new - beta).max())
        beta = new
        if moved < 1e-9 * abs(beta[0]):
            break
    rest = w - terms @ beta
    scale = max(1.4826 * float(np.median(np.abs(rest))), 1e-9 * abs(beta[0]))
    good = np.abs(rest) <= OUTLIER * scale
    beta = np.asarray(np.linalg.lstsq(terms[good], w[good], rcond=None)[0], dtype=float)
    rest = w[good] - terms[good] @ beta
    return beta, float(np.sqrt(np.sum(rest**2) / max(good.sum() - terms.shape[1], 1))), good


def _mean_error(x: Array, y: Array, rest: Array, noise: float, white: float) -> tuple[float, bool]:
    """Standard error of the mean, and whether the rest is correlated: by the means of blocks, if they scatter too much."""
    edges_x, edges_y = (np.quantile(k, np.linspace(0, 1, BLOCKS + 1)[1:-1]) for k in (x, y))
    block = np.searchsorted(edges_x, x, "right") * BLOCKS + np.searchsorted(edges_y, y, "right")
    size = np.bincount(block, minlength=BLOCKS**2)
    total = np.bincount(block, rest, minlength=BLOCKS**2)
    held = size > 0
    dof = int(held.sum()) - 5
    if dof < 4 or noise <= 0:
        return white, False
    ratio = float(np.sum(total[held] ** 2 / size[held]) / noise**2) / dof
    if ratio <= chi2.ppf(0.99, dof) / dof:
        return white, False
    return white * float(np.sqrt(ratio)), True
