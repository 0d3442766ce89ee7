"""A theta-2theta scan to the mismatch across a layer: substrate, layer, cap and their fringes fitted together.

The substrate's peak is InP's and so gives the zero of the goniometer. The layer's place is told by its peak and by the
fringes round it, which stay when the peak is hidden by the substrate's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.layers.pattern import INDEX, Q_SUBSTRATE, expected_counts, momentum
from sdl_bluesky.analysis.layers.peaks import Peak, background_of, sharp_peaks
from sdl_bluesky.analysis.layers.scan_fit import MOST_TAU, Prior, ScanFit, deviance_parts, search, settle
from sdl_bluesky.analysis.layers.stack import CONTRAST, Kind, Stack
from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.physics.alloys import INP_LATTICE
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.xrd import INP_TWO_THETA, angle_from_lattice, angle_std

LEAST_POINTS = 50
THEORY_STD = 0.002
"""Of the mismatch across the layer [%], where the pattern is seen to miss: kinematical theory against dynamical."""
SUM_STD = 2e-4
"""The same, always: planes are summed as an integral."""
COVERED_STD = 0.004
"""The same, always, for a layer whose peak is under the substrate's: there the substrate's own pattern matters most."""
ZERO_STD_DEG = 5e-4
"""Of the zero: how far the theories differ there."""
SEEN = 12.0
"""Deviance that a layer must explain to be seen."""
COVERED = 0.03
"""Relaxed mismatch [%] below which the peak of a layer of 200 nm is under the substrate's; 2.1 times that across it."""
THICKNESS_STD = 0.1
"""Relative standard error above which the fringes do not tell the thickness."""
WELL = 0.15
"""Relative deviation up to which a pattern is taken without trying a looser one."""
_STARTS = 3
_SHORT = 8


@dataclass(frozen=True, eq=False)
class ScanReduction:
    """What a scan says of a layer.

    Attributes:
        substrate_deg, substrate_std_deg: place of the substrate's peak, as the goniometer shows it.
        layer_deg, layer_std_deg: place of the layer's.
        zero_deg, zero_std_deg: zero of the goniometer; what it shows is more by that.
        mismatch, mismatch_std: of the lattice constant across the layer, against InP [%].
        across, across_std: that lattice constant [Angstrom].
        thickness_nm, thickness_std_nm: of the layer; nan if no fringes tell it.
        cap_nm: thickness of the cap; nan likewise.
        deviance, dof: of the counts from the fitted pattern under the Poisson law.
        misfit: relative deviation of the pattern that the errors allow for; 0 if the counts ask for none.
        two_theta_deg, expected: the fitted pattern [n], counts.
        findings: "name: what".
    """

    substrate_deg: float
    substrate_std_deg: float
    layer_deg: float
    layer_std_deg: float
    zero_deg: float
    zero_std_deg: float
    mismatch: float
    mismatch_std: float
    across: float
    across_std: float
    thickness_nm: float
    thickness_std_nm: float
    cap_nm: float
    deviance: float
    dof: int
    misfit: float
    two_theta_deg: Array
    expected: Array
    findings: tuple[str, ...]


