"""Targets in oxygen: the oxide that forms, and how it changes yield and voltage.

Ratios are of the size that is found for oxides under argon; an element outside the table gets generic values. Noble
metals form no oxide.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Oxide:
    """What the plant knows of the oxide of an element.

    Attributes:
        symbol: of the metal.
        oxygen_per_metal: atoms of oxygen to one of the metal in the oxide; 0: there is none.
        yield_ratio: metal atoms per ion from the oxide over those from the metal.
        voltage_change: relative change of the discharge voltage on a target that is covered all over.
        sticking: part of the oxygen molecules that stay on a bare growing film.
    """

    symbol: str
    oxygen_per_metal: float = 1.5
    yield_ratio: float = 0.20
    voltage_change: float = 0.08
    sticking: float = 0.2


_TABLE = {
    o.symbol: o
    for o in (
        Oxide("Al", 1.5, 0.05, -0.28, 0.9),
        Oxide("Si", 2.0, 0.15, -0.20, 0.3),
        Oxide("Ti", 2.0, 0.08, 0.18, 0.9),
        Oxide("Cr", 1.5, 0.15, 0.12, 0.4),
        Oxide("Fe", 1.5, 0.20, 0.10, 0.3),
        Oxide("Ni", 1.0, 0.28, 0.07, 0.15),
        Oxide("Cu", 1.0, 0.38, 0.10, 0.08),
        Oxide("Zn", 1.0, 0.32, 0.06, 0.2),
        Oxide("Nb", 2.5, 0.10, 0.10, 0.7),
        Oxide("Mo", 3.0, 0.22, 0.12, 0.2),
        Oxide("Ag", 0.5, 0.55, 0.03, 0.02),
        Oxide("Sn", 2.0, 0.30, 0.12, 0.12),
        Oxide("Ta", 2.5, 0.07, 0.12, 0.7),
        Oxide("W", 3.0, 0.20, 0.10, 0.2),
        Oxide("Pt", 0.0, 1.0, 0.0, 0.0),
        Oxide("Au", 0.0, 1.0, 0.0, 0.0),
    )
}


def oxide_of(element: str) -> Oxide:
    """The oxide of an element, from the table or generic."""
    return _TABLE.get(element, Oxide(element))
