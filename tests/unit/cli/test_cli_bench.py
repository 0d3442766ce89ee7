"""`sdl bench`: rows of a study become a table and a JSON file that says on what machine they were made."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from sdl_bluesky import bench
from sdl_bluesky.cli import main


@pytest.fixture
def study(monkeypatch):
    """A study that keeps what it was called with."""
    module = ModuleType("a_study")
    calls: list[tuple[object, object]] = []

    def run(seeds, quick, tell):
        calls.append((seeds, quick))
        tell("half way")
        return [
            {"method": "ours", "case": "A", "per_second": np.float64(31900.0), "passes": np.int64(7)},
            {"method": "theirs", "case": "A", "per_second": float("nan"), "note": "refuses"},
        ]

    module.run, module.SEEDS, module.calls = run, 3, calls  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_study", module)
    monkeypatch.setattr(bench, "BENCHES", {"study": "a_study"})
    return module


def test_rows_machine_and_seeds_are_written(study, tmp_path, capsys):
    path = tmp_path / "new" / "study.json"
    assert main(["bench", "study", "--json", str(path)]) == 0
    data = json.loads(path.read_text())
    assert (data["bench"], data["seeds"], data["quick"]) == ("study", 3, False)
    assert data["rows"][0] == {"method": "ours", "case": "A", "per_second": 31900.0, "passes": 7}
    assert data["rows"][1]["per_second"] is None
    assert data["machine"]["cores"] >= 1
    assert data["machine"]["threads"] >= 1
    assert data["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert data["machine"]["versions"]["numpy"] == np.__version__
    assert all(data["machine"][key] for key in ("cpu", "system"))
    shown = capsys.readouterr().out
    assert "half way" in shown
    assert "3.19e+04" in shown
    assert "refuses" in shown


def test_seeds_and_quick_reach_the_study(study):
    assert main(["bench", "study", "--seeds", "2", "--quick"]) == 0
    assert main(["bench", "study"]) == 0
    del study.SEEDS
    assert main(["bench", "study"]) == 0
    assert study.calls == [(2, True), (3, False), (None, False)]


def test_an_unknown_study_lists_those_there_are(capsys):
    assert main(["bench", "nothing"]) == 1
    told = capsys.readouterr().err
    assert "UnknownName" in told
    assert "'rbs-forward', 'rbs-fit'" in told


def test_no_seeds_is_a_typed_fault(study, capsys):
    assert main(["bench", "study", "--seeds", "0"]) == 1
    assert "OutOfRange" in capsys.readouterr().err
    assert study.calls == []
