"""Quartz crystal microbalance: from frequencies to areal mass and deposition rate.

Sauerbrey (Z. Phys. 155, 206, 1959): dm/A = -C df, C = sqrt(rho_q mu_q) / (2 f0^2).
Z-match (Lu and Lewis, J. Appl. Phys. 43, 4385, 1972): m/A = C' / (pi Z f) atan(Z tan(pi (f0 - f) / f0)),
C' = sqrt(rho_q mu_q) / 2, Z the ratio of the acoustic impedances of quartz and film; used beyond 2 % of f0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.slope import fit_slope

QUARTZ_DENSITY_G_CM3 = 2.648
QUARTZ_SHEAR_MODULUS_G_CM_S2 = 2.947e11
LEAST_FREQUENCIES = 3
"""Of a rate."""
SAUERBREY_LIMIT = 0.02
"""Fraction of f0 up to which the shift is linear in the mass."""

_IMPEDANCE = np.sqrt(QUARTZ_DENSITY_G_CM3 * QUARTZ_SHEAR_MODULUS_G_CM_S2)  # g cm^-2 s^-1
_NG_PER_G = 1e9


def mass_sensitivity(f0_Hz: float) -> float:
    """Areal mass for a shift of one hertz [ng cm^-2 Hz^-1]: 12.269 at 6 MHz, 17.668 at 5 MHz.

    Raises:
        OutOfRange: f0 is not a positive number.
    """
    if not np.isfinite(f0_Hz) or f0_Hz <= 0:
        raise OutOfRange(f"crystal frequency f0 = {f0_Hz} Hz: give a positive number, e.g. 6e6")
    return float(_IMPEDANCE / (2.0 * f0_Hz**2) * _NG_PER_G)


def areal_mass(shift_Hz: ArrayLike, f0_Hz: float, z_ratio: float = 1.0) -> Array:
    """Areal mass on a crystal [ng cm^-2], of the shape of `shift_Hz`.

    Args:
        shift_Hz: frequency minus f0 [Hz]; negative for a loaded crystal.
        f0_Hz: frequency of the bare crystal [Hz].
        z_ratio: acoustic impedance of quartz over that of the film; matters beyond 2 % only.

    Raises:
        OutOfRange: a shift is not finite, or half of f0 or more (no crystal lives that long).
    """
    c = mass_sensitivity(f0_Hz)
    loss = -np.asarray(shift_Hz, dtype=float) / f0_Hz
    if not np.all(np.isfinite(loss)) or np.any(loss >= 0.5):
        raise OutOfRange("a frequency shift is not finite or beyond half of f0: a dead crystal, or a wrong reading")
    thick = np.arctan(z_ratio * np.tan(np.pi * loss)) / (np.pi * z_ratio * (1.0 - loss))
    return np.where(np.abs(loss) <= SAUERBREY_LIMIT, loss, thick) * f0_Hz * c


def local_sensitivity(frequency_Hz: float, f0_Hz: float, z_ratio: float = 1.0) -> float:
    """-d(areal mass)/d(frequency) at a frequency [ng cm^-2 Hz^-1]: what turns a slope into a rate.

    Sauerbrey's constant up to 2 % below f0, the derivative of the Z-match form beyond.
    """
    c = mass_sensitivity(f0_Hz)
    loss = (f0_Hz - frequency_Hz) / f0_Hz
    if not np.isfinite(loss) or loss >= 0.5:
        raise OutOfRange(f"{frequency_Hz} Hz is no frequency of a live {f0_Hz:g} Hz crystal")
    if abs(loss) <= SAUERBREY_LIMIT:
        return c
    tan = np.tan(np.pi * loss)
    angle = np.arctan(z_ratio * tan) / (np.pi * z_ratio)
    slope = (1.0 + tan**2) / (1.0 + (z_ratio * tan) ** 2)
    return float(c * (slope / (1.0 - loss) + angle / (1.0 - loss) ** 2))


@dataclass(frozen=True)
class RateFit:
    """A deposition rate with its standard error.

    Attributes:
        rate: [ng cm^-2 s^-1]; positive when mass arrives.
        std: its standard error [ng cm^-2 s^-1], correlated noise included.
        n: frequencies used.
        duration_s: time between the first and the last of them.
        dof: degrees of freedom left.
        slope_Hz_s: fitted slope of the frequency.
        residual_Hz: rms deviation of the frequencies from the fit.
        wander: share of a wandering rate (random walk of the frequency) in the noise, 0 to 1.
        transient_Hz: fitted amplitude of the thermal transient at the first frequency used (0 without one).
        tau_s: its time constant (nan without one).
    """

    rate: float
    std: float
    n: int
    duration_s: float
    dof: int
    slope_Hz_s: float
    residual_Hz: float
    wander: float = 0.0
    transient_Hz: float = 0.0
    tau_s: float = float("nan")

    @property
    def relative_std(self) -> float:
        """Standard error over the size of the rate (inf for a rate of zero)."""
        return self.std / abs(self.rate) if self.rate else float("inf")

    def minus(self, zero: RateFit) -> RateFit:
        """This rate less a zero rate (shutter closed), errors added in quadrature."""
        return replace(self, rate=self.rate - zero.rate, std=float(np.hypot(self.std, zero.std)))


def fit_rate(
    time_s: ArrayLike,
    frequency_Hz: ArrayLike,
    f0_Hz: float,
    *,
    skip_s: float = 0.0,
    transient: bool = False,
    tau_s: float | None = None,
    zero: RateFit | None = None,
    z_ratio: float = 1.0,
) -> RateFit:
    """Deposition rate from a stretch of frequencies, by generalised least squares.

    Model: f = f1 + slope t [+ A exp(-t / tau)] + noise; rate = -slope x local sensitivity. The noise (white and random
    walk) is learned (physics.slope), so that the standard error stays honest when the rate itself wanders.

    Args:
        time_s: times [n], increasing; rows that repeat a time are left out.
        frequency_Hz: frequencies [n].
        f0_Hz: frequency of the bare crystal.
        skip_s: leave out this much time at the beginning (wait the transient out).
        transient: fit a thermal transient; its time constant is averaged over unless `tau_s` is given.
        tau_s: time constant of the transient, if known; implies `transient`.
        zero: rate with closed shutters, to be taken off.
        z_ratio: see `areal_mass`.

    Raises:
        Unidentifiable: fewer frequencies than the model needs (3; 5 with a transient), or no time passes.
        OutOfRange: a number is not finite, times run backwards, shapes differ, or the crystal is dead.
    """
    t, f = np.asarray(time_s, dtype=float), np.asarray(frequency_Hz, dtype=float)
    if t.ndim != 1 or t.shape != f.shape:
        raise OutOfRange(f"time_s {t.shape} and frequency_Hz {f.shape} must be lists of one length")
    bad = np.flatnonzero(~(np.isfinite(t) & np.isfinite(f)))
    if bad.size:
        raise OutOfRange(f"rows {bad[:5].tolist()} hold a number that is not finite: leave such readings out")
    if skip_s < 0 or not np.isfinite(skip_s) or (tau_s is not None and not tau_s > 0):
        raise OutOfRange(f"skip_s = {skip_s}, tau_s = {tau_s}: give times in seconds that are not negative")
    if np.any(np.diff(t) < 0):
        raise OutOfRange("time_s runs backwards: sort the rows by time, and do not mix runs")
    if t.size:
        keep = np.concatenate([[True], np.diff(t) > 0]) & (t >= t[0] + skip_s)
        t, f = t[keep], f[keep]
    wants_transient = transient or tau_s is not None
    least = 5 if wants_transient else LEAST_FREQUENCIES
    if t.size < least:
        raise Unidentifiable(
            f"{t.size} frequencies at different times after skipping {skip_s:g} s: a rate needs {least} or more"
        )
    line = fit_slope(t - t[0], f, transient=wants_transient, tau=tau_s)
    c = local_sensitivity(float(f.mean()), f0_Hz, z_ratio)
    values: dict[str, Any] = {
        "rate": -line.slope * c,
        "std": line.std * c,
        "n": int(t.size),
        "duration_s": float(t[-1] - t[0]),
        "dof": line.dof,
        "slope_Hz_s": line.slope,
        "residual_Hz": line.residual,
        "wander": line.walk,
        "transient_Hz": line.transient,
        "tau_s": line.tau,
    }
    fit = RateFit(**values)
    return fit if zero is None else fit.minus(zero)
