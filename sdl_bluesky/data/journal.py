"""What the feeder remembers of a log and of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from sdl_bluesky.data.columns import Columns
from sdl_bluesky.data.feed import RunFeed
from sdl_bluesky.data.ledger import Ledger
from sdl_bluesky.data.logfile import RunIndex, read_entries


class State(Enum):
    """Where a run stands: written as it comes; there already, to be compared; to be written anew; complete."""

    LIVE = "live"
    COMPARE = "compare"
    REWRITE = "rewrite"
    DONE = "done"


@dataclass(eq=False)
class Run:
    """One run of a log and how far it has come."""

    uid: str
    container: str
    start: int
    state: State = State.REWRITE
    ledger: Ledger = field(default_factory=Ledger)
    columns: Columns = field(default_factory=Columns)
    feed: RunFeed | None = None
    compared: int = 0
    attempts: int = 0
    retry_at: float = 0.0
    reason: str = ""

    def up_to_date(self) -> bool:
        """True if the catalogue holds all of the run that was read."""
        if self.state is State.COMPARE:
            return self.compared == self.ledger.documents
        return self.state is State.DONE or (self.state is State.LIVE and not (self.feed and self.feed.waiting))


@dataclass(eq=False)
class Journal:
    """One log, how far it was read, and its runs."""

    path: Path
    offset: int = 0
    size: int = -1
    index: RunIndex = field(default_factory=RunIndex)
    runs: dict[str, Run] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def at_end(self) -> bool:
        """True if the log was read to its end at least once."""
        return self.size >= 0 or self.offset == self.path.stat().st_size

    def forget(self, run: Run) -> None:
        """Keep no more of a complete run than where it began."""
        self.done[run.uid] = run.start
        self.runs.pop(run.uid, None)

    def documents(self, run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
        """The documents of a run, as far as the log was read."""
        index = RunIndex()
        for name, doc, *_ in read_entries(self.path, run.start, self.offset):
            if index.run_of(name, doc) == run.uid:
                yield name, doc
