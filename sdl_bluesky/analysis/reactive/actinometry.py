"""What the light of a plasma says of the metal that leaves a target, learned from runs without reactive gas.

    ln Y = c + b l + a (exp(l) - 1) + e ln(p/p0) + f w + g w^2,    l = ln(X p_Ar) - L0,  w = ln(P/P0)

Y is the rate at the sensors together, X the metal line over the argon line, p the pressure. X times the argon pressure is
the density d of the metal before the target, if the line is thin. A thick one absorbs itself, X ~ d/(1 + a' d), to first
order the term with a, which is gone when little metal is left; b stands for what else bends light. At a fixed power and
pressure oxygen moves l alone: a and b are what counts. But power moves l and, by heating the gas, argon and scattering too;
f and g take that up, and as all move together only the prior tells them apart. Priors (mean, standard deviation; natural
logarithms), each a statement about magnetrons in general:

    b  1, 0.1          light goes with the metal
    a  0.12, 0.12      lines used for actinometry are thin or moderately thick
    e  0, 1            scattering and geometry: learned
    f  -0.2, 0.13      hot gas is thin: a sixth to a half less argon for a tenfold power, less scattering of the metal
    g  -0.05, 0.05     more so at high power

Light does not follow the metal exactly where voltage or gas change, for they change the electrons: see `unmodelled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.physics.geometry import Array

PRIOR_MEAN = (0.0, 1.0, 0.12, 0.0, -0.2, -0.05)
PRIOR_STD = (10.0, 0.1, 0.12, 1.0, 0.13, 0.05)
"""Of c, b, a, e, f, g."""
REPEAT_STD = 0.01
"""Relative scatter of a line ratio beyond counting: windows, fibres, plasmas that wander."""
VOLTAGE_STD = 0.3
"""Change of ln X per change of ln V at the same metal: the voltage shifts the electrons' energies; standard deviation."""
QUENCHING_STD = 0.15
"""Change of ln X per fraction of reactive gas in the gas at the same metal; standard deviation."""
LEAST_ROWS = 3


