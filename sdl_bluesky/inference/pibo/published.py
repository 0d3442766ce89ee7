"""Composition against flows as in PIBO as published (Takeda et al.): a straight line of its own flow, and a residual.

    x = a0 F_Ga + b0 + r0(F_Ga, F_As),   y = a1 F_As + b1 + r1(F_Ga, F_As)

a and b by least squares; a slope that is not above 0 is 0, and b then the mean. r is a Gaussian process with the kernel
v exp(-|du|^2 / (2 l^2)) and noise, u = the flows over the width of their bounds, by the greatest marginal likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from sdl_bluesky.errors import OutOfRange, Unidentifiable
from sdl_bluesky.inference.pibo.data import GrowthData
from sdl_bluesky.inference.pibo.normal import Normal
from sdl_bluesky.physics.geometry import Array

_LOWEST = np.log([1e-2, 0.2, 1e-2])
_HIGHEST = np.log([10.0, 20.0, 3.0])
"""Limits of the logarithms of amplitude, length and noise: amplitudes in units of the spread of the residuals."""
_STARTS = np.log([[1.0, 0.5, 0.1], [0.5, 2.0, 0.5], [1.0, 0.2, 0.3]])


@dataclass(frozen=True)
class Line:
    """value = a flow + b.

    Attributes:
        a: slope [1/sccm], 0 or above.
        b: at flow 0.
        varied: whether the flow ever varied; if not, nothing is known of the slope.
        physical: whether a slope was looked for at all.
    """

    a: float
    b: float
    varied: bool
    physical: bool = True


def least_squares(flow: ArrayLike, value: ArrayLike) -> Line:
    """The line of flows [n] and values [n], with the clamp; sums are centred, so that rounding makes no slope.

    Raises:
        Unidentifiable: no data.
    """
    f, v = np.asarray(flow, dtype=float), np.asarray(value, dtype=float)
    if not f.size:
        raise Unidentifiable("no runs: a line needs one or more")
    df, dv = f - f.mean(), v - v.mean()
    varied = bool(np.ptp(f) > 1e-9 * max(1.0, float(np.abs(f).max())))
    slope = float(df @ dv / (df @ df)) if varied else 0.0
    if not slope > 0:
        return Line(0.0, float(v.mean()), varied)
    return Line(slope, float(v.mean() - slope * f.mean()), varied)


@dataclass(frozen=True)
class PublishedPosterior:
    """Posterior of the published model: independent normals of x and y.

    Attributes:
        lines: of x with F_Ga and of y with F_As.
        residuals: their Gaussian processes.
    """

    lines: tuple[Line, Line]
    residuals: tuple[Residual, Residual]

    def normal(self, flows: ArrayLike) -> Normal:
        """Means [q, 2] and covariances of (x, y) at flows [q, 2]."""
        f = np.asarray(flows, dtype=float)
        parts = [r.predict(f) for r in self.residuals]
        mean = np.stack([line.a * f[:, k] + line.b + parts[k][0] for k, line in enumerate(self.lines)], axis=1)
        return Normal.independent(mean, np.stack([p[1] for p in parts], axis=1))

    @property
    def findings(self) -> tuple[str, ...]:
        """What a person should know of the data."""
        names = (("x", "F_Ga"), ("y", "F_As"))
        pairs = list(zip(names, self.lines, strict=True))
        flat = [
            f"{flow} never varied: nothing is known of {q} against it" for (q, flow), line in pairs if not line.varied
        ]
        clamped = [
            f"{q} does not rise with {flow} in the data: its slope is taken as 0"
            for (q, flow), line in pairs
            if line.varied and line.a == 0.0 and line.physical
        ]
        return (*flat, *clamped)

    def bad_runs(self) -> Array:
        """Probability of each run to be bad [n]: this model believes all of them."""
        return np.zeros(len(self.residuals[0].u))


@dataclass(frozen=True)
class PublishedModel:
    """The published model.

    Attributes:
        bounds: (low, high) of F_Ga and F_As [sccm]; their widths are the units of the length.
        lines: False for the Gaussian process alone, around the mean of the data: what knows no physics.
    """

    bounds: tuple[tuple[float, float], tuple[float, float]]
    lines: bool = True

    def fit(self, data: GrowthData) -> PublishedPosterior:
        """Posterior given runs; campaigns and errors of measurement are not looked at.

        Raises:
            Unidentifiable: no data.
        """
        if not len(data.flows):
            raise Unidentifiable("no runs ingested yet: nothing can be predicted")
        lines = tuple(
            least_squares(data.flows[:, k], data.xy[:, k])
            if self.lines
            else Line(0.0, float(data.xy[:, k].mean()), True, False)
            for k in range(2)
        )
        width = np.diff(np.asarray(self.bounds), axis=1)[:, 0]
        residuals = tuple(
            Residual.fit(data.flows / width, data.xy[:, k] - line.a * data.flows[:, k] - line.b, width)
            for k, line in enumerate(lines)
        )
        return PublishedPosterior((lines[0], lines[1]), (residuals[0], residuals[1]))


@dataclass(frozen=True)
class Residual:
    """A Gaussian process with fixed hyper-parameters.

    Attributes:
        u: inputs over their widths [n, 2].
        width: of the bounds [2].
        root: Cholesky factor of the covariance of the readings [n, n].
        pull: that covariance's inverse times the readings [n].
        variance, length: of the kernel.
    """

    u: Array
    width: Array
    root: Array
    pull: Array
    variance: float
    length: float

    @classmethod
    def fit(cls, u: Array, z: Array, width: Array) -> Residual:
        """By maximum marginal likelihood from a few starts."""
        scale = max(float(np.sqrt(np.mean(z**2))), 1e-4)
        if not np.all(np.isfinite(z)):
            raise OutOfRange("a composition is not finite")
        square = np.sum((u[:, None] - u[None]) ** 2, axis=2)

        def loss(theta: Array) -> float:
            root = _root(square, theta)
            away = solve_triangular(root, z / scale, lower=True)
            return float(0.5 * away @ away + np.log(np.diag(root)).sum())

        limits = list(zip(_LOWEST, _HIGHEST, strict=True))
        found = [minimize(loss, start, method="L-BFGS-B", bounds=limits) for start in _STARTS]
        theta = min(found, key=lambda r: r.fun).x
        root = _root(square, theta) * scale
        return cls(u, width, root, cho_solve((root, True), z), float(np.exp(2 * theta[0])) * scale**2, np.exp(theta[1]))

    def predict(self, flows: Array) -> tuple[Array, Array]:
        """Mean [q] and standard deviation [q] at flows [q, 2]."""
        square = np.sum((flows[:, None] / self.width - self.u[None]) ** 2, axis=2)
        k = self.variance * np.exp(-0.5 * square / self.length**2)
        reach = solve_triangular(self.root, k.T, lower=True)
        left = np.maximum(self.variance - np.sum(reach**2, axis=0), 1e-12 * self.variance)
        return k @ self.pull, np.sqrt(left)


def _root(square: Array, theta: Array) -> Array:
    amplitude, length, noise = np.exp(theta)
    k = amplitude**2 * np.exp(-0.5 * square / length**2) + noise**2 * np.eye(len(square))
    return np.asarray(cholesky(k, lower=True))
