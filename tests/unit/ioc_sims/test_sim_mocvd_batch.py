"""Studies on the simulated reactor, the scores of a judge, and the page of PVs."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from mocvd_lab import make_reactor, raw_reactor

import ioc_sims.mocvd
from ioc_sims.common.errors import JudgeError
from ioc_sims.mocvd.batch import Batch, load_batch_config, serve
from ioc_sims.mocvd.scoring import Target, in_specification, layer_score, runs_to_target
from ioc_sims.mocvd.truth import truth

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "pvs-mocvd.md"
FIRST = {"do": "grow", "f_ga": 5.971, "f_as": 11.2}


def test_the_table_of_pvs_is_that_of_the_program():
    [table] = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert table.strip() == (ioc_sims.mocvd.__doc__ or "").strip(), "docs/reference/pvs-mocvd.md is not up to date"


def test_the_papers_stack_grows_as_the_paper_says(tmp_path):
    batch = Batch(make_reactor(tmp_path, quiet=True))
    assert batch.answer(FIRST) == {"wafer": 1, "maintenance": 0}
    held = truth(batch.plant)["wafers"]["1"]
    assert [layer["thickness_nm"] for layer in held["layers"]] == pytest.approx([200.0, 200.0, 65.0], rel=0.03)
    layer = held["layer"]
    assert (layer["x"], layer["y"]) == pytest.approx((0.192, 0.4176), abs=0.004)
    assert layer["wavelength_nm"] == pytest.approx(1175.0, abs=3.0)
    assert abs(layer["mismatch_percent"]) < 0.03
    assert layer["relaxation"] == 0.0
    assert held["decomposed_s"] == 0.0
    batch.answer({"do": "grow", "f_ga": 4.095, "f_as": 6.869})
    second = truth(batch.plant)["wafers"]["2"]["layer"]
    assert second["wavelength_nm"] == pytest.approx(1100.0, abs=3.0)


def test_reactors_and_runs_spread_as_the_settings_say(tmp_path):
    found = []
    for seed in range(12):
        batch = Batch(make_reactor(tmp_path, seed=seed, physics={"bad_run_fraction": 0.0}))
        batch.answer(FIRST)
        layer = truth(batch.plant)["wafers"]["1"]["layer"]
        found.append([math.log(layer[k] / (1 - layer[k])) for k in ("x", "y")])
    spread, centre = np.std(found, axis=0), np.mean(found, axis=0)
    assert (spread > 0.005).all()
    assert (spread < 0.05).all()
    truths = [math.log(v / (1 - v)) for v in (0.192, 0.4176)]
    assert centre == pytest.approx(truths, abs=0.04)


def test_the_same_seed_is_the_same_study(tmp_path):
    one, other = (Batch(make_reactor(tmp_path, seed=4)) for _ in range(2))
    requests = [FIRST, {"do": "measure", "wafer": 1}, {"do": "maintain"}, FIRST, {"do": "measure", "wafer": 2}]
    assert [one.answer(r) for r in requests] == [other.answer(r) for r in requests]
    third = Batch(make_reactor(tmp_path, seed=5))
    assert third.answer({"do": "new", "seed": 4}) == {"seed": 4}
    assert third.answer(FIRST) == {"wafer": 1, "maintenance": 0}
    assert truth(third.plant)["wafers"]["1"] == truth(one.plant)["wafers"]["1"]


def test_what_is_measured_is_what_grew(tmp_path):
    batch = Batch(make_reactor(tmp_path, seed=2))
    batch.answer({"do": "grow", "f_ga": 4.0, "f_as": 12.0})
    layer = truth(batch.plant)["wafers"]["1"]["layer"]
    seen = batch.answer({"do": "measure", "wafer": 1})
    nm = np.array([[math.nan if v is None else v for v in row] for row in seen["map_nm"]])
    assert np.nanmean(nm) == pytest.approx(layer["wavelength_mean_nm"], abs=6.0)
    angle, counts = np.array(seen["two_theta_deg"]), np.array(seen["counts"])
    substrate = angle[counts.argmax()]
    away = np.abs(angle - substrate) > 0.1
    peak = angle[away][counts[away].argmax()]
    ratio = math.sin(math.radians(substrate / 2)) / math.sin(math.radians(peak / 2))
    factor = 2.11 - 1.11 * layer["relaxation"]
    assert 100 * (ratio - 1) / factor == pytest.approx(layer["mismatch_percent"], abs=0.02)


def test_a_sample_is_a_run_in_short(tmp_path):
    """Of one wafer of one reactor both ways give the same layer; the shown numbers scatter about it as they should."""
    long, short = (Batch(make_reactor(tmp_path, seed=6, physics={"line_drift_sd": 0.0})) for _ in range(2))
    long.answer({"do": "grow", "f_ga": 4.0, "f_as": 8.0})
    short.answer({"do": "sample", "f_ga": 4.0, "f_as": 8.0})
    grown, sampled = (truth(batch.plant)["wafers"]["1"]["layer"] for batch in (long, short))
    assert (sampled["x"], sampled["y"]) == pytest.approx((grown["x"], grown["y"]), abs=0.003)
    told = [short.answer({"do": "sample", "f_ga": 4.0, "f_as": 8.0}) for _ in range(150)]
    held = truth(short.plant)["wafers"]
    real = [held[str(one["wafer"])]["layer"] for one in told]
    nm = [one["wavelength"] - it["wavelength_mean_nm"] for one, it in zip(told, real, strict=True)]
    angstrom = [one["lattice"] - it["lattice_angstrom"] for one, it in zip(told, real, strict=True)]
    assert [np.std(nm), np.std(angstrom)] == pytest.approx([1.5, 5.8688 * 5e-5], rel=0.2)
    assert short.answer({"do": "specification", "wafers": [1], "target": {"wavelength": 1180, "lattice": 5.8688}}) == {
        "runs": None
    }


def test_requests_that_cannot_be_done_are_answered(tmp_path):
    path = tmp_path / "config.json"
    raw = raw_reactor(tmp_path)
    del raw["state_file"], raw["truth_file"]
    path.write_text(json.dumps(raw))
    replies = io.StringIO()
    requests = [{"do": "grow", "f_ga": 99, "f_as": 5}, {"do": "measure", "wafer": 3}, {"do": "fly"}]
    serve(Batch(load_batch_config(path)), io.StringIO("\n".join([*map(json.dumps, requests), "{"])), replies)
    told = [json.loads(line)["error"] for line in replies.getvalue().splitlines()]
    assert len(told) == 4
    for text, word in zip(told, ("f_ga", "no wafer 3", "fly", "not JSON"), strict=True):
        assert word in text


# scores ---------------------------------------------------------------------------------------------------------------


def layer(nm: float, lattice: float) -> dict:
    return {"wavelength_nm": nm, "wavelength_mean_nm": nm + 1.0, "lattice_angstrom": lattice, "x": 0.2, "y": 0.4}


TRUTH = {
    "wafers": {
        "1": {"bad": False, "layer": layer(1150.0, 5.8688)},
        "2": {"bad": True, "layer": None},
        "3": {"bad": False, "layer": layer(1170.5, 5.8690)},
        "4": {"bad": False, "layer": layer(1180.0, 5.8800)},
    }
}
GOAL = Target(1180.0, 5.8688)


def test_a_result_is_scored_against_the_mean_of_the_map():
    result = {"wavelength": 1153.0, "wavelength_std": 1.0, "lattice": 5.8694, "lattice_std": 5e-4, "x": 0.21}
    score = layer_score(TRUTH, 1, result)
    assert score.error == pytest.approx({"wavelength": 2.0, "lattice": 6e-4, "x": 0.01})
    assert score.covered == {"wavelength": False, "lattice": True}
    assert score.mismatch_error_percent == pytest.approx(6e-4 / 5.8688 * 100)
    for wafer, bad in (
        (9, result),
        (2, result),
        (1, {"wavelength": math.nan, "lattice": 5.87}),
        (1, {"lattice": 5.87}),
    ):
        with pytest.raises(JudgeError):
            layer_score(TRUTH, wafer, bad)


def test_runs_count_until_a_layer_truly_is_in_specification():
    wafers = TRUTH["wafers"]
    assert in_specification(wafers["3"]["layer"], GOAL)  # 8.5 nm, 0.0034 %
    assert not in_specification(wafers["4"]["layer"], GOAL)  # 0.19 %
    assert not in_specification(wafers["1"]["layer"], GOAL)
    assert runs_to_target(TRUTH, [1, 2, 3, 4], GOAL) == 3
    assert runs_to_target(TRUTH, [3], GOAL) == 1
    assert runs_to_target(TRUTH, [1, 2, 4], GOAL) is None
