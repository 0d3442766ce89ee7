"""Purposes of the station's random streams: the first number after the seed (no other instrument has them)."""

from __future__ import annotations

STOPPING, NOISE, CHARGE, START = range(100, 104)
"""With the atomic number; with the number of the start; with the number of the acquisition; where drifts begin."""
