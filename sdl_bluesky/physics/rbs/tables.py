"""A set-up compiled to arrays: stopping, straggling, cross sections and kinematics on one grid of energies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import CM2_PER_MB, CrossSection, andersen, rutherford
from sdl_bluesky.physics.rbs.kernels.grid import E_0, H
from sdl_bluesky.physics.rbs.kinematics import kinematic_factor, product_energy
from sdl_bluesky.physics.rbs.nuclides import Nuclide
from sdl_bluesky.physics.rbs.setup import Setup
from sdl_bluesky.physics.rbs.stopping import bohr, no_straggling

Integers = NDArray[np.int64]
ALIKE = 0.2
"""Isotopes are taken together while their energies spread (sd) less than this part of the detector's resolution."""
FINE = 16
PER_DENSITY = 1e15 * CM2_PER_MB
"""mb times 1e15 at/cm2."""


@dataclass(frozen=True, eq=False)
class Lines:
    """What comes back from each element: isotopes (alike ones taken together) and reaction products.

    Attributes:
        element: column of the layers [line].
        exit_ion: index of the ion that leaves [line].
        sigma: cross section per atom of the element, times 1e15 at/cm2 [line, energy].
        cumulative: its integral over the energy [line, energy].
        leaving: energy right after the collision [line, energy]; 0 where the ion does not get there.
        spread: standard deviation of the energy after the collision over the energy before it (isotopes) [line].
        sharp: whether the cross section may have narrow structures [line].
    """

    element: Integers
    exit_ion: Integers
    sigma: Array
    cumulative: Array
    leaving: Array
    spread: Array
    sharp: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tables:
    """Arrays for the kernel. Energies are E_0 + H i.

    Attributes:
        stopping: [exit ion, element, energy] in keV per 1e15 at/cm2; ion 0 is the beam's.
        straggling: [exit ion, element, energy] in keV^2 per 1e15 at/cm2.
        lines: what comes back.
    """

    stopping: Array
    straggling: Array
    lines: Lines


@dataclass(frozen=True)
class _Line:
    element: int
    ion: Nuclide
    sigma: Array
    cumulative: Array
    leaving: Array
    factor: float
    weight: float
    sharp: bool


@lru_cache(maxsize=32)
def tables(setup: Setup) -> Tables:
    """The tables of a set-up; those of the last set-ups are kept."""
    beam = nuclides.ion(setup.ion)
    top = setup.energy_keV
    ions = [beam]
    for k in setup.cross_sections:
        if nuclides.ion(k.ion) != beam:
            continue
        product = nuclides.ion(k.product) if k.product else beam
        if product not in ions:
            ions.append(product)
        if k.is_reaction:
            for isotope, _ in nuclides.target(k.target).isotopes:
                out = product_energy(
                    np.array([50.0, top]),
                    beam.mass_u,
                    isotope.mass_u,
                    product.mass_u,
                    k.q_keV,
                    math.radians(setup.theta_deg),
                )
                top = max(top, float(np.nanmax(np.append(out, 0.0))))
    energy = np.arange(E_0, top + 2.0 * H, H)
    targets = [nuclides.target(name) for name in setup.elements]
    spread = bohr if setup.straggling == "bohr" else no_straggling
    stopping = np.array([[setup.stopping(ion, t, energy) for t in targets] for ion in ions])
    straggling = np.array([[spread(ion, t, energy) for t in targets] for ion in ions])
    if not np.all(np.isfinite(stopping)) or np.any(stopping <= 0):
        raise OutOfRange("a stopping cross section is not positive and finite")
    found = [line for e, name in enumerate(setup.elements) for line in _lines_of(setup, e, name, beam, energy)]
    return Tables(
        np.ascontiguousarray(stopping),
        np.ascontiguousarray(straggling),
        _collect(found, ions, energy, ALIKE * setup.sigma_keV / setup.energy_keV),
    )


