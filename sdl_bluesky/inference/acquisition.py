"""What a reading at each candidate would be worth. Each function: (posterior, candidates [q, d], domain [g, d]) -> [q].

Bayesian active learning MacKay (BALM) judges by the entropy of one normal distribution that has the mean and the variance
of the mixture over hyper-parameters (Riis et al., NeurIPS 2022). MacKay asks for information in two ways (Neural Comput. 4,
590, 1992): about the parameters, which is the entropy of a reading at the candidate itself and runs to the edges of the
range, as he says; and about the quantity in a region of interest. With nodes j of weight w_j, means mu_j, latent covariances
c_j, and c = E_j c_j + cov_j mu_j that of the mixture:

* balm: entropy that a reading takes off a prediction at a random place of the domain [nats],
  1/2 ln(V / (V - mean over the domain z of c(x, z)^2 / (c(x, x) + noise))), V the mean of c(z, z);
* balm-published: entropy of a reading at the candidate, 1/2 ln(2 pi e (c(x, x) + noise)) [nats], as published;
* alm: the same without the spread of the means;
* bald: entropy of the mixture less the mean entropy of the nodes [nats] (Houlsby et al., arXiv:1112.5745);
* nipv: minus the mean posterior variance over the domain after a reading at the candidate (Seo et al., IJCNN 2000).

The noise of balm-published and alm is one number, its mean over the candidates: an entropy with the noise of each place
would send the agent where the readings are noisiest, again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.inference.posterior import Components, Predictive
from sdl_bluesky.physics.geometry import Array

Acquisition = Callable[[Predictive, ArrayLike, ArrayLike], Array]

_NODES = 24
_CHUNK = 64


def entropy(variance: ArrayLike) -> Array:
    """Entropy of a normal distribution [nats]."""
    return 0.5 * np.log(2.0 * np.pi * np.e * np.asarray(variance, dtype=float))


def _noise(c: Components) -> float:
    return float((c.weight @ c.noise).mean())


def balm(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Array:
    """Entropy that a reading takes off a prediction over the domain [q], nats."""
    posterior = posterior.thinned(_NODES)
    here, there = posterior.components(candidates), posterior.components(domain)
    weight = here.weight
    off, off_there = (c.mean - c.mixture_mean for c in (here, there))
    spread = (weight[:, None] * off).T @ off_there
    gain = np.empty(spread.shape[0])
    for rows, cross in _covariances(posterior, candidates, domain):
        gain[rows] = np.mean((np.einsum("m,mqg->qg", weight, cross) + spread[rows]) ** 2, axis=1)
    gain /= weight @ (here.variance + here.noise) + here.spread
    now = float((weight @ there.variance + there.spread).mean())
    return -0.5 * np.log1p(-np.minimum(gain / now, 1.0 - 1e-12))


def balm_published(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Array:
    """Entropy of the moment-matched mixture at the candidate [q], nats."""
    c = posterior.components(candidates)
    return entropy(c.weight @ c.variance + c.spread + _noise(c))


def alm(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Array:
    """Entropy of a normal with the mean variance of the nodes [q], nats."""
    c = posterior.components(candidates)
    return entropy(c.weight @ c.variance + _noise(c))


def bald(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Array:
    """Information of a reading about the hyper-parameters [q], nats."""
    c = posterior.components(candidates)
    total = c.variance + c.noise
    return entropy(c.weight @ total + c.spread) - c.weight @ entropy(total)


def nipv(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Array:
    """Minus the mean variance over the domain after a reading at each candidate [q], (unit of y)^2."""
    posterior = posterior.thinned(_NODES)
    now, here = posterior.components(domain), posterior.components(candidates)
    gain = np.empty(here.mean.shape[1])
    for rows, cross in _covariances(posterior, candidates, domain):
        gain[rows] = here.weight @ ((cross**2).mean(axis=2) / (here.variance[:, rows] + here.noise[:, rows]))
    return gain - float((now.weight @ now.variance + now.spread).mean())


def _covariances(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Iterator[tuple[slice, Array]]:
    """Of every node between some candidates and the domain [m, rows, g], and which candidates these are."""
    candidates = np.asarray(candidates, dtype=float)
    for i in range(0, len(candidates), _CHUNK):
        rows = slice(i, i + _CHUNK)
        yield rows, posterior.node_covariance(candidates[rows], domain)


ACQUISITIONS: dict[str, Acquisition] = {
    "balm": balm,
    "balm-published": balm_published,
    "alm": alm,
    "bald": bald,
    "nipv": nipv,
}
UNITS = {name: "unit of the outcome, squared" if name == "nipv" else "nats" for name in ACQUISITIONS}


def acquisition(name: str) -> Acquisition:
    """An acquisition by its name.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in ACQUISITIONS:
        raise UnknownName("acquisition", name, list(ACQUISITIONS))
    return ACQUISITIONS[name]