@dataclass(frozen=True)
class EmissionRows:
    """Rates and light at several conditions of one source, a row each.

    Attributes:
        power_W, pressure_mTorr, oxygen_sccm, voltage_V, current_A: readbacks [n]; the pressure is the total one.
        rate, std: as the sensors read them, metal and gas together [n, q], ng cm^-2 s^-1; nan for a missing one.
        ratio, ratio_std: metal line over argon line [n].
    """

    power_W: Array
    pressure_mTorr: Array
    oxygen_sccm: Array
    voltage_V: Array
    current_A: Array
    rate: Array
    std: Array
    ratio: Array
    ratio_std: Array

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, np.asarray(getattr(self, field.name), dtype=float))
        n = self.power_W.shape
        if len(n) != 1 or self.rate.ndim != 2 or self.rate.shape[:1] != n or self.std.shape != self.rate.shape:
            raise OutOfRange(f"rates {self.rate.shape} and errors {self.std.shape} do not belong to {n} rows")
        for field in fields(self):
            values = getattr(self, field.name)
            if field.name not in ("rate", "std") and (values.shape != n or not np.all(np.isfinite(values))):
                raise OutOfRange(f"{field.name} must be {n[0]} finite numbers, one for each row")
        for name in ("power_W", "pressure_mTorr", "voltage_V", "current_A"):
            if np.any(getattr(self, name) <= 0):
                raise OutOfRange(f"{name} must be above 0: rows without a plasma do not belong here")
        if np.any(self.oxygen_sccm < 0) or np.any(self.ratio_std <= 0):
            raise OutOfRange("oxygen_sccm must be 0 or more and ratio_std above 0")

    def __len__(self) -> int:
        return len(self.power_W)

    def __getitem__(self, chosen: Any) -> Self:
        """Some rows: a slice, indices or flags [n]."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[EmissionRows]) -> Self:
        """Rows of several runs, one after the other."""
        if not parts:
            raise OutOfRange("no rows were given")
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Calibration:
    """The fitted law.

    Attributes:
        mean, cov: of (c, b, a, e, f, g) [6], [6, 6].
        log_density, log_pressure, log_power: L0, ln p0, ln P0, where the law is centred.
        scatter: rms of the residuals of ln Y.
        rows: how many it was learned from.
        findings: what a person should look at.
    """

    mean: Array
    cov: Array
    log_density: float
    log_pressure: float
    log_power: float
    scatter: float
    rows: int
    findings: tuple[str, ...] = ()

    @property
    def slope(self) -> tuple[float, float]:
        """d ln(metal) / d ln(light) in the middle of the calibration, b + a, and its standard deviation."""
        return float(self.mean[1] + self.mean[2]), float(np.sqrt(self.cov[1:3, 1:3].sum()))

    def slope_at(self, log_density: ArrayLike) -> Array:
        """d ln(metal) / d ln(light) at L [n]."""
        return self.mean[1] + self.mean[2] * np.exp(np.asarray(log_density, dtype=float) - self.log_density)

    def terms(self, log_density: ArrayLike, pressure_mTorr: ArrayLike, power_W: ArrayLike) -> Array:
        """Factors of the coefficients at conditions of a common shape: [..., 6]."""
        light, p, w = np.broadcast_arrays(
            np.asarray(log_density, dtype=float) - self.log_density,
            np.log(np.asarray(pressure_mTorr, dtype=float)) - self.log_pressure,
            np.log(np.asarray(power_W, dtype=float)) - self.log_power,
        )
        return np.stack([np.ones_like(light), light, np.expm1(light), p, w, w**2], axis=-1)


def log_density(ratio: ArrayLike, ratio_std: ArrayLike, argon_mTorr: ArrayLike) -> tuple[Array, Array]:
    """L = ln(X p_Ar) and its standard error [n]; a line lost in the noise is held at half its error."""
    x, e = np.asarray(ratio, dtype=float), np.asarray(ratio_std, dtype=float)
    held = np.maximum(x, 0.5 * e)
    return np.log(held * np.asarray(argon_mTorr, dtype=float)), e / held


def calibrate(rows: EmissionRows) -> Calibration:
    """Learn the law from rows without reactive gas; other rows are left out.

    Raises:
        Unidentifiable: fewer than three rows without oxygen, a usable rate and a line, or all at one power.
    """
    with np.errstate(invalid="ignore"):
        level, level_std = rows.rate.sum(axis=1), np.sqrt((rows.std**2).sum(axis=1))
        good = (rows.oxygen_sccm == 0) & (level > 5 * level_std) & (rows.ratio > 5 * rows.ratio_std)
    findings = [f"row {k} left out of the calibration" for k in np.flatnonzero((rows.oxygen_sccm == 0) & ~good)]
    used = rows[good]
    if len(used) < LEAST_ROWS or np.ptp(np.log(used.power_W)) < 0.5:
        powers = np.unique(used.power_W.round(1)).tolist()
        raise Unidentifiable(
            f"{len(used)} usable rows without oxygen at powers {powers} W cannot tell how "
            "the light follows the metal: measure at three conditions or more, with powers that differ by a factor of two"
        )
    light, light_std = log_density(used.ratio, used.ratio_std, used.pressure_mTorr)
    blank = Calibration(
        np.zeros(6),
        np.zeros((6, 6)),
        float(light.mean()),
        float(np.log(used.pressure_mTorr).mean()),
        float(np.log(used.power_W).mean()),
        0.0,
        0,
    )
    design = blank.terms(light, used.pressure_mTorr, used.power_W)
    target = np.log(level[good])
    noise = np.hypot(level_std[good] / level[good], np.hypot(light_std, REPEAT_STD))
    offset = float(target.mean())
    prior_mean = np.array(PRIOR_MEAN)
    prior_mean[0] += offset
    precision = np.diag(1.0 / np.array(PRIOR_STD) ** 2)
    hessian = precision + design.T @ (design / noise[:, None] ** 2)
    cov = np.linalg.inv(hessian)
    mean = cov @ (precision @ prior_mean + design.T @ (target / noise**2))
    misfit = target - design @ mean
    chi2 = float(np.sum((misfit / noise) ** 2)) / max(len(used) - 2, 1)
    if chi2 > 3.0:
        findings.append(
            f"light and rates scatter by {100 * float(np.sqrt(np.mean(misfit**2))):.1f} % round their law, more than their "
            "errors: a drifting sensor, a window that clouds, or a line that is not this metal's"
        )
    return Calibration(
        mean,
        np.asarray(cov * max(chi2, 1.0), dtype=float),
        blank.log_density,
        blank.log_pressure,
        blank.log_power,
        float(np.sqrt(np.mean(misfit**2))),
        len(used),
        tuple(findings),
    )


def unmodelled(log_voltage: ArrayLike, gas_fraction: ArrayLike) -> Array:
    """Standard deviation of ln X by what the law does not know [n].

    Args:
        log_voltage: change of ln V from the run without gas.
        gas_fraction: of reactive gas in the gas.
    """
    v, g = np.asarray(log_voltage, dtype=float), np.asarray(gas_fraction, dtype=float)
    return np.sqrt(REPEAT_STD**2 + (VOLTAGE_STD * v) ** 2 + (QUENCHING_STD * g) ** 2)