def _lines_of(setup: Setup, index: int, name: str, beam: Nuclide, energy: Array) -> list[_Line]:
    """The isotopes of an element as the beam sees them, and its reactions."""
    theta = math.radians(setup.theta_deg)
    found = []
    for isotope, weight in nuclides.target(name).isotopes:
        given = [k for k in setup.cross_sections if _applies(k, beam, name, isotope)]
        elastic = [k for k in given if not k.is_reaction]
        factor = kinematic_factor(beam.mass_u, isotope.mass_u, theta)
        if factor > 0.0:
            sigma, cumulative = _tabulate(partial(_elastic, setup, beam, isotope, elastic), energy, bool(elastic))
            found.append(
                _Line(index, beam, weight * sigma, weight * cumulative, factor * energy, factor, weight, bool(elastic))
            )
        for k in given:
            if k.is_reaction:
                product = nuclides.ion(k.product or k.ion)
                out = np.nan_to_num(product_energy(energy, beam.mass_u, isotope.mass_u, product.mass_u, k.q_keV, theta))
                sigma, cumulative = _tabulate(partial(_inside, k), energy, True)
                found.append(_Line(index, product, weight * sigma, weight * cumulative, out, -1.0, weight, True))
    return found


def _elastic(setup: Setup, beam: Nuclide, isotope: Nuclide, given: Sequence[CrossSection], energy: Array) -> Array:
    """Rutherford's cross section, screened, where no measured one is given [mb/sr]."""
    sigma = rutherford(beam, isotope, energy, setup.theta_deg)
    if setup.screening == "andersen":
        sigma = sigma * andersen(beam, isotope, energy, setup.theta_deg)
    for k in given:
        inside = (energy >= k.energy_keV[0]) & (energy <= k.energy_keV[-1])
        sigma = np.where(inside, np.interp(energy, k.energy_keV, k.value_mb_sr), sigma)
    return sigma


def _inside(table: CrossSection, energy: Array) -> Array:
    return np.interp(energy, table.energy_keV, table.value_mb_sr, left=0.0, right=0.0)


def _tabulate(law: Callable[[Array], Array], energy: Array, sharp: bool) -> tuple[Array, Array]:
    """A cross section and its integral on the grid; a sharp one is integrated in finer steps."""
    parts = FINE if sharp else 1
    fine = energy[0] + H / parts * np.arange((energy.size - 1) * parts + 1)
    value = law(fine)
    step = H / parts
    slope = np.zeros_like(value)
    slope[1:-1] = (value[2:] - value[:-2]) / (2.0 * step)
    slope[0], slope[-1] = slope[1], slope[-2]
    area = (value[1:] + value[:-1]) * (step / 2.0) + (slope[:-1] - slope[1:]) * (step**2 / 12.0)
    return value[::parts], np.concatenate([[0.0], np.cumsum(area)])[::parts]


def _applies(table: CrossSection, beam: Nuclide, name: str, isotope: Nuclide) -> bool:
    if nuclides.ion(table.ion) != beam:
        return False
    target = nuclides.target(table.target)
    return (
        table.target == name
        or (len(target.isotopes) > 1 and target.z == isotope.z)
        or [k for k, _ in target.isotopes] == [isotope]
    )


def _collect(found: Sequence[_Line], ions: Sequence[Nuclide], energy: Array, tolerance: float) -> Lines:
    """Arrays of lines; neighbours whose kinematic factors spread less than the tolerance (sd) become one line."""
    groups: list[list[_Line]] = []
    for line in sorted(found, key=lambda k: (k.element, k.factor)):
        last = groups[-1] if groups else []
        alike = bool(last) and last[0].element == line.element and not line.sharp and not last[0].sharp
        if alike and _moments([*last, line])[1] <= tolerance:
            last.append(line)
        else:
            groups.append([line])
    size = (len(groups), len(energy))
    sigma, cumulative, leaving = np.zeros(size), np.zeros(size), np.zeros(size)
    for i, group in enumerate(groups):
        sigma[i] = sum(k.sigma for k in group) * PER_DENSITY
        cumulative[i] = sum(k.cumulative for k in group) * PER_DENSITY
        leaving[i] = group[0].leaving if len(group) == 1 else _moments(group)[0] * energy
    return Lines(
        np.array([g[0].element for g in groups], dtype=np.int64),
        np.array([ions.index(g[0].ion) for g in groups], dtype=np.int64),
        sigma,
        cumulative,
        leaving,
        np.array([_moments(g)[1] for g in groups]),
        np.array([g[0].sharp for g in groups], dtype=np.bool_),
    )


def _moments(group: Sequence[_Line]) -> tuple[float, float]:
    """Mean and standard deviation of the kinematic factors, weighted with what comes back."""
    weights = np.array([float(k.sigma[-1]) for k in group])
    factors = np.array([k.factor for k in group])
    total = weights.sum()
    if len(group) == 1 or total <= 0:
        return float(factors[0]), 0.0
    mean = float(weights @ factors / total)
    return mean, math.sqrt(max(float(weights @ (factors - mean) ** 2 / total), 0.0))
