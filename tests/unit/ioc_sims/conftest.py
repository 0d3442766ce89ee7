"""Configurations of simulated chambers for the tests of this folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from rbs_films import film_truth

from ioc_sims.rbs.settings import RBSConfig
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


@pytest.fixture
def raw_rbs(tmp_path) -> Callable[..., dict[str, Any]]:
    """The configuration of an RBS end station with film 3 of a sputter chamber, as JSON; keywords replace keys."""

    def make(**changes: Any) -> dict[str, Any]:
        films = tmp_path / "sputter-truth.json"
        if not films.exists():
            bare = film_truth({}, 0.0)
            films.write_text(json.dumps({"films": {"2": bare, "3": film_truth({"Cu": 0.6, "Sn": 0.4}, 4e4, 0.01)}}))
        return {
            "schema": 1,
            "prefix": "SDL:RBS:",
            "speed": 100.0,
            "seed": 0,
            "heartbeat_timeout_s": 3.0,
            "faults": True,
            "state_file": str(tmp_path / "rbs-state.json"),
            "truth_file": str(tmp_path / "rbs-truth.json"),
            "films_file": str(films),
            "samples": {"7": {"layers": [{"Au": 100.0}, {"C": 3000.0}]}},
            "setup": {"ion": "4He", "theta_deg": 165.0, "slope_keV": 2.0, "channels": 1024},
            "substrate": [{"O": 4000.0, "Si": 2000.0}],
            "physics": {"slab": 2000.0},
            **changes,
        }

    return make


@pytest.fixture
def make_rbs(raw_rbs) -> Callable[..., RBSConfig]:
    """A checked configuration; physics=... adds to the settings."""

    def make(physics: dict[str, Any] | None = None, **changes: Any) -> RBSConfig:
        raw = raw_rbs(**changes)
        raw["physics"] = {**raw["physics"], **(physics or {})}
        return RBSConfig.model_validate(raw)

    return make
