"""The joint model of a chamber: exact for truths of its own prior, right for others, and not fooled by a bad point."""

from dataclasses import replace

import numpy as np
import pytest
from ring_lab import AZIMUTH, SENSORS, WAFER, fractions, place, ring

from sdl_bluesky.analysis.maps.calibration import calibrate
from sdl_bluesky.analysis.maps.composition import composition_map, solve_film
from sdl_bluesky.analysis.maps.joint import normals, solve
from sdl_bluesky.analysis.maps.pattern import Prior
from sdl_bluesky.analysis.maps.readings import Film, SourceRates
from sdl_bluesky.analysis.rbs.points import CompositionPoints
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.composition import atomic_masses
from sdl_bluesky.physics.geometry import SensorGeometry, SourceGeometry

QCMS = {f"qcm{k + 1}": SensorGeometry(tuple(p)) for k, p in enumerate(SENSORS)}
ELEMENTS = ("Cu", "Sn", "Ni")
NAMES = ("cu", "sn", "ni")
PLACES = np.array([[0.0, 0.0], [20.0, 20.0], [-20.0, 20.0], [-20.0, -20.0], [20.0, -20.0]])
CORNERS = np.column_stack([PLACES / 10.0, np.zeros(5)])
ERROR, STD = 0.004, 0.003
STRENGTH, N = (3e4, 7e4, 2.5e4), (1.4, 1.8, 1.6)


def film(which=(0, 1), tooling=(1.0, 1.0, 1.0), sticking=(1.0, 1.0, 1.0), scale=1.0, rng=None, uid="a", radius=1.5):
    """A film of ring sources as its sensors tell of it, with five points; and its true fractions on the wafer."""
    rng = rng or np.random.default_rng(0)
    sources, at_points, on_wafer = [], [], []
    for k in which:
        position, axis = place(AZIMUTH[k])
        strength = scale * STRENGTH[k]
        rate = strength * ring(position, axis, SENSORS, N[k], radius) * np.array(tooling)
        read = rate * (1 + ERROR * rng.standard_normal(3))
        geometry = SourceGeometry(tuple(position), tuple(axis))
        sources.append(SourceRates(NAMES[k], ELEMENTS[k], geometry, read, np.diag((ERROR * read) ** 2)))
        at_points.append(sticking[k] * strength * ring(position, axis, CORNERS, N[k], radius))
        on_wafer.append(sticking[k] * strength * ring(position, axis, WAFER, N[k], radius))
    elements = tuple(ELEMENTS[k] for k in which)
    value = fractions(at_points, elements).T
    value = value + STD * rng.standard_normal(value.shape)
    points = measured(elements, value / value.sum(axis=1, keepdims=True))
    return Film(tuple(sources), None, points, uid), fractions(on_wafer, elements)


def measured(elements, fraction, std=STD):
    p, e = fraction.shape
    cov = np.zeros((p, e, p, e))
    for k in range(p):
        change = np.eye(e) - fraction[k][:, None]
        cov[k, :, k] = std**2 * change @ change.T
    flat = cov.reshape(p * e, p * e)
    return CompositionPoints(
        elements, PLACES[:, 0], PLACES[:, 1], fraction, flat, fraction, flat, np.ones(p, dtype=bool)
    )


def error_percent(made, truth, calibration):
    grid = np.linspace(-25.0, 25.0, 11)
    found = composition_map(made.sources, QCMS, 0.01, grid, grid, calibration=calibration)
    return 100 * np.sqrt(np.mean((found.fraction.reshape(len(truth), -1) - truth) ** 2))


