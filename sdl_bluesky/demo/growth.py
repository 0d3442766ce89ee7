"""The demonstration of a reactor: six layers, then 1180 nm, then 1100 nm, matched to InP; a judge tells the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.demo.judge import ask_judge
from sdl_bluesky.demo.report_growth import write_growth_report
from sdl_bluesky.demo.sputter import ANALYSIS_S, CATCH_UP_S, prepare
from sdl_bluesky.plans.growth.file import GrowthFile, GrowthTarget
from sdl_bluesky.plans.growth.recall import recall_growth
from sdl_bluesky.plans.history import History
from sdl_bluesky.plans.step import Observer
from sdl_bluesky.session.campaigns import run_campaign_file
from sdl_bluesky.session.open import Session, open_session


def demo_growth(seed: int) -> GrowthFile:
    """The campaign of the demonstration, with the agent's seed."""
    text = (files("sdl_bluesky.demo") / "ingaasp.yml").read_text(encoding="utf-8")
    return check({**yaml.safe_load(text), "seed": seed}, GrowthFile, "the demonstration's campaign")


def run_demo(
    out: Path, speed: float, seed: int, tell: Callable[[str], None], observer: Observer | None = None
) -> dict[str, Any]:
    """Run the demonstration from an empty folder to its report.

    Args:
        out: folder for everything that it makes.
        speed: simulated seconds per second.
        seed: of the reactor and of the agent (each draws from a stream of its own).
        tell: called with lines of text.
        observer: called after each layer.

    Returns:
        The summary, as in ``summary.json``; with "mocvd".

    Raises:
        SDLError: something failed; the folder keeps what was done.
    """
    lab, home = prepare(out, speed, seed, {"mocvd": {"strain": "coherent"}, "rbs": None})
    with open_session(lab, home, tell=tell) as session:
        history = run_campaign_file(session, demo_growth(seed), observer=observer)
        return conclude(session, history.campaign, seed)


def conclude(session: Session, campaign: str, seed: int) -> dict[str, Any]:
    """Summary and report of a finished growth campaign, compared with the truth by the judge.

    Raises:
        SDLError: the judge cannot compare.
    """
    home = session.home
    if session.analysis is not None:
        session.analysis.wait(ANALYSIS_S)
    wait_until_caught_up(home.log, session.client, CATCH_UP_S)
    spec, history = recall_growth(session.client, campaign)
    verdict = ask_judge(session, campaign, home.path / "truth-mocvd.json", home.path / "judge.json")
    summary = summarise(spec, history, verdict, seed)
    (home.path / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    write_growth_report(home.path / "report.html", summary, session.client, campaign)
    return summary


def summarise(spec: GrowthFile, history: History, verdict: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The content of ``summary.json``."""
    reached = {k.stage.removeprefix("grow:"): _reached(k, history, verdict) for k in spec.grow.targets}
    runs = {name: found["runs"] for name, found in reached.items() if found["reached"]}
    return {
        "schema": 1,
        "seed": seed,
        "campaign": history.campaign,
        "mocvd": {"runs_to_target": runs, "preliminary": len(history.of("preliminary")), "targets": reached},
    }


def _reached(target: GrowthTarget, history: History, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What became of a target: its runs, the last layer as measured, and as it is in truth."""
    steps = [s for s in history.of(target.stage) if s.outcome in ("success", "failed")]
    grown = [s for s in steps if s.outcome == "success" and s.row is not None]
    found: dict[str, Any] = {"runs": len(steps), "reached": False}
    if not grown or grown[-1].row is None:
        return found
    row, last = grown[-1].row, grown[-1].uid
    percent = 100.0 * (row["lattice"] - target.lattice) / target.lattice
    met = abs(row["wavelength"] - target.wavelength) <= target.wavelength_tolerance
    found |= {
        "uid": last,
        "wavelength": row["wavelength"],
        "mismatch_percent": percent,
        "reached": met and abs(percent) <= target.mismatch_tolerance,
    }
    for layer in verdict["layers"].values():
        if layer["run"] == last:
            real = layer["truth"]
            off = 100.0 * (real["lattice"] - target.lattice) / target.lattice
            found["truth"] = {"wavelength": real["wavelength"], "mismatch_percent": off}
    return found
