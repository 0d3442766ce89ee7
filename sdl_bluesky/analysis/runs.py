"""Experiments and campaigns as the analysis needs them, read back from the catalogue by uid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.kinds import CAMPAIGN
from sdl_bluesky.data.campaigns import decisions, start_of, stop_of
from sdl_bluesky.data.catalogue import find_run, read_table
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.physics.geometry import Array

if TYPE_CHECKING:
    from tiled.client.container import Container

LEARN = "learn:"
CHECK = "check"
FILMS = ("deposit", "target")
"""Stages of a campaign that make films."""


@dataclass(frozen=True)
class Experiment:
    """The reduced result of one run (its primary event).

    Attributes:
        start: start document.
        chamber: as the start document describes it.
        pressure_mTorr: mean reading of the process gauge.
        power_W: mean reading of each source's power.
        rate, std: at each sensor of the chamber [q], ng cm^-2 s^-1; nan where the run has none.
        result: the whole event.
    """

    start: Mapping[str, Any]
    chamber: Chamber
    pressure_mTorr: float
    power_W: Mapping[str, float]
    rate: Array
    std: Array
    result: Mapping[str, Any]

    @classmethod
    def of(cls, start: Mapping[str, Any], row: Mapping[str, Any]) -> Experiment:
        """From the start document (uid, sources, geometry) and the primary event of a run.

        Raises:
            CatalogueError: there is no geometry, or a column is missing.
        """
        chamber = Chamber.from_start(start)
        names = [*start.get("sources", ())]
        missing = [k for k in ("gauge_pressure", *(f"{s}_power" for s in names)) if k not in row]
        if missing:
            raise CatalogueError(f"run {start['uid']}: its primary event has no {', '.join(missing)}")
        return cls(
            start=start,
            chamber=chamber,
            pressure_mTorr=float(row["gauge_pressure"]),
            power_W={s: float(row[f"{s}_power"]) for s in names},
            rate=np.array([float(row.get(f"{k}_rate", np.nan)) for k in chamber.sensors]),
            std=np.array([float(row.get(f"{k}_rate_std", np.nan)) for k in chamber.sensors]),
            result=row,
        )

    @property
    def uid(self) -> str:
        """Of the run."""
        return str(self.start["uid"])

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that burned."""
        return tuple(self.start.get("sources", ()))


def finished_run(client: Container, uid: str) -> Container:
    """A run that ended well. A campaign run may have ended in any way: what it had done by then is done.

    Raises:
        CatalogueError: it is not in the catalogue, has not ended, or was aborted or failed.
    """
    run = find_run(client, uid)
    stop = stop_of(run)
    if stop is None:
        raise CatalogueError(f"run {uid} has no end in the catalogue: wait for the writer, or close it if it crashed")
    if stop.get("exit_status") != "success" and start_of(run).get("purpose") != CAMPAIGN:
        raise CatalogueError(f"run {uid} ended with {stop.get('exit_status')!r} ({stop.get('reason', '')}): no result")
    return run


def read_experiment(run: Container) -> Experiment:
    """The reduced result of a measure_rate or cosputter run.

    Raises:
        CatalogueError: it has no primary event, no geometry, or lacks a column.
    """
    start = start_of(run)
    table = read_table(run, "primary")
    if not len(table):
        raise CatalogueError(f"run {start['uid']} has no primary event: it was broken off before its result")
    return Experiment.of(start, table.to_dict(orient="records")[-1])


def read_experiments(client: Container, uids: Sequence[str], source: str, asker: Mapping[str, Any]) -> list[Experiment]:
    """The results of several single-source runs, in the order given.

    Args:
        client: root of the catalogue.
        uids: of the runs.
        source: the one that they measured.
        asker: start document of the run that is analysed with them; sources and sensors must stand where they stood.

    Raises:
        CatalogueError: one is missing, unfinished, of another source, or of another geometry.
    """
    found: list[Experiment] = []
    for uid in uids:
        experiment = read_experiment(finished_run(client, uid))
        if experiment.sources != (source,):
            measured = ", ".join(experiment.sources) or "no source"
            raise CatalogueError(f"run {uid} measured {measured}, not {source} alone")
        for part in ("sources", "sensors"):
            if experiment.start["geometry"][part] != asker["geometry"][part]:
                raise CatalogueError(
                    f"the {part} of run {uid} do not stand where those of run {asker['uid']} stand: learn them again"
                )
        found.append(experiment)
    if not found:
        raise CatalogueError(f"source {source!r}: no runs are named that measured it")
    return found


@dataclass(frozen=True)
class CampaignRuns:
    """What a campaign did, by its decisions.

    Attributes:
        campaign: id, the uid of its first run.
        learned: by source, uids of the successful runs, in order.
        films: uids of the successful co-sputter runs.
        checks: uids of the successful co-sputter runs without a film.
    """

    campaign: str
    learned: Mapping[str, tuple[str, ...]]
    films: tuple[str, ...]
    checks: tuple[str, ...] = ()


def read_campaign(client: Container, campaign: str) -> CampaignRuns:
    """The runs of a campaign, through all resumptions.

    Raises:
        CatalogueError: there is no such campaign.
    """
    learned: dict[str, list[str]] = {}
    films: list[str] = []
    checks: list[str] = []
    for row in decisions(client, campaign):
        stage, uid = str(row["stage"]), str(row["outcome_uid"])
        if row["outcome"] != "success":
            continue
        if stage.startswith(LEARN):
            learned.setdefault(stage.removeprefix(LEARN), []).append(uid)
        elif stage in FILMS:
            films.append(uid)
        elif stage == CHECK:
            checks.append(uid)
    return CampaignRuns(
        campaign,
        {k: tuple(dict.fromkeys(v)) for k, v in learned.items()},
        tuple(dict.fromkeys(films)),
        tuple(dict.fromkeys(checks)),
    )
