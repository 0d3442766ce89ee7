"""A run as its documents, and a bundle of runs and results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdl_bluesky.data.analysis import Analysis

FORMAT = "sdl_bluesky campaign bundle"
SCHEMA = 1

Document = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class RunDocuments:
    """All documents of one run that has ended, in their order; the first is its start."""

    documents: tuple[Document, ...]

    @property
    def start(self) -> dict[str, Any]:
        """The start document."""
        return self.documents[0][1]

    @property
    def uid(self) -> str:
        """The run's uid."""
        return str(self.start["uid"])

    @property
    def stop(self) -> dict[str, Any] | None:
        """The stop document; None of a run that is open."""
        return next((doc for name, doc in reversed(self.documents) if name == "stop"), None)

    @property
    def is_campaign(self) -> bool:
        """Whether it is the run of a campaign and not of an experiment."""
        return self.start.get("purpose") == "campaign"

    def digest(self) -> str:
        """A check sum of everything that the documents say."""
        return digest(self.documents)


@dataclass(frozen=True)
class Bundle:
    """A campaign with all that belongs to it.

    Attributes:
        campaign: its id.
        runs: its campaign runs, its experiments, and the runs that they name, by the time of their start.
        results: what was derived from those runs, the oldest first.
        findings: what a person should know of it.
    """

    campaign: str
    runs: tuple[RunDocuments, ...]
    results: tuple[Analysis, ...] = ()
    findings: tuple[str, ...] = ()

    def campaign_runs(self) -> list[RunDocuments]:
        """The runs of the campaign itself (not of earlier ones that it learned from), the oldest first."""
        return [run for run in self.runs if run.is_campaign and campaign_of(run.start) == self.campaign]


def campaign_of(start: Mapping[str, Any]) -> str:
    """Id of the campaign that a run is, or is part of; "" if none."""
    own = str(start["uid"]) if start.get("purpose") == "campaign" else ""
    return str(start.get("campaign") or own)


def digest(documents: Sequence[Document]) -> str:
    """SHA-256 of documents, whatever the order of their keys; one NaN is as good as another."""
    total = hashlib.sha256()
    for name, doc in documents:
        total.update(json.dumps([name, doc], sort_keys=True).encode() + b"\n")
    return total.hexdigest()


def result_digest(result: Analysis) -> str:
    """SHA-256 of a result: key, metadata, dimensions, types and values."""
    total = hashlib.sha256(json.dumps([result.key, result.metadata], sort_keys=True).encode())
    for name in sorted(result.arrays):
        array = result.arrays[name]
        values = array.tolist() if array.dtype.kind in "OU" else array.tobytes().hex()
        total.update(json.dumps([name, result.dims[name], array.dtype.str, array.shape, values]).encode())
    return total.hexdigest()
