"""Parts of the demonstration of a wanted composition: what is asked, what is told."""

from __future__ import annotations

from typing import Any

import pytest

from sdl_bluesky.cli.terminal import Progress
from sdl_bluesky.demo.report_target import best_run, target_section
from sdl_bluesky.demo.target import parse_target, target_campaign
from sdl_bluesky.demo.target_figures import best_film, target_figures
from sdl_bluesky.errors import LabFileError, OutOfRange, SDLError, UnknownName
from sdl_bluesky.plans.history import History, Step
from sdl_bluesky.session.lab import load_lab

LAB = load_lab()


def test_a_target_is_read_from_the_command_line() -> None:
    assert parse_target("Cu=0.6") == {"Cu": 0.6}
    assert parse_target(" Cu = 0.6 , Sn=0.4") == {"Cu": 0.6, "Sn": 0.4}
    for text in ("Cu", "Cu=", "=0.5", "Cu=60", "Cu=nan", "Cu=0.5,Cu=0.5", "Cu=0.6,", ""):
        with pytest.raises(OutOfRange, match=r"Cu=0\.6,Sn=0\.4"):
            parse_target(text)


def test_sources_are_learned_as_the_target_needs_them() -> None:
    def learned(**target: float) -> list[str]:
        return list(target_campaign(LAB, target, 3).learn)

    assert learned(Cu=0.6) == ["cu", "sn"]
    assert learned(Cu=0.6, Sn=0.4) == ["cu", "sn"]
    assert learned(Ni=0.3, Al=0.7) == ["ni", "al"]
    assert learned(Ni=0.3) == ["ni", "cu", "sn"]
    assert learned(Cu=0.3, Sn=0.3, Ni=0.4) == ["cu", "sn", "ni"]
    campaign = target_campaign(LAB, {"Cu": 0.6}, 3)
    assert campaign.target is not None
    assert (campaign.seed, campaign.deposit, campaign.target.measure) == (3, None, "rbs")
    assert campaign.target.composition == {"Cu": 60.0}
    assert campaign.check_count == 3
    with pytest.raises(UnknownName, match="'Zn'"):
        target_campaign(LAB, {"Zn": 0.5}, 0)
    with pytest.raises(LabFileError, match="parts of one"):
        target_campaign(LAB, {"Cu": 0.9, "Sn": 0.4}, 0)


def judged(film: str, x: float, probability: float) -> dict[str, Any]:
    return {
        "film": film,
        "elements": ["Cu", "Sn"],
        "points_mm": [[0.0, 0.0]],
        "fraction": [[x], [1 - x]],
        "fraction_std": [[0.01], [0.01]],
        "probability": probability,
        "findings": [],
    }


INPUTS = {"cu": 50.0, "sn": 80.0, "pressure": 8.0, "duration": 600.0}
STEPS = [
    Step(24, "target", "t1", INPUTS, "success", "u1", judged("u1", 0.6, 0.7)),
    Step(
        25, "measure", "m1", {"film_step": 24, "points": 5}, "success", "r1",
        {"film": "u1", "accepted": [True, False], "judged": [judged("u1", 0.62, 0.05)]},
    ),
    Step(26, "target", "t2", INPUTS, "aborted", ""),
    Step(27, "target", "t3", INPUTS, "success", "u2", judged("u2", 0.6, 0.6)),
]  # fmt: skip
FIRST = {"rms_percent": 2.0, "centre_error": 0.02, "coverage_90": 0.5}
SECOND = {"rms_percent": 1.0, "centre_error": 0.01, "coverage_90": 0.9}
VERDICT = {
    "films": {
        "1": {"run": "u1", "centre": {"Cu": 0.621, "Sn": 0.379}, **FIRST},
        "2": {"run": "u2", "centre": {"Cu": 0.597, "Sn": 0.403}, **SECOND},
    }
}


