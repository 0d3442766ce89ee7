"""Names of nuclear reactions, "7Li(p,a0)4He", and what they tell: beam ion, target, detected ion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import periodictable

from sdl_bluesky.data.rbs.names import plain_name
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.rbs import nuclides

KEV_PER_U = 931494.10242
"""Energy of the atomic mass unit [keV] (CODATA 2018)."""
_NAME = re.compile(
    r"\s*(?P<natural>nat\.?)?\s*(?P<a>\d{0,3})\s*(?P<target>[A-Z][a-z]?)\s*"
    r"\(\s*(?P<ion>[^,()]+?)\s*,\s*(?P<product>[^,()]+?)\s*\).*",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_PARTICLES = {"p": "1H", "d": "2H", "t": "3H", "h": "3He", "he3": "3He", "a": "4He", "alpha": "4He", "he4": "4He"}
_LEVELLED = re.compile(r"(?P<particle>[Aa]lpha|[Hh][Ee]3|[Hh][Ee]4|[pdthaPDTA])['*]*\d*", re.ASCII)


@dataclass(frozen=True)
class Reaction:
    """Beam ion, target (an element, or one isotope of it) and detected ion, such as "1H", "7Li", "4He"."""

    ion: str
    target: str
    product: str

    @property
    def name(self) -> str:
        """ "7Li(1H,4He)"."""
        return f"{self.target}({self.ion},{self.product})"

    @property
    def full_name(self) -> str:
        """ "7Li(p,a)4He", as R33 files write it."""
        ion, target, product = nuclides.ion(self.ion), nuclides.target(self.target), nuclides.ion(self.product)
        z = ion.z + target.z - product.z
        rest = periodictable.elements[z].symbol if 1 <= z <= nuclides.MAX_Z else ""
        number = f"{ion.a + target.isotopes[0][0].a - product.a}" if self.target[0].isdigit() else ""
        letters = {name: letter for letter, name in _PARTICLES.items() if len(letter) == 1}
        return (
            f"{self.target}({letters.get(self.ion, self.ion)},{letters.get(self.product, self.product)}){number}{rest}"
        )

    @property
    def elastic_ion(self) -> bool:
        """Whether the detected ion is of the kind of the beam."""
        return self.product == self.ion

    def q_ground_keV(self) -> float | None:
        """Energy released when everything ends in its ground state, from atomic masses; None if that cannot be known."""
        ion, product = nuclides.ion(self.ion), nuclides.ion(self.product)
        isotopes = nuclides.target(self.target).isotopes
        if len(isotopes) != 1:
            return None
        target = isotopes[0][0]
        z, a = ion.z + target.z - product.z, ion.a + target.a - product.a
        if not 1 <= z <= nuclides.MAX_Z:
            return None
        try:
            residual = nuclides.nuclide(f"{a}{periodictable.elements[z].symbol}")
        except UnknownName:
            return None
        return (ion.mass_u + target.mass_u - product.mass_u - residual.mass_u) * KEV_PER_U


def from_name(text: str) -> Reaction | None:
    """The reaction that a text names, or None if it has another form; "nat" or no mass number is the natural element.

    Raises:
        UnknownName: a nuclide does not exist, or a particle is not of hydrogen or helium.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    symbol = match["target"].capitalize()
    number = "" if match["natural"] else match["a"]
    return _reaction(_particle(match["ion"]), plain_name(f"{number}{symbol}"), _particle(match["product"]))


def from_numbers(zeds: Sequence[float], masses: Sequence[float]) -> Reaction:
    """The reaction of R33's lists: beam ion, target, detected ion, rest; masses are rounded to mass numbers.

    Raises:
        OutOfRange: the lists are too short or hold no charge numbers.
        UnknownName: a nuclide does not exist, or a particle is not of hydrogen or helium.
    """
    if len(zeds) < 3 or len(masses) < 3:
        raise OutOfRange("Zeds and Masses must name beam ion, target, detected ion and rest: four numbers each")
    names = []
    for z, mass in zip(zeds[:3], masses[:3], strict=True):
        if z != int(z) or not 1 <= z <= nuclides.MAX_Z or not 0 < mass < 300:
            raise OutOfRange(f"Zeds {z:g} with Masses {mass:g} is no charged particle")
        names.append(f"{round(mass)}{periodictable.elements[int(z)].symbol}")
    return _reaction(names[0], names[1], names[2])


def _particle(text: str) -> str:
    levelled = _LEVELLED.fullmatch(text.strip())
    name = _PARTICLES[levelled["particle"].lower()] if levelled else text
    return nuclides.ion(plain_name(name)).symbol


def _reaction(ion: str, target: str, product: str) -> Reaction:
    nuclides.target(target)
    return Reaction(nuclides.ion(ion).symbol, target, nuclides.ion(product).symbol)
