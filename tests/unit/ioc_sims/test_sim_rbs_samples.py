"""From the mass of a deposited film to the layers under the beam."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rbs_films import film_truth

from ioc_sims.common.atoms import areal_densities
from ioc_sims.common.film import Film
from ioc_sims.rbs.samples import Samples
from ioc_sims.sputter import truth
from ioc_sims.sputter.plant import Plant


def test_a_hundred_nanometres_of_copper():
    # 100 nm x 8.96 g/cm3 = 8.96e-5 g/cm2; / 63.546 g/mol x 6.02214e23 = 8.4912e17 at/cm2
    assert areal_densities(8.96e4, {"Cu": 1.0})["Cu"] == pytest.approx(849.12, rel=1e-4)


def test_an_alloy_by_atomic_fractions():
    # 0.6 x 63.546 + 0.4 x 118.71 = 85.6116 g/mol; 1e-4 g/cm2 are 7.0343e17 atoms per cm2
    found = areal_densities(np.array([1e5, 0.0]), {"Cu": np.array([0.6, 0.0]), "Sn": np.array([0.4, 0.0])})
    np.testing.assert_allclose(found["Cu"], [0.6 * 703.43, 0.0], rtol=1e-4)
    np.testing.assert_allclose(found["Sn"], [0.4 * 703.43, 0.0], rtol=1e-4)


def test_a_film_is_read_between_its_grid_points_and_is_nothing_beside_them():
    film = Film(film_truth({"Cu": 0.6, "Sn": 0.4}, 1e5, slope_per_mm=0.01))
    found = film.densities([0.0, 10.5, -24.9, 25.1, 0.0], [3.2, -7.7, 24.9, 0.0, -26.0])
    np.testing.assert_allclose(found["Cu"], 422.06 * np.array([1.0, 1.105, 0.751, 0.0, 0.0]), rtol=1e-4)
    np.testing.assert_allclose(found["Sn"] * 0.6, found["Cu"] * 0.4, rtol=1e-9)


def test_a_film_of_the_sputter_chamber_holds_the_mass_that_was_deposited(make_config):
    chamber = Plant(make_config(quiet=True))
    chamber.gas.setpoint_sccm = 60.0
    chamber.advance(60.0)
    chamber.sources[0].setpoint_W, chamber.sources[1].setpoint_W = 60.0, 40.0
    chamber.advance(5.0)
    chamber.load_substrate()
    chamber.substrate_shutter_open = True
    chamber.open_source_shutter(0, True)
    chamber.open_source_shutter(1, True)
    chamber.advance(300.0)
    film = Film(truth.film_truth(chamber.wafer, chamber.films[1]))
    masses = chamber.wafer.masses(chamber.films[1])
    found = film.densities(5.0, -12.0)
    for element, u in (("Cu", 63.546), ("Sn", 118.71)):
        expected = masses[element][13, 30] * 1e-9 / u * 6.02214076e23 / 1e15
        assert expected > 10
        assert found[element] == pytest.approx(expected, rel=1e-4)


def test_samples_are_found_by_number(make_rbs):
    samples = Samples(make_rbs())
    film = samples.find(3)
    assert film is not None
    top, substrate = film.layers_at(0.0, 0.0)
    assert top["Cu"] / top["Sn"] == pytest.approx(1.5)
    assert sum(top.values()) == pytest.approx(4e-5 / 85.6116 * 6.02214e8, rel=1e-4)
    assert substrate == {"O": 4000.0, "Si": 2000.0}
    assert film.layers_at(28.0, 0.0) == ({"O": 4000.0, "Si": 2000.0},)
    bare, own = samples.find(2), samples.find(7)
    assert bare is not None
    assert own is not None
    assert bare.layers_at(0.0, 0.0) == ({"O": 4000.0, "Si": 2000.0},)
    assert own.layers_at(29.0, -3.0) == ({"Au": 100.0}, {"C": 3000.0})
    assert samples.find(4) is None


def test_a_film_is_that_of_the_moment_and_an_own_sample_goes_first(make_rbs, tmp_path):
    config = make_rbs(samples={"3": {"layers": [{"Au": 5.0}]}})
    assert Samples(config).find(3).layers == ({"Au": 5.0},)
    samples = Samples(make_rbs())
    before = samples.find(3).layers_at(0, 0)[0]["Cu"]
    (tmp_path / "sputter-truth.json").write_text(json.dumps({"films": {"3": film_truth({"Cu": 1.0}, 9e4)}}))
    assert samples.find(3).layers_at(0, 0)[0]["Cu"] == pytest.approx(849.12 * 9 / 8.96, rel=1e-4)
    assert samples.find(3).layers_at(0, 0)[0]["Cu"] != before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"films": {"3": {}}}', '{"films": {"3": {"x_mm": [1]}}}'])
def test_what_is_no_film_is_no_sample(make_rbs, tmp_path, text, caplog):
    samples = Samples(make_rbs())
    (tmp_path / "sputter-truth.json").write_text(text)
    assert samples.find(3) is None
    assert "film 3 cannot be taken" in caplog.text
    (tmp_path / "sputter-truth.json").unlink()
    assert samples.find(3) is None
    assert samples.find(7) is not None
    assert Samples(make_rbs(films_file=None)).find(3) is None
