"""One model of all the sensors of a source: strength and exponent of its emission as smooth surfaces.

    ln rate_i(P, p) = ln P + f1(P, p) + f2(P, p) ln cos(phi_i) + ln reach_i + noise_i

with f1 = ln a(n+1) / P, f2 = n, phi_i the angle at which sensor i sees the source, reach_i = cos(theta_i) / (2 pi r_i^2)
(`physics.flux.view`). f1 and f2 are Gaussian processes (a constant and Matern-5/2) in the logarithms of the inputs, with
lengths in common. The noise of a reading is that of the other models, carried to the logarithm to first order:
relative^2 + (absolute^2 + given^2) / rate^2.

Weak sensors borrow from strong ones, and the flux follows at any angle. Where the pattern is not cos^n the model is wrong
by as much; `inference.gp.PowerScaledGP` for each sensor assumes no pattern. Compare them by `log_predictive_density`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.gp import LogNormal, Noise, PowerScaledGP, log_likelihood
from sdl_bluesky.inference.posterior import Components, Data, Posterior, matern
from sdl_bluesky.inference.sampler import sample
from sdl_bluesky.physics.geometry import Array

_LEAST_SIGNAL = 2.0
"""A reading under this many times its own error says nothing in a logarithm."""


@dataclass(frozen=True)
class JointPrior:
    """Priors of the joint model.

    Attributes:
        length: of each input, in widths of the logarithm of its bounds.
        strength: standard deviation of f1 around its constant.
        strength_constant: standard deviation of that constant.
        exponent: mean and standard deviation of the constant of f2 (published exponents: 0.9 to 4).
        exponent_change: standard deviation of f2 around its constant.
        noise: see `gp.Noise`.
    """

    length: LogNormal = (1.2, 0.7)
    strength: LogNormal = (0.3, 0.7)
    strength_constant: float = 3.0
    exponent: tuple[float, float] = (2.0, 1.0)
    exponent_change: LogNormal = (0.4, 0.7)
    noise: Noise = field(default_factory=Noise)


@dataclass(frozen=True)
class JointGP:
    """Model of several sensors.

    Attributes:
        bounds: (low, high) of each input, all positive.
        sensors: (ln cos(phi), reach [cm^-2]) of each sensor [s].
        power: column of the power.
        prior: of the hyper-parameters.
        nodes: most hyper-parameter nodes that a posterior keeps.
        seed: of the sampler.
    """

    bounds: tuple[tuple[float, float], ...]
    sensors: tuple[tuple[float, float], ...]
    power: int = 0
    prior: JointPrior = field(default_factory=JointPrior)
    nodes: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self._inputs  # checks the bounds
        s = np.asarray(self.sensors, dtype=float)
        if s.ndim != 2 or s.shape[1] != 2 or not np.all(np.isfinite(s)) or np.any(s[:, 0] > 0) or np.any(s[:, 1] <= 0):
            raise OutOfRange(f"sensors {self.sensors}: give (ln cos phi <= 0, reach > 0) of one sensor or more")

    @property
    def _inputs(self) -> PowerScaledGP:
        return PowerScaledGP(self.bounds, power=self.power)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the hyper-parameters."""
        lengths = (f"length_{i}" for i in range(len(self.bounds)))
        return (*lengths, "strength", "exponent_change", "noise_relative", "noise_absolute")

    def transform(self, x: ArrayLike) -> tuple[Array, Array]:
        """Inputs and ln cos(phi) [n, d + 1] -> the same with inputs as the kernel sees them, and the factor 1 [n]."""
        x = np.asarray(x, dtype=float)
        z, _ = self._inputs.transform(x[:, :-1])
        return np.concatenate([z, x[:, -1:]], axis=1), np.ones(len(x))

    def kernel(self, theta: Array, z1: Array, b1: Array, z2: Array, b2: Array) -> Array:
        """Covariance of f1 + f2 ln cos(phi) for every node: [m, n1, n2]."""
        d = len(self.bounds)
        shape = matern(np.exp(theta[:, :d]), z1[:, :d], z2[:, :d])
        seen = z1[:, None, d] * z2[None, :, d]
        strength, change = (np.exp(2 * theta[:, k])[:, None, None] for k in (d, d + 1))
        out = shape * (strength + change * seen)
        out += self.prior.strength_constant**2 + self.prior.exponent[1] ** 2 * seen
        return out

    def prior_variance(self, theta: Array, z: Array, b: Array) -> Array:
        """The diagonal of the kernel: [m, n]."""
        d, seen = len(self.bounds), z[:, -1] ** 2
        strength, change = (np.exp(2 * theta[:, k, None]) for k in (d, d + 1))
        return strength + change * seen + self.prior.strength_constant**2 + self.prior.exponent[1] ** 2 * seen

    def fit(self, x: ArrayLike, rates: ArrayLike, std: ArrayLike | None = None) -> JointPosterior:
        """Posterior given readings of all sensors.

        Args:
            x: inputs [n, d].
            rates: readings [n, s]; nan where a sensor gave none.
            std: known part of their standard errors [n, s].

        Readings that are not above twice their error, given or expected, are left out.

        Raises:
            Unidentifiable: no usable reading.
            OutOfRange: shapes differ, or an input is not finite.
        """
        x, y = np.asarray(x, dtype=float), np.asarray(rates, dtype=float)
        given = np.zeros_like(y) if std is None else np.asarray(std, dtype=float)
        if x.ndim != 2 or y.shape != (len(x), len(self.sensors)) or given.shape != y.shape:
            raise OutOfRange(
                f"inputs {x.shape}, rates {y.shape}, errors {given.shape}: give {len(self.sensors)} sensors"
            )
        p = self.prior
        with np.errstate(invalid="ignore"):
            good = np.isfinite(y) & (given >= 0) & (y > _LEAST_SIGNAL * np.hypot(given, p.noise.absolute[0]))
        row, sensor = np.nonzero(good)
        if not row.size:
            raise Unidentifiable("no reading stands out of its noise: the model of several sensors needs one or more")
        rate, error = y[good], given[good]
        places = np.asarray(self.sensors)[sensor]
        z, b = self.transform(np.concatenate([x[row], places[:, :1]], axis=1))
        log = np.log(rate) - np.log(x[row, self.power] * places[:, 1]) - p.exponent[0] * places[:, 0]
        offset = float(log.mean())
        data = Data(z=z, b=b, y=log - offset, given=(error / rate) ** 2, size=np.ones_like(rate), floor=1.0 / rate)
        pairs = [p.length] * len(self.bounds) + [p.strength, p.exponent_change, p.noise.relative, p.noise.absolute]
        mean, spread = np.log([m for m, _ in pairs]), np.array([s for _, s in pairs])
        nodes = sample(lambda theta: log_likelihood(self, data, theta), mean, spread, nodes=self.nodes, seed=self.seed)
        return JointPosterior(self, Posterior(self, data, nodes, offset, 1.0))


