"""Purposes of the chamber's random streams: the first number after the seed."""

from __future__ import annotations

from ioc_sims.common.seeds import stream

CHAMBER, NOISE, OPENING, OXYGEN, LIGHT, TARGET = range(6)
"""What makes this chamber this one; noise, with the number of the start; with a source and the count of its openings;
what oxygen meets; the spectrometer, whose noise has the number of the start; with a source and the count of its
targets."""

__all__ = ["CHAMBER", "LIGHT", "NOISE", "OPENING", "OXYGEN", "TARGET", "stream"]