def test_truths_of_its_own_prior_lie_within_its_intervals():
    prior = Prior(rest=1e-6)
    rng, z, chi2 = np.random.default_rng(3), [], []
    for _ in range(150):
        empty, _ = film((0, 1, 2), rng=rng)
        start = solve([replace(empty, points=None)], QCMS, 0.01, prior)
        layout, size = start.layout, start.layout.size
        truth = np.zeros(size)
        truth[layout.tooling] = 0.01 * rng.standard_normal(3)
        truth[layout.sticking] = 0.003 * rng.standard_normal(3)
        truth[layout.mismatch] = rng.multivariate_normal(*prior.mismatch(3))
        own = np.array(layout.strengths)
        truth[own] = np.log(STRENGTH)
        truth[own + 1] = rng.multivariate_normal(*prior.exponents([0, 1, 2], [0, 0, 0]))
        sources = []
        for i, source in enumerate(empty.sources):
            matrix, offset = _at_sensors(source)
            ln = matrix @ truth[layout.pattern(0, i)] + offset + truth[layout.tooling]
            read = np.exp(ln + ERROR * rng.standard_normal(3))
            sources.append(replace(source, mean=read, cov=np.diag((ERROR * read) ** 2)))
        moles = np.exp(start.ln_flux(0, CORNERS, truth)) / atomic_masses(ELEMENTS)[:, None]
        value = (moles / moles.sum(axis=0)).T + STD * rng.standard_normal((5, 3))
        points = measured(ELEMENTS, value / value.sum(axis=1, keepdims=True))
        made = Film(tuple(sources), None, points, "a", together=False)
        joint = solve([made], QCMS, 0.01, prior)
        shared = slice(0, layout.shared)
        z.append((joint.mean[shared] - truth[shared]) / np.sqrt(np.diag(joint.cov)[shared]))
        chi2 += [value / width for value, width in joint.chi2.values()]
    z = np.array(z)
    inside = np.mean(np.abs(z) < 1.645, axis=0)
    assert 0.87 <= inside.mean() <= 0.93
    assert inside.min() >= 0.80  # of 150: 90 % less four standard errors
    np.testing.assert_allclose(np.sqrt((z**2).mean()), 1.0, atol=0.05)
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.12)


def _at_sensors(source):
    from sdl_bluesky.analysis.maps.pattern import design

    return design(source.geometry, SENSORS, [0.0, 0.0, 1.0], Prior().n[0])


def test_tooling_factors_are_found_by_points_and_help_another_film():
    tooling = (1.03, 0.98, 1.01)
    known = calibrate([film((0, 1, 2), tooling)[0]], QCMS, 0.03)
    mean = np.array([known.of(f"ln_tooling:{k}")[0] for k in QCMS])
    std = np.array([known.of(f"ln_tooling:{k}")[1] for k in QCMS])
    apart = mean - mean.mean() - (np.log(tooling) - np.log(tooling).mean())  # what all share, fractions cannot tell
    assert np.abs(apart).max() < 0.012
    assert np.all(std < 0.03)
    other, truth = film((1, 2), tooling, uid="b", scale=0.6, rng=np.random.default_rng(5))
    bare = replace(other, points=None)
    assert error_percent(bare, truth, known) < 0.6 * error_percent(bare, truth, None)
    assert known.poor == known.left_out == ()


@pytest.mark.parametrize("poor", [0, 2])
def test_a_source_that_sticks_poorly_is_found_and_named(poor):
    sticking = [1.0, 1.0, 1.0]
    sticking[poor] = 0.7
    known = calibrate([film((0, 1, 2), sticking=sticking)[0]], QCMS, 0.01)
    assert known.poor == (NAMES[poor],)
    ln, std = known.of(f"ln_sticking:{NAMES[poor]}")
    assert abs(ln - np.log(0.7)) < 3 * std < 0.15
    assert [k for k in known.findings if k.startswith(f"poor sticking: {NAMES[poor]} keeps 0.")]
    which = (poor, 1)
    made, truth = film(which, sticking=sticking, uid="b", scale=0.7, rng=np.random.default_rng(6))
    made = replace(made, points=None)
    assert error_percent(made, truth, None) > 5.0
    assert error_percent(made, truth, known) < 1.0


