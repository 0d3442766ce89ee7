"""Power supply, plasma and sputter rate of one source."""

from __future__ import annotations

import numpy as np
import pytest

from ioc_sims.sputter.elements import target_of
from ioc_sims.sputter.settings import PhysicsSettings, SourceConfig
from ioc_sims.sputter.sources import Magnetron, Source

S = PhysicsSettings()


def magnetron(element="Cu") -> Magnetron:
    return Magnetron(SourceConfig(name="x", element=element, pv="S1:", position_cm=(0, 0, 14), axis=(0, 0, -1)), S)


def powered(watts: float) -> Source:
    source = Source(magnetron())
    source.setpoint_W = source.supply_W = watts
    return source


def test_plasma_boundaries_at_the_ends_of_the_power_range():
    law = magnetron()
    assert law.extinction_pressure(100.0) == pytest.approx(2.2)
    assert law.extinction_pressure(10.0) == pytest.approx(3.9)
    assert law.ignition_pressure(10.0) == pytest.approx(1.8 * 3.9)


def test_plasma_has_hysteresis():
    source = powered(100.0)
    lit = []
    for pressure in (3.0, 3.9, 4.0, 3.0, 2.25, 2.15, 3.0, 3.9):
        source.update_plasma(pressure)
        lit.append(source.burning)
    assert lit == [False, False, True, True, True, False, False, False]


def test_a_dark_source_delivers_no_power():
    source = powered(50.0)
    source.update_plasma(1.0)
    source.update_emission(1.0, 0.0)
    assert (source.power_W, source.current_A, source.emitted_ng_s) == (0.0, 0.0, 0.0)
    assert source.voltage_V == S.open_circuit_voltage_V


@pytest.mark.parametrize("watts", [10.0, 37.0, 100.0])
def test_power_is_voltage_times_current(watts):
    source = powered(watts)
    source.update_plasma(10.0)
    source.update_emission(10.0, neighbours=1.0)
    assert source.voltage_V * source.current_A == pytest.approx(watts)


def test_supply_ramps_at_its_speed_and_stops_at_the_setpoint():
    source = Source(magnetron())
    source.setpoint_W = 25.0
    reached = []
    for _ in range(4):
        source.ramp(0.1, 100.0)
        reached.append(source.supply_W)
    assert reached == pytest.approx([10.0, 20.0, 25.0, 25.0])
    assert source.settled


def test_rate_is_roughly_but_not_exactly_proportional_to_power():
    power = np.linspace(10, 100, 10)
    per_watt = np.asarray(magnetron().emitted(power, 8.0)) / power
    assert 0.02 < np.ptp(per_watt) / per_watt.mean() < 0.3


def test_rate_has_a_maximum_in_pressure():
    rates = np.asarray(magnetron().emitted(50.0, np.linspace(4, 20, 33)))
    assert 0 < int(rates.argmax()) < 32
    assert 0.6 < rates.min() / rates.max() < 0.95


@pytest.mark.parametrize("element", ["Cu", "Sn", "Ni", "Al", "Pd"])
def test_every_element_sputters(element):
    law = magnetron(element)
    assert 1e3 < law.emitted(50.0, 5.0) < 1e5
    assert 250 < law.voltage(50.0, 5.0) < 450


def test_a_neighbour_changes_rate_and_voltage_by_a_percent():
    alone, beside = powered(50.0), powered(50.0)
    for source, neighbours in ((alone, 0.0), (beside, 1.0)):
        source.update_plasma(10.0)
        source.update_emission(10.0, neighbours)
    assert beside.emitted_ng_s / alone.emitted_ng_s == pytest.approx(1.01)
    assert beside.voltage_V / alone.voltage_V == pytest.approx(0.99)


def test_erosion_counts_energy_and_changes_rate_and_exponent():
    source = powered(100.0)
    source.update_plasma(10.0)
    source.erode(36000.0)
    assert source.energy_kWh == pytest.approx(1.0)
    law = source.law
    assert law.emitted(100.0, 10.0, 1.0) < law.emitted(100.0, 10.0, 0.0)
    assert law.exponent(10.0, 1.0) == pytest.approx(law.exponent(10.0, 0.0) + S.erosion_n_per_kWh)


def test_what_is_no_element_is_refused():
    assert target_of("Pd").mass_u == pytest.approx(106.42, abs=0.01)
    for name in ("Xx", "copper", "n", ""):
        with pytest.raises(ValueError, match="not a chemical element"):
            target_of(name)
