import json
from dataclasses import replace

import numpy as np
import pytest
from ring_lab import RingSource, runs

from sdl_bluesky.analysis.health import signatures
from sdl_bluesky.analysis.health.additivity import Assessment, PairEffect
from sdl_bluesky.analysis.health.ageing import AgedModel, TargetState
from sdl_bluesky.analysis.health.signatures import Name
from sdl_bluesky.analysis.surface import fit_surface
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.flux import FluxFit

NAMES = ("qcm1", "qcm2", "qcm3")
POWER, PRESSURE = (10.0, 100.0), (4.0, 20.0)
SOURCE = RingSource(azimuth=0.0, radius=1.5, diffuse=0.04, scale=60.0)


@pytest.fixture(scope="module")
def surface():
    return fit_surface(*runs(np.random.default_rng(2), SOURCE, np.ones(3)), NAMES, POWER, PRESSURE)


def names(found):
    return [k.name for k in found]


def test_negative_readings_are_named_where_they_are_sure():
    [found] = signatures.of_readings("cu", [3.0, -1.0, np.nan], [0.1, 0.2, 0.1])
    assert (found.name, found.source, found.value, found.threshold) == (Name.NEGATIVE_RATE, "cu", -1.0, 0.0)
    assert signatures.of_readings("cu", [-0.1], [0.2]) == []
    with pytest.raises(OutOfRange):
        signatures.of_readings("cu", [1.0], [0.1, 0.2])


def test_an_exponent_above_five_is_named_where_it_is_sure():
    fit = FluxFit(10.0, 6.0, np.diag([0.01, 0.3**2]), -0.3, 1.0, 1)
    [found] = signatures.of_flux("ba", fit)
    assert (found.name, found.value, found.threshold) == (Name.N_ABOVE_5, 6.0, 5.0)
    assert signatures.of_flux("ba", replace(fit, n=5.3)) == []
    assert signatures.of_flux("ba", None) == []


def test_a_healthy_surface_shows_nothing(surface):
    assert signatures.of_surface("cu", surface, POWER, PRESSURE) == []


def test_a_surface_below_zero_asks_for_runs_there(surface):
    class Sunk(type(surface)):
        def predict(self, x):
            rate, cov = super().predict(x)
            return rate - 10.0, cov

    sunk = Sunk(**{k: getattr(surface, k) for k in surface.__dataclass_fields__})
    [found] = signatures.of_surface("cu", sunk, POWER, PRESSURE)
    assert found.name == Name.NEGATIVE_RATE
    assert found.value < 0
    assert "measure at 10 W" in found.advice


def test_a_jump_of_the_rate_is_named_with_its_place():
    rng = np.random.default_rng(4)
    points, rates, std = runs(rng, SOURCE, np.ones(3), count=24, relative=0.008)
    rates = rates * np.where(points[:, 1] > 10.0, 1.35, 1.0)[:, None]
    jumped = fit_surface(points, rates, std, NAMES, POWER, PRESSURE)
    found = [k for k in signatures.of_surface("cu", jumped, POWER, PRESSURE) if k.name == Name.DISCONTINUITY]
    assert found
    assert found[0].value == pytest.approx(0.35, abs=0.1)
    assert "mTorr" in found[0].advice


def assessment(found, misfit=0.5):
    pairs = (PairEffect("cu", "sn", 0.06, 0.01), PairEffect("sn", "cu", 0.02, 0.01))
    return Assessment("rate", found, 2, 0.99, (3.0,), (0.001,), (), pairs, {}, misfit, None)


def test_rates_that_do_not_add_up_are_named():
    [found] = signatures.of_assessment(assessment(True))
    assert (found.name, found.source, found.value) == (Name.ADDITIVITY_DIVERGENCE, "cu+sn", 0.06)
    assert "beside sn" in found.advice
    [found] = signatures.of_assessment(assessment(False, misfit=1e-4))
    assert "drifting sensor" in found.advice
    assert signatures.of_assessment(assessment(False)) == []


def test_totals_of_a_film_are_held_against_chi2_at_one_per_cent():
    checks = {"totals_used": 3.0, "totals_worst_relative": 0.08}
    [found] = signatures.of_totals(["cu", "sn"], {**checks, "totals_chi2": 11.4})
    assert found.threshold == pytest.approx(11.345, abs=1e-3)
    assert signatures.of_totals(["cu", "sn"], {**checks, "totals_chi2": 11.3}) == []
    assert signatures.of_totals(["cu", "sn"], {}) == []


def test_poor_sticking_is_named_where_it_is_sure():
    found = signatures.of_sticking({"zn": (np.log(0.7), 0.05), "cu": (-0.01, 0.02), "sn": (-0.1, 0.2)})
    assert [(k.source, k.name) for k in found] == [("zn", Name.POOR_STICKING)]
    assert found[0].value == pytest.approx(0.7)


def test_an_expired_model_asks_for_runs_and_a_changed_target_for_all(surface):
    model = AgedModel.of("cu", surface, TargetState("Cu", 1, 0.5, 0.0, 0.0), POWER, PRESSURE)
    assert signatures.of_age(model, TargetState("Cu", 1, 0.55, 3600.0, 0.0), 0.05) == []
    [found] = signatures.of_age(model, TargetState("Cu", 1, 3.0, 86400.0, 0.0), 0.05)
    assert (found.name, found.threshold) == (Name.DRIFT_EXPIRED, 0.05)
    assert found.value > 0.05
    assert "measure again" in found.advice
    [found] = signatures.of_age(model, TargetState("Cu", 2, 0.1, 86400.0, 0.0), 0.05)
    assert found.name == Name.TARGET_CHANGED


def test_poisoned_rows_are_named():
    found = signatures.of_reactive("al", ["metallic", "transition", "poisoned"], [0.0, 0.3, 0.97])
    assert [(k.name, k.value) for k in found] == [(Name.POISONED, 0.97)]
    assert signatures.of_reactive("al", ["metallic"], [0.0]) == []


def test_documents_are_plain():
    [found] = signatures.as_documents(signatures.of_assessment(assessment(True)))
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["name", "source", "value", "threshold", "advice"]


def test_a_film_is_held_against_the_target_of_its_sources(surface):
    from test_aged_surface import experiment

    def run(energy, number=1):
        return experiment((50.0, 8.0), np.ones(3), np.ones(3), energy, 30.0, number=number)

    learned = [run(0.5), run(0.52)]
    assert signatures.of_film("cu", surface, learned, run(0.6)) == []
    assert signatures.of_film("cu", surface, learned, replace(run(0.6), result={})) == []
    [worn] = signatures.of_film("cu", surface, learned, run(4.0))
    assert worn.name == Name.DRIFT_EXPIRED
    [other] = signatures.of_film("cu", surface, learned, run(0.6, number=2))
    [mixed] = signatures.of_film("cu", surface, [run(0.5), run(0.1, number=2)], run(0.2, number=2))
    assert names([other, mixed]) == [Name.TARGET_CHANGED, Name.TARGET_CHANGED]
