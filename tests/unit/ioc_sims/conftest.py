"""Configurations of simulated chambers for the tests of this folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from ioc_sims.sputter.settings import ChamberConfig

QUIET = {
    "rate_noise_relative": 0.0,
    "rate_noise_absolute": 0.0,
    "tooling_sd": 0.0,
    "zero_drift_sd": 0.0,
    "frequency_noise_Hz": 0.0,
    "thermal_shift_Hz": 0.0,
    "source_strength_sd": 0.0,
    "source_n_sd": 0.0,
    "plasma_sd": 0.0,
    "neighbour_interaction": 0.0,
}


def on_sphere(radius: float, tilt_deg: float, azimuth_deg: float) -> tuple[float, float, float]:
    tilt, azimuth = math.radians(tilt_deg), math.radians(azimuth_deg)
    sine = radius * math.sin(tilt)
    return (sine * math.cos(azimuth), sine * math.sin(azimuth), radius * math.cos(tilt))


@pytest.fixture
def raw_config(tmp_path) -> Callable[..., dict[str, Any]]:
    """The configuration of the usual chamber, as JSON; keywords replace keys."""

    def make(elements=("Cu", "Sn", "Ni", "Al"), **changes: Any) -> dict[str, Any]:
        sources = []
        for i, element in enumerate(elements):
            position = on_sphere(14.0, 30.0, 360.0 * i / max(len(elements), 4))
            sources.append(
                {
                    "name": element.lower(),
                    "element": element,
                    "pv": f"S{i + 1}:",
                    "position_cm": list(position),
                    "axis": [-c / 14.0 for c in position],
                    "max_power_W": 100.0,
                }
            )
        sensors = [
            {
                "name": f"qcm{i + 1}",
                "pv": f"Q{i + 1}:",
                "position_cm": [5.5 * math.cos(math.radians(a)), 5.5 * math.sin(math.radians(a)), 0.0],
                "normal": [0.0, 0.0, 1.0],
                "f0_Hz": 6e6,
            }
            for i, a in enumerate((20.0, 140.0, 260.0))
        ]
        return {
            "schema": 1,
            "prefix": "SDL:",
            "speed": 100.0,
            "seed": 0,
            "heartbeat_timeout_s": 3.0,
            "faults": True,
            "state_file": str(tmp_path / "state.json"),
            "truth_file": str(tmp_path / "truth.json"),
            "sources": sources,
            "sensors": sensors,
            "grid": {"power_W": [10, 100], "pressure_mTorr": [2, 20]},
            "physics": {},
            **changes,
        }

    return make


@pytest.fixture
def make_config(raw_config) -> Callable[..., ChamberConfig]:
    """A checked configuration; `quiet=True` switches every noise and spread off."""

    def make(*args: Any, quiet: bool = False, **changes: Any) -> ChamberConfig:
        raw = raw_config(*args, **changes)
        if quiet:
            raw["physics"] = {**QUIET, **raw["physics"]}
        return ChamberConfig.model_validate(raw)

    return make
