"""Documents of a run as tables, one for each stream, and back again.

Events and event pages become rows; all else (start, descriptors, stop) stays what it is. Every row knows its place among
the documents, so that the same documents come back in the same order, pages as pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdl_bluesky.data.export.runs import Document, RunDocuments
from sdl_bluesky.data.export.values import ABSENT

SINGLE = -1
EXTERNAL = ("resource", "datum", "datum_page", "stream_resource", "stream_datum")
_ROW = ("descriptor", "seq_num", "time", "uid", "data", "timestamps")


@dataclass
class Stream:
    """One stream: a row for each event.

    Attributes:
        name: name of the stream.
        data_keys: what its descriptors say of each column.
        place: by row, the number of its document within the run.
        page_row: by row, its number within an event page; -1 of a single event.
        fields: by row: "descriptor" and "uid" (texts), "seq_num", "time", "rest" (other keys of the document, as a dict;
            of a page with its first row).
        data: values by column.
        timestamps: their times by column, seconds since 1970.
    """

    name: str
    data_keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    place: list[int] = field(default_factory=list)
    page_row: list[int] = field(default_factory=list)
    fields: dict[str, list[Any]] = field(default_factory=lambda: {k: [] for k in (*_ROW[:4], "rest")})
    data: dict[str, list[Any]] = field(default_factory=dict)
    timestamps: dict[str, list[Any]] = field(default_factory=dict)

    def units(self, key: str) -> str:
        """Unit of a column, "" if it has none."""
        return str(self.data_keys.get(key, {}).get("units") or "")

    def add(self, place: int, page_row: int, row: Mapping[str, Any], rest: Mapping[str, Any]) -> None:
        """Append a row."""
        for table, values in ((self.data, row["data"]), (self.timestamps, row["timestamps"])):
            for key in values.keys() - table.keys():
                table[key] = [ABSENT] * len(self.place)
            for key, column in table.items():
                column.append(values.get(key, ABSENT))
        for name in _ROW[:4]:
            self.fields[name].append(row[name])
        self.fields["rest"].append(dict(rest))
        self.place.append(place)
        self.page_row.append(page_row)

    def row(self, i: int) -> dict[str, Any]:
        """A row as the known part of an event."""
        tables = {"data": self.data, "timestamps": self.timestamps}
        plain = {name: self.fields[name][i] for name in _ROW[:4]}
        return plain | {
            what: {key: column[i] for key, column in table.items() if column[i] is not ABSENT}
            for what, table in tables.items()
        }


@dataclass
class Tables:
    """A run as tables.

    Attributes:
        plain: place and document of what is no row.
        streams: the streams by name, in the order of their first descriptor.
    """

    plain: list[tuple[int, Document]] = field(default_factory=list)
    streams: dict[str, Stream] = field(default_factory=dict)


def tables_of(run: RunDocuments) -> Tables:
    """The tables of a run."""
    tables, stream_of = Tables(), {}
    for place, (name, doc) in enumerate(run.documents):
        if name == "descriptor":
            stream = tables.streams.setdefault(doc["name"], Stream(doc["name"]))
            stream.data_keys |= {key: dict(spec) for key, spec in doc["data_keys"].items()}
            stream_of[doc["uid"]] = stream
        rows = _rows(name, doc)
        if not rows:
            tables.plain.append((place, (name, doc)))
            continue
        rest = {key: value for key, value in doc.items() if key not in _ROW}
        for i, row in enumerate(rows):
            number = SINGLE if name == "event" else i
            stream_of[doc["descriptor"]].add(place, number, row, rest if i == 0 else {})
    for stream in tables.streams.values():  # columns in the order in which the descriptor names them
        for table in (stream.data, stream.timestamps):
            known = [key for key in stream.data_keys if key in table]
            ordered = {key: table[key] for key in (*known, *(k for k in table if k not in known))}
            table.clear()
            table.update(ordered)
    return tables


def _rows(name: str, doc: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an event or of a page; none of another document, or of a page that is empty or not rectangular."""
    if name == "event":
        return [dict(doc)]
    if name != "event_page":
        return []
    count = len(doc["seq_num"])
    columns = [doc["time"], doc["uid"], *doc["data"].values(), *doc["timestamps"].values()]
    if any(len(column) != count for column in columns):
        return []
    return [
        {"descriptor": doc["descriptor"]}
        | {key: doc[key][i] for key in ("seq_num", "time", "uid")}
        | {what: {key: column[i] for key, column in doc[what].items()} for what in ("data", "timestamps")}
        for i in range(count)
    ]


def documents_of(tables: Tables) -> tuple[Document, ...]:
    """The documents that a run's tables were made of.

    Raises:
        ValueError, KeyError: the tables contradict themselves.
    """
    found: dict[int, Document] = dict(tables.plain)
    for stream in tables.streams.values():
        for rows in _by_place(stream.place).values():
            place, first = stream.place[rows[0]], stream.row(rows[0])
            rest = stream.fields["rest"][rows[0]]
            if stream.page_row[rows[0]] == SINGLE:
                found[place] = ("event", first | rest)
                continue
            page = {key: [stream.fields[key][i] for i in rows] for key in ("seq_num", "time", "uid")}
            page |= {
                what: {key: [table[key][i] for i in rows] for key in first[what]}
                for what, table in (("data", stream.data), ("timestamps", stream.timestamps))
            }
            found[place] = ("event_page", {"descriptor": first["descriptor"]} | page | rest)
    if sorted(found) != list(range(len(found))):
        raise ValueError("documents are missing")
    return tuple(found[place] for place in range(len(found)))


def _by_place(places: Sequence[int]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for i, place in enumerate(places):
        rows.setdefault(place, []).append(i)
    return rows
