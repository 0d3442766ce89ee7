"""What the documents of a run say of other runs: decisions, and what they are based on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sdl_bluesky.data.campaigns import DECISION
from sdl_bluesky.data.export.runs import RunDocuments

REFERENCES = ("based_on", "resumes", "earlier")
"""Keys of start documents and decisions under which other runs are named, at any depth."""


def decision_events(run: RunDocuments) -> list[dict[str, Any]]:
    """The events of the decisions of a campaign run, in order."""
    streams = {doc["uid"]: doc["name"] for name, doc in run.documents if name == "descriptor"}
    return [doc for name, doc in run.documents if name == "event" and streams[doc["descriptor"]] == DECISION]


def decision_rows(run: RunDocuments) -> list[dict[str, Any]]:
    """The decisions of a campaign run, each with its `seq_num`; texts that hold JSON are decoded."""
    return [
        {key: decoded(value) for key, value in doc["data"].items()} | {"seq_num": doc["seq_num"]}
        for doc in decision_events(run)
    ]


def decoded(value: Any) -> Any:
    """A text that holds a JSON object, list or null, decoded; anything else as it is."""
    if isinstance(value, str) and (value[:1] in ("{", "[") or value == "null"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def references(run: RunDocuments) -> set[str]:
    """Uids of other runs that a run, or one of its decisions, names as what it is based on."""
    found = set(_named(run.start)) | {uid for row in decision_rows(run) for uid in _named(row)}
    return {uid for uid in found if uid} - {run.uid}


def outcomes(run: RunDocuments) -> set[str]:
    """Uids of the experiments that are outcomes of a campaign run's decisions."""
    return {str(row["outcome_uid"]) for row in decision_rows(run) if row.get("outcome_uid")}


def _named(value: Any, inside: bool = False) -> Iterator[str]:
    """Texts under the keys of `REFERENCES`."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _named(one, inside or key in REFERENCES)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one, inside)
    elif inside and isinstance(value, str):
        yield value
