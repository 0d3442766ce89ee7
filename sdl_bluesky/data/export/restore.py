"""A bundle into another log and catalogue: documents by the log, as those of a live run, results beside them. Once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.data.catalogue import analysis
from sdl_bluesky.data.export.logged import logged_runs, read_runs
from sdl_bluesky.data.export.runs import Bundle, RunDocuments
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.data.replay import replay
from sdl_bluesky.data.status import wait_until_caught_up, wait_until_written
from sdl_bluesky.errors import CatalogueError, DataFileError, ServiceError, ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

ARRIVAL_S = 120.0


@dataclass(frozen=True)
class Restored:
    """What an import did; its text is fit for a terminal.

    Attributes:
        runs: uids of runs that are new.
        runs_there: uids of runs that were there, equal to those of the bundle.
        results: keys of results that are new.
        results_there: keys of results that were there, or had been made there by the same method from the same runs.
    """

    runs: tuple[str, ...] = ()
    runs_there: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    results_there: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"runs: {len(self.runs)} new, {len(self.runs_there)} already there; "
            f"results: {len(self.results)} new, {len(self.results_there)} already there"
        )


def restore(bundle: Bundle, log_dir: Path | str, client: Container, source: object = "the bundle") -> Restored:
    """Bring a bundle into a log, and with it into the catalogue that is fed from this log. A second time changes nothing.

    Only one process at a time may do this on a log directory.

    Args:
        bundle: see `read_bundle`.
        log_dir: folder of the log.
        client: root of the catalogue that is fed from it.
        source: the file, for messages.

    Raises:
        DataFileError: the log has a run of the same uid with other content; nothing was imported.
        ServiceError: the log cannot be written (nothing was imported), or the catalogue does not take the runs (they are in
            the log: import again).
    """
    done = enter_log(bundle.runs, Path(log_dir), source)
    _feed(Path(log_dir), client, [run.uid for run in bundle.runs])
    new, there = restore_results(client, bundle.results)
    return replace(done, results=new, results_there=there)


def enter_log(runs: Sequence[RunDocuments], log_dir: Path, source: object = "the bundle") -> Restored:
    """Write runs that a log does not have into a new file of it; the file appears at once and whole.

    Raises:
        DataFileError, ServiceError: see `restore`.
    """
    logged = logged_runs(log_dir)
    there = [run for run in runs if run.uid in logged]
    known = read_runs({run.uid for run in there}, logged, [])
    for run in there:
        if known[run.uid].digest() != run.digest():
            raise DataFileError(
                source,
                f"holds run {run.uid}, which {logged[run.uid].paths[0]} has with other documents: nothing was imported; "
                "import into another data folder",
            )
    new = [run for run in runs if run.uid not in logged]
    if new:
        _write_log(new, log_dir)
    return Restored(tuple(run.uid for run in new), tuple(run.uid for run in there))


def _write_log(runs: Sequence[RunDocuments], log_dir: Path) -> None:
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="import-", dir=log_dir) as folder:
            with DocumentLog(folder) as log:
                for run in runs:
                    for name, doc in run.documents:
                        log(name, doc)
            if log.failed is not None:
                raise ServiceError(log.failed)
            log.path.rename(log_dir / log.path.name)
    except ServiceError as fault:
        raise ServiceError(f"nothing was imported: {fault}") from fault
    except OSError as fault:
        raise ServiceError(f"nothing was imported: {log_dir} cannot be written ({fault.strerror or fault})") from fault


def _feed(log_dir: Path, client: Container, uids: Sequence[str]) -> None:
    """See to it that the runs are in the catalogue: by the writer that feeds it, or by ourselves if there is none."""
    try:
        report = replay(log_dir, client)
    except ServiceMissing:
        raise
    except ServiceError:  # a writer feeds this catalogue
        wait_until_caught_up(log_dir, client, ARRIVAL_S)
    else:
        if failed := {uid: why for uid, why in report.failed.items() if uid in uids}:
            uid, why = next(iter(failed.items()))
            raise ServiceError(f"the catalogue refuses {len(failed)} run(s), {uid} for one: {why}; they are in the log")
    for uid in uids:
        wait_until_written(log_dir, client, uid, ARRIVAL_S)


def restore_results(client: Container, results: Sequence[Analysis]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write results with their keys, metadata and times; returns the keys that are new, and those that were there.

    A result that was made in this catalogue from the same runs by the same method stays in its place. One whose writing
    was broken off is written anew.

    Raises:
        CatalogueError: a result has no metadata of its kind.
    """
    from tiled.queries import Eq

    container: Any = analysis(client)
    new, there = [], []
    for result in results:
        content = result.metadata.get("content")
        if content is None or "kind" not in result.metadata:
            raise CatalogueError(
                f"result {result.key} has no kind or content in its metadata: it is not of this package"
            )
        if len(container.search(Eq("content", content)).search(Eq("complete", True))):
            there.append(result.key)
            continue
        if result.key in container:
            container.delete_contents(result.key, recursive=True, external_only=False)
        node = container.create_container(result.key, metadata={**result.metadata, "complete": False})
        for name, array in result.arrays.items():
            node.write_array(array, key=name, dims=result.dims[name])
        node.update_metadata({"complete": True}, drop_revision=True)
        new.append(result.key)
    return tuple(new), tuple(there)
