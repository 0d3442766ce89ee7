"""Purposes of the reactor's random streams: the first number after the seed (no other instrument has them)."""

from __future__ import annotations

LAW, NOISE, MAINTENANCE, RUN, PL, XRD = range(200, 206)
"""What makes this reactor this one; noise, with the number of the start; with the number of maintenances so far; with
the number of the wafer; with the number of the measurement."""
