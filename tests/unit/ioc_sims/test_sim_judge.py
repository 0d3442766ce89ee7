"""The judge's arithmetic against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ioc_sims import judge as judge_module
from ioc_sims.common.errors import JudgeError
from ioc_sims.judge import judge
from ioc_sims.scoring import Map, Surface, composition_score, rate_error_percent

POWER = np.linspace(10, 100, 31)
PRESSURE = np.linspace(2, 20, 31)
TRUE_RATE = 0.5 * POWER[None, :] + 0.0 * PRESSURE[:, None]
EVERYWHERE = np.ones((31, 31), bool)
AXIS = np.linspace(-25, 25, 51)


def truth_surface() -> Surface:
    return Surface(POWER, PRESSURE, TRUE_RATE)


def coarse(values) -> Surface:
    power, pressure = np.linspace(10, 100, 7), np.linspace(4, 20, 5)
    return Surface(power, pressure, np.broadcast_to(values(power), (5, 7)).copy())


def test_a_constant_offset():
    # mean rate is 0.5 * 55 = 27.5; an offset of 0.55 everywhere is 2 %
    error, points = rate_error_percent(coarse(lambda p: 0.5 * p + 0.55), truth_surface(), EVERYWHERE)
    assert error == pytest.approx(2.0)
    assert points == 27 * 31  # 4.4 .. 20 mTorr in steps of 0.6


def test_a_wrong_slope():
    # error 0.01 P: RMS over P = 10, 13 .. 100 is 0.01 sqrt(mean P^2); mean P^2 = 55^2 + 9 (31^2 - 1) / 12 = 3745
    error, _ = rate_error_percent(coarse(lambda p: 0.51 * p), truth_surface(), EVERYWHERE)
    assert error == pytest.approx(100 * 0.01 * np.sqrt(3745.0) / 27.5)


def test_only_burning_points_count():
    lit = EVERYWHERE.copy()
    lit[:, :15] = False  # P < 55
    learnt = coarse(lambda p: np.where(p < 55, 5.0 * p, 0.5 * p))
    exact = Surface(POWER, PRESSURE, np.where(POWER < 55, 7.0 * POWER, 0.5 * POWER) * np.ones((31, 1)))
    assert rate_error_percent(exact, truth_surface(), lit)[0] == pytest.approx(0.0, abs=1e-9)
    assert rate_error_percent(learnt, truth_surface(), EVERYWHERE)[0] > 10


def test_surfaces_that_do_not_reach_are_no_result():
    short = Surface(np.linspace(20, 100, 7), np.linspace(4, 20, 5), np.ones((5, 7)))
    with pytest.raises(JudgeError, match="power 10"):
        rate_error_percent(short, truth_surface(), EVERYWHERE)
    with pytest.raises(JudgeError, match="not all finite"):
        rate_error_percent(coarse(lambda p: p * np.nan), truth_surface(), EVERYWHERE)
    with pytest.raises(JudgeError, match="burns at no"):
        rate_error_percent(coarse(lambda p: p), truth_surface(), ~EVERYWHERE)


def film() -> Map:
    cu = 0.5 + 0.004 * AXIS[None, :] + 0.001 * AXIS[:, None]
    return Map(AXIS, AXIS, {"Cu": cu, "Sn": 1 - cu})


def test_a_shifted_composition():
    x, y = np.linspace(-20, 20, 21), np.linspace(-24, 24, 13)
    cu = 0.5 + 0.004 * x[None, :] + 0.001 * y[:, None] + 0.01
    std = {"Cu": np.full(cu.shape, 0.0061), "Sn": np.full(cu.shape, 0.0060)}  # 1.645 sd = 0.01003 and 0.00987
    score = composition_score(Map(x, y, {"Cu": cu, "Sn": 1 - cu}), std, film())
    assert score.rms_percent == pytest.approx(1.0)
    assert score.centre_error == pytest.approx(0.01)
    assert score.coverage_90 == pytest.approx(0.5)
    assert score.pixels == 2 * 13 * 21 / 2


def test_the_centre_counts_for_the_first_element_alone():
    mean = {"Sn": film().fraction["Sn"] + 0.02, "Cu": film().fraction["Cu"]}
    score = composition_score(Map(AXIS, AXIS, mean), {"Sn": np.ones((51, 51)), "Cu": np.ones((51, 51))}, film())
    assert score.centre_error == pytest.approx(0.02)
    assert score.rms_percent == pytest.approx(100 * 0.02 / np.sqrt(2))
    assert score.coverage_90 == 1.0


def test_an_element_that_one_side_lacks_counts_as_zero():
    ni = Map(AXIS, AXIS, {**film().fraction, "Ni": np.full((51, 51), 0.03)})
    std = dict.fromkeys(ni.fraction, np.ones((51, 51)))
    assert composition_score(ni, std, film()).rms_percent == pytest.approx(100 * 0.03 / np.sqrt(3))
    assert composition_score(film(), std, ni).rms_percent == pytest.approx(100 * 0.03 / np.sqrt(3))


def test_maps_that_cannot_be_compared():
    wide = Map(AXIS * 2, AXIS, film().fraction)
    with pytest.raises(JudgeError, match="x -50"):
        composition_score(wide, {}, film())
    empty = Map(AXIS, AXIS, {"Cu": np.full((51, 51), np.nan)})
    with pytest.raises(JudgeError, match="no pixel"):
        composition_score(empty, {}, film())


class Array:
    def __init__(self, values) -> None:
        self._values = values

    def read(self) -> np.ndarray:
        return np.asarray(self._values)


class Node(dict):
    def __init__(self, metadata, **arrays) -> None:
        super().__init__({key: Array(value) for key, value in arrays.items()})
        self.metadata = metadata


def surface_node(offset: float, time: float, campaign: str = "c1") -> Node:
    metadata = {"kind": "rate_surface", "source": "cu", "sensors": ["qcm2", "qcm1"], "campaign": campaign, "time": time}
    wrong = np.zeros((31, 31))
    return Node(metadata, rate=[wrong, TRUE_RATE + offset], power=POWER, pressure=PRESSURE)


def truth_file() -> dict:
    cu = {"element": "Cu", "rate": {"qcm1": TRUE_RATE.tolist(), "qcm2": TRUE_RATE.tolist()}, "lit": EVERYWHERE.tolist()}
    maps = {element: values.tolist() for element, values in film().fraction.items()}
    grown = {"x_mm": AXIS.tolist(), "y_mm": AXIS.tolist(), "elements": ["Cu", "Sn"], "fraction": maps}
    bare = {"x_mm": AXIS.tolist(), "y_mm": AXIS.tolist(), "elements": [], "fraction": {}}
    return {
        "power_W": POWER.tolist(),
        "pressure_mTorr": PRESSURE.tolist(),
        "sources": {"cu": cu},
        "films": {"1": bare, "2": grown, "3": bare},
    }


def map_node(**metadata) -> Node:
    cu = film().fraction["Cu"]
    common = {"kind": "composition", "elements": ["Cu", "Sn"], "campaign": "c1", "time": 5.0}
    return Node({**common, **metadata}, composition=[cu, 1 - cu], composition_std=np.ones((2, 51, 51)), x=AXIS, y=AXIS)


def test_the_latest_result_of_the_campaign_is_judged():
    analysis = {
        "new": surface_node(0.275, 3.0),
        "old": surface_node(9.0, 1.0),
        "other": surface_node(5.0, 9.0, campaign="c2"),
        "film": map_node(),
    }
    result = judge(truth_file(), analysis, ["c1"])
    assert result["sources"] == {"cu": {"e_rms_percent": pytest.approx(1.0), "points": 837, "key": "new"}}
    assert result["composition"]["film"] == 2
    assert result["composition"]["rms_percent"] == pytest.approx(0.0, abs=1e-9)
    assert result["rbs"] is None
    assert result["films"]["2"]["centre"] == pytest.approx({"Cu": 0.5, "Sn": 0.5})
    json.dumps(result)


def test_every_film_of_a_campaign_is_judged_by_its_newest_map():
    truth = truth_file()
    cu = film().fraction["Cu"] - 0.1
    maps = {"Cu": cu.tolist(), "Sn": (1 - cu).tolist()}
    truth["films"]["1"] = {**truth["films"]["2"], "fraction": maps}
    analysis = {
        "first": map_node(run="r1", substrate_number=1),
        "second": map_node(run="r2", substrate_number=2, time=6.0),
        "second again": map_node(run="r2", substrate_number=2, time=7.0),
    }
    found = judge(truth, analysis, ["c1"])["films"]
    assert {number: (one["run"], one["key"]) for number, one in found.items()} == {
        "1": ("r1", "first"),
        "2": ("r2", "second again"),
    }
    assert found["1"]["centre"]["Cu"] == pytest.approx(0.4)
    assert found["1"]["centre_error"] == pytest.approx(0.1)


def test_the_map_may_name_its_film():
    with pytest.raises(JudgeError, match="no film 7"):
        judge(truth_file(), {"film": map_node(substrate_number=7)}, ["c1"])
    assert judge(truth_file(), {"film": map_node(substrate_number=2)}, ["c1"])["composition"]["film"] == 2


def test_a_campaign_without_results_is_told():
    with pytest.raises(JudgeError, match="no rate surface"):
        judge(truth_file(), {"new": surface_node(0.0, 1.0)}, ["nobody"])


def test_the_program_writes_its_result(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "truth.json", tmp_path / "judge.json"
    path.write_text(json.dumps(truth_file()))
    monkeypatch.setattr(judge_module, "_connect", lambda _options: {"analysis": {"s": surface_node(0.275, 1.0)}})
    arguments = ["--truth", str(path), "--tiled", "http://nowhere", "--campaign", "c1", "--out", str(out)]
    assert judge_module.main(arguments) == 0
    assert json.loads(out.read_text()) == json.loads(capsys.readouterr().out)
    assert judge_module.main(["--truth", str(tmp_path / "no.json"), *arguments[2:]]) == 2
    assert "No such file" in capsys.readouterr().err
