from dataclasses import replace

import numpy as np
import pytest
from ring_lab import SENSORS, RingSource, runs

from sdl_bluesky.analysis.health.additivity import Assumptions, Shot, assess, choose_checks
from sdl_bluesky.analysis.health.voltage import fit_voltage
from sdl_bluesky.analysis.surface import fit_surface
from sdl_bluesky.errors import OutOfRange, UnknownName, WeakSignal

NAMES = ("qcm1", "qcm2", "qcm3")
TOOLING = np.array([1.012, 0.991, 1.006])
POWER, PRESSURE = (10.0, 100.0), (4.0, 20.0)
SOURCES = {
    "cu": RingSource(azimuth=0.0, radius=1.5, diffuse=0.04, scale=40.0),
    "sn": RingSource(azimuth=120.0, radius=1.2, diffuse=0.06, scale=30.0, best=7.0, n0=2.4),
}
REGION = {"cu": (20.0, 90.0), "sn": (20.0, 90.0)}


def volts(name, power, pressure):
    return {"cu": 410.0, "sn": 330.0}[name] * (power / 50) ** 0.125 * (pressure / 5) ** -0.12


@pytest.fixture(scope="module")
def learned():
    rng = np.random.default_rng(5)
    surfaces, voltages = {}, {}
    for name, source in SOURCES.items():
        points, rates, std = runs(rng, source, TOOLING)
        surfaces[name] = fit_surface(points, rates, std, NAMES, POWER, PRESSURE)
        read = [volts(name, *x) * (1 + 0.002 * rng.standard_normal()) for x in points]
        voltages[name] = fit_voltage(points, read, POWER, PRESSURE)
    return surfaces, voltages


@pytest.fixture(scope="module")
def checks(learned):
    return choose_checks(learned[0], REGION, (5.0, 15.0), n=4)


def shoot(checks, rate_change, volt_change, seed=1):
    rng, shots = np.random.default_rng(seed), []
    for check in checks:
        total = np.zeros(3)
        for name, power in check.powers_W.items():
            true = SOURCES[name].flux(power, check.pressure_mTorr, SENSORS) * TOOLING * (1 + rate_change.get(name, 0.0))
            total += true * (1 + 0.015 * rng.standard_normal(3)) + 0.05 * rng.standard_normal(3)
        read = {
            k: volts(k, p, check.pressure_mTorr) * (1 + volt_change.get(k, 0.0)) * (1 + 0.002 * rng.standard_normal())
            for k, p in check.powers_W.items()
        }
        std = 0.003 * total
        rate = total + std * rng.standard_normal(3)
        shots.append(Shot(check.powers_W, check.pressure_mTorr, NAMES, rate, std, read))
    return shots


def test_checks_are_diverse_in_share_and_pressure_and_stay_where_films_are_made(learned, checks):
    x = np.array([[*c.powers_W.values(), c.pressure_mTorr] for c in checks])
    low, high = np.array([20, 20, 5]), np.array([90, 90, 15])
    assert np.all(x >= low - 1e-9)
    assert np.all(x <= high + 1e-9)
    share = np.log(x[:, 0] / x[:, 1])
    assert np.ptp(share) > 0.5 * 2 * np.log(90 / 20)
    assert np.ptp(np.log(x[:, 2])) > 0.4 * np.log(3)
    distance = np.linalg.norm((x[:, None] - x[None]) / (high - low), axis=-1) + 9 * np.eye(4)
    assert distance.min() > 0.2
    gains = [c.information for c in checks]
    assert gains[0] == max(gains)
    assert min(gains) > 0
    assert choose_checks(learned[0], REGION, (5.0, 15.0), n=4) == checks


def test_more_checks_complement_those_done_and_may_be_restricted(learned, checks):
    done = shoot(checks[:2], {}, {})
    more = choose_checks(learned[0], REGION, (5.0, 15.0), n=2, done=done)
    for new in more:
        assert all(abs(new.pressure_mTorr - old.pressure_mTorr) > 1e-6 for old in done)
    high = choose_checks(learned[0], REGION, (5.0, 15.0), allowed=lambda powers, pressure: pressure > 9.0)
    assert len(high) == 3
    assert min(c.pressure_mTorr for c in high) > 9.0
    with pytest.raises(OutOfRange, match="widen"):
        choose_checks(learned[0], REGION, (5.0, 15.0), allowed=lambda powers, pressure: False)


def test_additive_sources_need_no_interaction(learned, checks):
    found = assess(shoot(checks, {}, {}), learned[0], voltages=learned[1])
    assert (found.kind, found.found, found.found_at, found.interaction) == ("none", False, None, None)
    assert found.probability < 0.5
    assert all(abs(k.change) < 2 * k.std and k.std < 0.05 for k in found.pairs)
    assert found.findings == ()


def test_an_interaction_of_rate_and_voltage_is_found_and_predictions_are_corrected(learned, checks):
    change = {"cu": 0.05, "sn": 0.05}
    found = assess(shoot(checks, change, {"cu": -0.05, "sn": -0.05}), learned[0], voltages=learned[1])
    assert found.kind == "rate and voltage"
    assert found.found_at is not None
    assert sum(k.change for k in found.pairs) == pytest.approx(0.10, abs=0.03)
    assert found.voltage_change["cu"][0] == pytest.approx(np.log(0.95), abs=3 * found.voltage_change["cu"][1])
    assert "plasmas interact" in found.findings[0]
    assert "voltages change with it" in found.findings[0]
    assert found.interaction is not None
    powers = {"cu": 50.0, "sn": 45.0}
    mean, cov = found.interaction.changes(powers)
    assert mean.sum() == pytest.approx(0.10, abs=0.03)
    assert np.all(np.linalg.eigvalsh(cov) > -1e-12)
    alone = [learned[0][k].at([p, 9.0], NAMES) for k, p in powers.items()]
    rates, spread = found.interaction.correct([a[0] for a in alone], [a[1] for a in alone], powers)
    truth = sum(SOURCES[k].flux(p, 9.0, SENSORS) * 1.05 * TOOLING for k, p in powers.items())
    sums = np.tile(np.eye(3), 2)
    assert np.mean(np.abs(rates.sum(axis=0) / truth - 1)) < 0.02
    before = np.abs(sum(a[0] for a in alone) - truth).mean()
    assert np.abs(rates.sum(axis=0) - truth).mean() < 0.5 * before
    assert np.all(np.abs(rates.sum(axis=0) - truth) < 3 * np.sqrt(np.diag(sums @ spread @ sums.T)))


