"""Rate surface of one source at all sensors, with its uncertainty, from the runs that measured it.

rate_i(P, p) = level(P, p) share_i(P, p), with level the mean over the sensors and the shares summing to their number.

The level is a power-scaled Gaussian process: nearly all of what changes with power and pressure, seen by every sensor at
once. The shares are the emission pattern at the sensors: close to one, slowly changing with pressure, free of the noise
that the sensors have in common; each is a Gaussian process in ln P and ln p. It does not ask that the pattern be cos^n.
Hyper-parameters and noise are averaged over, not set.

The level is taken to be smooth (squared exponential): a kink or a step of a real source is bridged, and its interval is
then too narrow there; the signature `discontinuity` tells of it.

One process per sensor is the obvious alternative. A composition map lives on the contrast between sensors, which separate
processes know badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import OutOfRange, WeakSignal
from sdl_bluesky.inference.gp import FullyBayesianGP, Noise, PowerScaledGP, Prior
from sdl_bluesky.inference.posterior import Posterior
from sdl_bluesky.physics.geometry import Array

METHOD = "level (power-scaled, fully Bayesian GP) x shares of the sensors (fully Bayesian GPs)"
LEAST_RUNS = 3
READING = (0.017, 0.05)
"""Usual scatter of a sensor's readings from run to run: relative, and in ng cm^-2 s^-1. How much it is, is learned."""
_OUTSIDE = 0.05  # of the width of the learned range


@dataclass(frozen=True)
class SourceSurface:
    """What was learned of one source.

    Attributes:
        sensors: names of the sensors that are modelled [q].
        points: power [W] and pressure [mTorr] of the runs used [n, 2].
        level: model of the mean rate.
        shares: model of each sensor's share [q]; () for a single sensor.
        absolute: part of a sensor's scatter that does not grow with the rate, ng cm^-2 s^-1.
        findings: runs and sensors that were left out.
    """

    sensors: tuple[str, ...]
    points: Array
    level: Posterior
    shares: tuple[Posterior, ...]
    absolute: float
    findings: tuple[str, ...] = ()

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Rates [q, m] and their covariance between sensors [q, q, m], at power and pressure x [m, 2]; first order."""
        x = np.asarray(x, dtype=float)
        level, level_std = self.level.predict(x)
        q = len(self.sensors)
        if q == 1:
            return level[None], (level_std**2)[None, None]
        pairs = [share.predict(np.log(x)) for share in self.shares]
        share, variance = np.stack([m for m, _ in pairs]), np.stack([e**2 for _, e in pairs])
        share = share * (q / share.sum(axis=0))
        zero_sum = np.eye(q) - 1.0 / q  # errors of shares add up to nothing
        spread = np.einsum("ab,bm,cb->acm", zero_sum, variance * q / (q - 1), zero_sum)
        cov = level**2 * spread + share[:, None] * share[None] * level_std**2
        return level * share, cov

    def joint(self, x: ArrayLike) -> tuple[Array, Array]:
        """Rates [m, q] and their covariance [m, q, m, q] between settings x [m, 2] as well as sensors; first order."""
        x = np.asarray(x, dtype=float)
        level, level_cov = self.level.predict(x)[0], self.level.covariance(x)
        q = len(self.sensors)
        if q == 1:
            return level[:, None], level_cov[:, None, :, None]
        logs = np.log(x)
        share = np.stack([k.predict(logs)[0] for k in self.shares], axis=1)
        share = share * (q / share.sum(axis=1, keepdims=True))
        zero_sum = np.eye(q) - 1.0 / q
        each = np.stack([k.covariance(logs) for k in self.shares]) * q / (q - 1)
        cov = np.einsum("ab,bkl,cb,k,l->kalc", zero_sum, each, zero_sum, level, level)
        cov += np.einsum("ka,lc,kl->kalc", share, share, level_cov)
        return level[:, None] * share, cov

    def scatter_covariance(self, x: ArrayLike) -> Array:
        """Covariance [m, q, q] of one reading around the surface at x [m, 2]: part is common to the sensors, part is not.

        The error of the reading's own slope comes on top.
        """
        x, q = np.asarray(x, dtype=float), len(self.sensors)
        rate, _ = self.predict(x)
        level = self.level.components(x)
        mean, share = level.mixture_mean, rate / level.mixture_mean
        cov = np.einsum("qm,rm,m->mqr", share, share, level.weight @ level.noise)
        if q > 1:
            parts = [k.components(np.log(x)) for k in self.shares]
            own = mean**2 * np.stack([c.weight @ c.noise for c in parts]) * q / (q - 1) + self.absolute**2
            zero_sum = np.eye(q) - 1.0 / q
            cov += np.einsum("ab,bm,cb->mac", zero_sum, own, zero_sum)
        return cov

    def grid(self, power_W: ArrayLike, pressure_mTorr: ArrayLike) -> tuple[Array, Array]:
        """Rate and standard error [q, pressure, power] on a grid, ng cm^-2 s^-1."""
        power, pressure = np.meshgrid(np.asarray(power_W, dtype=float), np.asarray(pressure_mTorr, dtype=float))
        rate, cov = self.predict(np.stack([power.ravel(), pressure.ravel()], axis=1))
        shape = (len(self.sensors), *power.shape)
        return rate.reshape(shape), np.sqrt(np.einsum("qqm->qm", cov)).reshape(shape)

    def at(self, point: ArrayLike, sensors: Sequence[str]) -> tuple[Array, Array, tuple[str, ...]]:
        """Rates [k] and covariance [k, k] at one (power W, pressure mTorr) for `sensors` [k], and findings.

        A sensor that is not modelled has a rate of 0 +- 1: it says nothing, and a fit leaves it out as too weak.
        """
        x = np.asarray(point, dtype=float)
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        slack = _OUTSIDE * (high - low)
        findings: tuple[str, ...] = ()
        if np.any(x < low - slack) or np.any(x > high + slack):
            findings = (f"{x[0]:.4g} W, {x[1]:.4g} mTorr lies outside what was learned: the rates are extrapolated",)
        rate, cov = self.predict(x[None])
        mean, full = np.zeros(len(sensors)), np.eye(len(sensors))
        known, here = self._places(sensors)
        mean[known] = rate[here, 0]
        full[np.ix_(known, known)] = cov[here][:, here, 0]
        return mean, full, findings

    def scatter(self, point: ArrayLike, sensors: Sequence[str]) -> Array:
        """Standard deviation [k] of one reading around the surface at one (power W, pressure mTorr), as it was learned.

        The error of the reading's own slope comes on top. nan for a sensor that is not modelled.
        """
        x, q = np.asarray(point, dtype=float)[None], len(self.sensors)
        rate, _ = self.predict(x)
        level = self.level.components(x)
        mean = level.mixture_mean[0]
        variance = (rate[:, 0] / mean) ** 2 * (level.weight @ level.noise)[0]
        if q > 1:
            shares = [share.components(np.log(x)) for share in self.shares]
            variance += mean**2 * np.array([(c.weight @ c.noise)[0] for c in shares])
            variance += self.absolute**2 * (1.0 - 1.0 / q)
        out = np.full(len(sensors), np.nan)
        known, here = self._places(sensors)
        out[known] = np.sqrt(variance[here])
        return out

    def _places(self, sensors: Sequence[str]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Where the sensors that are modelled stand in `sensors`, and where in this surface."""
        known = [i for i, name in enumerate(sensors) if name in self.sensors]
        return np.array(known, dtype=int), np.array([self.sensors.index(sensors[i]) for i in known], dtype=int)


