"""The distance quantile and the probability of specification as BoTorch acquisition functions, and batches of them.

For models of two outcomes, x and y, with independent errors; BoTorch maximises, so the quantile is returned with its sign
turned. `AnalyticAcquisitionFunction` refuses models of several outcomes, hence the plain base class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.optim import optimize_acqf
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.transforms import t_batch_mode_transform
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from torch import Tensor

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.pibo.distance import distance_quantile, published_quantile
from sdl_bluesky.inference.pibo.inspec import Box

_LEAST_VARIANCE = 1e-12
_BELIEVED = 1e-6  # variance of a believed reading; gpytorch takes none smaller


class DistanceQuantile(AcquisitionFunction):
    """-(p-quantile of (x - x*)^2 + (y - y*)^2).

    Args:
        model: of x and y.
        target: (x*, y*) [2].
        p: 0 < p < 1.
        published: take both errors as their root mean square, as PIBO was published.
    """

    target: Tensor

    def __init__(self, model: Model, target: Tensor, p: float = 0.1, published: bool = False) -> None:
        super().__init__(model=model)
        if model.num_outputs != 2:
            raise OutOfRange(f"a model of {model.num_outputs} outcome(s): give one of x and y")
        if not 0.0 < p < 1.0:
            raise OutOfRange(f"p = {p}: give a probability above 0 and below 1, e.g. 0.1")
        self.register_buffer("target", torch.as_tensor(target, dtype=torch.float64))
        self.p, self.law = p, published_quantile if published else distance_quantile

    @t_batch_mode_transform(expected_q=1)  # pyright: ignore[reportArgumentType]
    def forward(self, X: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Values [b] at points [b, 1, d]."""
        mean, variance = _moments(self.model, X)
        return -self.law(self.p, mean - self.target, torch.sqrt(variance))


class InSpecification(AcquisitionFunction):
    """Probability that a layer is in specification.

    Args:
        model: of x and y.
        box: the specification as seen from the composition.
    """

    def __init__(self, model: Model, box: Box) -> None:
        super().__init__(model=model)
        if model.num_outputs != 2:
            raise OutOfRange(f"a model of {model.num_outputs} outcome(s): give one of x and y")
        self.box = box

    @t_batch_mode_transform(expected_q=1)  # pyright: ignore[reportArgumentType]
    def forward(self, X: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Values [b] at points [b, 1, d]."""
        mean, variance = _moments(self.model, X)
        return self.box.probability(mean, torch.diag_embed(variance))


def _moments(model: Model, points: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances [b, 2] at points [b, 1, d]."""
    posterior = cast(GPyTorchPosterior, model.posterior(points))
    return posterior.mean.squeeze(-2), posterior.variance.squeeze(-2).clamp_min(_LEAST_VARIANCE)


def propose_batch(
    model: Model,
    make: Callable[[Model], AcquisitionFunction],
    bounds: Tensor,
    q: int,
    num_restarts: int = 4,
    raw_samples: int = 64,
) -> Tensor:
    """Points [q, d] chosen one after another, each believed to come out as predicted before the next is chosen.

    Args:
        model: of x and y, already used for a prediction or not.
        make: acquisition of a model, e.g. ``lambda m: DistanceQuantile(m, target)``.
        bounds: [2, d].
        q: number of points.
        num_restarts, raw_samples: of each optimisation, see `botorch.optim.optimize_acqf`.

    Raises:
        OutOfRange: q is below 1.
    """
    if q < 1:
        raise OutOfRange(f"q = {q}: ask for one point or more")
    chosen: list[Tensor] = []
    for _ in range(q):
        point, _ = optimize_acqf(make(model), bounds, q=1, num_restarts=num_restarts, raw_samples=raw_samples)
        chosen.append(point)
        if len(chosen) < q:
            with torch.no_grad():
                believed = cast(GPyTorchPosterior, model.posterior(point)).mean
            told = {"noise": torch.full_like(believed, _BELIEVED)} if _fixed_noise(model) else {}
            model = model.condition_on_observations(X=model.transform_inputs(point), Y=believed, **told)
    return torch.cat(chosen)


def _fixed_noise(model: Model) -> bool:
    """Whether readings of the model come with their own errors, so that believed ones need one."""
    parts = getattr(model, "models", [model])
    return any(isinstance(getattr(part, "likelihood", None), FixedNoiseGaussianLikelihood) for part in parts)
