"""The most oxygen that a metal takes up: its highest oxide that is stable as a film at room temperature."""

from __future__ import annotations

from sdl_bluesky.physics.composition import atomic_mass

OXYGEN_PER_METAL = {
    "Li": 0.5, "Mg": 1.0, "Al": 1.5, "Si": 2.0, "Ca": 1.0, "Sc": 1.5, "Ti": 2.0, "V": 2.5, "Cr": 1.5, "Mn": 2.0,
    "Fe": 1.5, "Co": 1.333, "Ni": 1.0, "Cu": 1.0, "Zn": 1.0, "Ga": 1.5, "Ge": 2.0, "Y": 1.5, "Zr": 2.0, "Nb": 2.5,
    "Mo": 3.0, "Ru": 2.0, "Pd": 1.0, "Ag": 0.5, "In": 1.5, "Sn": 2.0, "La": 1.5, "Ce": 2.0, "Hf": 2.0, "Ta": 2.5,
    "W": 3.0, "Re": 3.5, "Ir": 2.0, "Pt": 0.0, "Au": 0.0, "Pb": 2.0, "Bi": 1.5,
}  # fmt: skip
"""Atoms of oxygen to one of the metal."""
UNKNOWN = 4.0
"""Assumed for an element outside the table: the most that any metal binds, so that it bounds."""


def oxygen_limit(element: str) -> float:
    """Mass of oxygen over mass of metal in the stoichiometric oxide: z M_O / M.

    Raises:
        UnknownName: there is no such element.
    """
    return OXYGEN_PER_METAL.get(element, UNKNOWN) * atomic_mass("O") / atomic_mass(element)
