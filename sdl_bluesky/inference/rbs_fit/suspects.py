"""What a fit may have left out: elements in its layers that it does not hold, parts of the set-up that it takes as exact.

The test is Rao's score test (Rao, Math. Proc. Camb. Phil. Soc. 44, 50, 1948) with counts taken as normal: how the likelihood
would rise with what is left out, over what counting gives, after everything that is fitted has moved along. One direction is
looked at and not the whole spectrum, so an element is seen whose counts are lost in the deviance of a thousand channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdl_bluesky.inference.rbs_fit.arrays import Mask
from sdl_bluesky.inference.rbs_fit.likelihood import Terms
from sdl_bluesky.inference.rbs_fit.parameters import Parameters, extras_of
from sdl_bluesky.inference.rbs_fit.problem import Problem
from sdl_bluesky.inference.rbs_fit.result import FitResult
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.nuclides import target
from sdl_bluesky.physics.rbs.setup import SCALARS

COMMON = ("C", "N", "O", "Al", "Ar", "Ti", "Fe", "Ag", "Ta", "Au")
"""Elements that are looked for: what films and chambers are made of, so close in mass that what lies between shows, too."""
ALIKE = 1e-6
"""Part of its information that must be left after everything that is fitted has moved: less is no difference."""
BLOCK = 256
"""Spectra whose matrices are in memory at a time."""
_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Suspects:
    """What could explain what is left over, one at a time.

    Attributes:
        names: "C@1" for carbon in the surface layer, "slope", ... [k].
        sigma: how well each does it, in standard deviations [b, k]; of an element 0 if there would be less than none.
        amount: how much there would be, in first order [b, k]: 1e15 at/cm2, change of a factor, keV of the offset.
    """

    names: tuple[str, ...]
    sigma: Array
    amount: Array

    @property
    def worst(self) -> Array:
        """Largest sigma of each spectrum [b], 0 if nothing is looked for."""
        return self.sigma.max(axis=1, initial=0.0)

    def most(self, row: int, count: int = 3) -> list[tuple[str, float, float]]:
        """Those that explain most of a spectrum: name, sigma, amount."""
        order = np.argsort(-self.sigma[row], kind="stable")[:count]
        return [(self.names[k], float(self.sigma[row, k]), float(self.amount[row, k])) for k in order]

    def words(self, row: int) -> str:
        """The same, for a person."""
        return ", ".join(f"{_amount_of(name, amount)} ({sigma:.1f})" for name, sigma, amount in self.most(row))


def suspects(found: FitResult, elements: Sequence[str] = COMMON) -> Suspects:
    """Look for what fits with a Poisson likelihood have left out.

    Args:
        found: from `fit` or `fit_joint`.
        elements: to look for in the layers with fitted densities, beside those of the set-up that were not fitted there; as
            their most abundant nuclides, which is quicker.

    Raises:
        UnknownName: there is no such element.
    """
    present = found.problem.parameters.setups[0].elements
    sought = {_nuclide(k): k for k in elements if k not in present and _nuclide(k) not in present}
    problem = _wider(found.problem, tuple(sought))
    parameters, fitted = problem.parameters, found.problem.parameters.names
    d, width = parameters.densities, problem.held.shape[2] - found.layers.shape[2]
    layers = np.pad(found.layers, ((0, 0), (0, 0), (0, width)))[:, parameters.free]
    known = dict(zip(found.nuisance_names, found.nuisance.T, strict=True))
    others = [known.get(k.label, np.full(len(layers), k.nominal)) for k in parameters.extras]
    theta = np.column_stack([layers, *others])
    tested = np.array([name not in fitted for name in parameters.names])
    parts = [
        _scores(problem.part(rows), theta[rows], tested)
        for rows in (slice(k, k + BLOCK) for k in range(0, len(theta), BLOCK))
    ]
    sigma, amount = (np.concatenate(k) for k in zip(*parts, strict=True))
    absent = np.zeros(theta.shape, dtype=bool)
    absent[:, :d] = layers == 0.0
    sigma = np.where(absent[:, tested], np.maximum(sigma, 0.0), np.abs(sigma))
    names = [name.partition("@") for name, odd in zip(parameters.names, tested) if odd]
    return Suspects(tuple(sought.get(first, first) + at + layer for first, at, layer in names), sigma, amount)


def _nuclide(element: str) -> str:
    return max(target(element).isotopes, key=lambda k: k[1])[0].symbol


def _amount_of(name: str, amount: float) -> str:
    element, _, layer = name.partition("@")
    if layer:
        return f"{amount:.0f}e15 at/cm2 of {element} in layer {layer}"
    return f"{name} {amount:+.2g} keV" if name.startswith("offset") else f"{name} {100.0 * amount:+.2g} %"


def _scores(problem: Problem, theta: Array, tested: Mask) -> tuple[Array, Array]:
    """Efficient scores of the tested parameters in standard deviations [b, k], and their first step [b, k]."""
    _, gradient, curvature = problem.local(_level)(theta, np.arange(len(theta)))
    size = np.sqrt(np.maximum(np.diagonal(curvature, axis1=1, axis2=2), 1e-300))
    unit, slope = curvature / size[:, :, None] / size[:, None, :], -gradient / size
    across = unit[:, ~tested][:, :, tested]
    known = unit[:, ~tested][:, :, ~tested] + _ROUNDING * np.eye(across.shape[1])
    moved = np.linalg.solve(known, across)
    score = slope[:, tested] - np.einsum("bok,bo->bk", moved, slope[:, ~tested])
    left = 1.0 - np.einsum("bok,bok->bk", moved, across)
    seen, left = left > ALIKE, np.maximum(left, ALIKE)
    return np.where(seen, score / np.sqrt(left), 0.0), np.where(seen, score / left / size[:, tested], 0.0)


def _level(x: Array, mu: Array) -> Terms:
    """A count more in each channel's variance: where hardly any are expected, one stray count is no proof of anything."""
    weight = 1.0 / (np.maximum(mu, 0.0) + 1.0)
    difference = mu - x
    return 0.5 * weight * difference**2, weight * difference, weight


def _wider(problem: Problem, more: tuple[str, ...]) -> Problem:
    """The same problem with what is looked for, these elements and whatever was not fitted, as further parameters."""
    old = problem.parameters
    setups = tuple(replace(k, elements=(*k.elements, *more)) for k in old.setups)
    free = np.pad(old.free, ((0, 0), (0, len(more))))
    free[old.free.any(axis=1)] = True
    fitted = {(k.name, i) for k in old.extras for i in k.spectra}
    exact = [{name: 1.0 for name in SCALARS if (name, i) not in fitted} for i in range(len(setups))]
    extras = extras_of(setups, exact)  # their priors are not used
    size = int(free.sum()) + len(old.extras) + len(extras)
    mean, precision = np.zeros((len(problem.held), size)), np.zeros(size)
    parameters = Parameters(setups, free, (*old.extras, *extras), precision, precision, mean, precision)
    kept = np.isin(parameters.names, old.names)
    mean[:, kept], precision[kept] = old.mean, old.precision
    return Problem(parameters, np.pad(problem.held, ((0, 0), (0, 0), (0, len(more)))), problem.channels, problem.counts)
