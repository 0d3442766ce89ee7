"""Spectra of one run share a detector and the same stopping: their separate fits brought together, with correlated errors.

Each spectrum p is fitted by itself, with a Gaussian prior on every nuisance parameter; the result is taken as Gaussian, with
mean m_p and covariance C_p. What belongs to the run and not to the spectrum is then made common. With own parameters o
(areal densities, calibration, charge) and common ones c, the precision A_p = C_p^-1, less the prior of c, gives

    S_p = A_cc - A_co A_oo^-1 A_oc          what spectrum p tells of c, its own parameters integrated out
    cov(c) = (Pi_c + sum_p S_p)^-1          Pi_c: the prior of c, counted once
    o_p = mean given c,   cov(o_p, o_q) = delta_pq A_oo^-1 + G_p cov(c) G_q^T,   G_p = A_oo^-1 A_oc

which is the joint fit of all spectra to second order, at the cost of the separate ones. A factor that is partly common (the
charge: each reading errs by itself, the solid angle errs for all) has its common part as one more entry of c.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True)
class Prior:
    """Of one nuisance parameter.

    Attributes:
        mean: 1 for a factor, 0 for an offset.
        own: standard deviation from spectrum to spectrum; 0: it is common to all.
        common: standard deviation of what all spectra share; 0: nothing.
    """

    mean: float = 1.0
    own: float = 0.0
    common: float = 0.0

    @property
    def total(self) -> float:
        """Standard deviation for a spectrum by itself."""
        return float(np.hypot(self.own, self.common))


@dataclass(frozen=True)
class Pooled:
    """What the spectra say together.

    Attributes:
        mean: [p, d], parameters of each spectrum, common ones repeated.
        cov: [p, d, p, d].
        names: of the common parts [c].
        common, common_cov: [c], [c, c].
        slopes: [p, d, c], how the parameters of a spectrum follow the common parts.
    """

    mean: Array
    cov: Array
    names: tuple[str, ...]
    common: Array
    common_cov: Array
    slopes: Array

    @property
    def std(self) -> Array:
        """[p, d]."""
        return np.sqrt(np.maximum(np.einsum("pipi->pi", self.cov), 0.0))


def pool(names: Sequence[str], mean: Array, cov: Array, priors: Mapping[str, Prior]) -> Pooled:
    """Bring separate fits together.

    Args:
        names: of the parameters [d]; those in `priors` are nuisance parameters.
        mean: [p, d], fitted with the prior `total` on each nuisance parameter.
        cov: [p, d, d].
        priors: by name.

    Raises:
        OutOfRange: shapes differ, a prior has no width, or a covariance has no inverse.
    """
    count, size = mean.shape
    if cov.shape != (count, size, size) or len(names) != size:
        raise OutOfRange(f"{len(names)} parameters of {mean.shape} with covariances {cov.shape} do not belong together")
    flat = [k for k in names if k in priors and not priors[k].total > 0]
    if flat:
        raise OutOfRange(f"the priors of {', '.join(flat)} have no width: leave what is known out of the fit")
    shared = [k for k in names if k in priors and priors[k].common > 0]
    if not shared:
        full = np.zeros((count, size, count, size))
        for p in range(count):
            full[p, :, p, :] = cov[p]
        return Pooled(mean, full, (), np.zeros(0), np.zeros((0, 0)), np.zeros((count, size, 0)))
    partly = [k for k in shared if priors[k].own > 0]
    own = [i for i, k in enumerate(names) if k not in shared or k in partly]
    common = [size + partly.index(k) if k in partly else names.index(k) for k in shared]
    prior = np.array([priors[k].common for k in shared]) ** -2.0
    centre = np.array([priors[k].mean for k in shared])
    solved = []
    information, weight = np.diag(prior), prior * centre
    for p in range(count):
        matrix, vector = _freed(names, mean[p], cov[p], priors, partly)
        inner = matrix[np.ix_(own, own)]
        try:
            own_cov = np.linalg.inv(inner)
        except np.linalg.LinAlgError:
            raise OutOfRange(f"fit {p + 1}: its covariance cannot be used, a parameter is not determined") from None
        gain = own_cov @ matrix[np.ix_(own, common)]
        middle = own_cov @ vector[own]
        information = information + matrix[np.ix_(common, common)] - matrix[np.ix_(common, own)] @ gain
        weight = weight + vector[common] - matrix[np.ix_(common, own)] @ middle
        solved.append((own_cov, gain, middle))
    common_cov: Array = np.asarray(np.linalg.inv(information), dtype=float)
    value = common_cov @ weight
    return _assemble(names, own, shared, partly, solved, value, common_cov)


def _freed(
    names: Sequence[str], mean: Array, cov: Array, priors: Mapping[str, Prior], partly: Sequence[str]
) -> tuple[Array, Array]:
    """Precision and information vector of one fit, without the priors of what is common; common parts added at the end."""
    size = len(names)
    try:
        inner = np.linalg.inv(cov)
    except np.linalg.LinAlgError:
        raise OutOfRange("the covariance of a fit has no inverse: a parameter is not determined") from None
    matrix, vector = np.zeros((size + len(partly),) * 2), np.zeros(size + len(partly))
    matrix[:size, :size] = (inner + inner.T) / 2.0
    vector[:size] = matrix[:size, :size] @ mean
    for i, name in enumerate(names):
        if name not in priors or not priors[name].common > 0:
            continue
        prior = priors[name]
        matrix[i, i] -= prior.total**-2.0
        vector[i] -= prior.mean * prior.total**-2.0
        if name in partly:
            j = size + partly.index(name)
            matrix[i, i] += prior.own**-2.0
            matrix[j, j] += prior.own**-2.0
            matrix[i, j] -= prior.own**-2.0
            matrix[j, i] -= prior.own**-2.0
    return matrix, vector


def _assemble(
    names: Sequence[str],
    own: Sequence[int],
    shared: Sequence[str],
    partly: Sequence[str],
    solved: Sequence[tuple[Array, Array, Array]],
    value: Array,
    common_cov: Array,
) -> Pooled:
    """Means and covariances of all parameters of all spectra: theta_p = T_p (own part) + K_p c."""
    count, size = len(solved), len(names)
    mean, cov = np.zeros((count, size)), np.zeros((count, size, count, size))
    slopes = []
    for p, (own_cov, gain, middle) in enumerate(solved):
        slope = np.zeros((size, len(shared)))
        slope[own] = -gain
        mean[p, own] = middle
        for k, name in enumerate(shared):
            if name not in partly:
                slope[names.index(name), k] = 1.0
        mean[p] += slope @ value
        cov[p][np.ix_(own, [p], own)] += own_cov[:, None, :]
        slopes.append(slope)
    for p in range(count):
        for q in range(count):
            cov[p, :, q, :] += slopes[p] @ common_cov @ slopes[q].T
    return Pooled(mean, cov, tuple(shared), value, common_cov, np.stack(slopes))
