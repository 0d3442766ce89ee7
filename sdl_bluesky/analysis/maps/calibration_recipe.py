"""What a result of the kind "calibration" is made of, and how one is made again from the catalogue.

A calibration is of a chamber: of sources and sensors that stand where they stand. It remembers from which results of the
kind "rbs" it came (`evidence`); the next one takes them over, as many as are worth it, and adds the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sdl_bluesky.analysis.health import signatures
from sdl_bluesky.analysis.kinds import CALIBRATION
from sdl_bluesky.analysis.maps.calibration import Calibration, calibrate
from sdl_bluesky.analysis.maps.joint import Sticking
from sdl_bluesky.analysis.rbs.points import points_of
from sdl_bluesky.analysis.recipes import PRIOR, common, film_of
from sdl_bluesky.analysis.runs import Experiment, finished_run, read_experiment
from sdl_bluesky.analysis.store import Result
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.data.analysis import Analysis, find_analyses, latest_analysis, read_analysis
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from tiled.client.container import Container

MOST_FILMS = 6
"""Films behind a calibration: older ones were made with other targets and crystals."""
METHOD = "tooling factors, sticking and mismatch by measured points, rates and totals of films together; joint Gaussian"

Models = Callable[[Experiment], Mapping[str, SourceSurface]]


def chamber_id(start: Mapping[str, Any]) -> str:
    """The same for all runs with the same sources and sensors in the same places."""
    geometry = start["geometry"]
    text = json.dumps([geometry["sources"], geometry["sensors"]], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def newest_calibration(client: Container, start: Mapping[str, Any]) -> Analysis | None:
    """The newest calibration of the chamber of a run; None without any."""
    try:
        return latest_analysis(client, CALIBRATION, chamber=chamber_id(start))
    except CatalogueError:
        return None


def evidence_with(client: Container, start: Mapping[str, Any], rbs: str) -> list[str]:
    """Contents of the results "rbs" that the next calibration is made of: those of the last one, and a new one.

    Of each film the newest result counts.
    """
    new = read_analysis(client, rbs).metadata
    last = newest_calibration(client, start)
    films = dict(last.metadata["evidence"]) if last is not None else {}
    films.pop(str(new["based_on"]), None)
    films[str(new["based_on"])] = str(new["content"])
    return [f"{film}:{content}" for film, content in list(films.items())[-MOST_FILMS:]]


def made_again(client: Container, evidence: Sequence[str], models: Models) -> tuple[Calibration, list[str]]:
    """The calibration from its evidence, and the uids of all runs behind it.

    Raises:
        CatalogueError: a result or a film is no longer there. WeakSignal, OutOfRange: see `calibration.calibrate`.
    """
    films, uids = [], []
    for item in evidence:
        uid, _, content = item.partition(":")
        found = find_analyses(client, "rbs", content=content).keys().last()
        result = read_analysis(client, str(found))
        run = read_experiment(finished_run(client, uid))
        films.append((run, film_of(run, models(run), points_of(result))[0]))
        uids += [uid, *result.metadata["derived_from"]]
        uids += [k for runs in run.start["based_on"].values() for k in runs]
    chamber = films[-1][0].chamber
    made = calibrate([film for _, film in films], chamber.sensors, chamber.tooling_std, prior=PRIOR)
    return made, list(dict.fromkeys(uids))


def calibration_metadata(
    start: Mapping[str, Any], evidence: Sequence[str], uids: Sequence[str], tooling_std: float
) -> dict[str, Any]:
    """Of a calibration, as of the run `start` that brought the newest points."""
    return common(
        start,
        units={"mean": "1; square_radius_cm2: cm^2", "std": "1; square_radius_cm2: cm^2"},
        derived_from=list(uids),
        method=METHOD,
        parameters={
            "prior": vars(PRIOR),
            "sticking": asdict(Sticking()),
            "tooling_std": tooling_std,
            "evidence": sorted(evidence),
        },
        chamber=chamber_id(start),
        evidence=[list(k.split(":", 1)) for k in evidence],
    )


def calibration_result(found: Calibration) -> Result:
    """Arrays name, mean, std [number] and covariance."""
    arrays: dict[str, Any] = {"name": list(found.names), "mean": found.mean, "covariance": found.covariance}
    arrays["std"] = [found.of(name)[1] for name in found.names]
    dims: dict[str, Sequence[str]] = {k: ["name"] for k in ("name", "mean", "std")}
    dims["covariance"] = ["name", "name_2"]
    more = {
        "findings": list(found.findings),
        "signatures": signatures.as_documents(signatures.of_calibration(found)),
        "poor_sticking": list(found.poor),
        "left_out": [list(k) for k in found.left_out],
    }
    return Result(arrays, dims, more)