def test_the_best_film_is_the_one_that_is_known_to_be_so_in_the_end() -> None:
    """The first film looked better (0.7) until it was measured (0.05)."""
    target = target_campaign(LAB, {"Cu": 0.6, "Sn": 0.4}, 0).target
    assert target is not None
    history = History("c", "c", list(STEPS))
    assert best_film(history)[0].uid == "u2"
    found = target_figures(target, history, VERDICT)
    assert found["target"] == {
        "wanted": {"Cu": 0.6, "Sn": 0.4},
        "depositions": 2,
        "uid": "u2",
        "centre": {"Cu": 0.597, "Sn": 0.403},
        "error": pytest.approx(0.003),
        "probability": 0.6,
        "films": [{"uid": "u1", "error": pytest.approx(0.021)}, {"uid": "u2", "error": pytest.approx(0.003)}],
    }
    assert found["composition"] == {"uid": "u2", **SECOND}
    with pytest.raises(SDLError, match="no composition map of film u1"):
        target_figures(target, history, {"films": {}})
    with pytest.raises(SDLError, match="made no film"):
        best_film(History("c", "c", []))


def row(step: Step, **more: Any) -> dict[str, Any]:
    common = {
        "stage": step.stage,
        "step": step.step,
        "inputs": step.inputs,
        "outcome": step.outcome,
        "reason": "<dark>",
    }
    told = {"outcome_uid": step.uid, "outcome_row": step.row or "null", "considered": [], "expected": "null"}
    return {**common, **told, **more}


def test_the_report_tells_what_was_wanted_designed_and_made() -> None:
    design = {**INPUTS, **judged("", 0.6, 0.71), "rate": 30.0}
    other = {"cu": 40.0, "sn": 66.0, "pressure": 5.0, "rate": 25.0, "probability": 0.66}
    check = {"kind": "rate", "misfit_probability": 0.3, "findings": ["plasmas interact"]}
    check["pairs"] = [{"source": "cu", "neighbour": "sn", "change": 0.051, "std": 0.01}]
    checks = row(Step(21, "check", "c1", {"cu": 50.0, "sn": 60.0, "pressure": 8.0}, "success", "c"), outcome_row=check)
    steps = [checks, row(STEPS[0], expected=design, considered=[other]), *map(row, STEPS[1:])]
    file = target_campaign(LAB, {"Cu": 0.6, "Sn": 0.4}, 0).as_document()
    page = target_section(file, steps, {"target": {"centre": {"Cu": 0.597}, "error": 0.003}})
    assert "Cu 60.0 %, Sn 40.0 % at (0.0 mm, 0.0 mm) within 1.0 %" in page
    for text in (
        "<b>0.71</b>",
        "<b>0.7</b>",
        "<b>0.05</b>",
        "62.00",
        "0.66",
        "cu 50.0 W, sn 80.0 W, 8.00 mTorr, 600 s",
    ):
        assert text in page
    assert "cu by sn +5.1" in page
    assert "plasmas interact" in page
    assert "&lt;dark&gt;" in page, "a film that was not made says why, escaped"
    assert "an error of 0.3 at. %" in page
    assert best_run(steps) == "u2"
    assert target_section({"target": None}, [], {}) == ""
    assert best_run([]) == ""


def test_each_kind_of_step_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Progress()
    for step in STEPS:
        tell(step, "")
    checked = {"kind": "none", "misfit_probability": 0.4}
    tell(Step(21, "check", "c", {"cu": 50.0}, "success", "u", checked), "")
    tell(Step(22, "check", "c", {"cu": 50.0}, "success", "u", {**checked, "kind": "rate and voltage"}), "")
    tell(Step(23, "check", "c", {"cu": 50.0}, "failed", "u"), "they were dark")
    lines = capsys.readouterr().out.splitlines()
    assert "Cu 60.0 +- 1.0 %, Sn 40.0 +- 1.0 %; in tolerance 0.70" in lines[0]
    assert "1 of 2 points are described by their fits" in lines[1]
    assert "aborted" in lines[2]
    assert "the rates add up" in lines[4]
    assert "neighbours change the rate and voltage" in lines[5]
    assert "failed" in lines[6]
    assert lines[7].endswith("check: they were dark")
