from dataclasses import replace

import numpy as np
import pytest
from ring_lab import SENSORS, RingSource, runs

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.health.ageing import AgedModel, TargetState, check_target
from sdl_bluesky.analysis.runs import Experiment
from sdl_bluesky.analysis.surface import fit_surface
from sdl_bluesky.errors import CatalogueError, TargetChanged, WeakSignal
from sdl_bluesky.physics.geometry import SensorGeometry, SourceGeometry

NAMES = ("qcm1", "qcm2", "qcm3")
POWER, PRESSURE = (10.0, 100.0), (4.0, 20.0)
NEW = RingSource(azimuth=0.0, radius=1.5, diffuse=0.04, scale=60.0)
WORN = replace(NEW, scale=60.0 * 0.76, n0=NEW.n0 + 0.24)
GRID = np.array([[p, q] for p in np.linspace(10, 100, 7) for q in np.linspace(4, 20, 7)])
CHAMBER = Chamber(
    sources={"cu": SourceGeometry((7.0, 0.0, 12.1), (-0.5, 0.0, -0.866))},
    elements={"cu": "Cu"},
    sensors={k: SensorGeometry((float(p[0]), float(p[1]), 0.0), (0.0, 0.0, 1.0)) for k, p in zip(NAMES, SENSORS)},
    f0_Hz=dict.fromkeys(NAMES, 6e6),
    tooling_std=0.01,
    x_mm=np.linspace(-25, 25, 3),
    y_mm=np.linspace(-25, 25, 3),
    power_W=POWER,
    pressure_mTorr=PRESSURE,
)


def experiment(setting, rate, std, energy, hours, number=1, element="Cu", sources=("cu",)):
    result = {"cu_energy": energy, "cu_target": element, "window_to_s": 3600.0 * hours}
    if number is not None:
        result["cu_target_number"] = number
    start = {"uid": f"run-{energy}", "time": 1e9, "sources": list(sources)}
    return Experiment(start, CHAMBER, float(setting[1]), {"cu": float(setting[0])}, rate, std, result)


@pytest.fixture(scope="module")
def learned():
    points, rates, std = runs(np.random.default_rng(2), NEW, np.ones(3), count=10)
    surface = fit_surface(points, rates, std, NAMES, POWER, PRESSURE)
    done = [experiment(x, y, e, 0.5 + 0.01 * k, k) for k, (x, y, e) in enumerate(zip(points, rates, std))]
    return AgedModel.learn("cu", surface, done, POWER, PRESSURE)


def later(setting, seed=0, energy=2.945, hours=28.5, **more):
    rng = np.random.default_rng(seed)
    true = WORN.flux(*setting, SENSORS)
    rate = true * (1 + 0.015 * rng.standard_normal(3)) + 0.05 * rng.standard_normal(3)
    return experiment(setting, rate, 0.004 * true, energy, hours, **more)


def state(energy=2.945, hours=28.5, number=1, element="Cu"):
    return TargetState(element, number, energy, 3600.0 * hours, 1e9)


def test_the_age_is_counted_from_the_middle_of_the_runs(learned):
    assert learned.learned.energy_kWh == pytest.approx(0.545)
    energy, days = learned.age(state())
    assert energy == pytest.approx(2.4)
    assert days == pytest.approx(1.0)
    rebooted = replace(state(), process_s=5.0, wall_s=1e9 + 2 * 86400.0)
    assert learned.age(rebooted)[1] == pytest.approx(2.0)


def test_a_model_of_today_is_the_one_that_was_learned(learned):
    now = learned.at(learned.learned)
    mean, cov = learned.surface.predict(GRID)
    aged, aged_cov = now.predict(GRID)
    np.testing.assert_allclose(aged, mean, rtol=1e-9)
    np.testing.assert_allclose(aged_cov, cov, rtol=1e-6, atol=1e-9)
    joint, joint_cov = now.joint(GRID[:5])
    np.testing.assert_allclose(joint, learned.surface.joint(GRID[:5])[0])
    np.testing.assert_allclose(joint_cov, learned.surface.joint(GRID[:5])[1], rtol=1e-6, atol=1e-9)


def test_joint_and_predict_of_a_surface_agree(learned):
    for surface in (learned.surface, learned.at(state())):
        mean, cov = surface.predict(GRID[:6])
        joint, joint_cov = surface.joint(GRID[:6])
        np.testing.assert_allclose(joint.T, mean)
        np.testing.assert_allclose(np.einsum("kakb->abk", joint_cov), cov, rtol=1e-6, atol=1e-8)
        assert np.linalg.eigvalsh(joint_cov.reshape(18, 18)).min() > -1e-6
        scatter = surface.scatter_covariance(GRID[:6])
        np.testing.assert_allclose(scatter[2], scatter[2].T)
        each = surface.scatter(GRID[2], NAMES)
        np.testing.assert_allclose(np.sqrt(np.diag(scatter[2])), each, rtol=0.15)


def test_two_anchors_bring_a_worn_source_back_within_what_is_stated(learned):
    true = np.array([WORN.flux(p, q, SENSORS) for p, q in GRID]).T
    errors, covered = [], []
    for seed in range(5):
        model, now = learned, state()
        assert model.expired(0.03, now)[0]
        for k, run in enumerate(model.cheapest_anchors(0.03, now, most=2)):
            model = model.observe([later((run.power_W, run.pressure_mTorr), seed=10 * seed + k)])
        mean, cov = model.at(now).predict(GRID)
        errors.append(np.sqrt(np.mean((mean - true) ** 2, axis=1)) / true.mean(axis=1))
        covered.append(np.abs(mean - true) < 1.96 * np.sqrt(np.einsum("qqm->qm", cov)))
        old = np.sqrt(np.mean((learned.surface.predict(GRID)[0] - true) ** 2, axis=1)) / true.mean(axis=1)
        assert np.all(old > 0.15)
    assert np.mean(errors) < 0.04
    assert np.mean(covered) > 0.9
    assert model.energy_left(0.05, now) > 0


def test_another_target_ends_the_model(learned):
    for other in (state(number=2), state(element="Sn"), state(energy=0.1)):
        for act in (learned.at, learned.age, lambda now: learned.expired(0.03, now)):
            with pytest.raises(TargetChanged, match="learn it again"):
                act(other)
    assert learned.age(state(number=None))[0] > 0  # a machine that does not count its targets
    with pytest.raises(TargetChanged, match="another target"):
        learned.observe([later((50.0, 8.0), number=2)])
    check_target("cu", state(), state(energy=2.94499))  # a counter that is rounded


def test_runs_of_two_targets_make_no_model(learned):
    one, two = later((50.0, 8.0)), later((60.0, 8.0), number=2)
    with pytest.raises(TargetChanged):
        AgedModel.learn("cu", learned.surface, [one, two], POWER, PRESSURE)
    with pytest.raises(CatalogueError, match="no runs"):
        AgedModel.learn("cu", learned.surface, [], POWER, PRESSURE)


def test_runs_without_age_or_rate_are_refused(learned):
    silent = later((50.0, 8.0))
    with pytest.raises(CatalogueError, match="cu_energy"):
        TargetState.of(replace(silent, result={}), "cu")
    dark = replace(silent, rate=np.array([1.0, np.nan, 1.0]))
    with pytest.raises(WeakSignal):
        learned.observe([dark])
    with pytest.raises(CatalogueError, match="not cu alone"):
        learned.observe([later((50.0, 8.0), sources=("cu", "sn"))])
