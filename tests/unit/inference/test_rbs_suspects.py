"""What a fit has left out is found, is what a fit with it finds, and nothing is found where nothing is left out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ioc_sims.rbs.scattering import spectrum
from sdl_bluesky.errors import UnknownName
from sdl_bluesky.inference.rbs_fit import FitResult, fit, fit_joint, suspects
from sdl_bluesky.inference.rbs_fit.suspects import COMMON
from sdl_bluesky.physics.rbs import simulate
from sdl_bluesky.physics.rbs.setup import Nuisance, Setup

SETUP = Setup(
    energy_keV=2000.0, slope_keV=4.0, resolution_fwhm_keV=20.0, fluence_ions=3e13, channels=480,
    elements=("Cu", "Sn", "O", "Si"),
)  # fmt: skip
EXACT = Nuisance()
WITH_OTHERS = replace(SETUP, elements=(*SETUP.elements, "C", "N", "Fe"))
LAYERS = np.array([[420.0, 280.0, 0.0, 0.0], [0.0, 0.0, 16000.0, 8000.0]])
FREE = np.array([[True, True, False, False], [False] * 4])
ROI = [(100, 460)]
NUISANCE = {"fluence": 0.02, "resolution": 0.05}


def counts_of(setup: Setup, layers: np.ndarray, seed: int, n: int, nuisance: Nuisance = EXACT) -> np.ndarray:
    expected = simulate(setup, np.repeat(layers[None], n, axis=0), nuisance)
    return np.random.default_rng(seed).poisson(expected).astype(float)


def with_foreign(carbon: float = 0.0, nitrogen: float = 0.0, iron: float = 0.0) -> np.ndarray:
    layers = np.pad(LAYERS, ((0, 0), (0, 3)))
    layers[0, 4:] = carbon, nitrogen, iron
    return layers


def fitted(counts: np.ndarray, setup: Setup = SETUP, free: np.ndarray = FREE, layers: np.ndarray = LAYERS) -> FitResult:
    given = {"free": free, "bounds": (0.0, 5000.0), "roi": ROI, "nuisance": NUISANCE}
    return fit(setup, counts, layers, **given, restarts=0, confirm=0, coarse=False)


def test_where_nothing_is_missing_scores_are_standard_normal() -> None:
    found = suspects(fitted(counts_of(SETUP, LAYERS, 1, 400)))
    assert found.sigma.shape == found.amount.shape == (400, len(found.names))
    assert found.names[:2] == ("O@1", "Si@1")
    assert found.names[-2:] == ("slope", "offset"), "what is fitted is not looked for"
    both_sides = found.sigma[:, -2:] * np.sign(found.amount[:, -2:])
    for column in both_sides.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 1e-3
    upwards = found.sigma[:, 0] > 0.0
    assert stats.kstest(found.sigma[upwards, 0], stats.halfnorm.cdf).pvalue > 1e-3
    assert np.mean(upwards) == pytest.approx(0.5, abs=0.1), "less than none of an element is none"
    assert np.mean(found.worst > 4.0) < 0.01


@pytest.mark.parametrize(("name", "amount"), [("C", {"carbon": 300.0}), ("N", {"nitrogen": 250.0})])
def test_a_score_is_the_fall_of_the_deviance_of_a_fit_with_the_element(name: str, amount: dict[str, float]) -> None:
    """Score and likelihood ratio are the same to first order (Wilks, Ann. Math. Stat. 9, 60, 1938)."""
    n = 30
    counts = counts_of(WITH_OTHERS, with_foreign(**amount), 2, n)
    without = fitted(counts)
    found = suspects(without)
    place = found.names.index(f"{name}@1")
    free = np.pad(FREE, ((0, 0), (0, 1)))
    free[0, 4] = True
    layers = np.pad(LAYERS, ((0, 0), (0, 1)))
    fuller = fitted(counts, replace(SETUP, elements=(*SETUP.elements, name)), free, layers)
    known = fuller.layers[:, 0, 4]

    def penalty(k: FitResult) -> np.ndarray:
        return np.sum(((k.nuisance - 1.0) / list(NUISANCE.values())) ** 2, axis=1)

    fall = without.deviance + penalty(without) - fuller.deviance - penalty(fuller)
    inside = known > 0.0
    assert inside.mean() > 0.6
    assert np.sqrt(fall[inside]) == pytest.approx(found.sigma[inside, place], abs=0.35)
    assert found.amount[inside, place] == pytest.approx(known[inside], rel=0.1, abs=0.2 * sum(amount.values()))
    assert np.mean(found.sigma[:, place]) > 2.0


def test_a_calibration_that_is_wrong_is_a_suspect() -> None:
    counts = counts_of(SETUP, LAYERS, 3, 20, Nuisance(slope=1.0005))
    found = suspects(fitted(counts))
    column = found.names.index("slope")
    assert np.mean(found.amount[:, column]) == pytest.approx(5e-4, rel=0.15)
    assert np.mean(found.sigma[:, column]) > 4.0
    assert "slope +0.0" in found.words(0)


def test_the_worst_are_told_first() -> None:
    found = suspects(fitted(counts_of(WITH_OTHERS, with_foreign(iron=60.0), 4, 3)))
    told = found.most(0, 4)
    assert [k[1] for k in told] == sorted((k[1] for k in told), reverse=True)
    assert told[0][1] == found.worst[0] > 5.0
    assert "Fe@1" in [k[0] for k in told]
    assert "of Fe in layer 1" in found.words(0)


def test_a_stray_count_where_nothing_is_expected_is_no_proof() -> None:
    counts = counts_of(SETUP, LAYERS, 7, 1)
    before = suspects(fitted(counts)).worst[0]
    counts[0, 455] += 1.0
    assert suspects(fitted(counts)).worst[0] < max(before, 2.0) + 0.5


def test_spectra_that_are_fitted_together_are_judged_together() -> None:
    tilted = replace(SETUP, alpha_deg=40.0, beta_deg=None)
    layers = with_foreign(carbon=300.0)
    spectra = [counts_of(replace(k, elements=WITH_OTHERS.elements), layers, 5, 10) for k in (SETUP, tilted)]
    both = fit_joint(
        [SETUP, tilted],
        spectra,
        LAYERS,
        free=FREE,
        roi=[ROI, ROI],
        nuisance=NUISANCE,
        restarts=0,
        confirm=0,
        coarse=False,
    )
    found = suspects(both, ["C"])
    one = suspects(fitted(spectra[0]), ["C"])
    assert found.names == ("O@1", "Si@1", "C@1", "slope#1", "offset#1", "slope#2", "offset#2")
    assert np.mean(found.sigma[:, 2]) > np.mean(one.sigma[:, 2]) + 0.5


def test_an_element_that_there_is_not_is_refused() -> None:
    good = fitted(counts_of(SETUP, LAYERS, 6, 1))
    with pytest.raises(UnknownName, match="Xx"):
        suspects(good, ["Xx"])
    assert len(suspects(good, []).names) == 4
    assert len(set(COMMON)) == len(COMMON)


def test_spectra_of_another_program_are_not_suspect() -> None:
    """pyrump, with stopping and a gain that the fit has to find: what models differ by is no element."""
    rng = np.random.default_rng(1)
    priors = {"fluence": 0.02, "slope": 0.005, "offset": 2.0, "resolution": 0.05}
    priors |= {f"stopping:{name}": 0.02 for name in SETUP.elements}
    worst = []
    for _ in range(4):
        cu, sn = rng.uniform(100.0, 900.0, 2)
        case = {
            "ion": "4He", "E_keV": 2000.0, "theta_deg": 165.0, "alpha_deg": 0.0, "offset_keV": 0.0,
            "slope_keV": SETUP.slope_keV * (1.0 + 0.002 * rng.normal()), "resolution_fwhm_keV": 20.0,
            "fluence_ions": 1.2e14, "solid_angle_msr": 10.0, "layers": [{"Cu": cu, "Sn": sn}, {"O": 16000, "Si": 8000}],
        }  # fmt: skip
        stopping = {name: float(np.exp(0.02 * rng.normal())) for name in SETUP.elements}
        counts = rng.poisson(spectrum(case, channels=480, stopping=stopping))[None].astype(float)
        setup = replace(SETUP, fluence_ions=1.2e14)
        found = fit(setup, counts, LAYERS, free=FREE, roi=ROI, nuisance=priors)
        assert found.accepted[0]
        worst.append(suspects(found).worst[0])
    assert max(worst) < 4.0
