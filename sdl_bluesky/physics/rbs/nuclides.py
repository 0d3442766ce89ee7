"""Ions and target elements: nuclear charge, isotopes with their masses and natural abundances.

Masses and abundances are those of `periodictable` (AME and IUPAC). An element is written "Cu" (natural), a nuclide "63Cu";
"D" and "T" are 2H and 3H, "p" is 1H.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import periodictable

from sdl_bluesky.errors import OutOfRange, UnknownName

ALIASES = {"p": "1H", "H+": "1H", "d": "2H", "D": "2H", "t": "3H", "T": "3H", "alpha": "4He", "a": "4He"}
IONS = ("1H", "2H", "3H", "3He", "4He")
"""Ions for which the stopping tables hold: hydrogen and helium."""
MAX_Z = 92
PRIMORDIAL = {"Th": {232: 1.0}, "U": {234: 0.000054, 235: 0.007204, 238: 0.992742}}
"""Natural fractions (IUPAC) of radioactive elements that are found in nature; `periodictable` gives none."""
_PATTERN = re.compile(r"^([1-9][0-9]{0,2})?([A-Z][a-z]?)$")


@dataclass(frozen=True)
class Nuclide:
    """One isotope: nuclear charge, mass number, atomic mass [u]."""

    z: int
    a: int
    mass_u: float

    @property
    def symbol(self) -> str:
        """Such as "4He"."""
        return f"{self.a}{periodictable.elements[self.z].symbol}"


@dataclass(frozen=True)
class Target:
    """A target element: its isotopes with their atomic fractions, which sum to one."""

    name: str
    z: int
    isotopes: tuple[tuple[Nuclide, float], ...]

    @property
    def mass_u(self) -> float:
        """Mean atomic mass [u]."""
        return sum(k.mass_u * w for k, w in self.isotopes)


def _split(name: str) -> tuple[str, int]:
    """Symbol and mass number (0: natural) of a name."""
    found = _PATTERN.match(ALIASES.get(name, name))
    if found is None or found[2] in ALIASES:
        raise UnknownName("element or nuclide", name, ["Cu", "63Cu", "D", "..."])
    return found[2], int(found[1] or 0)


def _element(symbol: str, name: str) -> periodictable.core.Element:
    try:
        element = periodictable.elements.symbol(symbol)
    except ValueError:
        element = None
    if element is None or not 1 <= element.number <= MAX_Z:
        raise UnknownName("element", name, ["H", "D", "He", "...", "U"])
    return element


@lru_cache(maxsize=256)
def nuclide(name: str) -> Nuclide:
    """A nuclide such as "4He", "p", "D", "63Cu"; an element of one stable isotope may go without its number.

    Raises:
        UnknownName: there is no such nuclide.
    """
    symbol, a = _split(name)
    element = _element(symbol, name)
    if a == 0:
        stable = [k for k in element.isotopes if element[k].abundance > 0]
        if len(stable) != 1:
            raise UnknownName("nuclide", name, [f"{k}{symbol}" for k in stable])
        [a] = stable
    if a not in element.isotopes:
        raise UnknownName("nuclide", name, [f"{k}{symbol}" for k in element.isotopes])
    return Nuclide(element.number, a, float(element[a].mass))


@lru_cache(maxsize=256)
def target(name: str) -> Target:
    """A target element with its natural isotopes, or one nuclide of it.

    Raises:
        UnknownName: there is no such element or nuclide, or it lies beyond uranium.
        OutOfRange: the element has no natural abundances (technetium, ...): name the nuclide.
    """
    symbol, a = _split(name)
    element = _element(symbol, name)
    if a:
        return Target(name, element.number, ((nuclide(name), 1.0),))
    known = PRIMORDIAL.get(symbol) or {k: float(element[k].abundance) for k in element.isotopes}
    natural = [(k, w) for k, w in known.items() if w > 0]
    total = sum(w for _, w in natural)
    if total <= 0:
        raise OutOfRange(
            f"element {name!r} has no natural abundances: name its nuclide, such as '{element.isotopes[0]}{symbol}'"
        )
    return Target(
        name, element.number, tuple((Nuclide(element.number, k, float(element[k].mass)), w / total) for k, w in natural)
    )


@lru_cache(maxsize=32)
def ion(name: str) -> Nuclide:
    """The nuclide of a beam ion.

    Raises:
        UnknownName: not one of the ions for which stopping is known (H and He isotopes).
    """
    try:
        found = nuclide("4He" if name == "He" else "1H" if name == "H" else name)
    except UnknownName:
        raise UnknownName("ion", name, IONS) from None
    if found.symbol not in IONS:
        raise UnknownName("ion", name, IONS)
    return found
