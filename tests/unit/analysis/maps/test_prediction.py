import numpy as np
import pytest
from ring_lab import SENSORS, RingSource, fractions, runs

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.maps.calibration import calibrate
from sdl_bluesky.analysis.maps.composition import composition_map
from sdl_bluesky.analysis.maps.prediction import Prediction
from sdl_bluesky.analysis.maps.readings import Film, SourceRates, alone
from sdl_bluesky.analysis.maps.totals import Totals
from sdl_bluesky.analysis.surface import fit_surface
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import SensorGeometry, SourceGeometry

NAMES = ["qcm1", "qcm2", "qcm3"]
SOURCES = {"cu": RingSource(0.0, 1.5, 0.02, 80.0), "ni": RingSource(180.0, 1.5, 0.02, 120.0)}
POWERS, PRESSURE = {"cu": 50.0, "ni": 40.0}, 8.0
GRID = np.linspace(-20.0, 20.0, 5)
POINTS = np.array([[x, y] for y in GRID for x in GRID])


def chamber():
    from ring_lab import place

    places = {k: place(v.azimuth) for k, v in SOURCES.items()}
    return Chamber(
        sources={k: SourceGeometry(tuple(p), tuple(a)) for k, (p, a) in places.items()},
        elements={"cu": "Cu", "ni": "Ni"},
        sensors={k: SensorGeometry(tuple(p)) for k, p in zip(NAMES, SENSORS)},
        f0_Hz=dict.fromkeys(NAMES, 6e6),
        tooling_std=0.01,
        x_mm=GRID,
        y_mm=GRID,
        power_W=(10.0, 100.0),
        pressure_mTorr=(2.0, 20.0),
    )


CHAMBER = chamber()


@pytest.fixture(scope="module")
def surfaces():
    rng = np.random.default_rng(8)
    learned = {k: runs(rng, source, np.ones(3)) for k, source in SOURCES.items()}
    return {k: fit_surface(*data, NAMES, (10.0, 100.0), (2.0, 20.0)) for k, data in learned.items()}


def rates(surfaces, name, setting):
    source = SourceRates.of(name, CHAMBER.elements[name], CHAMBER.source(name), surfaces[name], setting, NAMES)
    return source[0]


def test_fractions_and_fluxes_are_those_of_the_sources_within_their_errors(surfaces):
    found = Prediction(surfaces, CHAMBER).predict(POWERS, PRESSURE, POINTS)
    where = np.column_stack([POINTS / 10.0, np.zeros(len(POINTS))])
    flux = np.array([SOURCES[k].flux(POWERS[k], PRESSURE, where) for k in found.sources])
    assert np.abs(found.flux - flux).max() < 3.0 * found.flux_std.max()
    assert np.abs(found.fraction - fractions(flux, found.elements)).max() < 0.03
    np.testing.assert_allclose(found.samples.sum(axis=1), 1.0)
    std = np.sqrt(np.diag(found.fraction_cov())).reshape(found.fraction_std.shape)
    np.testing.assert_allclose(std, found.fraction_std)


def test_mirrored_points_of_mirrored_sources_err_against_each_other(surfaces):
    """Errors that places share are shared: the fractions of two near points go together, whatever the elements."""
    found = Prediction(surfaces, CHAMBER, samples=1000).predict(POWERS, PRESSURE, [[0.0, 0.0], [1.0, 0.0]])
    correlation = np.corrcoef(found.samples[:, 0].T)
    assert correlation[0, 1] > 0.85
    assert np.corrcoef(found.samples[:, 0, 0], found.samples[:, 1, 0])[0, 1] == pytest.approx(-1.0)


def test_a_prediction_is_the_map_of_a_film_that_was_not_measured(surfaces):
    found = Prediction(surfaces, CHAMBER, samples=2000).predict(POWERS, PRESSURE, POINTS)
    sources = [rates(surfaces, k, (POWERS[k], PRESSURE)) for k in POWERS]
    map_ = composition_map(sources, CHAMBER.sensors, CHAMBER.tooling_std, GRID, GRID, samples=2000)
    np.testing.assert_allclose(found.fraction, map_.fraction.reshape(2, -1), atol=5e-4)
    np.testing.assert_allclose(found.fraction_std, map_.std.reshape(2, -1), rtol=0.1)


def test_it_is_a_smooth_function_of_powers_and_pressure(surfaces):
    prediction = Prediction(surfaces, CHAMBER, samples=40)

    def at(step):
        found = prediction.predict({"cu": 50.0 + step, "ni": 40.0}, PRESSURE + step, POINTS[:3])
        return found.samples

    half, whole = at(0.005) - at(0.0), at(0.01) - at(0.0)
    np.testing.assert_allclose(2.0 * half, whole, atol=1e-7)
    np.testing.assert_array_equal(at(0.0), at(0.0))


def test_totals_of_another_film_are_heard(surfaces):
    """A total that is higher than the surfaces say raises what they say of a neighbouring setting."""
    sources = tuple(rates(surfaces, k, (POWERS[k], PRESSURE)) for k in POWERS)
    expected = sum(k.mean for k in sources)
    film = Film(sources, Totals(1.05 * expected, 0.002 * expected), None, "a")
    known = calibrate([film], CHAMBER.sensors, CHAMBER.tooling_std)
    after = Prediction(surfaces, CHAMBER, known).predict({"cu": 52.0, "ni": 41.0}, 8.2, POINTS).flux
    before = Prediction(surfaces, CHAMBER).predict({"cu": 52.0, "ni": 41.0}, 8.2, POINTS).flux
    assert 1.01 < after.mean() / before.mean() < 1.05


def test_what_a_surface_says_of_two_settings_is_one_error(surfaces):
    near = [rates(surfaces, "cu", (50.0, 8.0)), rates(surfaces, "cu", (51.0, 8.1))]
    far = [near[0], rates(surfaces, "cu", (95.0, 19.0))]
    correlation = []
    for pair in (near, far):
        cov = alone(pair, NAMES)
        std = np.sqrt(np.diag(cov))
        correlation.append((cov / np.outer(std, std))[0, 3])
        assert np.all(np.linalg.eigvalsh(cov) > -1e-9)
    assert correlation[0] > 0.95 > correlation[1]


def test_bad_questions_are_refused(surfaces):
    prediction = Prediction(surfaces, CHAMBER)
    for powers, pressure, points, text in (
        ({"cu": -1.0}, 8.0, POINTS, "no power"),
        ({"cu": np.nan}, 8.0, POINTS, "no power"),
        ({"cu": 0.0}, 8.0, POINTS, "no source burns"),
        ({"cu": 50.0}, 0.0, POINTS, "no pressure"),
        ({"cu": 50.0}, 8.0, np.zeros((0, 2)), r"\[m, 2\]"),
        ({"cu": 50.0}, 8.0, [[np.nan, 0.0]], "finite"),
    ):
        with pytest.raises(OutOfRange, match=text):
            prediction.predict(powers, pressure, points)
    with pytest.raises(UnknownName, match="learned source 'sn'"):
        prediction.predict({"sn": 5.0}, 8.0, POINTS)
    with pytest.raises(OutOfRange, match="nothing can be predicted"):
        Prediction({}, CHAMBER)
    with pytest.raises(UnknownName, match="source 'zn'"):
        Prediction({"zn": surfaces["cu"]}, CHAMBER)
