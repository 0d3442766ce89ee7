"""The forward model against closed forms and symmetries."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl_bluesky.physics.composition import atomic_mass
from sdl_bluesky.physics.rbs import ZBL85, CrossSection, Setup, advise, rutherford_mb_sr, simulate, surface_edge_keV
from sdl_bluesky.physics.rbs.nuclides import ion, nuclide, target

PARTICLES = 1e14 * 10e-3  # ions times steradian
MB = 1e-27 * 1e15  # mb times 1e15 at/cm2


def setup(**more):
    values = {"energy_keV": 2000.0, "slope_keV": 1.0, "resolution_fwhm_keV": 10.0, "channels": 2100, **more}
    return Setup(**values)


def kinematic_factor(m1, m2, theta_deg):
    """By conservation of energy and momentum, solved for the speed of the ion (independent of the package's form)."""
    c = math.cos(math.radians(theta_deg))
    # (m1 + m2) v^2 - 2 m1 c v + (m1 - m2) = 0 for a beam of speed 1
    roots = np.roots([m1 + m2, -2.0 * m1 * c, m1 - m2])
    return float(max(roots.real)) ** 2


@pytest.mark.parametrize(("beam", "mass"), [("4He", 4.002602), ("3He", 3.016029), ("p", 1.007825), ("D", 2.014102)])
@pytest.mark.parametrize("name", ["16O", "28Si", "63Cu", "120Sn", "197Au"])
@pytest.mark.parametrize("theta_deg", [110.0, 150.0, 165.0, 180.0])
def test_surface_edge_is_where_the_collision_puts_it(beam, mass, name, theta_deg):
    energy = surface_edge_keV(setup(ion=beam, theta_deg=theta_deg, beta_deg=0.0), name)
    assert energy == pytest.approx(2000.0 * kinematic_factor(mass, nuclide(name).mass_u, theta_deg), rel=1e-5)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, None), (40.0, None), (0.0, 60.0), (-30.0, 20.0)])
@pytest.mark.parametrize("name", ["56Fe", "197Au"])
def test_height_at_the_surface(name, alpha, beta):
    """Surface approximation: H = N Omega sigma(E0) w / (cos a (K S(E0) / cos a + S(K E0) / cos b)) (Chu, eq. 3.38)."""
    case = setup(
        alpha_deg=alpha, beta_deg=beta, theta_deg=170.0, resolution_fwhm_keV=2.0, elements=(name,), screening="none"
    )
    counts = simulate(case, [[1e5]])
    k = kinematic_factor(4.002602, nuclide(name).mass_u, 170.0)
    s_in, s_out = ZBL85()(ion("4He"), target(name), np.array([2000.0, 2000.0 * k]))
    cos_a, cos_b = math.cos(math.radians(case.alpha_deg)), math.cos(math.radians(case.beta_deg))
    sigma = float(rutherford_mb_sr("4He", name, 2000.0, 170.0)) * MB
    height = PARTICLES * sigma / cos_a / (k * s_in / cos_a + s_out / cos_b)
    edge = 2000.0 * k
    channels = np.arange(int(edge) - 150, int(edge) - 10)
    line = np.polynomial.Polynomial.fit(channels + 0.5, counts[channels], 2)
    assert line(edge) == pytest.approx(height, rel=2e-3)


@pytest.mark.parametrize("alpha", [0.0, 35.0, 60.0])
@pytest.mark.parametrize(("beam", "name"), [("4He", "197Au"), ("p", "56Fe"), ("3He", "120Sn")])
def test_area_of_a_thin_film(beam, name, alpha):
    """A film of 1e15 at/cm2: area N Omega sigma n / cos a, centre at the surface edge."""
    case = setup(ion=beam, alpha_deg=alpha, theta_deg=160.0, elements=(name,), screening="none")
    counts = simulate(case, [[1.0]])
    sigma = float(rutherford_mb_sr(beam, name, 2000.0, 160.0)) * MB
    assert counts.sum() == pytest.approx(PARTICLES * sigma / math.cos(math.radians(alpha)), rel=2e-4)
    centre = float((np.arange(case.channels) + 0.5) @ counts / counts.sum())
    # neighbouring bricks share their edges, whose width is that of the deeper one: that costs up to half of dV/dE, 0.5 keV
    assert centre == pytest.approx(surface_edge_keV(case, name), abs=0.6)
    width = math.sqrt(float((np.arange(case.channels) + 0.5 - centre) ** 2 @ counts / counts.sum()))
    assert width == pytest.approx(10.0 / math.sqrt(8.0 * math.log(2.0)), rel=0.01)


