"""Campaigns as they stand in the catalogue: their runs and their decisions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from sdl_bluesky.data.catalogue import campaigns, find_runs, read_table
from sdl_bluesky.data.layout import CAMPAIGNS
from sdl_bluesky.data.ledger import find
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from tiled.client.container import Container

DECISION = "decision"


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
        CatalogueError: see `campaign_chain`.
    """
    rows: list[dict[str, Any]] = []
    for run in campaign_chain(client, campaign):
        if DECISION in set(run):
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
