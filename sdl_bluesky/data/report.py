"""What a pass over the logs did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """What a pass over the logs did; its text is fit for a terminal.

    Attributes:
        written: uids of runs that were not in the catalogue and are now.
        skipped: uids of runs that were there, equal to the log.
        repaired: uids of runs that were there with other content, and were written anew.
        failed: uid -> reason of runs that the server refuses; they are in the log and come with the next pass.
        events: number of events written.
    """

    written: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    events: int = 0

    def __str__(self) -> str:
        parts = [f"{len(self.written)} written", f"{len(self.skipped)} already there", f"{len(self.repaired)} repaired"]
        lines = [f"runs: {', '.join(parts)}; events written: {self.events}"]
        lines += [f"run {uid} failed: {reason}" for uid, reason in self.failed.items()]
        return "\n".join(lines)
