"""Gaussian processes with averaged hyper-parameters (fully Bayesian), for rates over power and pressure.

Two mean structures, both y = b(x) h(z(x)) + noise with h ~ constant + Matern-5/2 (one length per input), or the squared
exponential where h is known to be smooth:

* `FullyBayesianGP` (standard): b = 1, inputs linear, y centred and scaled by its own spread;
* `PowerScaledGP`: b = power, inputs logarithmic, y uncentred: the rate is proportional to power but for a smooth factor h.

The noise of a reading is sqrt((relative y)^2 + absolute^2 + given^2), the first two learned. The constant is marginalised
as kernel variance. Hyper-parameters are averaged over a few dozen weighted nodes (`inference.sampler`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.posterior import Data, Model, Posterior, gram, matern, squared_exponential
from sdl_bluesky.inference.sampler import sample
from sdl_bluesky.physics.geometry import Array

LogNormal = tuple[float, float]
"""Median, and standard deviation of the logarithm."""


@dataclass(frozen=True)
class Noise:
    """What is assumed of the noise of a reading: a part relative to the reading and an absolute one in its unit."""

    relative: LogNormal = (0.017, 0.35)
    absolute: LogNormal = (0.05, 0.7)


@dataclass(frozen=True)
class Prior:
    """Priors of the hyper-parameters.

    Attributes:
        length: of each input, in units of the width of its bounds (of its logarithm for the power-scaled model).
        power_length: of the power in the power-scaled model, if it differs from the others.
        signal: standard deviation of h around its constant, in units of the scale of y (of the constant, power-scaled).
        constant: standard deviation of the constant, in the same units.
        noise: see `Noise`.
    """

    length: LogNormal = (1.2, 0.7)
    signal: LogNormal = (1.3, 0.7)
    constant: float = 1.0
    noise: Noise = field(default_factory=Noise)
    power_length: LogNormal | None = None


@dataclass(frozen=True)
class FullyBayesianGP:
    """Standard model.

    Attributes:
        bounds: (low, high) of each input.
        prior: of the hyper-parameters.
        smooth: whether h has no kinks: its correlation is the squared exponential instead of Matern-5/2.
        nodes: most hyper-parameter nodes that a posterior keeps.
        seed: of the sampler.

    >>> gp = FullyBayesianGP(bounds=((0.0, 1.0),))
    >>> posterior = gp.fit([[0.0], [0.5], [1.0]], [1.0, 2.0, 3.0])
    >>> mean, std = posterior.predict([[0.25]])
    """

    bounds: tuple[tuple[float, float], ...]
    prior: Prior = field(default_factory=Prior)
    smooth: bool = False
    nodes: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        b = np.asarray(self.bounds, dtype=float)
        if b.ndim != 2 or b.shape[1] != 2 or not np.all(np.isfinite(b)) or not np.all(b[:, 0] < b[:, 1]):
            raise OutOfRange(f"bounds {self.bounds}: give a finite (low, high) with low < high for each input")

    def transform(self, x: ArrayLike) -> tuple[Array, Array]:
        """Inputs [n, d] as the kernel sees them: z [n, d], 0 to 1 within the bounds, and the factor b [n]."""
        x, low, high = self._checked(x)
        return (x - low) / (high - low), np.ones(len(x))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the hyper-parameters."""
        return (*(f"length_{i}" for i in range(len(self.bounds))), "signal", "noise_relative", "noise_absolute")

    def kernel(self, theta: Array, z1: Array, b1: Array, z2: Array, b2: Array) -> Array:
        """b1 b2 (constant^2 + signal^2 correlation) for every node: [m, n1, n2]."""
        d = z1.shape[1]
        out = (squared_exponential if self.smooth else matern)(np.exp(theta[:, :d]), z1, z2)
        out *= np.exp(2 * theta[:, d])[:, None, None]
        out += self.prior.constant**2
        out *= b1[:, None] * b2[None, :]
        return out

    def prior_variance(self, theta: Array, z: Array, b: Array) -> Array:
        """Variance of b h for every node [m, n]."""
        return (self.prior.constant**2 + np.exp(2 * theta[:, z.shape[1], None])) * b**2

    def _checked(self, x: ArrayLike) -> tuple[Array, Array, Array]:
        x, b = np.asarray(x, dtype=float), np.asarray(self.bounds, dtype=float)
        if x.ndim != 2 or x.shape[1] != len(b) or not np.all(np.isfinite(x)):
            raise OutOfRange(f"inputs of shape {x.shape}: give finite numbers [n, {len(b)}]")
        return x, b[:, 0], b[:, 1]

    def _lengths(self) -> list[LogNormal]:
        """Prior of the length of each input."""
        return [self.prior.length] * len(self.bounds)

    def _scale(self, y: Array, b: Array) -> tuple[float, float]:
        """Offset and scale of y."""
        centre = float(y.mean())
        spread = float(y.std()) if y.size > 1 else 0.0
        return centre, spread or abs(centre) or 1.0

    def fit(self, x: ArrayLike, y: ArrayLike, y_std: ArrayLike | None = None) -> Posterior:
        """Posterior given readings.

        Args:
            x: inputs [n, d].
            y: readings [n].
            y_std: known part of their standard errors [n], added in quadrature to the learned noise.

        Raises:
            Unidentifiable: no readings.
            OutOfRange: shapes differ or a number is not finite.
        """
        z, b = self.transform(x)
        y = np.asarray(y, dtype=float)
        given = np.zeros_like(y) if y_std is None else np.asarray(y_std, dtype=float)
        if y.shape != b.shape or given.shape != b.shape:
            raise OutOfRange(f"{len(b)} inputs do not belong to readings {y.shape} with errors {given.shape}")
        if not np.all(np.isfinite(y)) or not np.all(np.isfinite(given)) or np.any(given < 0):
            raise OutOfRange("a reading or its error is not finite, or an error is negative")
        if y.size == 0:
            raise Unidentifiable("no readings: a model needs one or more")
        offset, scale = self._scale(y, b)
        data = Data(
            z=z,
            b=b,
            y=(y - offset) / scale,
            given=(given / scale) ** 2,
            size=np.abs(y) / scale,
            floor=np.ones_like(y),
        )
        p = self.prior
        absolute = (p.noise.absolute[0] / scale, p.noise.absolute[1])
        pairs = [*self._lengths(), p.signal, p.noise.relative, absolute]
        mean = np.log([m for m, _ in pairs])
        std = np.array([s for _, s in pairs])
        nodes = sample(lambda theta: log_likelihood(self, data, theta), mean, std, nodes=self.nodes, seed=self.seed)
        return Posterior(self, data, nodes, offset, scale)