def test_screening_takes_what_andersen_says():
    """4He on Au, 2 MeV, 170 deg: 1 - 0.049 Z1 Z2^(4/3) / E_cm, the form for large angles (L'Ecuyer), within a per mille."""
    plain = simulate(setup(elements=("Au",), screening="none"), [[1.0]]).sum()
    screened = simulate(setup(elements=("Au",)), [[1.0]]).sum()
    assert screened / plain == pytest.approx(1.0 - 0.049 * 2.0 * 79.0 ** (4 / 3) / 2000.0, abs=2e-3)


layers = st.lists(st.lists(st.floats(0.0, 2000.0), min_size=3, max_size=3), min_size=1, max_size=3)
FAST = settings(max_examples=25, derandomize=True)


@FAST
@given(layers, st.floats(0.1, 10.0))
def test_yield_is_proportional_to_the_fluence(found, factor):
    case = setup(elements=("O", "Cu", "Au"))
    more = dataclasses.replace(case, fluence_ions=case.fluence_ions * factor)
    np.testing.assert_allclose(simulate(more, found), factor * simulate(case, found), rtol=1e-9, atol=1e-6)


@FAST
@given(layers, st.integers(0, 2), st.floats(0.1, 0.9))
def test_a_layer_cut_in_two_is_the_same_layer(found, which, part):
    case = setup(elements=("O", "Cu", "Au"), lowest_keV=100.0)
    layer = np.array(found[which % len(found)])
    rest = [k for i, k in enumerate(found) if i < which % len(found)]
    after = found[which % len(found) + 1 :]
    whole = simulate(case, [*rest, layer, *after])
    cut = simulate(case, [*rest, part * layer, (1.0 - part) * layer, *after])
    seen = whole > 0.01 * whole.max()
    if seen.any():
        np.testing.assert_allclose(cut[seen].sum(), whole[seen].sum(), rtol=5e-4)
        # the cut adds edges, each with the width of its own depth: up to half of dV/dE, as in the thin film above
        assert np.median(np.abs(cut[seen] / whole[seen] - 1.0)) < 3e-3


@FAST
@given(st.floats(1.0, 1000.0))
def test_natural_copper_is_its_isotopes(density):
    case = setup(elements=("Cu",))
    abundance = {name: weight for isotope, weight in target("Cu").isotopes for name in [isotope.symbol]}
    apart = dataclasses.replace(case, elements=tuple(abundance))
    natural = simulate(case, [[density]])
    summed = simulate(apart, [[density * k for k in abundance.values()]])
    seen = natural > 0.01 * natural.max()
    np.testing.assert_allclose(summed[seen], natural[seen], rtol=5e-3)
    assert summed.sum() == pytest.approx(natural.sum(), rel=1e-4)


@FAST
@given(st.floats(0.1, 20.0))
def test_counts_of_a_thin_film_grow_with_its_thickness(density):
    """To first order in the thickness the energy loss in half of it raises the yield: N sigma n (1 + S n / E cos a)."""
    case = setup(elements=("Au",), screening="none")
    one, two = simulate(case, [[[density]], [[2.0 * density]]]).sum(axis=1)
    loss = float(ZBL85()(ion("4He"), target("Au"), np.array([2000.0]))[0]) * density / 2000.0
    assert two / one == pytest.approx(2.0 * (1.0 + loss), rel=1e-3 * max(1.0, density / 5.0))


@FAST
@given(layers)
def test_a_tilt_to_both_sides_is_the_same(found):
    """With beam and detector exchanged in angle only the order of the ways changes, not for a symmetric geometry."""
    case = setup(elements=("O", "Cu", "Au"), theta_deg=180.0, alpha_deg=20.0, beta_deg=20.0)
    other = dataclasses.replace(case, alpha_deg=-20.0, beta_deg=-20.0)
    np.testing.assert_allclose(simulate(case, found), simulate(other, found), rtol=1e-12)


def test_a_batch_is_its_spectra():
    case = setup(elements=("O", "Cu", "Au"))
    batch = np.random.default_rng(0).uniform(0.0, 2000.0, (5, 3, 3))
    together = simulate(case, batch)
    for one, sample in zip(together, batch, strict=True):
        np.testing.assert_array_equal(one, simulate(case, sample))


def test_a_cross_section_of_twice_rutherford_doubles_the_yield():
    energy = np.arange(100.0, 2100.0, 5.0)
    table = CrossSection("4He", "Cu", 165.0, energy, 2.0 * rutherford_mb_sr("4He", "63Cu", energy, 165.0))
    case = setup(elements=("63Cu",), screening="none")
    measured = dataclasses.replace(case, cross_sections=(dataclasses.replace(table, target="63Cu"),))
    plain, doubled = simulate(case, [[500.0]]), simulate(measured, [[500.0]])
    seen = plain > 0.01 * plain.max()
    np.testing.assert_allclose(doubled[seen], 2.0 * plain[seen], rtol=3e-3)


