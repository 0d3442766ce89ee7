"""Purposes of the chamber's random streams: the first number after the seed."""

from __future__ import annotations

from ioc_sims.common.seeds import stream

CHAMBER, NOISE, OPENING = range(3)
"""What makes this chamber this one; noise, with the number of the start; with a source and the count of its openings."""

__all__ = ["CHAMBER", "NOISE", "OPENING", "stream"]
