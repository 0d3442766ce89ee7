"""The acquisitions in BoTorch: beside the law itself, its optimiser, batches."""

import numpy as np
import pytest
import torch
from botorch.models import ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.pibo.acquisition import DistanceQuantile, InSpecification, propose_batch
from sdl_bluesky.inference.pibo.distance import distance_quantile, published_quantile
from sdl_bluesky.inference.pibo.inspec import Box
from sdl_bluesky.physics.alloys import InGaAsP, Specification

BOUNDS = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
BOX = Box.of(Specification(1180.0), InGaAsP())


@pytest.fixture(scope="module", params=["list", "one"])
def model(request):
    """x and y linear in the inputs, learned from nine points."""
    at = torch.cartesian_prod(*[torch.linspace(0.1, 0.9, 3, dtype=torch.float64)] * 2)
    xy = BOX.target + 0.05 * (at - torch.tensor([0.4, 0.6], dtype=torch.float64))
    noise = torch.full((9, 1), 1e-8, dtype=torch.float64)
    if request.param == "one":
        return SingleTaskGP(at, xy, train_Yvar=noise.expand(9, 2)).eval()
    return ModelListGP(*(SingleTaskGP(at, xy[:, [k]], train_Yvar=noise) for k in range(2))).eval()


@pytest.mark.parametrize(("published", "law"), [(False, distance_quantile), (True, published_quantile)])
def test_values_are_those_of_the_law(model, published, law):
    points = torch.rand(5, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = DistanceQuantile(model, BOX.target, 0.2, published)(points)
    posterior = model.posterior(points)
    expected = law(0.2, posterior.mean[:, 0] - BOX.target, posterior.variance[:, 0].sqrt())
    assert value.shape == (5,)
    assert torch.allclose(value, -expected)


@pytest.mark.parametrize("make", [lambda m: DistanceQuantile(m, BOX.target), lambda m: InSpecification(m, BOX)])
def test_the_optimiser_finds_the_target(model, make):
    torch.manual_seed(0)
    point, _ = optimize_acqf(make(model), BOUNDS, q=1, num_restarts=3, raw_samples=64)
    mean = model.posterior(point).mean[0]
    assert torch.max(torch.abs(mean - BOX.target)) < 0.006


def test_points_of_a_batch_are_chosen_one_after_another(model):
    torch.manual_seed(0)
    points = propose_batch(model, lambda m: DistanceQuantile(m, BOX.target, 0.01), BOUNDS, 2)
    assert points.shape == (2, 2)
    assert bool(((points >= 0) & (points <= 1)).all())
    with pytest.raises(OutOfRange):
        propose_batch(model, lambda m: DistanceQuantile(m, BOX.target), BOUNDS, 0)


def test_what_cannot_be_used_is_refused(model):
    one = SingleTaskGP(torch.rand(3, 2, dtype=torch.float64), torch.rand(3, 1, dtype=torch.float64))
    for make in (lambda: DistanceQuantile(one, BOX.target), lambda: InSpecification(one, BOX)):
        with pytest.raises(OutOfRange, match="x and y"):
            make()
    with pytest.raises(OutOfRange, match="p = 1"):
        DistanceQuantile(model, BOX.target, 1.0)
    with pytest.raises(AssertionError):
        DistanceQuantile(model, BOX.target)(torch.rand(4, 3, 2))
    assert np.isfinite(BOX.target.numpy()).all()
