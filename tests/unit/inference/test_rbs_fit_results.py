"""What is computed from a fit: composition, profile intervals; Autofit beside it; findings and typed errors."""

import numpy as np
import pytest

from sdl_bluesky.errors import OutOfRange, SDLError, UnknownName
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.physics.rbs import Setup, simulate

SETUP = Setup(elements=("Cu", "Sn", "Si"), fluence_ions=2e13, channels=1000)
FREE = np.array([[True, True, False], [True, False, False], [False, False, False]])
SAMPLE = np.array([[300.0, 200.0, 0.0], [400.0, 0.0, 0.0], [0.0, 0.0, 25000.0]])
START = np.where(FREE, 500.0, SAMPLE)
ROI = [(60, 1000)]


@pytest.fixture(scope="module")
def counts():
    layers = np.repeat(SAMPLE[None], 30, axis=0)
    return np.random.default_rng(4).poisson(simulate(SETUP, layers)).astype(float)


@pytest.fixture(scope="module")
def result(counts):
    return rbs_fit.fit(SETUP, counts, START, free=FREE, roi=ROI, nuisance={"fluence": 0.02})


def test_composition_has_the_spread_of_samples_from_the_covariance(result):
    found = rbs_fit.composition(result)
    assert found.elements == ("Cu", "Sn")
    assert found.fraction.sum(axis=1) == pytest.approx(np.ones(30))
    draws = np.random.default_rng(0).multivariate_normal(result.values[0], result.cov[0], 20000)
    copper = (draws[:, 0] + draws[:, 2]) / draws[:, :3].sum(axis=1)
    assert found.fraction[0, 0] == pytest.approx(copper.mean(), abs=1e-4)
    assert found.std[0, 0] == pytest.approx(copper.std(), rel=0.03)
    density, std = rbs_fit.total(result)
    assert density[0] == pytest.approx(result.values[0, :3].sum())
    assert std[0] == pytest.approx(draws[:, :3].sum(axis=1).std(), rel=0.03)
    assert np.mean(np.abs(found.fraction[:, 0] - 7 / 9) < 1.96 * found.std[:, 0]) > 0.8


def test_composition_of_one_layer_and_of_held_ones(result):
    surface = rbs_fit.composition(result, layers=[0])
    assert surface.fraction[:, 0].mean() == pytest.approx(0.6, abs=0.01)
    whole = rbs_fit.composition(result, layers=[0, 1, 2])
    assert whole.elements == ("Cu", "Sn", "Si")
    assert whole.fraction[0, 2] == pytest.approx(25000 / (25000 + result.values[0, :3].sum()))
    alone = rbs_fit.composition(result, layers=[2], elements=["Si"])
    assert alone.fraction[0, 0] == 1.0
    assert alone.std[0, 0] == 0.0
    with pytest.raises(UnknownName, match="Cu"):
        rbs_fit.composition(result, elements=["Au"])
    with pytest.raises(OutOfRange, match="layers 0 to 2"):
        rbs_fit.total(result, layers=[3])


@pytest.mark.parametrize("quantity", ["Sn@1", "Cu@2", "fluence"])
def test_a_profile_of_what_is_well_known_is_the_normal_interval(result, quantity):
    k = result.names.index(quantity)
    found = rbs_fit.profile(result, quantity)
    half = 1.96 * np.sqrt(result.cov[:, k, k])
    assert found.value == pytest.approx(result.values[:, k])
    assert (found.upper - found.value) / half == pytest.approx(np.ones(30), abs=0.15)
    assert (found.value - found.lower) / half == pytest.approx(np.ones(30), abs=0.15)
    assert not (found.open_lower | found.open_upper).any()
    assert found.deeper.max() < 0.1


def test_the_end_of_a_profile_is_a_refit_with_the_quantity_held(result, counts):
    found = rbs_fit.profile(result, "Sn@1", level=0.9)
    held = np.array(FREE)
    held[0, 1] = False
    start = np.repeat(START[None], 30, axis=0)
    start[:, 0, 1] = found.upper
    refit = rbs_fit.fit(SETUP, counts, start, free=held, roi=ROI, nuisance={"fluence": 0.02})
    prior = [((k.nuisance[:, 0] - 1.0) / 0.02) ** 2 for k in (refit, result)]
    rise = (refit.deviance + prior[0]) - (result.deviance + prior[1])
    assert rise == pytest.approx(np.full(30, 1.645**2), abs=0.15)


def test_profiles_of_a_fraction_and_of_a_sum(result):
    part = rbs_fit.composition(result, layers=[0])
    found = rbs_fit.profile(result, rbs_fit.Fraction("Cu", layers=[0]), level=0.683)
    assert (found.upper - found.value) == pytest.approx(part.std[:, 0], rel=0.15)
    density, std = rbs_fit.total(result)
    whole = rbs_fit.profile(result, rbs_fit.Total(), level=0.683)
    assert whole.value == pytest.approx(density)
    assert whole.value - whole.lower == pytest.approx(std, rel=0.15)


def test_a_profile_stops_at_the_bounds(counts):
    blind = Setup(elements=("Cu", "Sn", "Si"), fluence_ions=2e13, channels=1000)
    found = rbs_fit.fit(blind, counts[:2], START, free=FREE, roi=[(960, 1000)])
    interval = rbs_fit.profile(found, "Cu@1")
    assert interval.open_lower.all()
    assert interval.open_upper.all()
    assert np.all(interval.upper == 5000.0)


