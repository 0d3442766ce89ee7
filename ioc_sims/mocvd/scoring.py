"""How far a measured layer lies from what really grew, and how many runs a target took: truth in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ioc_sims.common.errors import JudgeError
from ioc_sims.mocvd.alloy import INP_ANGSTROM

SIGMAS_90 = 1.645  # of a normal distribution: 90 % lie within
OUTCOMES = {"wavelength": "wavelength_nm", "lattice": "lattice_angstrom", "x": "x", "y": "y"}
"""Name of an outcome of a result -> name in the truth of a layer."""


@dataclass(frozen=True)
class Target:
    """A wanted wavelength [nm] and lattice constant [Angstrom], and what is close enough (the paper's stop rule)."""

    wavelength: float
    lattice: float
    within_nm: float = 10.0
    within_percent: float = 0.05


@dataclass(frozen=True)
class LayerScore:
    """A result beside the truth.

    Attributes:
        wafer: its number.
        error: measured minus true of each outcome.
        covered: whether that is at most 1.645 of its standard deviations, where one was given.
        mismatch_error_percent: of the lattice constant, in percent of that of InP.
        bad: whether the run has a gross error.
    """

    wafer: int
    error: dict[str, float]
    covered: dict[str, bool]
    mismatch_error_percent: float
    bad: bool


def layer_of(truth: Mapping[str, Any], wafer: int) -> Mapping[str, Any]:
    """The truth of the layer of a wafer.

    Args:
        truth: content of the truth file.
        wafer: number.

    Raises:
        JudgeError: there is no such wafer, or it has no layer but InP.
    """
    known = truth["wafers"]
    if str(wafer) not in known:
        raise JudgeError(f"the truth has no wafer {wafer}: {', '.join(known) or 'none'}")
    layer = known[str(wafer)]["layer"]
    if layer is None:
        raise JudgeError(f"wafer {wafer} has no layer but InP")
    return layer


def layer_score(truth: Mapping[str, Any], wafer: int, result: Mapping[str, float]) -> LayerScore:
    """Compare a layer result with what grew.

    Args:
        truth: content of the truth file.
        wafer: number of the wafer that was measured.
        result: "wavelength" [nm], "lattice" [Angstrom] (relaxed), perhaps "x", "y", each perhaps with "NAME_std". The
            wavelength is that of the map's mean.

    Raises:
        JudgeError: no such layer, or an outcome that is missing or not finite.
    """
    layer = layer_of(truth, wafer)
    error: dict[str, float] = {}
    covered: dict[str, bool] = {}
    for name, key in OUTCOMES.items():
        if name not in result and name in ("x", "y"):
            continue
        value = float(result.get(name, math.nan))
        if not math.isfinite(value):
            raise JudgeError(f"the result of wafer {wafer} has no finite {name}")
        error[name] = value - float(layer["wavelength_mean_nm" if name == "wavelength" else key])
        if f"{name}_std" in result:
            covered[name] = abs(error[name]) <= SIGMAS_90 * float(result[f"{name}_std"])
    percent = 100 * error["lattice"] / INP_ANGSTROM
    return LayerScore(wafer, error, covered, percent, bool(truth["wafers"][str(wafer)]["bad"]))


def in_specification(layer: Mapping[str, Any], target: Target) -> bool:
    """Whether a layer of the truth is what was wanted, whatever was measured of it."""
    percent = 100 * (float(layer["lattice_angstrom"]) - target.lattice) / INP_ANGSTROM
    close = abs(float(layer["wavelength_mean_nm"]) - target.wavelength) <= target.within_nm
    return close and abs(percent) <= target.within_percent


def runs_to_target(truth: Mapping[str, Any], wafers: Iterable[int], target: Target) -> int | None:
    """How many runs it took until a wafer truly was what was wanted; None if none was.

    Args:
        truth: content of the truth file.
        wafers: in the order in which they were grown for this target; one without a layer counts as a run.
        target: what was wanted.
    """
    for count, wafer in enumerate(wafers, 1):
        found = truth["wafers"].get(str(wafer))
        if found is not None and found["layer"] is not None and in_specification(found["layer"], target):
            return count
    return None
