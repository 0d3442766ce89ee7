"""Runs that were made before a campaign, by an earlier one or by hand, and from which it learns: found, and read back.

They are looked for once, when the campaign begins. What was found stands in its start document, so that it is resumed and
replayed with exactly these, whatever has been measured since.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.campaigns import campaign_id, primaries, start_of, stop_of
from sdl_bluesky.data.catalogue import find_runs
from sdl_bluesky.data.yamlfile import at
from sdl_bluesky.errors import CampaignError, IngestError
from sdl_bluesky.plans.campaign import agent_for
from sdl_bluesky.plans.campaign_file import CampaignFile, Earlier
from sdl_bluesky.plans.history import EarlierRun, row_of

if TYPE_CHECKING:
    from tiled.client.container import Container

logger = logging.getLogger(__name__)

_PLACES = ("sources", "sensors")
_KEPT = ("power", "pressure", "rate", "rate_std")


def find_earlier(client: Container, spec: CampaignFile, geometry: Mapping[str, Any]) -> dict[str, list[EarlierRun]]:
    """The earlier runs that a campaign file names, by source, oldest first within each query.

    A run counts if it ended well and if the agent takes its row: in the bounds, of a sensor neither dead nor saturated.

    Args:
        client: root of the catalogue.
        spec: the campaign file.
        geometry: of the chamber as it is now, as in start documents.

    Raises:
        CatalogueError: there is no such campaign. CampaignError: a query finds nothing that can be used, or runs of another
            setting although it says that it is the same.
    """
    found: dict[str, list[EarlierRun]] = {}
    sensor = spec.sensor or next(iter(geometry["sensors"]))
    for source, learn in spec.learn.items():
        runs: list[EarlierRun] = []
        for k, wanted in enumerate(learn.earlier):
            with at("learn", source, "earlier", k):
                group = f"{source}-{k + 1}"
                runs += _found(client, spec, source, sensor, wanted, group, geometry, {run.uid for run in runs})
        with at("learn", source, "earlier"):
            _refuse_two_targets(source, runs)
        if runs:
            found[source] = runs
    return found


def _found(
    client: Container,
    spec: CampaignFile,
    source: str,
    sensor: str,
    wanted: Earlier,
    group: str,
    geometry: Mapping[str, Any],
    taken: set[str],
) -> list[EarlierRun]:
    campaign = None if wanted.campaign is None else campaign_id(client, wanted.campaign)
    query = find_runs(
        client,
        sample=wanted.sample,
        source=source,
        since=wanted.after,
        until=wanted.before,
        campaign=campaign,
        plan_name="measure_rate",
    )
    ended = {
        str(run.item["id"]): start_of(run)
        for run in query.values()
        if (stop_of(run) or {}).get("exit_status") == "success"
    }
    new = [uid for uid in ended if uid not in taken]
    runs: list[EarlierRun] = []
    refused: list[str] = []
    for uid, data in primaries(client, new).items():
        try:
            row = _row(spec, source, sensor, data)
        except (CampaignError, IngestError) as fault:
            refused.append(f"run {uid}: {fault}")
            continue
        if not wanted.scale:
            _refuse_moved(ended[uid], geometry)
        told = {**row, "uid": uid, "earlier": group, "earlier_scale": wanted.scale / 100.0}
        runs.append(EarlierRun(uid, told, data))
    for words in refused:
        logger.warning("source %s does not learn from an earlier run: %s", source, words)
    if not runs:
        seen = f"{len(ended)} run(s) of measure_rate ended well, {len(ended) - len(new)} of them named before"
        why = f"; {refused[0]}" if refused else ""
        raise CampaignError(
            f"no earlier run of source {source!r} can be learned from ({seen}, {len(refused)} refused{why}): change the "
            "query, or leave it out; nothing was moved"
        )
    return runs


def _row(spec: CampaignFile, source: str, sensor: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What an agent is told of an earlier run: what it would have taken as one of its own.

    Raises:
        CampaignError: a column is missing. IngestError: the agent refuses the row.
    """
    row = {k: v for k, v in row_of(data, source, sensor, "").items() if k != "_id"}
    agent_for(spec.without_earlier(), source).ingest([row])
    return {k: row[k] for k in _KEPT}


def _refuse_moved(start: Mapping[str, Any], geometry: Mapping[str, Any]) -> None:
    then, now = start.get("geometry") or {}, json.loads(json.dumps(geometry))
    for part in _PLACES:
        if then.get(part) != now[part]:
            raise CampaignError(
                f"the {part} of run {start['uid']} do not stand where those of the lab stand: say how far the rates may "
                "be from those of today (`scale: 5 %`), or leave these runs out; nothing was moved"
            )


def _refuse_two_targets(source: str, runs: Sequence[EarlierRun]) -> None:
    column = f"{source}_target_number"
    numbers = {int(run.data[column]) for run in runs if run.same_setting and run.data and column in run.data}
    if len(numbers) > 1:
        raise CampaignError(
            f"earlier runs of source {source!r} under one setting are of {len(numbers)} targets (numbers "
            f"{', '.join(map(str, sorted(numbers)))}): give those of another target a `scale`; nothing was moved"
        )


def words_of(found: Mapping[str, Sequence[EarlierRun]]) -> list[str]:
    """What was found, for a person: a line for each source."""
    lines = []
    for source, runs in found.items():
        scales: dict[float, int] = {}
        for run in runs:
            scale = 100.0 * float(run.row["earlier_scale"])
            scales[scale] = scales.get(scale, 0) + 1
        parts = (f"{n} of the same setting" if not k else f"{n} to a factor of {k:g} %" for k, n in scales.items())
        lines.append(f"{source}: {len(runs)} earlier run(s) are learned from: {', '.join(parts)}")
    return lines


def recorded_runs(client: Container, start: Mapping[str, Any], spec: CampaignFile) -> dict[str, list[EarlierRun]]:
    """The earlier runs of a campaign, as its start document tells them.

    Args:
        client: root of the catalogue.
        start: start document of the campaign.
        spec: its file; where films are designed, what every sensor read is read again.

    Raises:
        CatalogueError: a run from which a film is designed is not there.
    """
    rows = {source: [dict(row) for row in found] for source, found in dict(start.get("earlier") or {}).items()}
    designed = spec.target is not None or spec.check_count > 0
    wanted = [row["uid"] for found in rows.values() for row in found if designed and not row["earlier_scale"]]
    data = primaries(client, wanted)
    return {
        source: [EarlierRun(row["uid"], row, data.get(row["uid"])) for row in found] for source, found in rows.items()
    }