@pytest.mark.parametrize(
    ("quantity", "level", "fault"),
    [
        ("Au@1", 0.95, UnknownName),
        (rbs_fit.Fraction("Au"), 0.95, UnknownName),
        (rbs_fit.Total(layers=[7]), 0.95, OutOfRange),
        ("Cu@1", 95.0, OutOfRange),
    ],
)
def test_profiles_of_what_is_not_there(result, quantity, level, fault):
    with pytest.raises(fault):
        rbs_fit.profile(result, quantity, level)


def test_autofit_finds_what_the_gradient_finds_with_many_more_evaluations(counts, result):
    near = np.where(FREE, 1.1 * SAMPLE, SAMPLE)
    told = []
    found = rbs_fit.autofit(
        SETUP, counts[:3], near, free=FREE, roi=ROI, progress=lambda a, b: told.append((a, b)), per_parameter=150
    )
    chi2 = rbs_fit.fit(SETUP, counts[:3], near, free=FREE, roi=ROI, likelihood="chi2")
    assert found.accepted.all()
    assert np.all(found.evaluations <= 3 * 150)
    assert np.all(found.chi2 >= chi2.chi2 - 0.02)
    assert found.layers[:, FREE] == pytest.approx(chi2.values, abs=3.0)
    assert np.all(found.evaluations > 5 * chi2.iterations)
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(OutOfRange):
        rbs_fit.autofit(SETUP, counts[:1], near, free=FREE, per_parameter=0)


def test_a_region_without_counts_and_unseen_densities_are_told(counts):
    found = rbs_fit.fit(SETUP, counts[:1], START, free=FREE, roi=[(960, 1000)])
    told = found.findings[0]
    assert told[0].startswith("the region of interest has no counts")
    assert "nothing of Cu@1, Sn@1, Cu@2" in told[1]
    assert found.layers_std[0][FREE] == pytest.approx(np.full(3, 5000 / np.sqrt(12)), rel=1e-3)
    few = rbs_fit.fit(SETUP, counts[:1], START, free=FREE, roi=[(700, 702)])
    assert "2 channels for 3 parameters" in few.findings[0][0]


def test_a_sound_fit_has_no_findings(result):
    assert result.converged.all()
    assert result.findings == ((),) * 30


def test_without_a_region_the_channels_near_the_lowest_energy_are_left_out(counts):
    odd = counts[:1].copy()
    odd[:, :47] = 1e6  # slope 2 keV, lowest energy 50 keV, resolution 15 keV: the first channel is that at 95 keV
    found = rbs_fit.fit(SETUP, odd, START, free=FREE)
    assert found.nu == 1000 - 48
    assert found.accepted.all()


BAD = {
    "spectra (1, 999)": {"spectra": np.ones((1, 999))},
    "3 count(s) are negative": {"spectra": np.where(np.arange(1000) % 400 == 7, -1.0, 5.0)},
    "channel 12 of spectrum 0": {"spectra": np.where(np.arange(1000) == 12, np.nan, 5.0)},
    "region of interest is empty": {"roi": np.zeros(1000, dtype=bool)},
    "region of interest (900, 1200)": {"roi": [(900, 1200)]},
    "region of interest (20, 20)": {"roi": [(20, 20)]},
    "is empty or no region": {"roi": []},
    "region of interest (3,)": {"roi": np.ones(3, dtype=bool)},
    "start of Cu@1 for spectrum 0: 500 is not in its bounds 0 to 400": {"bounds": (0.0, 400.0)},
    "bounds of Cu@1: 10 to 5": {"bounds": (10.0, 5.0)},
    "bounds of Cu@1: -10 to 50": {"bounds": (-10.0, 50.0)},
    "bounds of Cu@1: 0 to inf": {"bounds": (0.0, np.inf)},
    "each a number or [layer, element]": {"bounds": (np.zeros(7), 5000.0)},
    "no density is free": {"free": np.zeros((3, 3), dtype=bool)},
    "free (3, 2)": {"free": np.ones((3, 2), dtype=bool)},
    "start (2, 3)": {"start": SAMPLE[:2]},
    "start: an areal density is negative": {"start": -SAMPLE},
    "unknown nuisance parameter 'gain'": {"nuisance": {"gain": 0.1}},
    "standard deviation 0.0 is not positive": {"nuisance": {"fluence": 0.0}},
    "unknown likelihood 'gauss'": {"likelihood": "gauss"},
    "prior of Cu@1": {"priors": (SAMPLE, 0.0)},
    "priors: give": {"priors": (np.zeros(5), 1.0)},
    "restarts -1": {"restarts": -1},
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_fitted_is_a_typed_error_that_names_the_place(text):
    given = {"spectra": np.full((1, 1000), 5.0), "start": START, "free": FREE, **BAD[text]}
    spectra, start = given.pop("spectra"), given.pop("start")
    with pytest.raises(SDLError) as fault:
        rbs_fit.fit(SETUP, spectra, start, **given)
    assert text in str(fault.value)


def test_sets_of_spectra_that_do_not_belong_together():
    five = np.full((2, 1000), 5.0)
    other = Setup(elements=("Cu", "Si", "Sn"), channels=1000)
    for setups, spectra, more, text in [
        ([SETUP, SETUP], [five], {}, "one of each"),
        ([SETUP, other], [five, five], {}, "same elements"),
        ([SETUP, SETUP], [five, five[:1]], {}, "2 and 1 spectra"),
        ([SETUP, SETUP], [five, five], {"nuisance": [{"fluence": 0.1}]}, "one for all or one for each"),
        ([SETUP, SETUP], [five, five], {"nuisance": [{"stopping:Cu": 0.1}, {"stopping:Cu": 0.2}]}, "different priors"),
    ]:
        with pytest.raises(OutOfRange, match=text):
            rbs_fit.fit_joint(setups, spectra, START, free=FREE, **more)
