"""Which runs were bad, and which hyper-parameters explain the others: averages instead of choices.

A bad run is one with an error of its own, of standard deviation B in every outcome, that a run has with probability r. Every
set S of bad runs has the evidence

    r^|S| (1 - r)^(n - |S|)  sum over draws of  N(z; 0, K_draw + B^2 diag(S))

and the prediction is the mixture over sets and draws. There are 2^n sets; the ones that count are found by a beam: from
the best sets so far, every run is turned bad, by the matrix determinant lemma (K + B^2 e e^T), until none gains. (A
contaminated normal error: Tukey 1960; Box and Tiao, Biometrika 55, 119, 1968.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.physics.geometry import Array

_BEAM = 6
_ROUNDS = 6
_SETS = 24
_COMPONENTS = 96


@dataclass(frozen=True)
class Belief:
    """A weighted mixture of explanations.

    Attributes:
        weight: [components], sums to one.
        draw: index of the draw of each component [components].
        inverse: of the covariance of the data [components, outcomes, n, n].
        pull: that times the data [components, outcomes, n].
        bad: probability [n] that each run was bad.
        log_evidence: of the data.
    """

    weight: Array
    draw: NDArray[np.intp]
    inverse: Array
    pull: Array
    bad: Array
    log_evidence: float


@dataclass(frozen=True)
class _Set:
    """A set of bad runs: mask [n], log weights of the draws [m], inverses [m, k, n, n] and pulls [m, k, n]."""

    bad: NDArray[np.bool_]
    log_weight: Array
    inverse: Array
    pull: Array

    @property
    def score(self) -> float:
        return float(np.logaddexp.reduce(self.log_weight))


def explain(gram: Array, z: Array, rate: float, size: float) -> Belief:
    """The mixture that explains data.

    Args:
        gram: covariances of good data for every draw and outcome [m, k, n, n].
        z: data [k, n], of mean 0.
        rate: r, the probability of a bad run.
        size: B, the standard deviation of its error.
    """
    n = z.shape[1]
    gain = float(np.log(rate / (1 - rate))) if rate > 0 else -np.inf
    first = _exact(gram, z, np.zeros(n, dtype=bool), size, 0.0)
    found = {first.bad.tobytes(): first}
    beam = [first]
    for _ in range(_ROUNDS if rate > 0 and n > 2 else 0):
        best = max(s.score for s in found.values())
        ahead: dict[bytes, tuple[float, NDArray[np.bool_]]] = {}
        for one in beam:
            for i, score in enumerate(_flipped(one, size) + gain):
                if one.bad[i] or score < best - 7.0:
                    continue
                bad = one.bad.copy()
                bad[i] = True
                ahead.setdefault(bad.tobytes(), (float(score), bad))
        chosen = sorted((v for k, v in ahead.items() if k not in found), key=lambda v: -v[0])[:_BEAM]
        beam = [_exact(gram, z, bad, size, gain * int(bad.sum())) for _, bad in chosen]
        if not beam:
            break
        found |= {s.bad.tobytes(): s for s in beam}
    return _mixture(sorted(found.values(), key=lambda s: -s.score)[:_SETS])


def _exact(gram: Array, z: Array, bad: NDArray[np.bool_], size: float, log_prior: float) -> _Set:
    n = z.shape[1]
    k = gram
    if bad.any():
        k = gram.copy()
        k[:, :, range(n), range(n)] += np.where(bad, size**2, 0.0)
    root = np.linalg.cholesky(k)
    half = np.linalg.inv(root)
    inverse = np.swapaxes(half, -1, -2) @ half
    pull = np.einsum("mknp,kp->mkn", inverse, z)
    log_det = 2.0 * np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=-1)
    log_p = -0.5 * (np.einsum("mkn,kn->mk", pull, z) + log_det + n * np.log(2 * np.pi))
    return _Set(bad, log_p.sum(axis=1) + log_prior, inverse, pull)


def _flipped(one: _Set, size: float) -> Array:
    """Score [n] of the set with each run turned bad, without the prior of that."""
    diagonal = np.diagonal(one.inverse, axis1=2, axis2=3)
    wider = 1.0 + size**2 * diagonal
    change = (0.5 * size**2 * one.pull**2 / wider - 0.5 * np.log(wider)).sum(axis=1)
    return np.logaddexp.reduce(one.log_weight[:, None] + change, axis=0)


def _mixture(sets: list[_Set]) -> Belief:
    log_weight = np.stack([s.log_weight for s in sets]) - np.log(len(sets[0].log_weight))
    total = float(np.logaddexp.reduce(log_weight.ravel()))
    w = np.exp(log_weight - total)
    bad = np.einsum("s,sn->n", w.sum(axis=1), np.stack([s.bad for s in sets]).astype(float))
    flat = np.cumsum(w.T.ravel())  # along the draws, so that every set keeps its share of them
    picks = np.searchsorted(flat, (np.arange(_COMPONENTS) + 0.5) / _COMPONENTS * flat[-1])
    index, count = np.unique(picks, return_counts=True)
    draw, of = np.unravel_index(index, w.T.shape)
    inverse = np.stack([sets[s].inverse[d] for s, d in zip(of, draw, strict=True)])
    pull = np.stack([sets[s].pull[d] for s, d in zip(of, draw, strict=True)])
    return Belief(count / count.sum(), draw, inverse, pull, bad, total)