def reduce_scan(two_theta_deg: ArrayLike, counts: ArrayLike, stack: Stack | None = None) -> ScanReduction:
    """Substrate, layer and their errors from a scan round InP (004) with Cu K-alpha1.

    Args:
        two_theta_deg: angles as the goniometer shows them [n], increasing.
        counts: [n].
        stack: what was meant to be grown; 200 nm under a cap of 65 nm by default.

    Raises:
        OutOfRange: the arrays are no scan, or it does not cover the substrate's peak.
        WeakSignal: noise only, no substrate peak, or no pattern of a layer on a substrate.
    """
    angle, n, findings = _checked(two_theta_deg, counts)
    stack = stack or Stack()
    found = sharp_peaks(angle, n, INP_TWO_THETA, stack.most_zero_deg)
    fit, prior = _best(angle, n, stack, found)
    mismatch, std = fit.of("mismatch")
    std = float(np.hypot(std, SUM_STD))
    if fit.tau > 0:
        std = float(np.hypot(std, THEORY_STD))
        findings.append(
            f"misfit: the pattern misses the counts by {100 * fit.tau:.1f} % (dynamical diffraction, graded or relaxed "
            "layers); the errors allow for it"
        )
    if abs(mismatch) < 2.1 * COVERED:
        std = float(np.hypot(std, COVERED_STD))
    bare = _without_layer(angle, n, fit, prior)
    if bare < SEEN and abs(mismatch) > COVERED * 2:
        raise WeakSignal(
            f"no layer is seen beside the substrate's peak: its pattern explains {bare:.1f} of the deviance, {SEEN:g} are "
            "needed; count longer, or scan farther"
        )
    if abs(mismatch) < 2.1 * COVERED:
        findings.append(
            f"overlap: the layer's peak is under the substrate's ({mismatch:+.4f} % across): fringes tell its place"
        )
    zero, zero_std = fit.of("zero")
    zero_std = float(np.hypot(zero_std, ZERO_STD_DEG))
    across, across_std = INP_LATTICE * (1 + mismatch / 100), INP_LATTICE * std / 100
    layer_deg = float(angle_from_lattice(across)) + zero
    if not angle[0] + 0.02 < layer_deg < angle[-1] - 0.02:
        findings.append(f"edge: the layer's peak at {layer_deg:.3f} deg is not within the scan: scan farther")
    if abs(zero) > 0.1:
        findings.append(f"zero: the goniometer shows {zero:+.3f} deg too much: align it")
    (log_t, log_t_std), (log_c, log_c_std) = fit.of("layer"), fit.of("cap")
    fringed = prior.pattern is expected_counts
    told = fringed and log_t_std < THICKNESS_STD and abs(mismatch) > COVERED
    if not told:
        findings.append("fringes: none are seen that tell the thickness")
    return ScanReduction(
        substrate_deg=float(angle_from_lattice(INP_LATTICE)) + zero,
        substrate_std_deg=zero_std,
        layer_deg=layer_deg,
        layer_std_deg=float(np.hypot(angle_std(across, across_std), zero_std)),
        zero_deg=zero,
        zero_std_deg=zero_std,
        mismatch=mismatch,
        mismatch_std=std,
        across=across,
        across_std=across_std,
        thickness_nm=float(np.exp(log_t)) if told else float("nan"),
        thickness_std_nm=float(np.exp(log_t) * log_t_std) if told else float("nan"),
        cap_nm=float(np.exp(log_c)) if fringed and log_c_std < THICKNESS_STD else float("nan"),
        deviance=fit.deviance,
        dof=fit.dof,
        misfit=fit.tau,
        two_theta_deg=angle,
        expected=fit.expected,
        findings=tuple(findings),
    )


def _checked(two_theta_deg: ArrayLike, counts: ArrayLike) -> tuple[Array, Array, list[str]]:
    angle, n = np.asarray(two_theta_deg, dtype=float), np.asarray(counts, dtype=float)
    if angle.ndim != 1 or angle.shape != n.shape:
        raise OutOfRange(f"angles {angle.shape} and counts {n.shape} must be lists of one length")
    good = np.isfinite(angle) & np.isfinite(n) & (n >= 0)
    findings = []
    if not good.all():
        findings.append(f"dead: {int((~good).sum())} of {len(n)} points hold no count and are left out")
    angle, n = angle[good], n[good]
    if len(n) < LEAST_POINTS:
        raise OutOfRange(f"{len(n)} usable points are no scan: {LEAST_POINTS} or more are needed")
    if np.any(np.diff(angle) <= 0):
        raise OutOfRange("angles must increase from point to point: sort the scan, and do not mix scans")
    if not angle[0] < INP_TWO_THETA < angle[-1]:
        raise OutOfRange(
            f"the scan from {angle[0]:.3f} to {angle[-1]:.3f} deg does not cover the substrate's peak at {INP_TWO_THETA} deg"
        )
    return angle, n, findings


