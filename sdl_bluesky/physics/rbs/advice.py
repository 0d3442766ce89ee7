"""What a person should know of a set-up before its spectra are believed. Light: nothing is simulated."""

from __future__ import annotations

import math

from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import non_rutherford_keV
from sdl_bluesky.physics.rbs.kinematics import kinematic_factor
from sdl_bluesky.physics.rbs.setup import Setup


def surface_edge_keV(setup: Setup, element: str) -> float:
    """Energy of the ions that are scattered at the surface by an element's heaviest isotope; 0 if none come back.

    Raises:
        UnknownName: there is no such element.
    """
    beam, theta = nuclides.ion(setup.ion), math.radians(setup.theta_deg)
    masses = [isotope.mass_u for isotope, _ in nuclides.target(element).isotopes]
    return setup.energy_keV * max(kinematic_factor(beam.mass_u, m, theta) for m in masses)


def advise(setup: Setup) -> tuple[str, ...]:
    """Findings about a set-up, one sentence each; empty if there is nothing to say.

    Elements that do not scatter the beam back, edges beyond the last channel or below the first, energies at which an
    element does not follow Rutherford's law and no measured cross section is given.
    """
    found = []
    edges = setup.edges_keV()
    beam = nuclides.ion(setup.ion)
    for name in setup.elements:
        energy = surface_edge_keV(setup, name)
        if energy == 0.0:
            found.append(
                f"{name} does not scatter {setup.ion} to {setup.theta_deg:g} deg (it is not heavier): "
                "only what it slows down others tells of it"
            )
            continue
        if energy > edges[-1]:
            found.append(
                f"the surface edge of {name} ({energy:.0f} keV) lies beyond the last channel ({edges[-1]:.0f} keV): "
                "add channels or check slope and offset"
            )
        elif energy < max(edges[0], setup.lowest_keV):
            found.append(f"the surface edge of {name} ({energy:.0f} keV) lies below what is counted")
        limit = non_rutherford_keV(beam, nuclides.target(name).z)
        measured = any(nuclides.target(k.target).z == nuclides.target(name).z for k in setup.cross_sections)
        if setup.energy_keV > limit and not measured:
            found.append(
                f"{setup.ion} of {setup.energy_keV:.0f} keV on {name} does not follow Rutherford's law (it does up to about "
                f"{limit:.0f} keV): give a measured cross section (R33), or leave its channels out"
            )
    return tuple(found)
