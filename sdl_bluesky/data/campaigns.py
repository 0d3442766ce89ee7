"""Campaigns as they stand in the catalogue: their runs and their decisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from sdl_bluesky.data.catalogue import campaigns, find_run, find_runs, read_table, streams
from sdl_bluesky.data.layout import CAMPAIGNS
from sdl_bluesky.data.ledger import find
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from tiled.client.container import Container

DECISION = "decision"
_AT_ONCE = 4
"""Requests to the server."""


def campaign_chain(client: Container, campaign: str) -> list[Container]:
    """The runs of a campaign, oldest first: the first one, and each one that resumed it.

    Args:
        client: root of the catalogue.
        campaign: id of the campaign, which is the uid of its first run (or what its start documents call `campaign`).

    Raises:
        CatalogueError: there is no such campaign, or a run resumes one that is not there.
    """
    runs = {run.item["id"]: run for run in find_runs(client, campaign=campaign, container=CAMPAIGNS).values()}
    first = find(campaigns(client), campaign)
    if first is not None:
        runs[first.item["id"]] = first
    if not runs:
        raise CatalogueError(f"no campaign {campaign} in the catalogue {client.uri}")
    for uid, run in runs.items():
        before = start_of(run).get("resumes")
        if before and before not in runs:
            raise CatalogueError(f"campaign {campaign}: run {uid} resumes {before}, which is not in the catalogue")
    return sorted(runs.values(), key=lambda run: start_of(run)["time"])


def start_of(run: Container) -> dict[str, Any]:
    """The start document of a run."""
    return dict(cast("dict[str, Any]", run.metadata["start"]))


def stop_of(run: Container) -> dict[str, Any] | None:
    """The stop document of a run; None while it is open (or not yet closed after a crash)."""
    stop = run.metadata.get("stop")
    return dict(cast("dict[str, Any]", stop)) if stop else None


def decisions(client: Container, campaign: str) -> list[dict[str, Any]]:
    """Every decision of a campaign in order, through all its runs.

    A decision is the event's data with `seq_num`, `time` and `run` (uid of the campaign run); texts that hold a JSON
    object or list are decoded.

    Raises:
        CatalogueError: see `campaign_chain`; or a run is only being made.
    """
    rows: list[dict[str, Any]] = []
    for run in campaign_chain(client, campaign):
        if DECISION in streams(run):
            rows += decoded_decisions(read_table(run, DECISION), str(run.item["id"]))
    return rows


def decoded_decisions(table: Any, run: str) -> list[dict[str, Any]]:
    """The rows of a table of decisions as `decisions` gives them; `run` is the uid of their campaign run."""
    wanted = table[[name for name in table.columns if not str(name).startswith("ts_")]]
    return [{k: _decoded(v) for k, v in row.items()} | {"run": run} for row in _records(wanted)]


def _records(table: Any) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", table.to_dict(orient="records"))


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def campaign_id(client: Container, uid: str) -> str:
    """The id of the campaign to which a campaign run belongs; the beginning of a uid is enough if it is unique.

    Raises:
        CatalogueError: there is none, or several begin so.
    """
    matches = [key for key in campaigns(client) if key.startswith(uid)] if uid else []
    if len(matches) != 1:
        what = "several campaigns begin" if matches else "no campaign begins"
        raise CatalogueError(f"{what} with {uid!r} in the catalogue {client.uri}: `sdl campaign list` shows them")
    run = find_run(client, matches[0])
    return str(start_of(run).get("campaign") or matches[0])


def primary(run: Container) -> dict[str, Any]:
    """The primary event of an experiment.

    Raises:
        CatalogueError: it has none.
    """
    rows = read_table(run).to_dict(orient="records")
    if not rows:
        raise CatalogueError(f"run {run.item['id']} has no primary event: it did not end as it should")
    return {str(key): value for key, value in rows[-1].items()}


def primaries(client: Container, uids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The primary events of experiments by uid; several requests at once, for a server answers each in its own time.

    Raises:
        CatalogueError: one is not there, or has none.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(uids, pool.map(lambda uid: primary(find_run(client, uid)), uids)))
