"""The demonstration of a sputter lab: learn two sources, make and map a film, let a judge compare with the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sdl_bluesky.data.analysis import read_analysis
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.demo.judge import ask_judge
from sdl_bluesky.demo.report import write_report
from sdl_bluesky.demo.target_figures import target_figures
from sdl_bluesky.errors import ServiceError
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.history import History
from sdl_bluesky.plans.recall import recall
from sdl_bluesky.plans.step import Observer
from sdl_bluesky.session.campaigns import run_campaign_file
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import LabFile, default_lab_path
from sdl_bluesky.session.open import Session, open_session

if TYPE_CHECKING:
    from tiled.client.container import Container

MARK = ".sdl-demo"
CATCH_UP_S = 60.0
ANALYSIS_S = 300.0
"""The first spectra on a machine wait for code that is compiled then."""
RBS_FIGURES = ("rms_percent", "worst_percent", "coverage_90", "density_error_percent")
MAP_FIGURES = ("map_rms_percent", "map_rms_sigma", "map_worst_sigma")


def demo_campaign(seed: int) -> CampaignFile:
    """The campaign of the demonstration, with the agents' seed."""
    text = (files("sdl_bluesky.demo") / "cu_sn.yml").read_text(encoding="utf-8")
    return check({**yaml.safe_load(text), "seed": seed}, CampaignFile, "the demonstration's campaign")


def prepare(out: Path, speed: float, seed: int, parts: Mapping[str, Any] | None = None) -> tuple[LabFile, Home]:
    """An empty data folder with the lab file of the demonstration: the shipped one with other `parts`, None for none.

    An earlier demonstration in the folder is removed; anything else is not touched.

    Raises:
        ServiceError: the folder holds other things, or services that run.
        LabFileError: speed or seed are out of range.
    """
    data = yaml.safe_load(default_lab_path().read_text(encoding="utf-8"))
    data["twin"] |= {"speed": speed, "seed": seed}
    data = {k: v for k, v in {**data, **(parts or {})}.items() if v is not None}
    lab = check(data, LabFile, "the demonstration's lab file (--speed, --seed)")
    home = Home(out.resolve())
    running = home.services()
    if running is not None:
        raise ServiceError(f"process {running.pid} uses {out}: end it, or choose another folder with --out")
    if home.path.exists() and any(home.path.iterdir()):
        if not (home.path / MARK).exists():
            raise ServiceError(f"{out} holds other files: choose an empty folder with --out")
        shutil.rmtree(home.path)
    home.make()
    (home.path / MARK).write_text("made by `sdl demo`; the next one in this folder replaces it\n")
    home.lab_file.write_text(yaml.safe_dump(data, sort_keys=False))
    return lab, home


def run_demo(
    out: Path, speed: float, seed: int, tell: Callable[[str], None], observer: Observer | None = None
) -> dict[str, Any]:
    """Run the demonstration from an empty folder to its report.

    Args:
        out: folder for everything that it makes.
        speed: simulated seconds per second.
        seed: of twin and agents (each draws from a stream of its own).
        tell: called with lines of text.
        observer: called after each experiment.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        SDLError: something failed; the folder keeps what was done.
    """
    lab, home = prepare(out, speed, seed, {"mocvd": None})
    with open_session(lab, home, tell=tell) as session:
        history = run_campaign_file(session, demo_campaign(seed), observer=observer)
        return conclude(session, history.campaign, seed)


def conclude(session: Session, campaign: str, seed: int | None = None) -> dict[str, Any]:
    """Summary and report of a finished campaign of the demonstration, compared with the truth by the judge.

    Raises:
        SDLError: the campaign is not complete, or the judge cannot compare.
    """
    home = session.home
    if session.analysis is not None:
        session.analysis.wait(ANALYSIS_S)
    wait_until_caught_up(home.log, session.client, CATCH_UP_S)
    spec, history = recall(session.client, campaign)
    verdict = ask_judge(session, campaign, home.truth, home.path / "judge.json")
    twin = session.lab.twin
    measured = film_figures(session.client, campaign, verdict)
    summary = summarise(history, verdict, seed if seed is not None else (twin.seed if twin else 0), measured)
    if spec.target is not None:
        summary |= target_figures(spec.target, history, verdict)
    (home.path / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    write_report(home.path / "report.html", summary, session.client, campaign)
    return summary


def summarise(
    history: History, verdict: Mapping[str, Any], seed: int, measured: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of ``summary.json``; `measured`: of the film's measurement by RBS, if there was one."""
    sources = {
        name: {
            "experiments": sum(s.outcome in ("success", "failed") for s in history.of(f"learn:{name}")),
            "e_rms_percent": score["e_rms_percent"],
            "uids": history.uids(f"learn:{name}"),
        }
        for name, score in verdict["sources"].items()
    }
    films = [*history.uids("deposit"), *history.uids("target")]
    score = verdict["composition"]
    composition = {key: score[key] for key in ("rms_percent", "centre_error", "coverage_90")} if score else {}
    return {
        "schema": 1,
        "seed": seed,
        "campaign": history.campaign,
        "sources": sources,
        "composition": {"uid": films[-1] if films else "", **composition},
        **({"rbs": dict(measured)} if measured else {}),
    }


def film_figures(client: Container, campaign: str, verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the judge says of a film that was measured by RBS, and how it agrees with the map; None if none was."""
    score = verdict.get("rbs")
    if not score:
        return None
    about = read_analysis(client, str(score["key"])).metadata
    figures = {key: score[key] for key in RBS_FIGURES}
    checks = {key: about["checks"][key] for key in MAP_FIGURES if key in about["checks"]}
    return {"uid": about["run"], "points": score["points"], **figures, **checks}