@dataclass(frozen=True)
class JointPosterior:
    """Posterior of (f1, f2); `sensor` and `place` give rates.

    Attributes:
        model: what it is the posterior of.
        log: posterior of f1 + (f2 - mean) ln cos(phi) over (inputs, ln cos phi).
    """

    model: JointGP
    log: Posterior

    def sensor(self, index: int) -> RateView:
        """What sensor number `index` reads."""
        return self.place(*self.model.sensors[index])

    def place(self, log_cos: float, reach: float) -> RateView:
        """What arrives at a place that sees the source at ln cos(phi) with this reach [cm^-2]."""
        return RateView(self, float(log_cos), float(reach))

    def exponent(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [q] and standard deviation [q] of n at inputs x [q, d]: the slope of the logarithm in ln cos(phi)."""
        x = np.asarray(x, dtype=float)
        q = len(x)
        both = np.concatenate([np.column_stack([x, np.full(q, c)]) for c in (0.0, -1.0)])
        mean, cov = self.log.predict(both)[0], self.log.covariance(both)
        here, there = np.arange(q), np.arange(q, 2 * q)
        variance = cov[here, here] + cov[there, there] - 2 * cov[here, there]
        return mean[:q] - mean[q:] + self.model.prior.exponent[0], np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True)
class RateView:
    """The rate at one place [ng cm^-2 s^-1], with the methods that acquisitions and agents need of a posterior."""

    joint: JointPosterior
    log_cos: float
    reach: float

    def _points(self, x: ArrayLike) -> tuple[Array, Array]:
        """Inputs with ln cos(phi) [q, d + 1], and ln rate of the model's zero there [q]."""
        x, model = np.asarray(x, dtype=float), self.joint.model
        base = np.log(x[:, model.power] * self.reach) + model.prior.exponent[0] * self.log_cos
        return np.column_stack([x, np.full(len(x), self.log_cos)]), base

    def components(self, x: ArrayLike) -> Components:
        """Prediction of each node at x [q, d]: log-normal means and variances."""
        points, base = self._points(x)
        c = self.joint.log.components(points)
        theta = self.joint.log.nodes.theta
        mean = np.exp(c.mean + base + 0.5 * c.variance)
        relative, absolute = np.exp(2 * theta[:, -2, None]), np.exp(2 * theta[:, -1, None])
        return Components(mean, mean**2 * np.expm1(c.variance), relative * mean**2 + absolute, c.weight)

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean [q] and standard deviation [q] of the noise-free rate at x [q, d]."""
        c = self.components(x)
        return c.mixture_mean, np.sqrt(c.weight @ c.variance + c.spread)

    def node_covariance(self, x1: ArrayLike, x2: ArrayLike) -> Array:
        """Covariance of each node between x1 [q1, d] and x2 [q2, d]: [m, q1, q2]."""
        one, two = self.components(x1).mean, self.components(x2).mean
        cov = self.joint.log.node_covariance(self._points(x1)[0], self._points(x2)[0])
        return np.expm1(cov) * one[:, :, None] * two[:, None, :]

    def log_predictive_density(self, x: ArrayLike, y: ArrayLike, y_std: ArrayLike | None = None) -> Array:
        """Log density [q] of new readings y [q] at x [q, d], noise included, each by itself."""
        c, y = self.components(x), np.asarray(y, dtype=float)
        variance = c.variance + c.noise + (0.0 if y_std is None else np.asarray(y_std, dtype=float) ** 2)
        log_p = -0.5 * ((y - c.mean) ** 2 / variance + np.log(2 * np.pi * variance))
        return np.logaddexp.reduce(log_p + np.log(c.weight)[:, None], axis=0)

    def hyperparameters(self) -> dict[str, tuple[float, float]]:
        """Median and logarithmic spread of each hyper-parameter."""
        return self.joint.log.hyperparameters()

    def thinned(self, nodes: int) -> RateView:
        """The same with `nodes` nodes or fewer."""
        return replace(self, joint=replace(self.joint, log=self.joint.log.thinned(nodes)))

    def believe(self, x: ArrayLike) -> RateView:
        """The same as if every sensor had read at x [k, d] what is predicted; same nodes."""
        x, model, log = np.asarray(x, dtype=float), self.joint.model, self.joint.log
        points = np.concatenate([np.column_stack([x, np.full(len(x), c)]) for c, _ in model.sensors])
        rate = np.concatenate([self.joint.place(c, r).predict(x)[0] for c, r in model.sensors])
        z, b = model.transform(points)
        old, y = log.data, log.components(points).mixture_mean - log.offset
        new = Data(z, b, y, np.zeros_like(y), np.ones_like(y), 1.0 / rate)
        merged = {k: np.concatenate([getattr(old, k), getattr(new, k)]) for k in vars(old)}
        return replace(self, joint=replace(self.joint, log=replace(log, data=Data(**merged))))
