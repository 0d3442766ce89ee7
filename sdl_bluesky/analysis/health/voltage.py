"""Discharge voltage of a source that burns alone, from its single-source runs: what a neighbour is seen to change.

ln V = c0 + c1 zP + c2 zp + c3 zP^2 + c4 zP zp + c5 zp^2 + scatter, zP and zp from -1 to 1 in ln P and ln p: the power law
I = k V^m of magnetrons, with a small curvature. The scatter is averaged over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.inference.linear import fit_linear
from sdl_bluesky.physics.geometry import Array

LEAST_RUNS = 4
_PRIOR_STD = np.array([2.0, 0.3, 0.3, 0.03, 0.03, 0.03])
_SCATTER = np.geomspace(5e-4, 0.05, 25)  # of one reading, relative; evenly likely in its logarithm


@dataclass(frozen=True)
class VoltageModel:
    """Voltage of one source alone.

    Attributes:
        power_W, pressure_mTorr: ranges, the scale of the model.
        mean, cov: of the coefficients, [6] and [6, 6].
        scatter: standard deviation of one reading of ln V.
    """

    power_W: tuple[float, float]
    pressure_mTorr: tuple[float, float]
    mean: Array
    cov: Array
    scatter: float

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """ln V [m] and its joint covariance [m, m], without the scatter of a reading, at power and pressure x [m, 2]."""
        f = _design(np.asarray(x, dtype=float), self.power_W, self.pressure_mTorr)
        return f @ self.mean, f @ self.cov @ f.T


def fit_voltage(
    points: ArrayLike, voltage_V: ArrayLike, power_W: Sequence[float], pressure_mTorr: Sequence[float]
) -> VoltageModel:
    """Learn the voltage of one source.

    Args:
        points: power [W] and pressure [mTorr] as read back, [n, 2].
        voltage_V: mean readings [n]; one that is no positive number is left out.
        power_W, pressure_mTorr: ranges (low, high), the scale of the model.

    Raises:
        OutOfRange: shapes differ, or a range is no range of positive numbers.
        WeakSignal: fewer than four runs with a voltage.
    """
    x, volts = np.asarray(points, dtype=float), np.asarray(voltage_V, dtype=float)
    if x.ndim != 2 or x.shape[1] != 2 or volts.shape != (len(x),):
        raise OutOfRange(f"points {x.shape} and voltages {volts.shape} do not belong together")
    ranges = (float(power_W[0]), float(power_W[1])), (float(pressure_mTorr[0]), float(pressure_mTorr[1]))
    for low, high in ranges:
        if not 0 < low < high:
            raise OutOfRange(f"({low:g}, {high:g}) is no range of powers or pressures")
    good = np.isfinite(volts) & (np.nan_to_num(volts) > 0) & np.isfinite(x).all(axis=1) & (x > 0).all(axis=1)
    if good.sum() < LEAST_RUNS:
        raise WeakSignal(f"{int(good.sum())} of {len(x)} runs have a voltage, {LEAST_RUNS} are needed")
    y, f = np.log(volts[good]), _design(x[good], *ranges)
    centre = np.array([float(np.median(y)), *([0.0] * 5)])
    fits = [fit_linear(f, y, s**2 * np.eye(len(y)), centre, np.diag(_PRIOR_STD**2)) for s in _SCATTER]
    weight = np.exp(np.array([k.log_evidence for k in fits]) - max(k.log_evidence for k in fits))
    weight /= weight.sum()
    means = np.stack([k.mean for k in fits])
    mean = weight @ means
    off = means - mean
    cov = np.einsum("s,sij->ij", weight, np.stack([k.cov for k in fits])) + (off * weight[:, None]).T @ off
    return VoltageModel(*ranges, mean, cov, float(np.sqrt(weight @ _SCATTER**2)))


def _design(x: Array, power_W: tuple[float, float], pressure_mTorr: tuple[float, float]) -> Array:
    if x.ndim != 2 or x.shape[1] != 2 or not np.all(np.isfinite(x)) or np.any(x <= 0):
        raise OutOfRange(f"settings of shape {x.shape}: give positive numbers (power, pressure) [m, 2]")
    scaled = [
        2 * np.log(x[:, k] / low) / np.log(high / low) - 1 for k, (low, high) in enumerate((power_W, pressure_mTorr))
    ]
    zP, zp = scaled
    return np.stack([np.ones_like(zP), zP, zp, zP**2, zP * zp, zp**2], axis=1)
