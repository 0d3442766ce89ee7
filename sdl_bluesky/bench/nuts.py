"""The sampler of hyper-parameters beside botorch's NUTS: the same model, the same data, another program and another method.

botorch's fully Bayesian model (jax and numpyro: the extra ``nuts``) is given the priors of `inference.gp.FullyBayesianGP`
with a constant noise, and a long chain; predictions follow from its samples by the textbook formula, which leaves out that
botorch, when it loads samples, drops the 1e-4 that it added to the noise. Its stock model (SAAS priors, 512 warm-up
steps and 256 samples) is timed as its documentation uses it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sdl_bluesky.errors import ServiceMissing
from sdl_bluesky.inference.acquisition import acquisition
from sdl_bluesky.inference.design import grid, sobol
from sdl_bluesky.inference.gp import FullyBayesianGP, LogNormal, Noise, PowerScaledGP, Prior
from sdl_bluesky.physics.geometry import Array

BOUNDS = ((10.0, 100.0), (4.0, 20.0))
PRIOR = Prior(noise=Noise(relative=(1e-6, 1e-6), absolute=(0.8, 0.7)))
LONG = (1000, 8000, 2)
"""Warm-up steps, samples and thinning of the long chain."""
STOCK = (512, 256)


def data(n: int, seed: int) -> tuple[Array, Array]:
    """Readings of a smooth rate: power and pressure [n, 2], rate [n] with a constant noise of 0.8."""
    x = sobol(BOUNDS, n, seed)
    power, pressure = x.T
    rate = power**0.95 * np.exp(-pressure / 30.0) * (1.0 + 0.2 * np.tanh((pressure - 6.0) / 4.0))
    return x, rate + 0.8 * np.random.default_rng([seed, n]).standard_normal(n)


def compare(n: int = 30, seed: int = 0, long: tuple[int, int, int] = LONG) -> dict[str, Any]:
    """Largest deviation of our prediction from the long chain's over the grid of candidates.

    Returns:
        mean_deviation_sd: of the mean, in predictive standard deviations; sd_deviation_percent; root mean squares of both.

    Raises:
        ServiceMissing: jax and numpyro are not installed.
    """
    x, y = data(n, seed)
    points = grid(BOUNDS)
    mean, std = FullyBayesianGP(BOUNDS, PRIOR, seed=seed).fit(x, y).predict(points)
    offset, scale = float(y.mean()), float(y.std())
    samples = _chain((x - _low()) / (_high() - _low()), (y - offset) / scale, scale, long)
    other, other_std = _predict(samples, (x - _low()) / _width(), (y - offset) / scale, (points - _low()) / _width())
    away = (mean - offset) / scale - other
    ratio = std / scale / other_std - 1.0
    return {
        "mean_deviation_sd": float(np.max(np.abs(away) / other_std)),
        "mean_deviation_sd_rms": float(np.sqrt(np.mean((away / other_std) ** 2))),
        "sd_deviation_percent": 100 * float(np.max(np.abs(ratio))),
        "sd_deviation_percent_rms": 100 * float(np.sqrt(np.mean(ratio**2))),
    }


def speed(n: int = 30, repeats: int = 5, quick: bool = False) -> dict[str, Any]:
    """Seconds of one suggestion (fit and BALM over 961 candidates; the default model) and of botorch's stock NUTS fit.

    `quick` takes a tenth of the steps of NUTS, to see that it works: its time then means nothing.

    Raises:
        ServiceMissing: jax and numpyro are not installed.
    """
    x, y = data(n, 0)
    points, domain = grid(BOUNDS), sobol(BOUNDS, 128)

    def suggest() -> float:
        start = time.perf_counter()
        posterior = PowerScaledGP(BOUNDS).fit(x, y)
        acquisition("balm")(posterior, points, domain)
        return time.perf_counter() - start

    suggest()
    ours = float(np.median([suggest() for _ in range(repeats)]))
    torch, models, fit = _botorch()
    start = time.perf_counter()
    model = models.SaasFullyBayesianSingleTaskGP(
        torch.tensor((x - _low()) / _width()), torch.tensor((y - y.mean()) / y.std())[:, None]
    )
    warmup, samples = (k // 10 for k in STOCK) if quick else STOCK
    fit(model, warmup_steps=warmup, num_samples=samples, thinning=1 if quick else 16, disable_progbar=True)
    nuts = time.perf_counter() - start
    return {"suggestion_s": ours, "nuts_fit_s": nuts, "times_faster": nuts / ours}


def _low() -> Array:
    return np.asarray(BOUNDS)[:, 0]


def _high() -> Array:
    return np.asarray(BOUNDS)[:, 1]


def _width() -> Array:
    return _high() - _low()


def _botorch() -> tuple[Any, Any, Any]:
    """torch, botorch's module of fully Bayesian models, and its NUTS."""
    try:
        import numpyro  # noqa: F401
        import torch
        from botorch.fit import fit_fully_bayesian_model_nuts
        from botorch.models import fully_bayesian
    except ImportError as fault:
        raise ServiceMissing(
            f"botorch's NUTS needs jax and numpyro: pip install 'sdl-bluesky[nuts]' ({fault})"
        ) from None
    return torch, fully_bayesian, fit_fully_bayesian_model_nuts


