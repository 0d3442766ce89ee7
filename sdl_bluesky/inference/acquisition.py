"""What a reading at each candidate would be worth. Each function: (posterior, candidates [q, d], domain [g, d]) -> [q].

With hyper-parameter nodes j of weight w_j, means mu_j and latent variances s2_j:

* balm: entropy of the moment-matched mixture, 1/2 ln(2 pi e (E_j s2_j + var_j mu_j + noise)) [nats]
  (Bayesian active learning MacKay; MacKay, Neural Comput. 4, 590, 1992; Riis et al., NeurIPS 2022);
* alm: the same without the spread of the means;
* bald: entropy of the mixture less the mean entropy of the nodes [nats] (Houlsby et al., arXiv:1112.5745);
* nipv: minus the mean posterior variance over the domain after a reading at the candidate (Seo et al., IJCNN 2000).

The noise of balm and alm is one number, its mean over the candidates: an entropy with the noise of each place would send
the agent where the readings are noisiest, again and again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import UnknownName
from sdl_bluesky.inference.posterior import Components, Predictive
from sdl_bluesky.physics.geometry import Array

Acquisition = Callable[[Predictive, ArrayLike, ArrayLike], Array]

_NIPV_NODES = 32
_NIPV_CHUNK = 64


def entropy(variance: ArrayLike) -> Array:
    """Entropy of a normal distribution [nats]."""
    return 0.5 * np.log(2.0 * np.pi * np.e * np.asarray(variance, dtype=float))


def _noise(c: Components) -> float:
    return float((c.weight @ c.noise).mean())


def balm(posterior: Predictive, candidates: ArrayLike, domain: ArrayLike) -> Array:
    """Entropy of the moment-matched mixture [q], nats."""
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
    posterior = posterior.thinned(_NIPV_NODES)
    candidates = np.asarray(candidates, dtype=float)
    now = posterior.components(domain)
    here = posterior.components(candidates)
    gain = np.empty(len(candidates))
    for i in range(0, len(candidates), _NIPV_CHUNK):
        rows = slice(i, i + _NIPV_CHUNK)
        cross = posterior.node_covariance(candidates[rows], domain)
        gain[rows] = here.weight @ ((cross**2).mean(axis=2) / (here.variance[:, rows] + here.noise[:, rows]))
    return gain - float((now.weight @ now.variance + now.spread).mean())


ACQUISITIONS: dict[str, Acquisition] = {"balm": balm, "alm": alm, "bald": bald, "nipv": nipv}
UNITS = {"balm": "nats", "alm": "nats", "bald": "nats", "nipv": "unit of the outcome, squared"}


def acquisition(name: str) -> Acquisition:
    """An acquisition by its name.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in ACQUISITIONS:
        raise UnknownName("acquisition", name, list(ACQUISITIONS))
    return ACQUISITIONS[name]
