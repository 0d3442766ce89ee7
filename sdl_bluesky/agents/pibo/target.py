"""What is asked of an agent that grows: a target, and the name of the campaign."""

from __future__ import annotations

from collections.abc import Mapping

from sdl_bluesky.agents.space import number
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.pibo.worth import Aim
from sdl_bluesky.physics.alloys import Quaternary, Specification

PARTS = ("wavelength", "lattice", "wavelength_tolerance", "mismatch_tolerance")


def aim_at(target: Mapping[str, float], alloy: Quaternary) -> Aim:
    """A target {"wavelength": nm, "lattice": Angstrom}, with tolerances [nm] and [%] if they are told.

    Raises:
        OutOfRange: a number is missing or none, or the target lies outside the alloy; then it names the range.
        UnknownName: the target has a part that is not known.
    """
    if not isinstance(target, Mapping):
        raise OutOfRange(f'target = {target!r}: give {{"wavelength": nm, "lattice": Angstrom}}')
    for name in target:
        if name not in PARTS:
            raise UnknownName("part of a target", name, PARTS)
    needed = dict.fromkeys(PARTS[:2]) | dict(target)
    told = {name: number(target, name) for name in needed}
    return Aim(Specification(**told), alloy)


def campaign_name(name: str) -> str:
    """The name of a campaign, if it is one.

    Raises:
        OutOfRange: it is no text, or empty.
    """
    if not isinstance(name, str) or not name:
        raise OutOfRange(f"campaign = {name!r}: give a name")
    return name
