"""`sdl demo`: which demonstration the word chooses, and what is shown of its summary."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from sdl_bluesky.cli import main

GROWN = {"mocvd": {"targets": {"1180": {"runs": 2, "wavelength": 1181.5, "truth": {"wavelength": 1182.25}}}}}
SUMMARY = {
    "sources": {"cu": {"experiments": 10, "e_rms_percent": 1.234, "uids": []}},
    "composition": {"uid": "x", "rms_percent": 0.5, "centre_error": 0.004, "coverage_90": 0.91},
}


@pytest.fixture
def called(monkeypatch):
    calls = []
    for name in ("sputter", "rbs", "growth"):
        module = ModuleType(f"sdl_bluesky.demo.{name}")

        def run_demo(out, speed, seed, tell, observer=None, name=name):
            calls.append((name, str(out), speed, seed))
            if name == "growth":
                return GROWN
            extra = {"rbs": {"rms_percent": 0.77, "points": 9, "uid": "y"}} if name == "rbs" else {}
            return {**SUMMARY, **extra}

        module.run_demo = run_demo  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.mark.parametrize(("words", "name"), [([], "sputter"), (["sputter"], "sputter"), (["rbs"], "rbs")])
def test_the_word_chooses_the_demonstration(called, words, name, capsys):
    assert main(["demo", *words, "--out", "there", "--speed", "50", "--seed", "4"]) == 0
    assert called == [(name, "there", 50.0, 4)]
    shown = capsys.readouterr().out
    assert "1.23" in shown
    assert ("0.77" in shown) == (name == "rbs")


def test_layers_are_grown(called, capsys):
    assert main(["demo", "mocvd", "--out", "there", "--speed", "50", "--seed", "4"]) == 0
    assert called == [("growth", "there", 50.0, 4)]
    assert "1182.2" in capsys.readouterr().out


def test_another_word_is_refused(called):
    with pytest.raises(SystemExit):
        main(["demo", "tokamak"])
    assert called == []