def _chain(z: Array, y: Array, scale: float, long: tuple[int, int, int]) -> dict[str, Array]:
    """Samples of mean, length, outputscale and noise variance from botorch's NUTS under `PRIOR`."""
    torch, models, fit = _botorch()
    import numpyro
    import numpyro.distributions as dist

    def variance(name: str, median: float, spread: float) -> Any:
        return numpyro.sample(name, dist.LogNormal(2.0 * np.log(median), 2.0 * spread))

    class SamePriors(models.MaternPyroModel):
        """botorch's Matern-5/2 model with the priors of ours."""

        def sample_lengthscale(self, dim: int) -> Any:
            median, spread = PRIOR.length
            return numpyro.sample("lengthscale", dist.LogNormal(np.full(dim, np.log(median)), spread))

        _outputscale_prior_concentration = _outputscale_prior_rate = 1.0  # only that there is one

        def sample_outputscale(self, concentration: Any = None, rate: Any = None) -> Any:
            return variance("outputscale", *PRIOR.signal)

        def sample_noise(self) -> Any:
            absolute: LogNormal = PRIOR.noise.absolute
            return variance("noise", absolute[0] / scale, absolute[1])

        def sample_mean(self) -> Any:
            return numpyro.sample("mean", dist.Normal(0.0, PRIOR.constant))

        def postprocess_mcmc_samples(self, mcmc_samples: Any) -> Any:
            kept.update({k: np.asarray(v, dtype=float) for k, v in mcmc_samples.items()})
            return super().postprocess_mcmc_samples(mcmc_samples)

    kept: dict[str, Array] = {}

    class SameModel(models.FullyBayesianSingleTaskGP):
        """botorch's model over them."""

        _pyro_model_class = SamePriors

    model = SameModel(torch.tensor(z), torch.tensor(y)[:, None])
    warmup, samples, thinning = long
    fit(model, warmup_steps=warmup, num_samples=samples, thinning=thinning, disable_progbar=True)
    return kept


def _predict(samples: dict[str, Array], z: Array, y: Array, points: Array) -> tuple[Array, Array]:
    """Mean and standard deviation [q] of the latent quantity, averaged over the samples."""
    total, square = np.zeros(len(points)), np.zeros(len(points))
    count = len(samples["mean"])
    for k in range(count):
        length, signal = samples["lengthscale"][k], float(samples["outputscale"][k])
        mean, noise = float(samples["mean"][k]), float(samples["noise"][k])
        root = np.linalg.cholesky(signal * _matern(z, z, length) + noise * np.eye(len(z)))
        reach = np.linalg.solve(root, signal * _matern(z, points, length))
        here = mean + reach.T @ np.linalg.solve(root, y - mean)
        total += here
        square += here**2 + signal - np.sum(reach**2, axis=0)
    average = total / count
    return average, np.sqrt(square / count - average**2)


def _matern(a: Array, b: Array, length: Array) -> Array:
    r = np.sqrt(5.0 * np.sum(((a[:, None] - b[None]) / length) ** 2, axis=2))
    return (1.0 + r + r**2 / 3.0) * np.exp(-r)