def fit_surface(
    points: ArrayLike,
    rates: ArrayLike,
    std: ArrayLike,
    sensors: Sequence[str],
    power_W: tuple[float, float],
    pressure_mTorr: tuple[float, float],
    *,
    seed: int = 0,
) -> SourceSurface:
    """Learn the surface of one source.

    Args:
        points: power [W] and pressure [mTorr] as read back, [n, 2].
        rates: [n, q], ng cm^-2 s^-1; nan where a sensor gave none.
        std: standard errors of the slopes [n, q]; what else the rates scatter is learned.
        sensors: their names [q].
        power_W, pressure_mTorr: ranges of the surface, the scale of the models.
        seed: of the models.

    Raises:
        OutOfRange: shapes differ.
        WeakSignal: fewer than three runs with a usable rate.
    """
    x, y, e = np.asarray(points, float), np.asarray(rates, float), np.asarray(std, float)
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != (len(x), len(sensors)) or e.shape != y.shape:
        raise OutOfRange(f"points {x.shape}, rates {y.shape}, errors {e.shape} do not belong to {len(sensors)} sensors")
    fine = np.isfinite(y) & np.isfinite(e) & (e >= 0)
    findings: list[str] = []
    used = np.flatnonzero(2 * fine.sum(axis=0) > len(x))
    findings += [f"{name} left out: no rate in most of the runs" for k, name in enumerate(sensors) if k not in used]
    whole = fine[:, used].all(axis=1) & np.isfinite(x).all(axis=1) & (x > 0).all(axis=1) & bool(len(used))
    good = np.flatnonzero(whole & (np.where(fine, y, 0.0)[:, used].sum(axis=1) > 0))
    if len(good) < len(x):
        findings.append(f"{len(x) - len(good)} of {len(x)} runs left out: a rate is missing or negative")
    if len(good) < LEAST_RUNS:
        raise WeakSignal(
            f"{len(good)} of {len(x)} runs have usable rates, {LEAST_RUNS} are needed: {'; '.join(findings)}"
        )
    x, y, e = x[good], y[good][:, used], e[good][:, used]
    q, bounds = len(used), (power_W, pressure_mTorr)
    mean = y.mean(axis=1)
    level_model = PowerScaledGP(bounds, prior=_level_prior(q), smooth=True, seed=seed)
    level = level_model.fit(x, mean, np.sqrt((e**2).sum(axis=1)) / q)
    shares: list[Posterior] = []
    absolute = level.hyperparameters()["noise_absolute"][0] * float(np.sqrt(q))  # the level has that of the mean
    if q > 1:
        given = np.sqrt((e**2 + absolute**2) * (1.0 - 1.0 / q)) / mean[:, None]
        logs = tuple((float(np.log(low)), float(np.log(high))) for low, high in bounds)
        model = FullyBayesianGP(logs, prior=_share_prior(q), seed=seed)
        shares = [model.fit(np.log(x), y[:, k] / mean, given[:, k]) for k in range(q)]
    return SourceSurface(tuple(sensors[int(k)] for k in used), x, level, tuple(shares), absolute, tuple(findings))


def _level_prior(sensors: int) -> Prior:
    """Of the mean of the sensors: it scatters less than one of them, the less they have in common."""
    relative, absolute = (k / np.sqrt(sensors) for k in READING)
    return Prior(length=(1.5, 0.7), signal=(0.3, 0.7), constant=1.5, noise=Noise((relative, 0.6), (absolute, 0.7)))


def _share_prior(sensors: int) -> Prior:
    """Of a share: what the sensors have in common is not in it. It is near one, and changes by tens of percent at most."""
    relative = READING[0] * np.sqrt(1.0 - 1.0 / sensors)
    return Prior(length=(2.0, 0.7), signal=(0.3, 0.7), constant=2.0, noise=Noise((relative, 0.5), (0.002, 0.7)))