def _best(angle: Array, counts: Array, stack: Stack, found: list[Peak]) -> tuple[ScanFit, Prior]:
    """The strict pattern, or where that misses the first of the looser ones that misses hardly more than the best."""
    fits: list[tuple[ScanFit, Prior]] = []
    for kind in get_args(Kind):
        prior = stack.prior(kind)
        tried = [
            search(angle, counts, start, prior, steps=_SHORT)
            for peak in found
            for start in _starts(angle, counts, stack, peak, kappa=0.5 if kind == "free" else 1.0)
        ]
        best = search(angle, counts, min(tried, key=lambda k: k.objective).values, prior)
        fits.append((settle(angle, counts, best, prior), prior))
        if fits[-1][0].tau < WELL:
            break
    least = min(k.tau for k, _ in fits)
    chosen = next(k for k in fits if k[0].tau <= max(1.3 * least, WELL))
    if chosen[0].tau >= 0.99 * MOST_TAU:
        raise WeakSignal(
            "the scan is not that of a layer on a substrate of InP: look at its peaks and at the reflection"
        )
    return chosen


def _starts(angle: Array, counts: Array, stack: Stack, peak: Peak, kappa: float) -> list[Array]:
    """The most promising places of the layer's peak, by a coarse look at everything but the substrate's peak."""
    p = stack.prior().mean.copy()
    per_deg = float(np.gradient(momentum(angle), angle).mean())
    sigma = max(peak.width_deg, 2 * float(np.median(np.diff(angle)))) * per_deg / 2.355
    p[INDEX["zero"]] = peak.place_deg - float(angle_from_lattice(INP_LATTICE))
    p[INDEX["resolution"]] = np.log(0.8 * sigma)
    p[INDEX["width"]] = np.log(0.2 * sigma)
    p[INDEX["kappa"]] = kappa
    p[INDEX["strength"]] = CONTRAST
    p[INDEX["background"]] = np.log(background_of(counts))
    q = momentum(angle - p[INDEX["zero"]])
    spacings = 100 * (Q_SUBSTRATE / q - 1)
    step = max(0.3 * 2 * np.pi / stack.layer_nm / Q_SUBSTRATE * 100, 1e-3)
    places = np.arange(spacings.min(), spacings.max(), step)
    places -= places[np.argmin(np.abs(places))]
    outside = np.abs(angle - peak.place_deg) > 2 * peak.width_deg
    level = np.exp(p[INDEX["background"]])
    excess = np.maximum(counts[outside] - level, 0.0).sum()
    misfits = np.empty(len(places))
    scales = np.empty(len(places))
    for k, place in enumerate(places):
        p[INDEX["mismatch"]] = place
        p[INDEX["scale"]] = 0.0
        shape = np.maximum(expected_counts(angle, p) - level, 0.0)
        scales[k] = max(excess, 1.0) / shape[outside].sum()
        misfits[k] = np.sum((np.sqrt(counts) - np.sqrt(level + scales[k] * shape))[outside] ** 2)
    order = np.argsort(misfits)
    chosen: list[int] = []
    for k in map(int, order):
        if all(abs(k - j) > 2 for j in chosen):
            chosen.append(k)
        if len(chosen) == _STARTS:
            break
    starts = []
    for k in chosen:
        start = p.copy()
        start[INDEX["mismatch"]], start[INDEX["scale"]] = places[k], 0.5 * np.log(scales[k])
        starts.append(start)
    return starts


def _without_layer(angle: Array, counts: Array, fit: ScanFit, prior: Prior) -> float:
    """Deviance that layer and cap explain: against the same pattern of a bare substrate, its scale adjusted."""
    p = fit.values.copy()
    p[[INDEX["strength"], INDEX["cap_strength"]]] = -30.0
    bare = prior.pattern(angle, p)
    level = np.exp(p[INDEX["background"]])
    factor = max(float((counts - level).sum()), 1.0) / max(float((bare - level).sum()), 1e-9)
    worse = deviance_parts(counts, level + factor * (bare - level), fit.tau).sum()
    return float(worse - deviance_parts(counts, fit.expected, fit.tau).sum())
