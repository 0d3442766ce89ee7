"""Everything that belongs to a campaign: documents from the log, which has them exactly, results from the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.analysis import Analysis, read_analysis
from sdl_bluesky.data.catalogue import analysis
from sdl_bluesky.data.export.logged import logged_runs, members, read_runs, require_ended
from sdl_bluesky.data.export.references import outcomes, references
from sdl_bluesky.data.export.runs import Bundle, RunDocuments
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from tiled.client.container import Container


def collect_bundle(log_dir: Path | str, client: Container | None, campaign: str) -> Bundle:
    """Collect a campaign.

    It consists of its runs and experiments, the runs that those name (a film that was measured, the whole of an earlier
    campaign), and every result that was derived from one of them.

    Args:
        log_dir: where the document logs are.
        client: root of the catalogue with the results; None for a bundle without results.
        campaign: id of the campaign.

    Raises:
        CatalogueError: the campaign, or a run that a decision names as its outcome, is not in the logs.
        CampaignError: a run of it is still open.
        DataFileError: a run keeps data in other files, which a bundle does not carry.
    """
    runs, findings = collect_runs(log_dir, campaign)
    results = [] if client is None else collect_results(client, [run.uid for run in runs])
    inside = {run.uid for run in runs}
    for result in results:
        if outside := set(result.metadata["derived_from"]) - inside:
            findings.append(f"result {result.key} was derived from {len(outside)} run(s) besides those of the bundle")
    return Bundle(campaign, tuple(runs), tuple(results), tuple(findings))


def collect_runs(log_dir: Path | str, campaign: str) -> tuple[list[RunDocuments], list[str]]:
    """The runs of a campaign and those that they name, by the time of their start; and what is odd about them.

    Raises:
        CatalogueError, CampaignError, DataFileError: see `collect_bundle`.
    """
    logged = logged_runs(log_dir)
    runs: dict[str, RunDocuments] = {}
    findings: list[str] = []
    missing: set[str] = set()
    wanted = members(campaign, logged)
    while wanted:
        new = read_runs(wanted, logged, findings)
        require_ended(new)
        runs |= new
        named = {uid for run in new.values() for uid in references(run)}
        missing |= named - logged.keys()
        wanted = {uid for name in named & logged.keys() for uid in members(name, logged)} - runs.keys()
    if not any(run.is_campaign for run in runs.values()):
        raise CatalogueError(
            f"campaign {campaign} is not in the document log {log_dir}: name a log that has it (--log)"
        )
    lost = {uid for run in runs.values() for uid in outcomes(run)} - runs.keys()
    if lost:
        raise CatalogueError(
            f"campaign {campaign}: {len(lost)} run(s) that its decisions name as outcomes are not in the document log "
            f"{log_dir}, {min(lost)} for one: name a log that has the whole of it (--log)"
        )
    findings += [f"run {uid} is named by a run of the bundle, but is not in the log" for uid in sorted(missing)]
    return sorted(runs.values(), key=lambda run: (run.start["time"], run.uid)), list(dict.fromkeys(findings))


def collect_results(client: Container, uids: Iterable[str]) -> list[Analysis]:
    """Every complete result that was derived from one of the runs, the oldest first."""
    from tiled.queries import Contains, Eq

    complete: Any = analysis(client).search(Eq("complete", True))
    keys = {str(key) for uid in uids for key in complete.search(Contains("derived_from", f'"{uid}"'))}
    found = [read_analysis(client, key) for key in keys]
    return sorted(found, key=lambda result: (result.metadata.get("time", 0.0), result.key))
