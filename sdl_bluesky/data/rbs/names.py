"""Names of elements and nuclides as files spell them."""

from __future__ import annotations

import re

from sdl_bluesky.errors import UnknownName

_HEAVY_HYDROGEN = re.compile(r"(\d+)([DT])", re.ASCII)


def plain_name(name: str) -> str:
    """A name without white space around it; "2D" and "3T", as some programs write them, are "D" and "T".

    Raises:
        UnknownName: another mass number stands before D or T, or the name is not ASCII.
    """
    name = name.strip()
    match = _HEAVY_HYDROGEN.fullmatch(name)
    if match is not None and int(match[1]) == {"D": 2, "T": 3}[match[2]]:
        return match[2]
    if match is not None or not name.isascii():
        raise UnknownName("element or nuclide", name[:40], ["Cu", "63Cu", "D", "T", "..."])
    return name