def test_ordinary_sticking_is_no_finding_and_unmeasured_sources_are_said():
    witness = film((2,))[0].sources
    known = calibrate([film((0, 1))[0]], QCMS, 0.01, witnesses=witness)
    assert known.poor == ()
    assert [k for k in known.findings if "poor" in k] == []
    assert "sticking of ni is assumed to be 1" in known.findings[-1]
    assert known.of("ln_sticking:ni") == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.003))


@pytest.mark.parametrize("number", [0, 3])
def test_a_bad_point_is_flagged_and_does_no_harm(number):
    good, _ = film((0, 1, 2))
    value = good.points.fraction.copy()
    value[number] += [0.06, -0.06, 0.0]
    bad = replace(good, points=measured(ELEMENTS, value))
    known, clean = calibrate([bad], QCMS, 0.01), calibrate([good], QCMS, 0.01)
    assert known.left_out == (("a", number),)
    assert known.poor == ()
    assert f"point {number + 1} of film a" in known.findings[-1]
    np.testing.assert_allclose(known.mean, clean.mean, atol=2.0 * np.sqrt(np.diag(clean.covariance)).max())
    assert clean.left_out == ()


def test_points_that_were_not_accepted_are_not_used():
    good, _ = film((0, 1))
    accepted = np.array([True, False, True, True, True])
    wild = good.points.fraction.copy()
    wild[1] = [0.01, 0.99]
    known = calibrate([replace(good, points=replace(measured(("Cu", "Sn"), wild), accepted=accepted))], QCMS, 0.01)
    assert known.left_out == ()
    assert "1 of 5 points are not used" in known.findings[0]


def test_without_points_it_is_what_is_assumed():
    known = calibrate([], QCMS, 0.01, witnesses=film((0,))[0].sources)
    assert known.of("ln_sticking:cu") == (0.0, pytest.approx(0.003))
    assert known.of("ln_tooling:qcm1")[1] <= 0.01


def test_a_measured_film_has_its_map_by_its_own_points():
    made, truth = film((0, 1), (1.04, 0.97, 1.0))
    known = calibrate([made], QCMS, 0.03)
    grid = np.linspace(-25.0, 25.0, 11)
    bare = replace(made, points=None)
    own = composition_map(bare.sources, QCMS, 0.03, grid, grid, calibration=known, uid="a")
    alone = composition_map(bare.sources, QCMS, 0.03, grid, grid)
    assert own.std.mean() < 0.5 * alone.std.mean()
    assert 100 * np.abs(own.fraction.reshape(2, -1) - truth).max() < 0.8
    assert len(solve_film(replace(bare, uid=""), QCMS, 0.03, None, known).layout.films) == 2  # another film
    assert len(solve_film(bare, QCMS, 0.03, None, known).layout.films) == 1


def test_bad_input_is_refused():
    made, _ = film((0, 1))
    with pytest.raises(OutOfRange, match="two elements in common"):
        calibrate([replace(made, points=measured(("Cu", "Al"), made.points.fraction))], QCMS, 0.01)
    broken = replace(made.points, fraction=made.points.fraction * np.nan)
    with pytest.raises(OutOfRange, match="not finite"):
        calibrate([replace(made, points=broken)], QCMS, 0.01)
    with pytest.raises(OutOfRange, match="are not those of 5 points"):
        calibrate([replace(made, points=replace(made.points, fraction_cov=np.eye(3)))], QCMS, 0.01)
    with pytest.raises(OutOfRange, match="tooling_std"):
        calibrate([made], QCMS, float("nan"))


def test_samples_have_exactly_the_covariance_that_they_are_of():
    joint = solve([film((0, 1, 2))[0]], QCMS, 0.01)
    draws = joint.draws(400)
    np.testing.assert_allclose(draws.mean(axis=0), joint.mean, atol=1e-9)
    np.testing.assert_allclose(np.cov(draws, rowvar=False, ddof=0), joint.cov, atol=1e-9)
    few = normals(10, 20)
    np.testing.assert_array_equal(few[:5], -few[5:])
    assert not np.array_equal(few, normals(10, 20, seed=1))