# what proportionality to the power leaves changes slowly with it: see the records of decisions, 27
_POWER_SCALED = Prior(
    length=(2.2, 0.5),
    power_length=(4.3, 0.5),
    signal=(1.0, 0.5),
    constant=1.5,
    noise=Noise(relative=(0.016, 0.3), absolute=(0.05, 0.4)),
)


@dataclass(frozen=True)
class PowerScaledGP(FullyBayesianGP):
    """rate = power x h(ln inputs): all inputs positive, one of them the power.

    Attributes:
        power: column of the power.
    """

    prior: Prior = field(default_factory=lambda: _POWER_SCALED)
    power: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(low for low, _ in self.bounds) <= 0:
            raise OutOfRange(f"bounds {self.bounds}: the power-scaled model takes logarithms, so all must be positive")
        if not 0 <= self.power < len(self.bounds):
            raise OutOfRange(f"power = {self.power} is no column of {len(self.bounds)} inputs")

    def transform(self, x: ArrayLike) -> tuple[Array, Array]:
        """ln inputs scaled to 0..1 within the bounds, and the power over the geometric mean of its bounds."""
        x, low, high = self._checked(x)
        if np.any(x <= 0):
            raise OutOfRange("an input is not positive: the power-scaled model takes logarithms")
        middle = np.sqrt(low[self.power] * high[self.power])
        return np.log(x / low) / np.log(high / low), x[:, self.power] / middle

    def _lengths(self) -> list[LogNormal]:
        found = super()._lengths()
        found[self.power] = self.prior.power_length or self.prior.length
        return found

    def _scale(self, y: Array, b: Array) -> tuple[float, float]:
        scale = float(y @ b / (b @ b))
        return 0.0, scale if scale > 0 else float(np.abs(y).max()) or 1.0


def log_likelihood(model: Model, data: Data, theta: Array) -> Array:
    """Log marginal likelihood [m] of hyper-parameters [m, k] (logarithms, the last two those of the noises)."""
    n = data.y.size
    noise = data.noise(theta)
    k = np.empty((len(theta), n + 1, n + 1))
    k[:, :n, :n] = gram(model, data, theta)
    # y as a further row: the last row of the Cholesky factor is then L^-1 y; the corner only has to be large enough
    k[:, n, :n] = k[:, :n, n] = data.y
    k[:, n, n] = 1.0 + 2.0 * (data.y @ data.y) / noise.min(axis=1)
    try:
        root = np.linalg.cholesky(k)
    except np.linalg.LinAlgError:
        if len(theta) == 1:
            return np.array([-np.inf])
        return np.concatenate([log_likelihood(model, data, theta[i : i + 1]) for i in range(len(theta))])
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)[:, :n]).sum(axis=1)
    return -0.5 * np.sum(root[:, n, :n] ** 2, axis=1) - log_det - 0.5 * n * np.log(2 * np.pi)
