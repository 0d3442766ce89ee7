"""What was derived from what, as a graph of runs, decisions and results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sdl_bluesky.data.export.references import decision_rows, references
from sdl_bluesky.data.export.runs import Bundle, RunDocuments

RUN, DECISION, RESULT = "run", "decision", "result"


@dataclass(frozen=True)
class Edge:
    """Something (`source`) that stands in a relation to what was there before it (`target`)."""

    source: str
    relation: str
    target: str


@dataclass(frozen=True)
class Node:
    """A run (by its uid), a decision ("CAMPAIGN-RUN#NUMBER") or a result (by its key).

    Attributes:
        inside: whether it is in the bundle; what is not is only named by something that is.
    """

    name: str
    kind: str
    title: str = ""
    inside: bool = True


def provenance(bundle: Bundle) -> tuple[list[Node], list[Edge]]:
    """The graph of a bundle.

    Relations: a decision was ``based_on`` runs and ``part_of`` a campaign run; an experiment is the ``outcome_of`` a
    decision and ``part_of`` a campaign; a run is ``based_on`` runs, or ``resumes`` one; a result was ``derived_from`` runs,
    and ``uses`` results.
    """
    nodes = {run.uid: Node(run.uid, RUN, title_of(run)) for run in bundle.runs}
    nodes |= {one.key: Node(one.key, RESULT, str(one.metadata.get("kind", ""))) for one in bundle.results}
    edges: dict[Edge, None] = {}
    for run in bundle.runs:
        for edge, node in _of_run(run):
            edges[edge] = None
            if node is not None:
                nodes[node.name] = node
    keys = {one.key for one in bundle.results}
    for one in bundle.results:
        edges |= {Edge(one.key, "derived_from", uid): None for uid in one.metadata["derived_from"]}
        edges |= {Edge(one.key, "uses", key): None for key in keys & set(_texts(one.metadata)) - {one.key}}
    for edge in edges:
        if edge.target not in nodes:
            nodes[edge.target] = Node(edge.target, RUN, "not in this bundle", inside=False)
    return list(nodes.values()), list(edges)


def title_of(run: RunDocuments) -> str:
    """A run in a few words."""
    return " ".join(str(run.start[key]) for key in ("plan_name", "sample", "stage") if run.start.get(key))


def _of_run(run: RunDocuments) -> Iterator[tuple[Edge, Node | None]]:
    start = run.start
    resumed = start.get("resumes")
    if start.get("campaign"):
        yield Edge(run.uid, "part_of", str(start["campaign"])), None
    if resumed:
        yield Edge(run.uid, "resumes", str(resumed)), None
    decided = {uid for row in decision_rows(run) for uid in row.get("based_on") or []}
    for uid in sorted(references(run) - {resumed} - decided):
        yield Edge(run.uid, "based_on", uid), None
    for row in decision_rows(run):
        name = f"{run.uid}#{row['seq_num']}"
        node = Node(name, DECISION, f"step {row.get('step', row['seq_num'])} {row.get('stage', '')}".strip())
        yield Edge(name, "part_of", run.uid), node
        for uid in row.get("based_on") or []:
            yield Edge(name, "based_on", str(uid)), node
        if row.get("outcome_uid"):
            yield Edge(str(row["outcome_uid"]), "outcome_of", name), node


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
