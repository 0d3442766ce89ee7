"""What a run must hold by its log, and whether the catalogue's run holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiled.client.container import Container

Rows = list[tuple[int, float]]


class Ledger:
    """What the log says a run must hold: per stream the (seq_num, time) of each event, and the stop document's uid.

    A sequence number can come twice (a plan that was rewound after a pause), so lists are compared, not sets.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {}
        self.stop: str | None = None
        self.documents = 0
        self._streams: dict[str, str] = {}

    def note(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take note of a document of the run."""
        self.documents += 1
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
            self.rows.setdefault(doc["name"], [])
        elif name == "event":
            self.rows[self._streams[doc["descriptor"]]].append((doc["seq_num"], doc["time"]))
        elif name == "event_page":
            self.rows[self._streams[doc["descriptor"]]].extend(zip(doc["seq_num"], doc["time"]))
        elif name == "stop":
            self.stop = doc["uid"]

    @property
    def events(self) -> int:
        """Number of events in all streams."""
        return sum(map(len, self.rows.values()))

    def matches(self, run: Container) -> bool:
        """True if the catalogue's run holds the same streams, events and stop."""
        stop: Any = run.metadata.get("stop") or {}
        return stop.get("uid") == self.stop and self.rows_match(run)

    def rows_match(self, run: Container) -> bool:
        """True if the catalogue's run holds the same streams with the same events."""
        run = getattr(run, "base", run)
        return set(run) == set(self.rows) and all(_holds(run[s], rows) for s, rows in self.rows.items())


def _holds(stream: Container, rows: Rows) -> bool:
    stream = getattr(stream, "base", stream)
    tables = [name for name in stream if name.startswith("internal")]
    if not rows:
        return not tables
    if not tables:
        return False
    for name in tables:  # a table of more than 1024 columns is split
        table: Any = stream[name]
        if {"seq_num", "time"} <= set(table.columns):
            return table_holds(table, rows)
    return False


def table_holds(table: Any, rows: Rows) -> bool:
    """True if a table of events holds these and no others."""
    frame = table.read(["seq_num", "time"])
    return sorted(zip(frame["seq_num"].tolist(), frame["time"].tolist())) == sorted(rows)


def find(container: Container, uid: str) -> Container | None:
    """The run of this uid, or None."""
    from tiled.queries import Eq

    found = container.search(Eq("start.uid", uid)).values().head(1)
    return found[0] if found else None


def delete(container: Container, uid: str) -> bool:
    """Delete a run with all its data; False if there was none."""
    from tiled.client.utils import ClientError

    try:
        container.delete_contents(uid, recursive=True, external_only=False)
    except ClientError as error:
        if error.response.status_code == 404:
            return False
        raise
    return True
