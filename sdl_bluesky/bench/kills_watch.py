"""What the document log says while a campaign goes on, and when something is to be killed next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.data.logfile import HEADER, UNREADABLE, RunIndex, log_files, read_entries
from sdl_bluesky.plans.decision import STREAM

Document = tuple[str, dict[str, Any]]


def planned(victims: Mapping[str, int], seed: int) -> list[tuple[str, float]]:
    """What is killed, in an order of chance, each with its moment as a part of one experiment's length.

    Args:
        victims: how often each is killed.
        seed: of order and moments.
    """
    rng = np.random.default_rng(seed)
    order = [name for name, count in victims.items() for _ in range(count)]
    return [(order[k], float(rng.uniform())) for k in rng.permutation(len(order))]


@dataclass
class Watch:
    """Reads the logs of a folder as they grow.

    Attributes:
        log: the folder.
        documents: every document so far, in the order in which it was found.
        decisions: those of all campaigns, JSON decoded, each with `campaign_run`, the uid of its run.
        open_runs: start documents of runs without an end.
        starts: start documents of all runs.
    """

    log: Path
    documents: list[Document] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    open_runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    starts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ends: dict[Path, int] = field(default_factory=dict)
    _index: RunIndex = field(default_factory=RunIndex)
    _streams: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_now(cls, log: Path) -> Watch:
        """One that knows nothing of what was before."""
        before = cls(log)
        before.look()
        return cls(log, _ends=before._ends)

    def look(self) -> None:
        """Read what is new."""
        for path in log_files(self.log):
            for entry in read_entries(path, self._ends.get(path, 0)):
                self._ends[path] = entry.end
                if entry.name not in (HEADER, UNREADABLE):
                    self._take(entry.name, entry.doc)

    def _take(self, name: str, doc: dict[str, Any]) -> None:
        self.documents.append((name, doc))
        uid = self._index.run_of(name, doc) or ""
        if name == "start":
            self.starts[uid] = self.open_runs[uid] = doc
        elif name == "stop":
            self.open_runs.pop(uid, None)
        elif name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
        elif name == "event" and self._streams.get(doc["descriptor"]) == STREAM:
            self.decisions.append({**_decoded(doc["data"]), "campaign_run": uid})

    def campaign_runs(self) -> list[str]:
        """Runs of campaigns, the oldest first."""
        return [uid for uid, start in self.starts.items() if start.get("purpose") == "campaign"]

    def doing(self) -> str:
        """What goes on: stage and step of the experiment that is open, or that none is."""
        at_work = [s for s in self.open_runs.values() if s.get("purpose") != "campaign" and "step" in s]
        if at_work:
            return f"{at_work[-1]['stage']}, step {at_work[-1]['step']}"
        return "between experiments"

    def decided(self, campaign: str) -> list[dict[str, Any]]:
        """The decisions of a campaign, in order."""
        return [k for k in self.decisions if chain_of(self.starts, k["campaign_run"]) == campaign]


def chain_of(starts: Mapping[str, Mapping[str, Any]], run: str) -> str:
    """The campaign to which a campaign run belongs."""
    return str(starts[run].get("campaign") or run)


def _decoded(data: Mapping[str, Any]) -> dict[str, Any]:
    texts = ("inputs", "based_on", "outcome_row")
    return {**data, **{key: json.loads(data[key]) for key in texts if key in data}}


@dataclass(frozen=True)
class Tally:
    """What became of the experiments of a campaign.

    Attributes:
        decisions: how many were recorded.
        learned: how many of them were successes.
        ingested_twice: runs that stand in two decisions, or twice among what one was based on.
        repeated: suggestions that were answered by more than one complete experiment.
        unused: complete experiments from which nothing was learned.
    """

    decisions: int
    learned: int
    ingested_twice: int
    repeated: int
    unused: int


def tally(decided: Sequence[Mapping[str, Any]], documents: Iterable[Document], campaign: str) -> Tally:
    """Count what must not happen.

    Args:
        decided: the decisions of the campaign, as `Watch.decided` gives them.
        documents: of all runs.
        campaign: its id.
    """
    names: dict[str, str] = {}
    complete: dict[str, str] = {}
    for name, doc in documents:
        if name == "start" and doc.get("campaign") == campaign and "suggestion_id" in doc:
            names[doc["uid"]] = f"{doc.get('stage')} {doc['suggestion_id']}"
        elif name == "stop" and doc["run_start"] in names and doc["exit_status"] == "success":
            complete[doc["run_start"]] = names[doc["run_start"]]
    used = [k["outcome_uid"] for k in decided if k["outcome"] == "success"]
    refused = {k["outcome_uid"] for k in decided if k["outcome"] == "failed"}
    twice = len(used) - len(set(used))
    twice += sum(len(k["based_on"]) - len(set(k["based_on"])) for k in decided)
    answered = list(complete.values())
    return Tally(
        len(decided),
        len(used),
        twice,
        len(answered) - len(set(answered)),
        len(set(complete) - set(used) - refused),
    )
