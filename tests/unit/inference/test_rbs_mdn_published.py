"""The network of the literature: its formulas, its preprocessing, its size, its training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from sdl_bluesky.data.rbs.system_file import read_system
from sdl_bluesky.errors import DataFileError, ModelFileError, OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_mdn.published import (
    Layout,
    Prediction,
    PublishedNetwork,
    Schedule,
    layout_of,
    load_published,
    make_published,
    measure,
    save_published,
    scaling_of,
)
from sdl_bluesky.inference.rbs_mdn.published.network import Terms
from sdl_bluesky.inference.rbs_mdn.published.scaling import in_bins
from sdl_bluesky.inference.rbs_mdn.published.training import train

A = read_system("A")
SMALL = Layout(((6, 5, 2), (4, 3, 2)), (20,), (10,), 2, hidden=8)
QUICK = Schedule(spectra=256, validation=64, rates=(2e-3, 5e-4), epochs=3, batch=32)


@pytest.fixture
def mixture():
    rng = np.random.default_rng(1)
    weight = rng.dirichlet(np.ones(3), 2)
    shape = (2, 3, 4)
    low, high = np.full(4, 50.0), np.array([5000.0, 4000.0, 3000.0, 2000.0])
    return Prediction(A, weight, rng.uniform(0, 1, shape), rng.uniform(0.02, 0.2, shape), low, high)


def test_mean_standard_deviation_and_covariance_are_those_of_samples(mixture):
    rng = np.random.default_rng(0)
    n = 200_000
    for b in range(2):
        pick = rng.choice(3, n, p=mixture.weight[b])
        y = rng.normal(mixture.centre[b, pick], mixture.spread[b, pick])
        samples = mixture.low + (mixture.high - mixture.low) * y
        scale = samples.std(axis=0)
        assert np.all(np.abs(mixture.mean[b] - samples.mean(axis=0)) < 0.015 * scale)
        assert mixture.std[b] == pytest.approx(scale, rel=0.01)
        cov = np.cov(samples.T)
        assert np.all(np.abs(mixture.cov[b] - cov) < 0.02 * np.outer(scale, scale))
        assert np.abs(cov[0, 1:]).max() > 0.1 * scale[0] * scale[1:].min()
        values = samples[:5]
        told = [mixture.distribution(np.tile(v, (2, 1)))[b] for v in values]
        assert np.array(told) == pytest.approx(np.array([np.mean(samples < v, axis=0) for v in values]), abs=0.005)


def test_samples_are_those_of_the_mixture(mixture):
    samples = mixture.samples(40_000, np.random.default_rng(3))
    assert samples.shape == (40_000, 2, 4)
    assert np.all(np.abs(samples.mean(axis=0) - mixture.mean) < 0.03 * mixture.std)
    assert samples.std(axis=0) == pytest.approx(mixture.std, rel=0.03)


def test_standard_deviations_of_the_components_scale_and_the_highest_component_is_the_best(mixture):
    one = replace(mixture, weight=np.tile([0.0, 1.0, 0.0], (2, 1)))
    assert one.scaled(1.3).std == pytest.approx(1.3 * one.std)
    assert one.best == pytest.approx(one.mean)
    narrow = np.array(mixture.spread)
    narrow[:, 2] = 1e-3
    assert replace(mixture, spread=narrow).best == pytest.approx(
        mixture.low + (mixture.high - mixture.low) * mixture.centre[:, 2]
    )


def test_the_likelihood_is_that_of_scipy_and_stays_finite_far_away(mixture):
    y = np.random.default_rng(2).uniform(0, 1, (2, 4))
    each = norm.logpdf(y[:, None], mixture.centre, mixture.spread).sum(axis=2)
    expected = -logsumexp(np.log(mixture.weight) + each, axis=1)
    terms = Terms(*(torch.tensor(k) for k in (np.log(mixture.weight), mixture.centre, mixture.spread)))
    assert terms.negative_log_density(torch.tensor(y)).numpy() == pytest.approx(expected)
    far = Terms(terms.log_weight.float(), terms.centre.float().requires_grad_(), 1e-4 * torch.ones(2, 3, 4))
    loss = far.negative_log_density(torch.full((2, 4), 1e3)).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert far.centre.grad is not None
    assert torch.isfinite(far.centre.grad).all()


def test_bins_are_merged_by_fours_over_the_regions_and_the_last_holds_what_is_left():
    system = replace(A, roi=((100, 107), (200, 203)))
    counts = np.arange(820.0)[None] + np.array([[0.0], [1000.0]])
    bins = in_bins(system, counts)
    assert bins[0].tolist() == [100 + 101 + 102 + 103, 104 + 105 + 106 + 200, 201 + 202]
    assert bins[1].tolist() == [bins[0, 0] + 4000, bins[0, 1] + 4000, bins[0, 2] + 2000]
    assert in_bins(A, counts).shape == (2, 175)


def test_bins_that_vary_like_noise_are_dropped_and_the_rest_is_smoothed_and_scaled():
    first = np.array([100, 900, 10, 400, 100, 900, 100, 0], dtype=float)
    off = np.array([31, 89, 11, 100, 31, 29.9, 31, 0], dtype=float)  # standard deviation of two values at mean +- off
    bins = np.stack([first - off, first + off])
    kept = [True, False, True, True, True, False, True, False]  # 31 > 3 * 10; 89 < 90; 11 > 9.5; 100 > 60; 29.9 < 90; 0
    densities = np.array([[50.0, 100.0], [250.0, 500.0]])
    scaling = scaling_of(bins, densities)
    assert scaling.kept.tolist() == kept
    weights = np.array([-3, 12, 17, 12, -3]) / 35  # a parabola through five points, at the middle one
    middle = bins[:, kept] @ weights
    assert scaling.size == 5
    assert scaling.mean[2] == pytest.approx(middle.mean())
    assert scaling.spread[2] == pytest.approx(middle.std())
    assert scaling.inputs(bins)[:, 2] == pytest.approx([-1.0, 1.0], rel=1e-5)
    assert scaling.targets(np.array([[150.0, 500.0]])).tolist() == [[0.5, 1.0]]
    with pytest.raises(OutOfRange, match="0 of 8 bins"):
        scaling_of(np.full((2, 8), 100.0), densities)


def test_noise_is_drawn_once_on_rounded_counts():
    found = measure(A, 60, 4)
    assert np.array_equal(found.counts, measure(A, 60, 4).counts)
    assert not np.array_equal(found.counts, measure(A, 60, 5).counts)
    assert np.array_equal(found.counts, np.rint(found.counts))
    expected = in_bins(A, np.rint(A.spectra(A.coordinates(found.densities.astype(float)), np.ones(60))))
    seen = expected > 50
    off = (found.counts - expected)[seen] / np.sqrt(expected[seen])
    assert np.mean(off) == pytest.approx(0.0, abs=0.04)
    assert np.std(off) == pytest.approx(1.0, abs=0.03)
    with pytest.raises(OutOfRange, match="no nuisance"):
        measure(read_system("cusn-glass"), 2)


def _count(network):
    return sum(k.numel() for k in network.parameters())


def _gru(inputs, hidden=128):
    """Two layers, both directions: three gates with weights for input and state, and two biases."""
    return sum(2 * 3 * (hidden * (n + hidden) + 2 * hidden) for n in (inputs, 2 * hidden))


@pytest.mark.parametrize(("name", "bins", "length", "d"), [("A", 175, 159, 4), ("B", 220, 18, 15), ("C", 550, 59, 30)])
def test_networks_have_the_size_that_is_published(name, bins, length, d):
    layout = layout_of(name)
    maps = {"A": [45, 35, 30, 25]}.get(name, [55, 50, 45, 35, 30, 25])
    kernels = {"A": [7, 5, 5, 3]}.get(name, [15, 12, 10, 7, 5, 3])
    m = {"A": 1, "B": 8, "C": 10}[name]
    network = PublishedNetwork(layout, bins, d)
    assert layout.map_length(bins) == length == network.gru.input_size
    size = sum(k * (before * width + 1) for before, k, width in zip([1, *maps], maps, kernels, strict=False))
    size += _gru(length) + 257 * m * d
    wide = {"A": 300}.get(name, 800)
    size += (256 + m * d + 1) * wide + (wide + 1) * m * d
    before = 256 + 2 * m * d
    size += (before + 1) * m if name == "A" else (before + 1) * 100 + 101 * m
    assert _count(network) == size
    said = network(torch.randn(3, bins))
    assert said.centre.shape == said.spread.shape == (3, m, d)
    assert torch.all(said.spread > 0)
    assert said.log_weight.exp().sum(1).tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(OutOfRange, match="fewer than the convolutions"):
        PublishedNetwork(layout, 10, d)


def test_the_sequence_runs_over_the_maps_and_ends_in_the_states_of_both_directions():
    network = PublishedNetwork(SMALL, 40, 3)
    x = torch.randn(2, 40)
    maps = network.convolutions(x[:, None])
    out, _ = network.gru(maps)
    assert maps.shape == (2, 4, SMALL.map_length(40))
    assert torch.allclose(network.summary(x), torch.cat([out[:, -1, :8], out[:, 0, 8:]], 1), atol=1e-6)


def test_ablations():
    flat = PublishedNetwork(replace(SMALL, recurrent=False), 40, 3)
    assert flat.summary(torch.randn(2, 40)).shape == (2, 4 * SMALL.map_length(40))
    point = PublishedNetwork(replace(SMALL, components=1, density=False), 40, 3)
    x, y = torch.randn(5, 40), torch.rand(5, 3)
    assert point.loss(x, y).item() == pytest.approx(((point(x).centre[:, 0] - y) ** 2).mean().item())
    assert not hasattr(point, "spread")
    with pytest.raises(OutOfRange, match="has 1"):
        replace(SMALL, density=False)
    with pytest.raises(UnknownName, match="'A', 'B', 'C'"):
        layout_of("D")


@pytest.fixture(scope="module")
def published():
    return make_published(A, SMALL, QUICK)


def test_a_training_lowers_the_loss_and_is_kept_in_a_file(published, tmp_path):
    assert min(published.card["losses"]) < published.card["losses"][0] - 0.05
    counts = np.random.default_rng(0).poisson(A.spectra(np.zeros((3, 4)), np.ones(3)))
    said = published.predict(counts)
    assert said.mean.shape == said.std.shape == said.best.shape == (3, 4)
    assert np.all((said.mean > -500) & (said.mean < 5500))
    file = tmp_path / "deeper" / "model.pt"
    save_published(published, file)
    assert np.array_equal(load_published(file, A).predict(counts).mean, said.mean)
    assert load_published(file, A).card["losses"] == published.card["losses"]
    with pytest.raises(ModelFileError, match="not trained for B"):
        load_published(file, read_system("B"))
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelFileError, match="no network"):
        load_published(file, A)
    with pytest.raises(ModelFileError, match="no such file"):
        load_published(tmp_path / "none.pt", A)
    for bad in (np.zeros((1, 5)), np.full((1, 820), np.nan), np.full((1, 820), -1.0)):
        with pytest.raises(OutOfRange):
            published.predict(bad)


def test_a_regression_to_a_point_has_no_uncertainty():
    layout = replace(SMALL, components=1, density=False)
    made = make_published(A, layout, replace(QUICK, rates=(1e-3,), epochs=1))
    said = made.predict(np.ones((2, 820)))
    assert not said.is_density
    assert np.all(said.std == 0)
    assert np.array_equal(said.best, said.mean)


def _data(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.uniform(0, 1, (n, 3))
    x = y @ rng.normal(size=(3, 40)) + 0.1 * rng.normal(size=(n, 40))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def _fresh():
    torch.manual_seed(0)
    return PublishedNetwork(SMALL, 40, 3)


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("when", [1, 3, 4, 6])
def test_an_interrupted_training_comes_to_the_same_end(when, tmp_path):
    data, file = (_data(128, 1), _data(64, 1)), tmp_path / "state"
    whole, again = _fresh(), _fresh()
    losses = train(whole, *data, QUICK).losses

    def stop(epoch, loss):
        if epoch == when:
            raise _Stopped

    with pytest.raises(_Stopped):
        train(_fresh(), *data, QUICK, checkpoint=file, tell=stop)
    done, before = [], 0.0
    if file.exists():
        kept = torch.load(file, weights_only=True)
        before = kept["place"]["seconds"] = 1e6
        torch.save(kept, file)
    resumed = train(again, *data, QUICK, checkpoint=file, tell=lambda epoch, loss: done.append(epoch))
    assert resumed.losses == losses
    assert resumed.seconds > before, "the parts before an interruption count"
    assert done == list(range(when, 7))  # what was told last had not been written
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_of_another_training_is_refused(tmp_path):
    data, file = (_data(64, 1), _data(64, 1)), tmp_path / "state"
    train(_fresh(), *data, QUICK, checkpoint=file)
    with pytest.raises(DataFileError, match="another training"):
        train(_fresh(), *data, replace(QUICK, seed=1), checkpoint=file)
    file.write_bytes(b"half")
    with pytest.raises(DataFileError, match="no state"):
        train(_fresh(), *data, QUICK, checkpoint=file)


def test_a_step_ends_early_and_the_best_weights_stay():
    x, y = _data(32, 1)
    known = _data(64, 2)
    plan = Schedule(rates=(2e-2, 1e-2), epochs=60, patience=4, batch=16)
    network = _fresh()
    losses = train(network, (x, y), known, plan).losses
    assert len(losses) < 2 * plan.epochs
    with torch.inference_mode():
        assert network.loss(*known).item() == pytest.approx(min(losses), rel=1e-5)
    best = losses.index(min(losses))
    assert len(losses) - 1 - best >= plan.patience


@pytest.mark.parametrize("change", [{"rates": ()}, {"rates": (float("nan"),)}, {"batch": 0}, {"epochs": -1}])
def test_a_schedule_without_a_meaning_is_refused(change):
    with pytest.raises(OutOfRange):
        replace(QUICK, **change)
