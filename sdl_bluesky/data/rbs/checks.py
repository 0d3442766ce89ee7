"""What is odd about a set-up and a sample although it can be simulated: edges off the detector, forces beyond Coulomb's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import CrossSection, non_rutherford_keV
from sdl_bluesky.physics.rbs.kinematics import kinematic_factor
from sdl_bluesky.physics.rbs.setup import Setup

ANGLE_DEG = 2.0
"""A table of another angle than this close is told."""
RARE = 0.01
"""An isotope with a smaller fraction makes no edge that anybody looks for."""


@dataclass(frozen=True)
class Edge:
    """Where ions scattered by an element at the surface are counted.

    Attributes:
        energy_keV: of its heaviest isotope that is not rare; 0 where none is scattered to this angle.
        channel: the same as a place on the detector, which it may lie beyond.
    """

    element: str
    energy_keV: float
    channel: float


def edges(setup: Setup) -> tuple[Edge, ...]:
    """The surface edge of each element of a set-up."""
    ion, theta = nuclides.ion(setup.ion), math.radians(setup.theta_deg)
    found = []
    for name in setup.elements:
        energy = setup.energy_keV * max(
            kinematic_factor(ion.mass_u, k.mass_u, theta) for k, w in nuclides.target(name).isotopes if w > RARE
        )
        found.append(Edge(name, energy, _channel(setup, energy)))
    return tuple(found)


def _channel(setup: Setup, energy_keV: float) -> float:
    """Channel of an energy; beyond the last one the calibration goes on straight."""
    known = setup.edges_keV()
    if known[0] <= energy_keV <= known[-1]:
        return float(np.interp(energy_keV, known, np.arange(known.size)))
    last, first = (known[-1] - known[-2]), (known[1] - known[0])
    if energy_keV > known[-1]:
        return float(setup.channels + (energy_keV - known[-1]) / last)
    return float((energy_keV - known[0]) / first)


def findings(setup: Setup, layers: Array) -> tuple[str, ...]:
    """What a person should know before trusting a spectrum of these layers [layer, element]."""
    present = [name for name, density in zip(setup.elements, layers.sum(axis=0), strict=True) if density > 0]
    found: list[str] = []
    counted: list[str] = []
    for edge in edges(setup):
        if edge.element in present:
            found += _about_edge(setup, edge)
            counted += [edge.element] if edge.energy_keV > setup.lowest_keV else []
    found += _about_forces(setup, counted)
    for table in setup.cross_sections:
        found += _about_table(setup, table, present)
    return tuple(found)


def seen(setup: Setup, layers: Array) -> bool:
    """Whether any element of these layers has its edge on the detector, or a reaction gives products."""
    on = [e.element for e in edges(setup) if e.energy_keV > setup.lowest_keV and 0.0 < e.channel < setup.channels]
    present = [name for name, density in zip(setup.elements, layers.sum(axis=0), strict=True) if density > 0]
    return any(name in on for name in present) or any(_covers(t, n) for t in setup.cross_sections for n in present)


def _about_edge(setup: Setup, edge: Edge) -> list[str]:
    if edge.energy_keV <= setup.lowest_keV:
        return [f"{edge.element} scatters nothing to {setup.theta_deg:g} deg that is counted: it only slows ions down"]
    where = f"the edge of {edge.element} ({edge.energy_keV:.0f} keV) lies at channel {edge.channel:.0f}"
    if edge.channel >= setup.channels:
        return [f"{where}, beyond the detector's {setup.channels}: check calibration and channels"]
    if edge.channel <= 0.0:
        return [f"{where}, below the detector: check calibration and offset"]
    return []


def _about_forces(setup: Setup, elements: list[str]) -> list[str]:
    """Elements that the beam reaches beyond Coulomb's barrier, and for which no table says how much more scatters."""
    ion = nuclides.ion(setup.ion)
    beyond = []
    for element in elements:
        limit = non_rutherford_keV(ion, nuclides.target(element).z)
        tables = [t for t in setup.cross_sections if _covers(t, element) and nuclides.ion(t.ion) == ion]
        if setup.energy_keV > limit and not any(t.energy_keV[-1] >= setup.energy_keV for t in tables):
            beyond.append(f"{element} (above about {limit:.0f} keV)" if limit > 0 else f"{element} (at any energy)")
    if not beyond:
        return []
    what = f"not Rutherford for {setup.ion} of {setup.energy_keV:g} keV: {', '.join(beyond)}"
    return [f"{what}; give measured cross sections (R33)"]


def _about_table(setup: Setup, table: CrossSection, present: list[str]) -> list[str]:
    name = f"the table {table.target}({table.ion},{table.product or table.ion})"
    found = []
    if nuclides.ion(table.ion) != nuclides.ion(setup.ion):
        found.append(f"{name} is for another ion than {setup.ion}: it is not used")
    if not any(_covers(table, element) for element in present):
        found.append(f"{name} is for an element that the sample has not: it is not used")
    if abs(table.theta_deg - setup.theta_deg) > ANGLE_DEG:
        found.append(f"{name} was measured at {table.theta_deg:g} deg, the detector stands at {setup.theta_deg:g} deg")
    if table.energy_keV[-1] < setup.energy_keV:
        found.append(f"{name} ends at {table.energy_keV[-1]:g} keV, below the beam's {setup.energy_keV:g} keV")
    return found


def _covers(table: CrossSection, element: str) -> bool:
    """Whether a table is for an element, or for an isotope of it."""
    return nuclides.target(table.target).z == nuclides.target(element).z
