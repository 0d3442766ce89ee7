import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_lab import AZIMUTH, CENTRE, MAP_MM, SENSORS, WAFER, fractions, place, ring

from sdl_bluesky.analysis.maps.composition import SourceRates, composition_map
from sdl_bluesky.analysis.maps.pattern import Prior
from sdl_bluesky.analysis.maps.totals import Totals
from sdl_bluesky.errors import OutOfRange, UnknownName, WeakSignal
from sdl_bluesky.physics.geometry import SensorGeometry, SourceGeometry

QCMS = {f"qcm{k + 1}": SensorGeometry(tuple(p)) for k, p in enumerate(SENSORS)}
POINTS = Prior(diffuse=(0.0, 1e-6), square_radius_cm2=(0.0, 1e-6), rest=1e-6)
ELEMENTS = ("Cu", "Sn", "Ni")


def rates(k, strength, n, error=1e-3, element=None):
    position, axis = place(AZIMUTH[k])
    y = strength * ring(position, axis, SENSORS, n, 0.0)
    geometry = SourceGeometry(tuple(position), tuple(axis))
    return SourceRates(f"s{k}", element or ELEMENTS[k], geometry, y, np.diag((error * y) ** 2))


def make(sources, tooling=1e-4, **more):
    return composition_map(sources, QCMS, tooling, MAP_MM, MAP_MM, **more)


@pytest.mark.parametrize("count", [2, 3])
def test_known_cos_n_sources_are_mapped_exactly(count):
    n, strength = (1.3, 2.4, 2.0), (3e4, 7e4, 2e4)
    result = make([rates(k, strength[k], n[k], 1e-5) for k in range(count)], prior=POINTS)
    true = fractions([strength[k] * ring(*place(AZIMUTH[k]), WAFER, n[k], 0.0) for k in range(count)], ELEMENTS)
    got = result.fraction.reshape(count, -1)
    np.testing.assert_allclose(got, true, atol=2e-3)  # the neighbours' influence (1 %) is still in the mean's samples
    np.testing.assert_allclose(got.sum(axis=0), 1.0, atol=1e-12)
    assert result.findings == ()
    assert result.fits.parameters()["s0"]["n"] == pytest.approx(1.3, abs=0.02)


def test_twin_sources_make_one_half_on_their_mirror_line():
    sources = [rates(0, 5e4, 1.8), rates(2, 5e4, 1.8)]  # azimuth 0 and 180: the mirror line is x = 0
    weights = {k.element: m for k, m in zip(sources, (63.546, 58.6934))}
    scaled = [
        SourceRates(k.name, k.element, k.geometry, k.mean * weights[k.element], k.cov * weights[k.element] ** 2)
        for k in sources
    ]
    first = make(scaled, prior=POINTS).fraction[0]
    np.testing.assert_allclose(first[:, 5], 0.5, atol=5e-4)
    np.testing.assert_allclose(first + first[:, ::-1], 1.0, atol=2e-3)


def test_a_calibration_error_that_all_sensors_share_cancels():
    a, b = rates(0, 5e4, 1.8), rates(1, 6e4, 1.5)
    both = [SourceRates(k.name, k.element, k.geometry, 1.07 * k.mean, 1.07**2 * k.cov) for k in (a, b)]
    np.testing.assert_allclose(make(both).fraction, make([a, b]).fraction, atol=1e-9)


@settings(max_examples=15)
@given(st.floats(0.01, 100.0), st.integers(0, 3))
def test_the_unit_of_the_rates_does_not_matter(factor, seed):
    sources = [rates(0, 5e4, 1.8), rates(1, 6e4, 1.5)]
    scaled = [SourceRates(k.name, k.element, k.geometry, factor * k.mean, factor**2 * k.cov) for k in sources]
    one, two = make(sources, samples=20, seed=seed), make(scaled, samples=20, seed=seed)
    np.testing.assert_allclose(one.fraction, two.fraction, atol=1e-8)
    np.testing.assert_allclose(one.std, two.std, atol=1e-8)


