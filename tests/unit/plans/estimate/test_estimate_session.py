"""A check of a campaign asks machines and refuses with a reason; files that cannot be written are told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdl_bluesky.cli.entry import main
from sdl_bluesky.errors import InterlockTripped, ServiceMissing
from sdl_bluesky.plans.estimate.amounts import Estimate
from sdl_bluesky.session.campaigns import read_campaign_file
from sdl_bluesky.session.estimates import Machines, checked, refuse_tripped
from sdl_bluesky.session.lab import load_lab

CAMPAIGN = "schema: 1\nname: t\nsample: t\nlearn: {cu: {experiments: 2, agent: sobol}}\n"


def machine(*bad: str, tripped: bool = True, alarm: bool = False) -> Any:
    told = SimpleNamespace(
        tripped=tripped, bad_inputs=list(bad), alarm=alarm, name="interlock", explain=lambda: f"tripped by {bad}"
    )
    return SimpleNamespace(kind="chamber", interlock=told)


def test_a_bad_input_refuses_and_names_it() -> None:
    with pytest.raises(InterlockTripped, match="put door, water right"):
        refuse_tripped(machine("WATER", "DOOR", "HEARTBEAT"))


def test_a_missing_heartbeat_does_not_refuse_for_a_session_brings_it() -> None:
    assert "resets it" in refuse_tripped(machine("HEARTBEAT"))
    assert "in order" in refuse_tripped(machine(tripped=False))


def test_a_trip_of_the_gas_system_waits_for_a_person() -> None:
    with pytest.raises(InterlockTripped, match="a person looks"):
        refuse_tripped(machine(alarm=True))


def test_a_session_without_its_reactor_refuses_a_growth(tmp_path: Path) -> None:
    file = tmp_path / "g.yml"
    file.write_text("schema: 1\nname: g\nsample: g\ngrow: {targets: [{wavelength: 1180 nm}]}\n")
    with pytest.raises(ServiceMissing, match="does not answer"):
        checked(load_lab(), read_campaign_file(file), Machines(all_asked=True), None)


def test_the_command_checks_against_the_lab_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "t.yml", tmp_path / "e.json"
    file.write_text(CAMPAIGN)
    home = ["--home", str(tmp_path / "home")]
    assert main(["campaign", "check", str(file), "--json", str(out), *home]) == 0
    told = capsys.readouterr().out
    assert "against the lab file alone" in told
    assert "the campaign can be done" in told
    assert Estimate.from_document(json.loads(out.read_text())).amounts["experiments"].expected == 2.0
    assert not (tmp_path / "home").exists(), "nothing is started, and no folder is made"
    assert main(["campaign", "check", str(file), "--json", str(tmp_path / "no" / "e.json"), *home]) == 1
    assert "choose another file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["zn", "cu"])
def test_the_command_refuses_with_a_reason(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.yml"
    file.write_text(f"schema: 1\nname: t\nsample: t\nlearn: {{{name}: {{power: 10 to 500 W}}}}\n")
    assert main(["campaign", "check", str(file), "--home", str(tmp_path / "home")]) == 1
    refusal = capsys.readouterr().err
    assert ("UnknownName" if name == "zn" else "0 to 100 W") in refusal
