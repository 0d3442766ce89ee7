"""What an MOCVD reactor is like: a frozen description that needs no control system to exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sdl_bluesky.errors import OutOfRange, UnknownName

Range = tuple[float, float]

GROUP_III: tuple[str, ...] = ("in", "ga")
GROUP_V: tuple[str, ...] = ("as", "p")
LINES: tuple[str, ...] = (*GROUP_III, *GROUP_V)
"""Lines with a run/vent valve."""
FLOWS: tuple[str, ...] = (*LINES, "h2")
"""Lines with a mass flow controller."""
FLOW_SCCM: Mapping[str, Range] = {
    "in": (0.0, 50.0),
    "ga": (0.0, 20.0),
    "as": (0.0, 50.0),
    "p": (0.0, 500.0),
    "h2": (0.0, 30000.0),
}


@dataclass(frozen=True)
class MOCVDSpec:
    """One MOCVD reactor with the two instruments beside it.

    Limits are the lab's own; those of the IOC hold as well. Timeouts are real seconds, also on a fast simulation.

    Attributes:
        flow_sccm: limits of each flow, by line.
        flow_tolerance_sccm, flow_tolerance: a flow is reached when the readback is this close, absolute and relative.
        temperature_degC, rotation_rpm, pressure_mbar, duration_s: where they may be set.
        temperature_tolerance_degC, rotation_tolerance_rpm, pressure_tolerance: the last one relative.
        protect_degC: above it an InP surface loses phosphorus and needs phosphine.
        cold_degC: below it a wafer may be touched.
        map_points: places of a PL map along each axis; spectrum_channels: of a PL spectrum.
        scan_points: most points of a scan.
        start_timeout_s: within which something that was started must show.
        has_clock: the IOC publishes a process clock ({P}SIM:TIME); without it, process time is wall time.
        stale_after_s: an IOC whose beat is older than this is taken as hung.
    """

    name: str = "MOCVD reactor"
    flow_sccm: Mapping[str, Range] = field(default_factory=lambda: dict(FLOW_SCCM))
    flow_tolerance_sccm: float = 0.02
    flow_tolerance: float = 0.01
    temperature_degC: Range = (0.0, 750.0)
    temperature_tolerance_degC: float = 1.0
    rotation_rpm: Range = (0.0, 1500.0)
    rotation_tolerance_rpm: float = 5.0
    pressure_mbar: Range = (20.0, 200.0)
    pressure_tolerance: float = 0.02
    duration_s: Range = (0.0, 20000.0)
    protect_degC: float = 400.0
    cold_degC: float = 150.0
    map_points: int = 25
    spectrum_channels: int = 801
    scan_points: int = 2000
    flow_timeout_s: float = 60.0
    valve_timeout_s: float = 10.0
    heat_timeout_s: float = 1800.0
    cool_timeout_s: float = 3600.0
    rotation_timeout_s: float = 180.0
    pressure_timeout_s: float = 180.0
    load_timeout_s: float = 120.0
    start_timeout_s: float = 3.0
    has_clock: bool = True
    stale_after_s: float = 2.0
    interlock: str = "INTERLOCK:"
    clock: str = "SIM:"

    def __post_init__(self) -> None:
        for line in self.flow_sccm:
            if line not in FLOWS:
                raise UnknownName("gas line", line, FLOWS)
        missing = [line for line in FLOWS if line not in self.flow_sccm]
        if missing:
            raise OutOfRange(f"{self.name}: no limits of the flow of {', '.join(missing)}")
        ranges = {f"flow of {line}": span for line, span in self.flow_sccm.items()}
        ranges |= {n: getattr(self, n) for n in ("temperature_degC", "rotation_rpm", "pressure_mbar", "duration_s")}
        for label, (low, high) in ranges.items():
            if not (math.isfinite(low) and math.isfinite(high) and 0 <= low < high):
                raise OutOfRange(f"{self.name}: {label}, {low} to {high}, is no range")
        if not 0 < self.cold_degC < self.protect_degC:
            raise OutOfRange(
                f"{self.name}: cold_degC ({self.cold_degC:g}) must lie below protect_degC ({self.protect_degC:g})"
            )
        if min(self.map_points, self.spectrum_channels, self.scan_points) < 2:
            raise OutOfRange(f"{self.name}: a map, a spectrum and a scan need two points or more")