def test_rate_without_voltage_and_voltage_without_rate_are_told_apart(learned, checks):
    rate = assess(shoot(checks, {"cu": -0.06, "sn": -0.06}, {}), learned[0], voltages=learned[1])
    assert rate.kind == "rate"
    assert "the voltages do not" in rate.findings[0]
    volt = assess(shoot(checks, {}, {"cu": -0.05}), learned[0], voltages=learned[1])
    assert (volt.kind, volt.found, volt.interaction) == ("voltage", False, None)
    assert "rates add up all the same" in volt.findings[0]
    assert abs(volt.voltage_change["sn"][0]) < 3 * volt.voltage_change["sn"][1]


def test_without_voltages_the_rates_are_judged_alone(learned, checks):
    shots = [replace(k, voltage_V={}) for k in shoot(checks, {"cu": 0.06, "sn": 0.06}, {})]
    found = assess(shots, learned[0], voltages=learned[1])
    assert found.kind == "rate"
    assert found.voltage_p_value == ()
    assert found.voltage_change == {}
    assert found.as_document() == assess(shots, learned[0]).as_document()
    assert {k.form for k in found.interaction.rates} == {"constant", "root", "power"}


def test_looks_share_the_false_alarms_and_p_values_are_uniform_where_the_errors_hold(learned, checks):
    """60 trials drawn from the stated errors themselves: the share of alarms is what is stated."""
    from sdl_bluesky.analysis.health.checks import sums_alone

    powers = np.array([list(c.powers_W.values()) for c in checks])
    rates, cov = sums_alone(learned[0], ["cu", "sn"], NAMES, powers, np.array([c.pressure_mTorr for c in checks]))
    root = np.linalg.cholesky(cov + 1e-12 * np.eye(12))
    rng = np.random.default_rng(0)
    p, ever = [], []
    for _ in range(60):
        total = rates.sum(axis=1) + (root @ rng.standard_normal(12)).reshape(4, 3)
        shots = [Shot(c.powers_W, c.pressure_mTorr, NAMES, t, np.zeros(3)) for c, t in zip(checks, total, strict=True)]
        found = assess(shots, learned[0], assumptions=Assumptions(tolerated_std=1e-4))
        p.append(found.p_value[-1])
        ever.append(found.found_at is not None)
    assert np.mean(ever) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.12)


def test_a_drifting_sensor_is_no_interaction(learned, checks):
    shots = shoot(checks, {}, {})
    for k, shot in enumerate(shots):
        shot.rate[1] *= 1.0 + 0.08 * k
    found = assess(shots, learned[0])
    assert found.misfit_probability < 0.01
    assert "drifting sensor" in found.findings[-1]


def test_faults_are_refused_with_their_reason(learned, checks):
    shots = shoot(checks, {}, {})
    surfaces = learned[0]
    with pytest.raises(OutOfRange, match="no co-sputter shots"):
        assess([], surfaces)
    with pytest.raises(OutOfRange, match="fewer than two"):
        assess([replace(shots[0], powers_W={"cu": 50.0})], surfaces)
    with pytest.raises(UnknownName, match="ni"):
        assess([replace(shots[0], powers_W={"cu": 50.0, "ni": 20.0})], surfaces)
    with pytest.raises(OutOfRange, match="finite"):
        assess([replace(shots[0], pressure_mTorr=float("nan"))], surfaces)
    with pytest.raises(OutOfRange, match="do not belong"):
        assess([replace(shots[0], rate=np.ones(2))], surfaces)
    with pytest.raises(WeakSignal):
        assess([replace(shots[0], rate=np.full(3, np.nan))], surfaces)
    with pytest.raises(OutOfRange, match="two or more"):
        choose_checks({"cu": surfaces["cu"]}, {"cu": (20.0, 90.0)}, (5.0, 15.0))
    with pytest.raises(UnknownName, match="sn"):
        choose_checks(surfaces, {"cu": (20.0, 90.0)}, (5.0, 15.0))
    with pytest.raises(OutOfRange, match="above 0"):
        choose_checks(surfaces, REGION, (15.0, 5.0))
    with pytest.raises(OutOfRange):
        Assumptions(false_alarm=0.0)
    with pytest.raises(OutOfRange):
        Assumptions(interaction_std=0.001)


def test_a_sensor_that_failed_in_one_shot_is_left_out_of_it(learned, checks):
    shots = shoot(checks, {"cu": 0.06, "sn": 0.06}, {})
    shots[0].rate[2] = np.nan
    assert assess(shots, learned[0]).found


def test_the_result_is_plain_data(learned, checks):
    import json

    found = assess(shoot(checks, {"cu": 0.06, "sn": 0.06}, {}), learned[0], voltages=learned[1])
    document = json.loads(json.dumps(found.as_document()))
    assert document["found"] is True
    assert document["interaction"]["pairs"] == [["cu", "sn"], ["sn", "cu"]]
