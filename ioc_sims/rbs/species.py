"""What pyrump knows of ions and target elements, by the labels of a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from pyrump.atomic.tables import PeriodicTable
from pyrump.model.element import Element, Isotope

from ioc_sims.common.errors import ConfigError

_LABEL = re.compile(r"^(\d{1,3})?([A-Z][a-z]?)$")
_NICKNAMES = {"D": "2H", "T": "3H"}
_LAST_Z = 92  # the tables of ZBL stopping end with uranium


@dataclass(frozen=True)
class Ion:
    """A projectile: atomic number and mass [u]."""

    z: int
    mass_u: float


_IONS = {
    "1H": Ion(1, 1.00783),
    "2H": Ion(1, 2.01410),
    "3He": Ion(2, 3.01603),
    "4He": Ion(2, 4.00260),
}
_IONS |= {"p": _IONS["1H"], "D": _IONS["2H"]}


def ion_of(label: str) -> Ion:
    """An ion by its label (p, 1H, 2H, D, 3He, 4He).

    Raises:
        ConfigError: the label is none of these.
    """
    try:
        return _IONS[label]
    except KeyError:
        raise ConfigError(f"ion {label!r} is not one of {', '.join(_IONS)}") from None


def target_of(label: str) -> Element:
    """A target element; a label with a mass number ("2H", "D", "6Li") is that isotope alone.

    Raises:
        ConfigError: there is no such element, or no stopping is known for it.
    """
    match = _LABEL.match(_NICKNAMES.get(label, label))
    if match is None:
        raise ConfigError(f"{label!r} is not an element (Cu) or isotope (2H)")
    try:
        element = periodic_table().by_symbol(match[2])
    except KeyError as err:
        raise ConfigError(f"{label!r}: there is no element {match[2]}") from err
    if element.z > _LAST_Z:
        raise ConfigError(f"{label!r} is not an element")
    if match[1] is None:
        return element
    return replace(element, isotopes=(Isotope(element.real_mass(int(match[1])), 1.0),))


@cache
def periodic_table() -> PeriodicTable:
    """The elements as pyrump's data files give them, with the parameters of ZBL stopping."""
    data = resources.files("pyrump") / "data"
    with resources.as_file(data / "atom4.dat") as atoms, resources.as_file(data / "pscoef.dat") as stopping:
        return PeriodicTable.load(atoms, stopping)
