"""No interaction against an interaction in one of several forms, weighed by their evidence, at repeated looks.

The ratio of the evidences is the statistic; its distribution without an interaction is simulated from the stated errors,
and each look may spend its part of the false-alarm rate: so the rate holds whatever the priors of the interaction are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from sdl_bluesky.analysis.health.interaction import FormFit
from sdl_bluesky.inference.linear import fit_linear
from sdl_bluesky.physics.geometry import Array

_DRAWS = 2000
_SEED = 0


@dataclass(frozen=True)
class Verdict:
    """The hypotheses after some shots.

    Attributes:
        log_bayes_factor: ln of the evidence for an interaction over that for none.
        p_value: probability of a factor as large as this where there is no interaction.
        fits: the forms with their weights and coefficients.
        misfit: probability of a misfit as large as that of (no interaction, the best form).
    """

    log_bayes_factor: float
    p_value: float
    fits: tuple[FormFit, ...]
    misfit: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Readings of all shots and what each hypothesis expects of them.

    Attributes:
        y: readings less what is expected without an interaction [n].
        shot: number of the shot of each, from 0 [n].
        noise: their covariance without an interaction [n, n].
        designs: for each form the change of the readings per coefficient [n, c].
        priors: for each form mean [c] and covariance [c, c] of the coefficients.
        extra: for each form what it adds to the covariance [n, n].
    """

    y: Array
    shot: NDArray[np.int_]
    noise: Array
    designs: Mapping[str, Array]
    priors: Mapping[str, tuple[Array, Array]]
    extra: Mapping[str, Array]

    def weigh(self, shots: int) -> Verdict:
        """The hypotheses after the first `shots` shots."""
        at = np.flatnonzero(self.shot < shots)
        floor = self.noise[np.ix_(at, at)]
        parts = [(np.zeros(at.size), floor)]
        fits = []
        for form, design in self.designs.items():
            noise = floor + self.extra[form][np.ix_(at, at)]
            mean, cov = self.priors[form]
            fits.append(fit_linear(design[at], self.y[at], noise, mean, cov))
            parts.append((design[at] @ mean, noise + design[at] @ cov @ design[at].T))
        chance = np.linalg.cholesky(floor) @ self._draws[at]
        densities = np.stack([_log_density(np.column_stack([self.y[at], chance]), m, c) for m, c in parts])
        interacting = np.logaddexp.reduce(densities[1:], axis=0) - float(np.log(len(fits)))
        factors = interacting - densities[0]
        logs = densities[1:, 0]
        weight = np.exp(logs - np.logaddexp.reduce(logs))
        best = fits[int(np.argmax(logs))]
        alone = fit_linear(np.empty((at.size, 0)), self.y[at], floor, np.empty(0), np.empty((0, 0)))
        return Verdict(
            log_bayes_factor=float(factors[0]),
            p_value=float((1 + np.sum(factors[1:] >= factors[0])) / (_DRAWS + 1)),
            fits=tuple(
                FormFit(form, float(w), k.mean, k.cov) for form, k, w in zip(self.designs, fits, weight, strict=True)
            ),
            misfit=(float(chi2.sf(alone.chi2, at.size)), float(chi2.sf(best.chi2, at.size))),
        )

    @cached_property
    def _draws(self) -> Array:
        return np.random.default_rng(_SEED).standard_normal((len(self.y), _DRAWS))


def _log_density(y: Array, mean: Array, cov: Array) -> Array:
    """ln N(y; mean, cov) of each column of y [n, k]."""
    root = np.linalg.cholesky(cov)
    away = np.linalg.solve(root, y - np.asarray(mean)[:, None])
    constant = float(np.log(np.diag(root)).sum()) + 0.5 * len(y) * float(np.log(2 * np.pi))
    return -0.5 * np.asarray(np.sum(away**2, axis=0)) - constant