def test_a_narrow_resonance_gives_its_area():
    """A triangle of 20 keV at 1900 keV deep in a thick layer: its integral over the energy, over the stopping."""
    energy, value = np.array([100.0, 1890.0, 1900.0, 1910.0, 2100.0]), np.array([0.0, 0.0, 100.0, 0.0, 0.0])
    case = setup(ion="p", elements=("28Si",), cross_sections=(CrossSection("p", "28Si", 165.0, energy, value),))
    counts = simulate(case, [[30000.0]])
    stopping = float(ZBL85()(ion("p"), target("28Si"), np.array([1900.0]))[0])
    assert counts.sum() == pytest.approx(PARTICLES * 1000.0 * MB / stopping, rel=0.01)


def test_product_of_a_nuclear_reaction():
    """7Li(p,a)4He, Q 17.346 MeV, at 2974 keV and 165 deg: area of a thin film, energy by conservation, above the beam's."""
    table = CrossSection("p", "7Li", 165.0, np.array([500.0, 3500.0]), np.array([2.0, 2.0]), "4He", 17346.0)
    case = Setup(
        ion="p", energy_keV=2974.0, theta_deg=165.0, slope_keV=2.637, resolution_fwhm_keV=20.0, channels=3000,
        elements=("7Li",), cross_sections=(table,),
    )  # fmt: skip
    counts = simulate(case, [[10.0]])
    energy = case.edges_keV()[:-1] + 0.5 * case.slope_keV
    high = energy > 4000.0
    assert counts[high].sum() == pytest.approx(PARTICLES * 2.0 * MB * 10.0, rel=1e-3)
    m1, m3 = 1.007825, 4.002602
    p1 = math.sqrt(2.0 * m1 * 2974.0)

    def left(e3):  # energy that is missing after both alphas have taken theirs
        p3 = math.sqrt(2.0 * m3 * e3)
        p4_squared = p1 * p1 + p3 * p3 - 2.0 * p1 * p3 * math.cos(math.radians(165.0))
        return 2974.0 + 17346.0 - e3 - p4_squared / (2.0 * m3)

    low, top = 4000.0, 12000.0
    for _ in range(60):
        middle = 0.5 * (low + top)
        low, top = (middle, top) if left(middle) > 0 else (low, middle)
    centre = float(energy[high] @ counts[high] / counts[high].sum())
    assert centre == pytest.approx(low, abs=8.0)


def test_pile_up_keeps_the_energy_and_loses_pulses():
    case = setup(elements=("Au",), channels=4200)
    plain = simulate(case, [[50.0]])
    piled = simulate(dataclasses.replace(case, pile_up=0.01), [[50.0]])
    channel = np.arange(case.channels) + 0.5
    assert piled.sum() == pytest.approx(0.99 * plain.sum(), rel=1e-6)
    assert piled @ channel == pytest.approx(plain @ channel, rel=1e-3)
    assert piled[3000:].sum() == pytest.approx(0.01 * plain.sum(), rel=0.01)


def test_a_quadratic_calibration_moves_channels_not_counts():
    case = setup(elements=("Cu",))
    bent = dataclasses.replace(case, quadratic_keV=1e-5)
    straight, found = simulate(case, [[800.0]]), simulate(bent, [[800.0]])
    assert found.sum() == pytest.approx(straight.sum(), rel=2e-3)
    fine = np.interp(bent.edges_keV(), case.edges_keV(), np.concatenate([[0.0], np.cumsum(straight)]))
    np.testing.assert_allclose(np.diff(fine), found, atol=2e-3 * found.max())


def test_advice():
    good = setup(elements=("Cu", "Sn"))
    assert advise(good) == ()
    off = dataclasses.replace(good, channels=800)
    assert "Sn" in " ".join(advise(off))
    assert "beyond the last channel" in advise(off)[0]
    assert "not heavier" in advise(setup(elements=("D",)))[0]
    protons = setup(ion="p", energy_keV=3000.0, slope_keV=2.0, elements=("O", "Au"))
    assert [k for k in advise(protons) if "Rutherford" in k] == [advise(protons)[0]]


@pytest.mark.parametrize("name", ["H", "O", "Cu", "Sn", "W", "Th", "U"])
def test_mean_mass_of_the_isotopes_is_the_atomic_mass(name):
    assert target(name).mass_u == pytest.approx(atomic_mass(name), rel=1e-4)
    assert sum(weight for _, weight in target(name).isotopes) == pytest.approx(1.0, abs=1e-12)
