"""The boundary below which plasmas go out, against hidden curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.boundary import BoundaryModel, BoundaryPrior, PlasmaData

MODEL = BoundaryModel((10.0, 100.0))
POWERS = np.array([10.0, 20.0, 45.0, 70.0, 100.0])


def bracket(power: float, boundary: float) -> list[float]:
    return [power, 1.02 * boundary, 0.98 * boundary]


def test_the_prior_is_what_it_says() -> None:
    """In the middle of the powers: median 3.2 mTorr, nine of ten cases within a factor of two; falling with the power."""
    low, median, high = MODEL.fit(PlasmaData()).quantile([np.sqrt(1000.0)], [0.05, 0.5, 0.95])[:, 0]
    assert median == pytest.approx(3.2, rel=0.08)
    assert (low, high) == (pytest.approx(1.6, rel=0.12), pytest.approx(6.4, rel=0.12))
    at_ends = np.exp(np.median(MODEL.fit(PlasmaData()).log_pressure([10.0, 100.0]), axis=0))
    assert np.log(at_ends[1] / at_ends[0]) / np.log(10.0) == pytest.approx(-0.27, abs=0.06)


def test_without_bends_a_few_brackets_give_the_power_law_of_the_least_squares() -> None:
    """With hardly any bend the posterior is a straight line with Gaussian priors, whose closed form is independent."""
    prior = BoundaryPrior(bend=(1e-4,), length=(1.0,), sharpness=((0.01, 1.0),), rise=10.0)
    seen = np.array([bracket(p, 2.6 * (p / 50.0) ** -0.3) for p in (12.0, 35.0, 90.0)])
    posterior = BoundaryModel((10.0, 100.0), prior).fit(PlasmaData(brackets=seen))
    middle = 0.5 * np.log(1000.0)
    x = np.column_stack([np.ones(3), np.log(seen[:, 0]) - middle])
    y = np.log(seen[:, 1] * seen[:, 2]) / 2.0
    noise = np.log(1.02 / 0.98) ** 2 / 12.0 + 0.005**2 + 0.01**2
    precision = x.T @ x / noise + np.diag([0.42**-2, 0.2**-2])
    known = np.array([np.log(3.2) / 0.42**2, -0.25 / 0.2**2])
    cov = np.linalg.inv(precision)
    mean = cov @ (x.T @ y / noise + known)
    at = np.column_stack([np.ones(5), np.log(POWERS) - middle])
    curves = posterior.log_pressure(POWERS)
    assert curves.mean(axis=0) == pytest.approx(at @ mean, abs=0.003)
    assert curves.std(axis=0) == pytest.approx(np.sqrt(np.sum((at @ cov) * at, axis=1)), rel=0.12)


SHAPES = {
    "power law": lambda p: 2.4 * (p / 60.0) ** -0.25,
    "flat": lambda p: np.full_like(p, 3.4),
    "bowed": lambda p: 2.2 + 3.0 * np.exp(-p / 25.0),
    "kink": lambda p: np.where(p < 30.0, 4.8 - 0.05 * (p - 10.0), 3.8 - 0.008 * (p - 30.0)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_four_brackets_find_any_shape_and_the_intervals_hold_it(shape) -> None:
    at = np.array([11.0, 28.0, 55.0, 95.0])
    posterior = MODEL.fit(PlasmaData(brackets=np.array([bracket(p, float(shape(np.array([p]))[0])) for p in at])))
    powers = np.linspace(10.0, 100.0, 61)
    low, median, high = posterior.quantile(powers, [0.025, 0.5, 0.975])
    truth = shape(powers)
    assert np.abs(median / truth - 1.0).max() < 0.08
    assert np.mean((low <= truth) & (truth <= high)) > 0.9


def test_intervals_cover_curves_from_outside_the_model() -> None:
    """60 boundaries that bend like tanh: one bracket, two lit points above them; nine of ten 90 % intervals hold."""
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(60):
        level, drop, where = 2.0 + 2.5 * rng.random(), 0.15 + 0.5 * rng.random(), 20.0 + 60.0 * rng.random()

        def curve(p, level=level, drop=drop, where=where):
            return level * np.exp(-drop * np.tanh(np.log(p / where)))

        power = float(rng.uniform(20.0, 80.0))
        lit = [[p, 1.5 * float(curve(p))] for p in (15.0, 90.0)]
        posterior = MODEL.fit(PlasmaData(lit=np.array(lit), brackets=np.array([bracket(power, float(curve(power)))])))
        low, high = posterior.quantile(POWERS, [0.05, 0.95])
        inside.append((low <= curve(POWERS)) & (curve(POWERS) <= high))
    assert np.mean(inside) > 0.9


def test_the_probability_of_burning_is_calibrated_where_it_is_high() -> None:
    """Boundaries drawn as the prior says: of points that burn with 99.5 % after one bracket, as many burn."""
    rng = np.random.default_rng(5)
    burnt = []
    for seed in range(60):
        level, slope = 3.2 * np.exp(0.42 * rng.standard_normal()), -abs(-0.25 + 0.2 * rng.standard_normal())
        wave = 0.08 * rng.standard_normal()

        def curve(p, level=level, slope=slope, wave=wave):
            u = np.log(p / np.sqrt(1000.0))
            return level * np.exp(slope * u + wave * np.sin(2.0 * u))

        posterior = BoundaryModel((10.0, 100.0), seed=seed).fit(
            PlasmaData(brackets=np.array([bracket(40.0, float(curve(40.0)))]))
        )
        burnt.append(posterior.safe_pressure(POWERS, 0.995) > curve(POWERS))
    assert np.mean(burnt) > 0.985


def test_seen_lit_lowers_and_seen_out_raises_it() -> None:
    nothing, lit, out = (
        MODEL.fit(data).quantile([30.0], [0.5])[0, 0]
        for data in (PlasmaData(), PlasmaData(lit=[[30.0, 2.5]]), PlasmaData(out=[[30.0, 4.0]]))  # type: ignore[arg-type]
    )
    assert lit < 2.5 < nothing < 4.0 < out


def test_a_wide_bracket_is_between_its_ends_and_swapped_ends_are_the_noise_of_the_gauge() -> None:
    wide = MODEL.fit(PlasmaData(brackets=np.array([[40.0, 8.0, 2.0]]))).quantile([40.0], [0.02, 0.98])[:, 0]
    assert 1.9 < wide[0] < wide[1] < 8.2
    assert wide[1] / wide[0] > 1.8
    swapped = MODEL.fit(PlasmaData(brackets=np.array([[40.0, 2.99, 3.0]]))).quantile([40.0], [0.5])
    assert swapped[0, 0] == pytest.approx(3.0, rel=0.02)


def test_brackets_that_disagree_make_it_less_sharp() -> None:
    agreed, apart = (
        MODEL.fit(PlasmaData(brackets=np.array([bracket(40.0, 3.0), bracket(40.0, 3.0 * f)]))) for f in (1.0, 1.2)
    )
    widths = [np.ptp(b.quantile([40.0], [0.05, 0.95])) for b in (agreed, apart)]
    assert widths[1] > 2.0 * widths[0]
    assert apart.safe_pressure([40.0], 0.995)[0] > 3.6


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.floats(10.0, 100.0), st.floats(1.0, 6.0)), max_size=4),
    st.lists(st.tuples(st.floats(10.0, 100.0), st.floats(3.0, 20.0)), max_size=6),
    st.integers(0, 9),
)
def test_more_pressure_never_burns_less(brackets, lit, seed) -> None:
    data = PlasmaData(
        lit=np.array(lit).reshape(-1, 2), brackets=np.array([bracket(*b) for b in brackets]).reshape(-1, 3)
    )
    posterior = BoundaryModel((10.0, 100.0), seed=seed).fit(data)
    grid = np.linspace(0.5, 30.0, 40)
    burning = posterior.probability_lit(np.column_stack([np.full(40, 33.0), grid]))
    assert np.all(np.isfinite(burning))
    assert np.all(np.diff(burning) >= -1e-12)
    safe = float(posterior.safe_pressure([33.0], 0.99)[0])
    assert posterior.probability_lit([[33.0, safe]])[0] >= 0.99
    assert posterior.probability_lit([[33.0, 0.98 * safe]])[0] < 0.99


def test_it_is_the_same_again_and_after_other_powers_stays_level() -> None:
    data = PlasmaData(brackets=np.array([bracket(40.0, 3.0)]))
    one, two = (BoundaryModel((10.0, 100.0), seed=4).fit(data) for _ in "12")
    assert np.array_equal(one.curves, two.curves)
    assert one.log_pressure([5.0, 140.0]) == pytest.approx(one.log_pressure([10.0, 100.0]), abs=1e-12)
    assert one.probability_lit(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    "call",
    [
        lambda: BoundaryModel((0.0, 100.0)),
        lambda: BoundaryModel((100.0, 10.0)),
        lambda: BoundaryModel((10.0, float("nan"))),
        lambda: PlasmaData(lit=np.array([[10.0, 0.0]])),
        lambda: PlasmaData(brackets=np.array([[10.0, 3.0, float("nan")]])),
        lambda: MODEL.fit(PlasmaData()).probability_lit([[50.0, -1.0]]),
        lambda: MODEL.fit(PlasmaData()).quantile([float("inf")], [0.5]),
    ],
)
def test_numbers_without_meaning_are_refused(call) -> None:
    with pytest.raises(OutOfRange):
        call()
