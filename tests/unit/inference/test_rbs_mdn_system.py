"""Material systems: coordinates with a standard normal prior, spectra of the forward model, definitions that come back."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.inference.rbs_mdn.examples import draw_examples
from sdl_bluesky.inference.rbs_mdn.features import features_of, merge_of, merged
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.rbs import CrossSection, Nuisance, Setup, simulate

SETUP = Setup(elements=("Cu", "Sn", "Si", "O"), fluence_ions=3e13)
LAYERS = ({"Cu": (10.0, 1000.0), "Sn": (10.0, 1000.0)}, {"Si": 8000.0, "O": 16000.0})
NUISANCE = {"fluence": 0.02, "slope": 0.004, "offset": 2.0, "stopping:Cu": 0.03}


def system(**changes: object) -> MaterialSystem:
    given: dict = {"nuisance": NUISANCE, "fluence": (0.5, 4.0), **changes}
    return MaterialSystem("film", SETUP, LAYERS, ((200, 950),), **given)


def test_uniform_and_logarithmic_priors_have_their_moments() -> None:
    z = np.random.default_rng(1).standard_normal((200_000, 6))
    for prior, law in (("uniform", stats.uniform(10.0, 990.0)), ("log", stats.loguniform(10.0, 1000.0))):
        film = system(prior=prior)
        values = film.values(z)
        assert stats.kstest(values[:20_000, 0], law.cdf).pvalue > 1e-3
        assert film.prior_sd[:2] == pytest.approx([law.std()] * 2)
        assert values.std(axis=0)[:2] == pytest.approx([law.std()] * 2, rel=0.01)
        assert film.values(np.zeros((1, 6)))[0, 0] == pytest.approx(law.median())
        assert values.std(axis=0)[2:] == pytest.approx([0.02, 0.004, 2.0, 0.03], rel=0.01)
        assert film.coordinates(values[:1000]) == pytest.approx(z[:1000], abs=1e-6)


def test_values_beyond_the_range_come_to_its_ends() -> None:
    film = system(nuisance={})
    assert film.values(film.coordinates(np.array([[0.0, 5000.0]])))[0] == pytest.approx([10.0, 1000.0], rel=1e-4)


def test_spectra_are_those_of_the_forward_model() -> None:
    film = system(prior="log")
    z, fluence = np.array([[0.3, -0.7, 1.0, -1.0, 0.5, 2.0]]), np.array([2.0])
    cu, sn = (10.0 * 100.0 ** stats.norm.cdf(k) for k in (0.3, -0.7))
    known = Nuisance(fluence=1.02 * 2.0, slope=0.996, offset=1.0, stopping=np.array([1.06, 1.0, 1.0, 1.0]))
    direct = simulate(SETUP, [[[cu, sn, 0.0, 0.0], [0.0, 0.0, 8000.0, 16000.0]]], known)
    assert film.spectra(z, fluence) == pytest.approx(direct, abs=1e-6)


def test_examples_depend_on_seed_and_place_alone_and_are_kept(tmp_path) -> None:
    film = system()
    told: list[int] = []
    first = draw_examples(film, 5100, 5, seed=3, cache=tmp_path, progress=told.append)
    assert told == [5000, 100]
    [file] = tmp_path.iterdir()
    backwards = draw_examples(film, 5100, 5, seed=3, mapper=lambda f, k: [f(i) for i in reversed(k)][::-1])
    again = draw_examples(film, 5100, 5, seed=3, cache=tmp_path)
    for other in (backwards, again):
        assert np.array_equal(other.counts, first.counts)
        assert np.array_equal(other.z, first.z)
    rows = slice(5050, 5060)
    direct = merged(film, film.spectra(first.z[rows].astype(float), first.fluence[rows].astype(float)), 5)
    assert first.counts[rows] == pytest.approx(direct, rel=1e-4, abs=1e-3)
    file.write_bytes(file.read_bytes()[:1000])  # half a file is made again
    assert np.array_equal(draw_examples(film, 5100, 5, seed=3, cache=tmp_path).counts, first.counts)
    assert not np.array_equal(draw_examples(film, 100, 5, seed=4).z, first.z[:100])


def test_features_have_noise_of_one_size_and_the_fluence() -> None:
    film = system(nuisance={})
    merge = merge_of(film)
    assert merge == 5  # 0.7 x 15 keV / 2 keV
    examples = draw_examples(film, 400, merge)
    features = features_of(film, examples.counts, merge)
    counts = np.random.default_rng(0).poisson(np.zeros((500, 1)) + examples.counts[:1]).astype(float)
    inputs = features.inputs(counts, np.full(500, 4.0)) * np.append(features.spread, 1.0)
    many = np.append(examples.counts[0] > 20, False)
    assert inputs[:, many].std(axis=0).mean() == pytest.approx(1.0, abs=0.02)
    assert inputs[:, -1] == pytest.approx(1.0)
    assert features.inputs(counts, np.full(500, np.sqrt(2.0)))[:, -1] == pytest.approx(0.0, abs=1e-6)


def test_a_definition_comes_back_with_its_tables() -> None:
    table = CrossSection("4He", "O", 165.0, np.array([1500.0, 2500.0]), np.array([60.0, 40.0]), source="a test")
    film = system(prior="log")
    film = replace(film, setup=replace(SETUP, cross_sections=(table,)))
    plain = json.loads(json.dumps(film.definition()))
    back = MaterialSystem.from_definition("film", plain)
    assert back.digest == film.digest
    assert pickle.loads(pickle.dumps(film)).digest == film.digest
    z, fluence = film.draw(3, np.random.default_rng(0))
    assert np.array_equal(back.spectra(z, fluence), film.spectra(z, fluence))
    moved = replace(table, value_mb_sr=np.array([60.0, 41.0]))
    assert replace(film, setup=replace(SETUP, cross_sections=(moved,))).digest != film.digest
    with pytest.raises(OutOfRange, match="cannot be read"):
        MaterialSystem.from_definition("film", {k: v for k, v in plain.items() if k != "roi"})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nuisance": {"tilt": 0.1}}, "tilt"),
        ({"nuisance": {"stopping:Au": 0.1}}, "stopping:Au"),
        ({"fluence": (2.0, 1.0)}, "smaller first"),
        ({"fluence": (0.0, 1.0)}, "positive"),
        ({"roi": ((900, 1100),)}, "1024 channels"),
        ({"layers": ({"Cu": 10.0},)}, "no density is unknown"),
        ({"layers": ({"Cu": (5.0, 5.0)},)}, "Cu of layer 1"),
        ({"layers": ({"Cu": (0.0, 5.0)},), "prior": "log"}, "more than 0"),
    ],
)
def test_what_cannot_be_is_told(changes: dict, told: str) -> None:
    with pytest.raises(OutOfRange, match=told):
        replace(system(), **changes)
