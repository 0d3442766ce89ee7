"""Gas system and crystals against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc_sims.sputter.gas import Gas
from ioc_sims.sputter.qcm import Crystal, loaded_frequency, sauerbrey
from ioc_sims.sputter.settings import PhysicsSettings, SensorConfig

S = PhysicsSettings()
SENSOR = SensorConfig(name="qcm1", pv="Q1:", position_cm=(5.5, 0, 0))


def crystal(**settings) -> Crystal:
    return Crystal(SENSOR, PhysicsSettings(**settings), tooling=1.0, warmth=1.0)


def settle(gas: Gas, sccm: float) -> float:
    gas.setpoint_sccm = sccm
    for _ in range(600):
        gas.step(0.1)
    assert gas.settled
    return gas.pressure_mTorr


def test_flow_is_a_first_order_lag():
    gas = Gas(S)
    gas.setpoint_sccm = 50.0
    for _ in range(10):
        gas.step(0.1)
    assert gas.flow_sccm == pytest.approx(50 * (1 - math.exp(-1)))


def test_pressure_range_is_reached_by_the_flow_range():
    gas = Gas(S)
    assert settle(gas, 5.0) < 2.0
    assert settle(gas, 20.0) == pytest.approx(4.0, rel=0.05)
    assert settle(gas, 150.0) > 25.0
    assert settle(gas, 0.0) == pytest.approx(S.base_pressure_mTorr)


@pytest.mark.parametrize(("f0", "constant"), [(6e6, 12.269), (5e6, 17.668)])
def test_sauerbrey_constant(f0, constant):
    assert sauerbrey(f0) == pytest.approx(constant, abs=0.0015)


def test_a_thin_film_obeys_sauerbrey():
    for z in (0.4, 1.0):
        assert 6e6 - loaded_frequency(6e6, 1000.0, z) == pytest.approx(1000.0 / 12.269, rel=2e-4)


@given(mass=st.floats(1.0, 8e6), z=st.floats(0.15, 1.2))
def test_a_thick_film_obeys_the_z_match_equation(mass, z):
    f = loaded_frequency(6e6, mass, z)
    n_rho = sauerbrey(6e6) * 6e6**2  # N rho = C f0^2
    back = n_rho / (math.pi * z * f) * math.atan(z * math.tan(math.pi * (6e6 - f) / 6e6))
    assert back == pytest.approx(mass, rel=1e-6)


def test_frequency_falls_with_mass_and_life_ends():
    xtal = crystal()
    lives = []
    for _ in range(18):
        xtal.deposit(1e6, 0.437)
        lives.append(xtal.life_percent)
    assert lives == sorted(lives, reverse=True)
    assert lives[0] == pytest.approx(100 - 100 * 1e6 / 12.269 / 1e6, abs=0.3)
    assert lives[-1] == 0.0


def test_heat_looks_like_a_negative_rate_and_decays_in_eight_seconds():
    xtal = crystal(frequency_noise_Hz=0.0)
    noise = np.random.default_rng(0)
    before = xtal.frequency_Hz(noise)
    xtal.heat(8.0, 50.0)
    assert xtal.frequency_Hz(noise) - before == pytest.approx(3.0 * (1 - math.exp(-1)))
    for _ in range(80):
        xtal.heat(0.1, 0.0)
    assert xtal.warm_Hz == pytest.approx(3.0 * (1 - math.exp(-1)) * math.exp(-1))


def test_zero_drift_has_its_size_and_correlation_time():
    xtal, noise = crystal(), np.random.default_rng(1)
    rates = []
    for _ in range(40000):
        xtal.drift(600.0, float(noise.normal()))
        rates.append(xtal.drift_rate)
    trace = np.asarray(rates)
    assert trace.std() == pytest.approx(0.05, rel=0.1)
    lag = 12  # 7200 s
    assert np.corrcoef(trace[:-lag], trace[lag:])[0, 1] == pytest.approx(math.exp(-1), abs=0.06)
    assert xtal.drift_mass == pytest.approx(600 * trace.sum(), rel=1e-2, abs=20)


def test_frequency_noise():
    xtal, noise = crystal(), np.random.default_rng(2)
    assert np.std([xtal.frequency_Hz(noise) for _ in range(2000)]) == pytest.approx(0.02, rel=0.1)
