"""Posteriors against closed forms, sampling and scipy; recalibration of distributions that are too narrow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_mdn import assess
from sdl_bluesky.inference.rbs_mdn.network import Mixture, Network, Shape
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.recalibration import Recalibration, recalibrate
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.rbs import Setup

SETUP = Setup(elements=("Cu", "Sn", "Si"), fluence_ions=3e13)
UNIFORM = MaterialSystem(
    "film",
    SETUP,
    ({"Cu": (50.0, 1050.0), "Sn": (50.0, 1050.0)}, {"Si": 8000.0}),
    ((200, 950),),
    nuisance={"offset": 2.0},
)
P = 3


def posterior(
    mean: list[list[float]], cov: list[np.ndarray], weight: tuple[float, ...] = (1.0,), copies: int = 1
) -> Posterior:
    """Copies of a mixture, not recalibrated."""
    factor = np.array([np.linalg.inv(np.linalg.cholesky(k)) for k in cov])
    parts = [np.repeat(np.array(k)[None], copies, axis=0) for k in (weight, mean, factor)]
    return Posterior(UNIFORM, *parts, Recalibration.none(P))


def covariance(*std: float, correlation: float = 0.0) -> np.ndarray:
    unit = np.eye(P)
    unit[0, 1] = unit[1, 0] = correlation
    return unit * np.multiply.outer(std, std)


def test_a_network_tells_the_density_of_its_mixture() -> None:
    torch.manual_seed(1)
    network = Network(Shape(7, P, 16, 2, 2)).double()
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    found = network(torch.randn(5, 7, dtype=torch.float64))
    z = torch.randn(5, P, dtype=torch.float64)
    told = found.negative_log_density(z).detach().numpy()
    weight, mean, factor = (k.detach().numpy() for k in (found.log_weight.exp(), found.mean, found.factor()))
    for b in range(5):
        each = [
            weight[b, m] * stats.multivariate_normal(mean[b, m], np.linalg.inv(factor[b, m].T @ factor[b, m])).pdf(z[b])
            for m in range(2)
        ]
        assert told[b] == pytest.approx(-np.log(sum(each)))
    assert isinstance(found, Mixture)
    assert weight.sum(axis=1) == pytest.approx(1.0)


def test_where_nothing_is_known_the_posterior_is_the_prior() -> None:
    blind = posterior([[0.0] * P], [np.eye(P)])
    assert blind.mean[0] == pytest.approx([550.0, 550.0, 0.0], abs=0.5)
    assert blind.std[0] == pytest.approx(UNIFORM.prior_sd, rel=0.01)
    assert blind.quantiles([0.05, 0.5, 0.95])[0, 0] == pytest.approx([100.0, 550.0, 1000.0])
    assert blind.distribution(np.array([[300.0, 50.0, 2.0]]))[0] == pytest.approx(
        [0.25, 0.0, stats.norm.cdf(1.0)], abs=1e-6
    )


def test_mixtures_agree_with_their_samples() -> None:
    two = posterior(
        [[-0.5, 0.2, 0.0], [1.0, -0.4, 0.5]],
        [covariance(0.2, 0.3, 0.5, correlation=0.5), covariance(0.1, 0.4, 1.0, correlation=-0.3)],
        (0.7, 0.3),
    )
    drawn = two.samples(20_000, np.random.default_rng(2))[:, 0]
    assert two.mean[0] == pytest.approx(drawn.mean(axis=0), abs=8.0)
    assert two.std[0] == pytest.approx(drawn.std(axis=0), rel=0.03)
    for q in (0.05, 0.5, 0.9):
        assert two.quantiles([q])[0, :, 0] == pytest.approx(np.quantile(drawn, q, axis=0), abs=8.0)
    place = two.distribution(drawn[:1])
    assert two.quantiles([0.3])[0, :, 0] == pytest.approx(
        [two._values_at(np.full((1, P), 0.3))[0, k] for k in range(P)]
    )
    assert np.all((place > 0) & (place < 1))
    assert two.correlation[0, 0, 1] == pytest.approx(
        np.corrcoef(UNIFORM.coordinates(drawn), rowvar=False)[0, 1], abs=0.03
    )
    heights = np.array([0.7, 0.3]) / np.sqrt([np.linalg.det(k) for k in two.cov_z[0]])
    assert two.modes[0, 0] == pytest.approx(two.mean_z[0, int(np.argmax(heights))])


def test_composition_and_total_know_that_densities_hang_together() -> None:
    narrow = posterior([[0.0, 0.0, 0.0]], [covariance(0.05, 0.05, 1.0, correlation=-0.9)])
    slope = 1000.0 * stats.norm.pdf(0.0) * 0.05
    total = narrow.total(["Cu", "Sn"], count=4000)
    assert total.mean[0, 0] == pytest.approx(1100.0, abs=1.0)
    assert total.std[0, 0] == pytest.approx(slope * np.sqrt(2.0 * 0.1), rel=0.05)
    part = narrow.composition(["Cu", "Sn"], count=4000)
    assert part.std[0] == pytest.approx([slope * np.sqrt(2.0 * 1.9) / 2200.0] * 2, rel=0.05)
    assert part.low[0, 0] < 0.5 < part.high[0, 0]
    everything = narrow.composition(["Cu", "Sn", "Si"], layers=(0, 1))
    assert everything.mean[0, 2] == pytest.approx(8000.0 / 9100.0, rel=1e-3)
    with pytest.raises(UnknownName, match="Au"):
        narrow.composition(["Au"])
    with pytest.raises(OutOfRange, match="0 to 1"):
        narrow.total(["Cu"], layers=[2])


@pytest.mark.parametrize("wrong", [0.6, 1.0, 1.5])
def test_recalibration_mends_a_wrong_width_and_ranks_tell_it(wrong: float) -> None:
    count, judged, rng = 20_000, 3000, np.random.default_rng(3)
    whole = count + judged
    middle = rng.normal(0.0, 0.5, (whole, 1, P))
    truth = UNIFORM.values(middle[:, 0] + 0.3 * rng.standard_normal((whole, P)))
    factor = np.tile(np.eye(P) / (0.3 * wrong), (whole, 1, 1, 1))
    told = Posterior(UNIFORM, np.ones((whole, 1)), middle, factor, Recalibration.none(P))
    first, second = (
        Posterior(UNIFORM, told.weight[k], told.mean_z[k], told.factor_z[k], told.recalibration)
        for k in (slice(count), slice(count, None))
    )
    chances = assess.rank_chance(second.distribution(truth[count:]))
    assert np.all(chances > 1e-3) if wrong == 1.0 else np.all(chances < 1e-6)
    curve = recalibrate(first.told(truth[:count]))
    mended = Posterior(UNIFORM, second.weight, second.mean_z, second.factor_z, curve)
    inside = np.abs(mended.distribution(truth[count:]) - 0.5) < 0.45
    assert inside.mean(axis=0) == pytest.approx([0.9] * P, abs=4.0 * np.sqrt(0.09 / judged + 0.09 / count))
    assert np.all(assess.rank_chance(mended.distribution(truth[count:])) > 1e-4)
    for factor_ in (1.3, 0.77):
        assert np.all(assess.rank_chance(assess.scaled(mended, factor_).distribution(truth[count:])) < 1e-4)
    right = Posterior(UNIFORM, told.weight, told.mean_z, np.tile(np.eye(P) / 0.3, (whole, 1, 1, 1)), told.recalibration)
    assert np.median(mended.std / right.std[count:], axis=0) == pytest.approx([1.0] * P, abs=0.06)


def test_too_few_spectra_recalibrate_nothing() -> None:
    with pytest.raises(OutOfRange, match="200 at least"):
        recalibrate(np.full((50, P), 0.5))
