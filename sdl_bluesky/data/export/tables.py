"""Tables of a bundle: its decisions, its runs, its graph; with units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sdl_bluesky.data.campaigns import DECISION
from sdl_bluesky.data.export.provenance import provenance
from sdl_bluesky.data.export.references import decision_events, decoded
from sdl_bluesky.data.export.runs import Bundle, RunDocuments, campaign_of

UNITS = {
    "power": "W",
    "pressure": "mTorr",
    "lit_pressure": "mTorr",
    "out_pressure": "mTorr",
    "duration": "s",
    "rate": "ng cm^-2 s^-1",
    "crystal_life": "%",
    "energy": "kWh",
    "f_ga": "sccm",
    "f_as": "sccm",
    "wavelength": "nm",
    "lattice": "Angstrom",
}
"""Units that these names have everywhere in this package; "NAME_std" has that of NAME."""

INPUT, OUTCOME = "input_", "outcome_"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: what it is called in a file.
        title: what a row is.
        columns: values by column, all of one length; None where there is none.
        units: by column; one that is missing has no unit.
    """

    name: str
    title: str
    columns: Mapping[str, Sequence[Any]]
    units: Mapping[str, str]


def iso(seconds: float) -> str:
    """A time since 1970 [s] as ISO 8601 text in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def decision_table(bundle: Bundle) -> Table:
    """Every decision, in order: the columns of the documents, then the numbers of its point and of its outcome.

    ``input_NAME`` and ``outcome_NAME`` are the numbers inside the JSON of ``inputs`` and ``outcome_row``; None where a
    decision has none of that name.
    """
    plain: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    units: dict[str, str] = {"time": "s"}
    for run in bundle.campaign_runs():
        units |= _declared(run)
        sources = (run.start.get("geometry") or {}).get("sources", {})
        known = UNITS | dict.fromkeys(sources, "W")
        for doc in decision_events(run):
            data = doc["data"]
            plain.append({"run": run.uid, "seq_num": doc["seq_num"], "time": doc["time"], **data})
            inputs.append(_numbers(INPUT, data.get("inputs")))
            results.append(_numbers(OUTCOME, data.get("outcome_row")))
            units |= {key: unit for key in (*inputs[-1], *results[-1]) if (unit := _unit(key, known))}
    columns: dict[str, list[Any]] = {}
    for rows in (plain, inputs, results):
        for name in dict.fromkeys(key for row in rows for key in row):
            columns.setdefault(name, [row.get(name) for row in rows])
    return Table("decisions", "a decision", columns, {k: v for k, v in units.items() if k in columns})


def _declared(run: RunDocuments) -> dict[str, str]:
    keys = (doc["data_keys"] for name, doc in run.documents if name == "descriptor" and doc["name"] == DECISION)
    return {key: spec["units"] for one in keys for key, spec in one.items() if spec.get("units")}


def _numbers(prefix: str, text: Any) -> dict[str, float]:
    value = decoded(text)
    if not isinstance(value, Mapping):
        return {}
    return {
        f"{prefix}{key}": float(one)
        for key, one in value.items()
        if isinstance(one, int | float) and not isinstance(one, bool)
    }


def _unit(column: str, known: Mapping[str, str]) -> str:
    name = column.removeprefix(INPUT).removeprefix(OUTCOME)
    return known.get(name) or known.get(name.removesuffix("_std"), "")


def run_table(bundle: Bundle) -> Table:
    """Every run, by the time of its start."""
    rows = []
    for run in bundle.runs:
        start, stop = run.start, run.stop or {}
        text = {key: str(start.get(key) or "") for key in ("purpose", "plan_name", "sample", "stage", "suggestion_id")}
        begin, end = float(start["time"]), float(stop.get("time", start["time"]))
        rows.append(
            {"run": run.uid, "campaign": campaign_of(start), **text}
            | {"start": iso(begin), "time": begin, "duration": end - begin}
            | {"exit_status": str(stop.get("exit_status", "")), "reason": str(stop.get("reason") or "")}
        )
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return Table("runs", "a run", columns, {"time": "s", "duration": "s"})


def graph_tables(bundle: Bundle, places: Mapping[str, str] | None = None) -> tuple[Table, Table]:
    """The provenance as nodes and edges.

    Args:
        bundle: the bundle.
        places: where a run or result is in the file, by uid or key.
    """
    nodes, edges = provenance(bundle)
    columns: dict[str, list[Any]] = {
        key: [getattr(node, key) for node in nodes] for key in ("name", "kind", "title", "inside")
    }
    if places is not None:
        columns["place"] = [places.get(node.name, "") for node in nodes]
    links = {key: [getattr(edge, key) for edge in edges] for key in ("source", "relation", "target")}
    return (
        Table("nodes", "a run, a decision or a result", columns, {}),
        Table("provenance", "source stands in this relation to target, which was there before it", links, {}),
    )
