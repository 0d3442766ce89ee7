"""What an RBS end station is like: a frozen description that needs no control system to exist."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdl_bluesky.errors import OutOfRange

Range = tuple[float, float]


@dataclass(frozen=True)
class RBSSpec:
    """One RBS end station.

    Limits are the lab's own; those of the IOC hold as well. Timeouts are real seconds, also on a fast simulation.

    Attributes:
        channels: of a spectrum.
        wafer_x_mm, wafer_y_mm: part of the wafer that may be measured.
        energy_keV, stage_mm, tilt_deg: where beam and stage may go.
        energy_tolerance_keV, stage_tolerance_mm, tilt_tolerance_deg: a move is done when the readback is this close.
        start_timeout_s: within which a started acquisition must show.
        stall_s: an acquisition whose charge does not grow for so long has lost its beam.
        acquisition_timeout_s: longest acquisition.
        stale_after_s: an IOC whose beat is older than this is taken as hung.
        interlock: PV stub.
    """

    name: str = "RBS station"
    channels: int = 1024
    wafer_x_mm: Range = (-25.0, 25.0)
    wafer_y_mm: Range = (-25.0, 25.0)
    energy_keV: Range = (500.0, 3500.0)
    stage_mm: Range = (-30.0, 30.0)
    tilt_deg: Range = (-60.0, 60.0)
    energy_tolerance_keV: float = 1.0
    stage_tolerance_mm: float = 0.05
    tilt_tolerance_deg: float = 0.1
    energy_timeout_s: float = 120.0
    stage_timeout_s: float = 60.0
    shutter_timeout_s: float = 10.0
    load_timeout_s: float = 60.0
    start_timeout_s: float = 2.0
    stall_s: float = 10.0
    acquisition_timeout_s: float = 7200.0
    stale_after_s: float = 2.0
    interlock: str = "INTERLOCK:"

    def __post_init__(self) -> None:
        if self.channels < 2:
            raise OutOfRange(f"{self.name}: {self.channels} channels are no spectrum")
        for label in ("wafer_x_mm", "wafer_y_mm", "energy_keV", "stage_mm", "tilt_deg"):
            low, high = getattr(self, label)
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise OutOfRange(f"{self.name}: {label} {low} to {high} is no range")
