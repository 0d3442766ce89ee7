"""The judge of grown layers, against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ioc_sims.common.errors import JudgeError
from ioc_sims.judge import judge_layers

LAYER = {"wavelength_nm": 1179.0, "wavelength_mean_nm": 1181.0, "lattice_angstrom": 5.8688, "x": 0.19, "y": 0.42}
TRUTH = {"wafers": {"3": {"bad": False, "layer": LAYER}, "4": {"bad": True, "layer": None}}}
MEASURED = {
    "wavelength": 1183.0,
    "wavelength_std": 1.0,
    "lattice": 5.8688 * 1.0002,
    "lattice_std": 0.002,
    "composition": [0.192, 0.421],
    "composition_cov": [[4e-6, 0.0], [0.0, 1e-8]],
}


def catalogue(**changes):
    metadata = {"kind": "layer", "campaign": "c", "wafer": 3, "run": "r", "time": 1.0, "layer": MEASURED, **changes}
    return {"a": SimpleNamespace(metadata=metadata), "b": SimpleNamespace(metadata={"kind": "flux", "campaign": "c"})}


def test_errors_are_those_of_the_maps_mean_and_intervals_of_ninety_percent():
    verdict = judge_layers(TRUTH, catalogue(), ["c"])
    [(wafer, score)] = verdict["layers"].items()
    assert (wafer, score["run"], score["key"], score["bad"]) == ("3", "r", "a", False)
    assert score["error"]["wavelength"] == pytest.approx(2.0)
    assert score["mismatch_error_percent"] == pytest.approx(0.02)
    assert score["error"]["x"] == pytest.approx(0.002)
    # 2 nm is more than 1.645 of 1 nm, .0012 A less than 1.645 of .002, .002 than of .002, .001 more than of .0001
    assert score["covered"] == {"wavelength": False, "lattice": True, "x": True, "y": False}
    assert score["truth"] == {"wavelength": 1181.0, "lattice": 5.8688, "x": 0.19, "y": 0.42}


def test_a_layer_of_no_alloy_is_judged_by_its_properties():
    score = judge_layers(TRUTH, catalogue(layer={**MEASURED, "composition": None}), ["c"])["layers"]["3"]
    assert set(score["error"]) == {"wavelength", "lattice"}


def test_what_cannot_be_judged_is_said():
    with pytest.raises(JudgeError, match="no layer of campaign d"):
        judge_layers(TRUTH, catalogue(), ["d"])
    with pytest.raises(JudgeError, match="wafer 7"):
        judge_layers(TRUTH, catalogue(wafer=7), ["c"])
    with pytest.raises(JudgeError, match="no layer but InP"):
        judge_layers(TRUTH, catalogue(wafer=4), ["c"])
