"""Alloy, flow controller, susceptor and layers of the simulated reactor, each against a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc_sims.mocvd import alloy
from ioc_sims.mocvd.flow import Controller
from ioc_sims.mocvd.growth import Grown
from ioc_sims.mocvd.settings import PhysicsSettings
from ioc_sims.mocvd.susceptor import Susceptor
from ioc_sims.mocvd.wafer import Layer

S = PhysicsSettings()
PRINTED = [(1180.0, 5.8688, 0.1953, 0.4247), (1100.0, 5.8688, 0.1404, 0.3065), (1175.0, 5.8688, 0.192, 0.4176)]


# alloy ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("nm", "lattice", "x", "y"), PRINTED)
def test_the_papers_pairs(nm, lattice, x, y):
    here, right, up = (alloy.wavelength_nm(x + a, y + b) for a, b in ((0, 0), (1e-4, 0), (0, 1e-4)))
    per_x, per_y = (right - here) / 1e-4, (up - here) / 1e-4
    assert abs(here - nm) < 2e-4 * (abs(per_x) + abs(per_y))
    assert alloy.lattice_angstrom(x, y) == pytest.approx(lattice, abs=2e-4 * 0.61)
    assert alloy.wavelength_nm(0.1124, 0.3043) == pytest.approx(1119.97, abs=0.01)


@settings(max_examples=60)
@given(st.floats(1e-5, 0.03))
def test_the_critical_thickness_balances_the_two_forces(misfit):
    """At h_c the force of the misfit equals the line tension: f = b (1 - nu/4) (ln(h/b) + 1) / (8 pi h (1 + nu) / 2)."""
    h = alloy.critical_thickness_nm(misfit)
    b, nu = 5.8688 / 10 / math.sqrt(2), 1 / 3
    tension = b * (1 - nu / 4) * (math.log(h / b) + 1) / (8 * math.pi * h * (1 + nu) * 0.5)
    assert tension == pytest.approx(misfit, rel=1e-9)
    assert alloy.critical_thickness_nm(-misfit) == h
    assert alloy.relaxation(misfit, 0.999 * h, 0.03) == 0.0
    assert 0 < alloy.relaxation(misfit, 3 * h, 0.03) < alloy.relaxation(misfit, 30 * h, 0.03) < 1


def test_critical_thickness_at_the_ends():
    assert alloy.critical_thickness_nm(0.0) == math.inf
    assert alloy.relaxation(0.0, 1e9, 0.03) == 0.0
    assert 100 < alloy.critical_thickness_nm(0.001) < 250
    assert alloy.critical_thickness_nm(0.5) > 0


# flow controller and susceptor ----------------------------------------------------------------------------------------


def settled_course(setpoint: float, dt: float, seconds: float = 6.0) -> np.ndarray:
    one = Controller.of(20.0, S)
    one.setpoint = setpoint
    flows = []
    for _ in range(round(seconds / dt)):
        one.step(dt, 0.0)
        flows.append(one.flow)
    return np.array(flows)


def test_a_controller_overshoots_as_a_loop_of_second_order_does():
    flows = settled_course(10.0, 0.001)
    zeta, omega = S.flow_damping, S.flow_frequency_per_s
    damped = omega * math.sqrt(1 - zeta**2)
    assert flows.max() / 10.0 - 1 == pytest.approx(math.exp(-math.pi * zeta / math.sqrt(1 - zeta**2)), rel=1e-4)
    assert 0.001 * (flows.argmax() + 1) == pytest.approx(math.pi / damped, abs=0.002)
    assert flows[-1] == 10.0


@settings(max_examples=40)
@given(st.floats(0.5, 15.0), st.integers(1, 40))
def test_one_long_step_is_many_short_ones(setpoint, pieces):
    once, often = Controller.of(20.0, S), Controller.of(20.0, S)
    once.setpoint = often.setpoint = setpoint
    once.step(0.8, 0.0)
    for _ in range(pieces):
        often.step(0.8 / pieces, 0.0)
    assert once.flow == pytest.approx(often.flow, rel=1e-9)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.05, 5.0)), min_size=1, max_size=8))
def test_a_flow_never_leaves_its_range(steps):
    one = Controller.of(20.0, S)
    for setpoint, seconds in steps:
        one.setpoint = setpoint
        for _ in range(20):
            one.step(seconds / 20, 0.0)
            assert 0.0 <= one.flow <= 20.0


def test_the_true_flow_wanders_by_a_thousandth():
    one, noise = Controller.of(20.0, S), np.random.default_rng(0)
    one.setpoint = one.flow = 10.0
    seen = []
    for _ in range(4000):
        one.step(10.0, noise.normal())
        seen.append(one.true_sccm)
    assert np.std(seen) == pytest.approx(0.01, rel=0.1)
    assert np.mean(seen) == pytest.approx(10.0, abs=1e-3)


def test_the_susceptor_ramps_settles_and_cools():
    one = Susceptor(S)
    one.setpoint, one.ramp = 650.0, 1.5
    course = []
    for _ in range(900):
        one.step(1.0)
        course.append(one.value)
    course = np.array(course)
    assert np.median(np.diff(course)[60:350]) == pytest.approx(1.5, rel=1e-6)
    assert 0.0 < course.max() - 650.0 < 5.0
    assert abs(course[500:] - 650.0).max() < 0.3
    assert one.power_percent > 0
    one.setpoint = 0.0
    for _ in range(250):
        one.step(1.0)
    assert one.value - 25.0 == pytest.approx((course[-1] - 25.0) / math.e, rel=1e-6)
    assert one.power_percent == 0.0


# layers ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.01, 20.0), st.floats(0.0, 0.5), st.floats(0.0, 0.9)), min_size=1, max_size=40))
def test_slabs_keep_thickness_and_atoms(pieces):
    layer = Layer(("IN",))
    for nm, x, y in pieces:
        layer.add(1.0, Grown(x, y, nm))
    assert layer.nm == pytest.approx(sum(nm for nm, _, _ in pieces))
    mean = np.average([[x, y] for _, x, y in pieces], axis=0, weights=[nm for nm, _, _ in pieces])
    assert layer.composition == pytest.approx(tuple(mean), abs=1e-12)