def test_sources_of_one_element_add_up():
    result = make([rates(0, 5e4, 1.8, element="Cu"), rates(1, 6e4, 1.5, element="Cu"), rates(2, 4e4, 1.5)])
    assert result.elements == ("Cu", "Ni")
    assert result.fraction.shape == (2, 11, 11)
    single = make([rates(0, 5e4, 1.8)])
    np.testing.assert_allclose(single.fraction, 1.0)
    np.testing.assert_allclose(single.std, 0.0, atol=1e-12)


def test_the_error_grows_with_every_cause():
    def centre(*sources, **more):
        return make(sources, **more).std[0].ravel()[CENTRE]

    first, second = rates(0, 5e4, 1.8), rates(1, 6e4, 1.5)
    noisy = rates(0, 5e4, 1.8, error=0.03)
    assert centre(noisy, second, prior=POINTS) > 1.5 * centre(first, second, prior=POINTS)
    assert centre(first, second) > 1.2 * centre(
        first, second, prior=POINTS
    )  # the pattern is no longer known, but is alike for both
    assert centre(first, second, tooling=0.03) > 1.1 * centre(first, second)


def test_totals_correct_a_source_that_was_learned_wrongly():
    right, other = rates(0, 5e4, 1.8), rates(1, 6e4, 1.5)
    wrong = SourceRates("s0", "Cu", right.geometry, 1.04 * right.mean, np.diag((0.04 * right.mean) ** 2))
    total = right.mean + other.mean
    truth = make([right, other]).fraction
    without = np.abs(make([wrong, other]).fraction - truth).max()
    corrected = np.abs(make([wrong, other], totals=Totals(total, 0.005 * total)).fraction - truth).max()
    assert corrected < 0.7 * without  # a neighbour's influence on both, which says nothing of either, is possible too


def test_same_seed_same_map():
    sources = [rates(0, 5e4, 1.8, 0.02), rates(1, 6e4, 1.5, 0.02)]
    one, two, three = (make(sources, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.fraction, two.fraction)
    np.testing.assert_array_equal(one.std, two.std)
    assert not np.array_equal(one.std, three.std)
    np.testing.assert_allclose(one.fraction, three.fraction, atol=2e-3)


def test_weak_sensors_are_left_out_and_weak_sources_refused():
    strong, weak = rates(0, 5e4, 1.8), rates(1, 6e4, 1.5)
    mean = weak.mean.copy()
    mean[1] = -0.3
    partly = make([strong, SourceRates("s1", "Sn", weak.geometry, mean, weak.cov)])
    assert [k.split(",")[0] for k in partly.findings] == ["s1: qcm2 left out"]
    assert np.all(np.isfinite(partly.fraction))
    assert np.all(np.isfinite(partly.std))
    whole = make([strong, weak])
    assert partly.fits.parameters()["s1"]["n_std"] > whole.fits.parameters()["s1"]["n_std"]
    with pytest.raises(WeakSignal, match="'s1'"):
        make([strong, SourceRates("s1", "Sn", weak.geometry, -weak.mean, weak.cov)])


def test_bad_input_is_refused():
    good = rates(0, 5e4, 1.8)
    with pytest.raises(OutOfRange, match=r"'s0'.*not finite"):
        make([SourceRates("s0", "Cu", good.geometry, good.mean * np.nan, good.cov)])
    with pytest.raises(OutOfRange, match="3 sensors"):
        make([SourceRates("s0", "Cu", good.geometry, good.mean[:2], good.cov)])
    with pytest.raises(OutOfRange, match="tooling_std"):
        make([good], tooling=-1.0)
    with pytest.raises(UnknownName, match="element 'Xx'"):
        make([SourceRates("s0", "Xx", good.geometry, good.mean, good.cov)])
    with pytest.raises(OutOfRange, match="at least one source"):
        make([])
