"""Targets: atomic mass, sputter yield, discharge voltage, angular exponent and acoustic impedance by element.

Yields are of the size of the usual tables for Ar+ at normal incidence and 500 eV; angular exponents and voltages are
those of an imagined 2-inch magnetron. An element outside the table gets its atomic mass and generic values.
"""

from __future__ import annotations

from dataclasses import dataclass

import periodictable


@dataclass(frozen=True)
class Target:
    """What the plant knows of a target material.

    Attributes:
        symbol: element.
        mass_u: atomic mass [u].
        yield_500: atoms per ion at 500 eV.
        threshold_eV: sputter threshold.
        voltage_V: discharge voltage at 50 W and 5 mTorr.
        n_4mTorr: exponent of cos^n emission at 4 mTorr.
        n_per_mTorr: its change with pressure.
        z_ratio: acoustic impedance of quartz over that of the film.
    """

    symbol: str
    mass_u: float
    yield_500: float = 1.0
    threshold_eV: float = 25.0
    voltage_V: float = 350.0
    n_4mTorr: float = 1.25
    n_per_mTorr: float = 0.03
    z_ratio: float = 1.0


_TABLE = {
    t.symbol: t
    for t in (
        Target("Al", 26.982, 1.05, 20.0, 310.0, 1.20, -0.015, 1.08),
        Target("Si", 28.085, 0.50, 45.0, 400.0, 1.10, 0.020, 0.712),
        Target("Ti", 47.867, 0.51, 32.0, 330.0, 1.15, 0.025, 0.628),
        Target("Cr", 51.996, 1.18, 23.0, 340.0, 1.30, 0.030, 0.305),
        Target("Fe", 55.845, 1.10, 28.0, 370.0, 1.35, 0.030, 0.349),
        Target("Ni", 58.693, 1.45, 24.0, 380.0, 1.45, 0.035, 0.331),
        Target("Cu", 63.546, 2.35, 20.0, 360.0, 1.30, 0.045, 0.437),
        Target("Zn", 65.38, 3.2, 12.0, 320.0, 1.10, 0.030, 0.514),
        Target("Nb", 92.906, 0.60, 34.0, 360.0, 1.30, 0.020, 0.492),
        Target("Mo", 95.95, 0.80, 32.0, 370.0, 1.35, 0.020, 0.257),
        Target("Ag", 107.868, 3.10, 17.0, 390.0, 1.25, 0.040, 0.529),
        Target("Sn", 118.71, 1.20, 20.0, 330.0, 1.15, 0.025, 0.724),
        Target("Ta", 180.948, 0.57, 32.0, 380.0, 1.40, 0.015, 0.262),
        Target("W", 183.84, 0.57, 35.0, 400.0, 1.45, 0.015, 0.163),
        Target("Pt", 195.084, 1.45, 27.0, 400.0, 1.35, 0.030, 0.245),
        Target("Au", 196.967, 2.40, 20.0, 400.0, 1.30, 0.035, 0.381),
    )
}


def is_element(element: str) -> bool:
    """Whether there is an element of this symbol."""
    try:
        target_of(element)
    except ValueError:
        return False
    return True


def target_of(element: str) -> Target:
    """The target of an element, from the table or generic.

    Raises:
        ValueError: there is no such element.
    """
    if element in _TABLE:
        return _TABLE[element]
    try:
        known = periodictable.elements.symbol(element)
    except ValueError as err:
        raise ValueError(f"{element!r} is not a chemical element") from err
    if known.number == 0:
        raise ValueError(f"{element!r} is not a chemical element")
    return Target(known.symbol, float(known.mass))
