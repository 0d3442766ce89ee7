"""Sharp peaks of a scan: where the substrate may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from sdl_bluesky.errors import WeakSignal
from sdl_bluesky.physics.geometry import Array

LEAST_SIGMAS = 8.0
"""Standard deviations of the background by which a peak stands out of it."""
MOST_WIDTH_DEG = 0.04
"""Full width at half maximum of a substrate's peak; a layer of 200 nm has 0.047 deg."""
LEAST_SHARE = 0.1
"""Of the highest peak's height, for another to be the substrate's."""
_MOST = 2


@dataclass(frozen=True)
class Peak:
    """A peak: its place [deg], its height over the background [counts], its full width at half maximum [deg]."""

    place_deg: float
    height: float
    width_deg: float


def background_of(counts: Array) -> float:
    """Level of the background [counts], not below a tenth of a count."""
    return max(float(np.quantile(counts, 0.1)), 0.1)


def sharp_peaks(two_theta_deg: Array, counts: Array, place_deg: float, reach_deg: float) -> list[Peak]:
    """Peaks that may be the substrate's, the highest first, at most two.

    Args:
        two_theta_deg, counts: the scan [n].
        place_deg: where it should be.
        reach_deg: how far from there it is looked for.

    Raises:
        WeakSignal: nothing stands out of the background there, or nothing that is sharp enough for a substrate.
    """
    level = float(np.median(counts))
    near = np.abs(two_theta_deg - place_deg) <= reach_deg
    smooth = np.convolve(counts, np.ones(3) / 3, mode="same")
    noise = np.sqrt(max(level, 1.0) / 3)
    if not near.any() or float(smooth[near].max()) - level < LEAST_SIGMAS * noise:
        raise WeakSignal(
            f"no substrate peak within {reach_deg:g} deg of {place_deg:g} deg: the scan holds noise only there; check "
            "alignment, shutter and reflection, and count longer"
        )
    tops, _ = find_peaks(np.concatenate([[-1.0], smooth, [-1.0]]))
    found = [_peak(two_theta_deg, smooth, int(k) - 1, level) for k in tops]
    high = max(k.height for k in found if abs(k.place_deg - place_deg) <= reach_deg)
    inside = [k for k in found if abs(k.place_deg - place_deg) <= reach_deg and k.height >= LEAST_SHARE * high]
    sharp = [k for k in inside if k.width_deg <= MOST_WIDTH_DEG]
    if not sharp:
        raise WeakSignal(
            f"no substrate peak within {reach_deg:g} deg of {place_deg:g} deg: what is there is "
            f"{min(k.width_deg for k in inside):.3f} deg wide, a substrate's peak at most {MOST_WIDTH_DEG:g} deg"
        )
    apart: list[Peak] = []
    for peak in sorted(sharp, key=lambda k: -k.height):
        if all(abs(peak.place_deg - k.place_deg) > 0.5 * MOST_WIDTH_DEG for k in apart):
            apart.append(peak)
    return apart[:_MOST]


def _peak(angle: Array, smooth: Array, top: int, level: float) -> Peak:
    """Width at half maximum by linear interpolation; at the end of the scan as far as it goes."""
    height = float(smooth[top]) - level
    half = level + height / 2
    edges = []
    for step in (-1, 1):
        k = top
        while 0 <= k + step < len(smooth) and smooth[k + step] > half:
            k += step
        j = min(max(k + step, 0), len(smooth) - 1)
        part = 0.0 if j == k else (smooth[k] - half) / max(smooth[k] - smooth[j], 1e-9)
        edges.append(float(angle[k] + min(part, 1.0) * (angle[j] - angle[k])))
    return Peak(float(angle[top]), height, edges[1] - edges[0])
