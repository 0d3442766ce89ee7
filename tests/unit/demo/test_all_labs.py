"""Three demonstrations at once, here programs that only say that they were there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sdl_bluesky.demo.all_labs import LABS, run_all
from sdl_bluesky.errors import ServiceError

WORKS = """
import json, pathlib, sys, time
name, folder, others = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
folder.mkdir(parents=True)
(folder / "here").touch()
deadline = time.monotonic() + 60
while len(list(folder.parent.glob("*/here"))) < others:  # all three run at once, or none of them ends
    assert time.monotonic() < deadline
    time.sleep(0.01)
print("working")
made = {"schema": 1, "seed": 3, "campaign": name, "sources": {"cu": name}, "composition": {}, "mocvd": {"of": name}}
(folder / "summary.json").write_text(json.dumps(made))
"""


def command(name: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", WORKS, name, str(folder), str(len(LABS))]


def test_the_three_run_at_once_and_their_summaries_are_one(tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "out"
    summary = run_all(out, None, 3, said.append, command)
    assert sorted(said) == [f"{name:8s} working" for name in sorted(LABS)]
    assert summary["sources"] == {"cu": "rbs"}
    assert summary["mocvd"] == {"of": "mocvd"}
    assert summary["labs"] == {name: name for name in LABS}
    assert json.loads((out / "summary.json").read_text()) == summary
    assert all(f"{name}/report.html" in (out / "report.html").read_text() for name in LABS)
    assert run_all(out, None, 3, said.append, command) == summary  # again in the same folder


def test_one_that_fails_is_named_when_the_others_have_ended(tmp_path: Path) -> None:
    def failing(name: str, folder: Path) -> list[str]:
        return [sys.executable, "-c", "print('no gas'); raise SystemExit(1)"] if name == "mocvd" else [
            *command(name, folder)[:-1], "2"
        ]  # fmt: skip

    said: list[str] = []
    with pytest.raises(ServiceError, match="demonstration of mocvd failed"):
        run_all(tmp_path / "out", None, 3, said.append, failing)
    assert "mocvd    no gas" in said
    assert (tmp_path / "out" / "rbs" / "summary.json").exists()


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not remove")
    with pytest.raises(ServiceError, match="other files"):
        run_all(tmp_path, None, 0, lambda _: None, command)
    assert (tmp_path / "thesis.txt").read_text() == "do not remove"
