"""Counts, charge and dead time of an acquisition, and the spectrum that is hidden behind them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ioc_sims.rbs.acquisition import Acquisition, State
from ioc_sims.rbs.spectra import Spectra, stopping_factors, with_gain

RATE = 50.0 + 40.0 * np.sin(np.arange(200) / 20.0) ** 2  # counts per channel and uC


def acquire(preset_uC: float, dead_time_us: float = 0.0, factor: float = 1.0, seed: int = 0, step_s=7.0) -> Acquisition:
    noise = np.random.default_rng(seed)
    one = Acquisition(len(RATE), dead_time_us)
    one.begin(factor)
    one.expect(RATE)
    for _ in range(10**6):
        one.run(step_s, 20.0, preset_uC, noise)
        if not one.running:
            break
    return one


@settings(max_examples=30)
@given(st.floats(0.01, 50.0), st.floats(0.97, 1.03), st.floats(0.3, 300.0))
def test_it_ends_exactly_at_the_preset(preset, factor, step):
    one = acquire(preset, factor=factor, step_s=step)
    assert one.state is State.DONE
    assert one.charge_uC == pytest.approx(preset, rel=1e-12)
    assert one.real_s == pytest.approx(preset * factor / 0.02, rel=1e-9)
    assert one.live_s == pytest.approx(one.real_s)


@settings(max_examples=20)
@given(st.floats(0.1, 200.0), st.floats(0.97, 1.03), st.integers(0, 1000))
def test_counts_are_proportional_to_the_true_charge(charge, factor, seed):
    expected = RATE.sum() * charge * factor
    found = acquire(charge, factor=factor, seed=seed).spectrum.sum()
    assert abs(found - expected) < 6 * np.sqrt(expected)


def test_channels_are_independent_and_poissonian():
    spectra = np.array([acquire(2.0, seed=seed, step_s=3.0).spectrum for seed in range(60)])
    chi2 = float(((spectra - 2 * RATE) ** 2 / (2 * RATE)).sum())
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], spectra.size)
    assert low < chi2 < high
    neighbours = np.corrcoef((spectra - 2 * RATE)[:, 1:].ravel(), (spectra - 2 * RATE)[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(spectra.size)


def test_the_spectrum_only_grows_and_is_cleared_by_the_next_start():
    noise = np.random.default_rng(0)
    one = Acquisition(len(RATE), 4.0)
    one.begin(1.0)
    one.expect(RATE)
    seen = [one.spectrum]
    for _ in range(20):
        one.run(5.0, 20.0, 1.0, noise)
        seen.append(one.spectrum)
    assert all((after >= before).all() for before, after in pairwise(seen))
    assert one.state is State.DONE
    one.begin(1.0)
    assert not one.spectrum.any()
    assert (one.charge_uC, one.live_s, one.real_s) == (0.0, 0.0, 0.0)


def test_dead_time_makes_it_longer_and_takes_nothing_from_the_counts_of_a_charge():
    n = RATE.sum() * 0.02  # events per second
    one = acquire(50.0, dead_time_us=2000.0)
    assert one.live_s / one.real_s == pytest.approx(1 / (1 + n * 2000e-6))
    assert one.live_s / one.real_s < 0.65
    assert one.real_s == pytest.approx(2500.0 * (1 + n * 2000e-6))
    expected = RATE.sum() * 50.0
    assert abs(one.spectrum.sum() - expected) < 5 * np.sqrt(expected)


def test_charge_stands_still_without_beam_and_time_does_not():
    one = Acquisition(len(RATE), 4.0)
    one.begin(1.0)
    one.expect(RATE)
    one.run(100.0, 0.0, 1.0, np.random.default_rng(0))
    assert one.running
    assert (one.charge_uC, one.real_s, one.live_s, one.spectrum.sum()) == (0.0, 100.0, 100.0, 0)


def test_charge_before_the_spectrum_is_known_is_counted_afterwards():
    noise = np.random.default_rng(0)
    one = Acquisition(len(RATE), 4.0)
    one.begin(1.0)
    one.run(10.0, 20.0, 1.0, noise)
    one.run(10.0, 30.0, 1.0, noise)
    assert (one.charge_uC, one.real_s, one.spectrum.sum()) == (0.0, 0.0, 0)
    one.expect(RATE)
    one.run(1.0, 0.0, 1.0, noise)
    assert one.charge_uC == pytest.approx(0.5, rel=2e-3)
    assert one.real_s == 21.0
    assert one.spectrum.sum() == pytest.approx(0.5 * RATE.sum(), rel=0.05)


def test_a_stop_keeps_what_was_counted():
    one = Acquisition(len(RATE), 0.0)
    one.stop()
    assert one.state is State.IDLE
    one.begin(1.0)
    one.expect(RATE)
    one.run(10.0, 20.0, 1.0, np.random.default_rng(0))
    kept = one.spectrum.copy()
    one.stop()
    assert one.state is State.STOPPED
    np.testing.assert_array_equal(one.spectrum, kept)


# what is hidden -------------------------------------------------------------------------------------------------------


def peak(centre: float, channels: int) -> np.ndarray:
    edges = stats.norm.cdf(np.arange(channels + 1), centre, 4.0)
    return 1e5 * np.diff(edges)


@pytest.mark.parametrize("gain", [0.997, 0.9995, 1.0, 1.0007, 1.003])
def test_gain_moves_a_peak_and_keeps_its_counts(gain):
    seen = with_gain(peak(800.3, 1050), gain, 1000)
    np.testing.assert_allclose(seen, 1e5 * np.diff(stats.norm.cdf(np.arange(1001) * gain, 800.3, 4.0)), atol=20.0)
    assert seen.sum() == pytest.approx(1e5)
    assert seen.min() >= 0.0  # a negative expectation has no Poisson counts
    assert float(seen @ (np.arange(1000) + 0.5)) / 1e5 == pytest.approx(800.3 / gain, abs=1e-3)


def test_spectra_are_made_with_the_hidden_stopping_and_once(make_rbs, monkeypatch):
    from ioc_sims.rbs import spectra as module

    config = make_rbs()
    layers = ({"Cu": 300.0, "Sn": 200.0}, {"O": 4000.0, "Si": 2000.0})
    made = []
    real = module.spectrum

    def counted(*args, **kwargs):
        made.append(kwargs["stopping"])
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "spectrum", counted)
    spectra = Spectra(config)
    first = spectra.per_uC(layers, 2000.0, 7.0)
    assert spectra.per_uC(layers, 2000.0, 7.0) is first
    assert len(made) == 1
    assert set(made[0]) == {"Cu", "Sn", "O", "Si"}
    spectra.per_uC(layers, 2000.0, 8.0)
    spectra.per_uC(layers, 2001.0, 7.0)
    assert len(made) == 3
    case = {
        **{"ion": "4He", "E_keV": 2000.0, "theta_deg": 165.0, "alpha_deg": 7.0, "beta_deg": 8.0},
        **{"slope_keV": 2.0, "offset_keV": 0.0, "resolution_fwhm_keV": 15.0, "solid_angle_msr": 10.0},
        **{"fluence_ions": 6.241509e12, "layers": layers},
    }
    np.testing.assert_allclose(first[:1024], real(case, stopping=made[0], slab=2000.0), rtol=1e-6, atol=1e-9)


def test_stopping_factors_are_of_the_stated_size_and_belong_to_seed_and_element(make_rbs):
    one = stopping_factors(make_rbs(), ["Cu", "Sn", "Si"])
    assert stopping_factors(make_rbs(), ["Si", "O", "Cu"])["Cu"] == one["Cu"]
    assert len(set(one.values())) == 3
    drawn = [stopping_factors(make_rbs(seed=seed), ["Cu"])["Cu"] for seed in range(300)]
    assert np.mean(drawn) == pytest.approx(1.0, abs=0.005)
    assert np.std(drawn) == pytest.approx(0.02, rel=0.15)
    assert stopping_factors(make_rbs(physics={"stopping_sd": 0.0}), ["Cu"]) == {"Cu": 1.0}
