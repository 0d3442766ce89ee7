"""Diffraction and light of a simulated wafer, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc_sims.mocvd import alloy
from ioc_sims.mocvd import photoluminescence as pl
from ioc_sims.mocvd.diffractometer import Diffractometer
from ioc_sims.mocvd.growth import Shift
from ioc_sims.mocvd.mapper import Mapper
from ioc_sims.mocvd.measuring import State
from ioc_sims.mocvd.settings import PhysicsSettings
from ioc_sims.mocvd.wafer import RADIUS_MM, Layer, Slab, Wafer
from ioc_sims.mocvd.xrd import WAVELENGTH_ANGSTROM, Planes, bragg_deg, pattern

S = PhysicsSettings()


def wafer(x=0.192, y=0.4176, nm=200.0, edge: Shift | None = None) -> Wafer:
    inp = [Layer(("IN", "P"), [Slab(thick, 0.0, 0.0)]) for thick in (200.0, 65.0)]
    layer = Layer(("IN", "GA", "AS", "P"), [Slab(nm, x, y)])
    return Wafer(1, edge=edge or Shift(), layers=[inp[0], layer, inp[1]])


# diffraction ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.floats(-0.008, 0.008))
def test_a_thick_layer_peaks_where_bragg_says(strain):
    """On a substrate that scatters little, the peak lies at 2 d sin(theta) = lambda."""
    where = np.arange(62.0, 64.7, 0.002)
    seen = pattern([Planes(900.0, 0.2, 0.43, 1 + strain)], where, depth_nm=1.0, fwhm_deg=0.007)
    found = where[seen.argmax()]
    spacing = 5.8688 / 4 * (1 + strain)
    assert 2 * spacing * math.sin(math.radians(found / 2)) == pytest.approx(WAVELENGTH_ANGSTROM, rel=4e-5)
    assert bragg_deg(1 + strain) == pytest.approx(found, abs=0.003)


def test_inp_lies_at_the_documented_angle():
    assert bragg_deg(1.0) == pytest.approx(63.338, abs=1e-3)
    where = np.arange(63.3, 63.38, 0.0005)
    seen = pattern([], where, S.xrd_depth_nm, S.xrd_resolution_deg)
    assert where[seen.argmax()] == pytest.approx(63.338, abs=1e-3)
    assert pattern([], np.array([bragg_deg(1.0), 63.5]), S.xrd_depth_nm, 1e-4)[0] == pytest.approx(1.0, abs=0.02)


@settings(max_examples=15)
@given(st.floats(60.0, 400.0), st.floats(-0.004, -0.001))
def test_fringes_are_as_far_apart_as_the_thickness_says(nm, strain):
    """sin(theta_2) - sin(theta_1) = lambda / (2 t) from one minimum to the next."""
    theta = np.degrees(np.arcsin(WAVELENGTH_ANGSTROM / (20 * nm)))
    width = 2 * theta / math.cos(math.radians(31.7))
    where = np.arange(bragg_deg(1 + strain) + 1.5 * width, bragg_deg(1 + strain) + 7.6 * width, width / 200)
    seen = pattern([Planes(nm, 0.1, 0.3, 1 + strain)], where, depth_nm=0.01, fwhm_deg=width / 100)
    inner = seen[1:-1]
    minima = where[1:-1][(inner < seen[:-2]) & (inner < seen[2:])]
    assert len(minima) == 6
    sines = np.sin(np.radians(minima / 2))
    assert np.diff(sines) == pytest.approx(WAVELENGTH_ANGSTROM / (20 * nm), rel=0.02)


def test_a_slab_in_pieces_scatters_as_one():
    where = np.arange(62.5, 64.0, 0.003)
    whole = [Planes(123.4, 0.15, 0.35, 1.001)]
    parts = [Planes(nm, 0.15, 0.35, 1.001) for nm in (0.05, 13.35, 60.0, 50.0)]
    both = (pattern(stack, where, S.xrd_depth_nm, S.xrd_resolution_deg) for stack in (whole, parts))
    np.testing.assert_allclose(*both, rtol=1e-9)


def scan(one: Wafer, physics: PhysicsSettings = S, seed: int = 0, **settings: float) -> Diffractometer:
    machine = Diffractometer(physics, seed)
    for name, value in settings.items():
        setattr(machine, name, value)
    machine.wafer = one
    assert machine.ready
    machine.begin()
    machine.advance(machine.left_s)
    assert machine.state is State.DONE
    return machine


def test_a_coherent_layer_shows_its_misfit_stretched():
    exact = PhysicsSettings(xrd_zero_deg=0, xrd_mount_deg=0, xrd_scale=0)
    one = wafer(x=0.10, y=0.36)
    misfit = float(alloy.mismatch(0.10, 0.36))
    assert 0.0035 < misfit < 0.006
    layer = one.quaternary
    assert layer is not None
    assert 0 < one.relaxed(layer, S.relaxation_rate) < 0.3
    for rate, factor in ((0.0, 2.11), (1e6, 1.0)):
        found = scan(one, exact.model_copy(update={"relaxation_rate": rate}), first_deg=62.2, last_deg=63.2)
        peak = found.two_theta_deg[found.counts.argmax()]
        assert peak == pytest.approx(bragg_deg(1 + factor * misfit), abs=0.015)


def test_counts_are_poissonian_and_come_one_by_one():
    machine = Diffractometer(S, 0)
    machine.wafer = wafer()
    machine.first_deg, machine.last_deg, machine.step_deg, machine.time_s = 63.2, 63.4, 0.01, 2.0
    assert machine.length == 21
    machine.begin()
    machine.advance(9.0)
    assert (machine.points, np.count_nonzero(machine.counts[4:])) == (4, 0)
    assert machine.counts[:4].min() > 0
    machine.stop()
    assert machine.state is State.STOPPED
    exact = PhysicsSettings(xrd_zero_deg=0, xrd_mount_deg=0, xrd_scale=0)
    runs = []
    machine = Diffractometer(exact, 1)
    machine.wafer = wafer()
    for _ in range(40):
        machine.begin()
        machine.advance(machine.left_s)
        runs.append(machine.counts)
    runs = np.array(runs, float)
    mean = runs.mean(axis=0)
    index = runs.var(axis=0, ddof=1)[mean > 5] / mean[mean > 5]
    assert index.mean() == pytest.approx(1.0, abs=6 * math.sqrt(2 / 39 / len(index)))


def test_a_scan_that_cannot_be_done_is_not_ready():
    machine = Diffractometer(S, 0)
    assert not machine.ready
    machine.wafer = wafer()
    for first, last, step in ((63.0, 62.9, 0.01), (63.0, 63.0, 0.01), (60.0, 67.0, 0.0005)):
        machine.first_deg, machine.last_deg, machine.step_deg = first, last, step
        assert not machine.ready
    machine.first_deg, machine.last_deg, machine.step_deg = 62.0, 64.0, 0.1
    assert (machine.ready, machine.length) == (True, 21)


# light ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.floats(0.8, 1.4), st.floats(0.004, 0.02))
def test_the_line_has_its_maximum_at_the_gap_and_a_thermal_tail(gap, broad):
    energy = np.linspace(gap - 0.2, gap + 0.4, 60001)
    light = pl.line(energy, gap, broad)
    assert energy[light.argmax()] == pytest.approx(gap, abs=2e-4)
    assert light.max() == pytest.approx(1.0, abs=1e-4)
    far = energy > gap + 6 * broad + 0.05
    slope = np.polyfit(energy[far], np.log(light[far]), 1)[0]
    assert slope == pytest.approx(-1 / 0.02585, rel=0.01)
    near = gap - 2 * broad
    assert np.interp(near, energy, light) < 0.7 * np.interp(2 * gap - near, energy, light)


def test_a_spectrum_shows_the_layer_and_inp():
    mapper = Mapper(S, 0)
    mapper.wafer, mapper.exposure_s = wafer(), 1.0
    mapper.begin(mapping=False)
    mapper.advance(0.5)
    assert mapper.busy
    mapper.advance(0.6)
    assert mapper.state is State.DONE
    nm, counts = pl.WAVELENGTH_NM, mapper.counts
    assert nm[counts.argmax()] == pytest.approx(float(alloy.wavelength_nm(0.192, 0.4176)), abs=6.0)
    short = nm < 980
    assert nm[short][counts[short].argmax()] == pytest.approx(919.0, abs=5.0)


def test_a_map_has_a_radial_profile_dead_pixels_and_noise():
    exact = PhysicsSettings(pl_calibration_nm=0.0)
    edge = Shift(0.0, 0.1)
    mapper = Mapper(exact, 3)
    mapper.wafer = wafer(edge=edge)
    mapper.begin(mapping=True)
    mapper.advance(mapper.left_s)
    radius = np.hypot(*np.meshgrid(pl.AXIS_MM, pl.AXIS_MM))
    seen = np.isfinite(mapper.map_nm)
    assert not seen[radius > RADIUS_MM - 1.5].any()
    assert seen[radius < 20].all()
    rim = pl.at_edge()
    assert 0.1 < np.mean(~seen[rim]) < 0.55
    part = (radius[seen] / RADIUS_MM) ** 2
    grown = 0.4176 / 0.5824 * np.exp(0.1 * part)
    expected = alloy.wavelength_nm(0.192, grown / (1 + grown))
    off = mapper.map_nm[seen] - expected
    assert np.std(off) == pytest.approx(S.pl_pixel_nm, rel=0.15)
    assert abs(np.mean(off)) < 5 * S.pl_pixel_nm / math.sqrt(off.size)
    assert (mapper.intensity[seen] > 0).all()
    assert (mapper.intensity[~seen] == 0).all()


def test_calibration_errors_are_per_measurement_and_by_seed():
    errors = []
    mapper = Mapper(S, 5)
    mapper.wafer = wafer()
    for _ in range(60):
        mapper.begin(mapping=True)
        mapper.advance(mapper.left_s)
        errors.append(float(np.nanmean(mapper.map_nm) - alloy.wavelength_nm(0.192, 0.4176)))
    assert np.std(errors) == pytest.approx(S.pl_calibration_nm, rel=0.35)
    again = Mapper(S, 5)
    again.wafer = wafer()
    again.begin(mapping=True)
    again.advance(again.left_s)
    assert float(np.nanmean(again.map_nm) - alloy.wavelength_nm(0.192, 0.4176)) == errors[0]


def test_a_bare_or_decomposed_wafer_gives_little_light():
    energy = np.array([float(alloy.gap_eV(0.0, 0.0))])
    bare, dead = Wafer(1), wafer()
    dead.decomposed_s = 200.0
    assert pl.emission(bare, energy, 0.0, S)[0] == pytest.approx(pl.INP_SHARE)
    assert np.nanmean(pl.peak_map_nm(bare)) == pytest.approx(918.4, abs=0.1)
    top = np.array([float(alloy.gap_eV(0.192, 0.4176))])
    assert pl.emission(dead, top, 0.0, S)[0] < 1e-3 * pl.emission(wafer(), top, 0.0, S)[0]
    mapper = Mapper(S, 0)
    mapper.wafer = dead
    mapper.begin(mapping=True)
    mapper.advance(mapper.left_s)
    assert np.isnan(mapper.map_nm).all()
