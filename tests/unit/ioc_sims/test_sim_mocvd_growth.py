"""The growth law: the paper's pairs, signs, balances, limits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc_sims.mocvd.growth import PAIRS, Gas, Shift, arsenic_supply, make_law, reference_gas
from ioc_sims.mocvd.settings import PhysicsSettings

S = PhysicsSettings()
SEEDS = st.integers(0, 10_000)
GALLIUM = st.floats(2.0, 8.0)
ARSINE = st.floats(4.0, 14.0)


def odds(share: float) -> float:
    return share / (1 - share)


@settings(max_examples=50)
@given(SEEDS)
def test_the_papers_two_pairs_hold_in_every_reactor(seed):
    law = make_law(S, seed)
    for flows, (x, y) in PAIRS:
        grown = law.grow(reference_gas(S, *flows))
        assert grown.x == pytest.approx(x, abs=2e-5)
        assert grown.y == pytest.approx(y, abs=2e-5)


@settings(max_examples=100)
@given(SEEDS, GALLIUM, ARSINE, st.floats(0.05, 2.0), st.floats(0.05, 2.0))
def test_more_arsenic_lowers_x_and_more_gallium_raises_y(seed, f_ga, f_as, more_ga, more_as):
    law = make_law(S, seed)
    here = law.grow(reference_gas(S, f_ga, f_as))
    richer = law.grow(reference_gas(S, f_ga + more_ga, f_as))
    other = law.grow(reference_gas(S, f_ga, f_as + more_as))
    assert richer.x > here.x
    assert richer.y > here.y
    assert other.y > here.y
    assert other.x < here.x


def test_neither_composition_is_linear_in_its_flow_nor_the_reactors_alike():
    exponents = []
    for seed in range(40):
        law = make_law(S, seed)
        low, high = (odds(law.grow(reference_gas(S, f, 9.0)).x) for f in (4.0, 8.0))
        first, last = (odds(law.grow(reference_gas(S, 5.0, f)).y) for f in (4.0, 8.0))
        exponents.append((math.log2(high / low), math.log2(last / first)))
    gallium, arsenic = np.array(exponents).T
    assert 1.02 < gallium.min() < 1.25 < gallium.max() < 2.0
    assert 0.4 < arsenic.min() < 0.7 < arsenic.max() < 1.0


@settings(max_examples=50)
@given(SEEDS, GALLIUM, ARSINE)
def test_group_v_is_langmuir(seed, f_ga, f_as):
    """Ratio of the two hydrides at steady x: y / (1 - y) is proportional to c_As / c_P, whatever covers the rest."""
    law = make_law(S, seed)
    gas = reference_gas(S, f_ga, f_as)
    one = law.grow(gas)
    half = law.grow(dataclasses.replace(gas, phosphine=150.0))
    assert odds(half.y) / odds(one.y) == pytest.approx(2.0, rel=0.03)  # x moves a little with the total flow
    twice = law.grow(dataclasses.replace(gas, arsine=2 * f_as))
    supply = arsenic_supply(2 * f_as, law.dimer) / arsenic_supply(f_as, law.dimer)
    assert odds(twice.y) / odds(one.y) == pytest.approx(supply * math.exp(law.bond * (twice.x - one.x)), rel=0.01)
    # fewer hydrides leave sites bare, and metals do not stick: theta = K c / (1 + K c), 20 at the reference
    starved = dataclasses.replace(reference_gas(S), phosphine=15.0)
    assert law.grow(starved).rate_nm_s / S.rate_nm_s == pytest.approx((1 / 2) / (20 / 21), rel=0.02)


@settings(max_examples=50)
@given(SEEDS, GALLIUM, ARSINE)
def test_metals_are_conserved(seed, f_ga, f_as):
    """What a gas with both metals deposits is what each of them would deposit alone (a little apart by the coverage)."""
    law = make_law(S, seed)
    both = law.grow(reference_gas(S, f_ga, f_as))
    gallium = law.grow(dataclasses.replace(reference_gas(S, f_ga, f_as), indium=0.0))
    indium = law.grow(reference_gas(S, 0.0, f_as))
    assert (gallium.x, indium.x) == (1.0, 0.0)
    assert both.rate_nm_s * both.x == pytest.approx(gallium.rate_nm_s, rel=0.05)
    assert both.rate_nm_s * (1 - both.x) == pytest.approx(indium.rate_nm_s, rel=0.05)


def test_limits():
    law = make_law(S, 3)
    gas = reference_gas(S, 5.0, 9.0)
    assert law.grow(reference_gas(S)).rate_nm_s == pytest.approx(S.rate_nm_s, rel=2e-3)
    assert law.grow(reference_gas(S)).y == 0.0
    assert law.grow(dataclasses.replace(gas, phosphine=0.0)).y == 1.0
    for none in ({"arsine": 0.0, "phosphine": 0.0}, {"indium": 0.0, "gallium": 0.0}):
        assert law.grow(dataclasses.replace(gas, **none)).rate_nm_s == 0.0
    assert law.grow(dataclasses.replace(gas, temperature_degC=25.0)).rate_nm_s < 1e-3 * S.rate_nm_s  # no reaction
    still = law.grow(Gas(25.0, 5.0, 9.0, 300.0, 0.0, 650.0, 100.0, 0.0))
    assert still.rate_nm_s > 0
    assert all(map(math.isfinite, (still.x, still.y, still.rate_nm_s)))


def test_the_boundary_layer_thins_with_flow_and_rotation():
    """Transport limited: j goes with F / F_total times the root of (0.6 rotation + 0.4 flow), little reaction behind."""
    law = make_law(S, 0)
    gas = reference_gas(S)
    base = law.grow(gas).rate_nm_s
    slow = law.grow(dataclasses.replace(gas, rotation_rpm=300.0)).rate_nm_s
    assert slow / base == pytest.approx(math.sqrt((0.2 + 0.4) / 1.0), rel=0.03)
    double = law.grow(dataclasses.replace(gas, hydrogen=32000.0))
    assert double.rate_nm_s / base == pytest.approx(math.sqrt(0.6 + 0.8) / 2, rel=0.06)


def test_heat_drives_arsenic_out_and_a_shift_is_in_log_odds():
    law = make_law(S, 0)
    gas = reference_gas(S, 5.971, 11.2)
    here = law.grow(gas)
    hotter = law.grow(dataclasses.replace(gas, temperature_degC=660.0))
    assert -0.08 < math.log(odds(hotter.y) / odds(here.y)) < -0.03
    moved = law.grow(gas, Shift(0.1, 0.05))
    assert math.log(odds(moved.x) / odds(here.x)) == pytest.approx(0.1)
    bond = law.bond * (moved.x - here.x)
    assert math.log(odds(moved.y) / odds(here.y)) == pytest.approx(0.05 + bond)
