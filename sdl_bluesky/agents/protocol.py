"""What a campaign needs of an agent. Structural, as `bluesky_adaptive.protocols` 1.0: nothing to inherit from.

A point is a dict of inputs by name with an "_id"; a row is a point with outcomes. Rows are matched to suggestions by "_id";
their order and number are free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

Point: TypeAlias = dict[str, Any]


@runtime_checkable
class Agent(Protocol):
    """Suggests points and learns from rows."""

    def suggest(self, num_points: int = 1) -> list[Point]:
        """Points to measure next, each with an "_id"."""
        ...

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Learn from rows; raises IngestError for bad ones after the good ones were kept."""
        ...

    def get_best_points(self) -> list[Point]:
        """The best rows so far."""
        ...


@runtime_checkable
class CanRegisterSuggestions(Protocol):
    """Takes note of points that somebody else chose."""

    def register_suggestions(self, suggestions: Sequence[Mapping[str, Any]]) -> list[Point]:
        """The points, each with an "_id"."""
        ...


@runtime_checkable
class CanRegisterFailures(Protocol):
    """Takes note of points that could not be measured."""

    def register_failures(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Points with their "_id"."""
        ...


@runtime_checkable
class CanStop(Protocol):
    """Knows when enough is known."""

    def should_stop(self) -> tuple[bool, str]:
        """Whether to stop, and why (an empty text if not)."""
        ...


@runtime_checkable
class CanExplain(Protocol):
    """Tells why it chose its latest point."""

    def explain(self) -> dict[str, Any]:
        """Keys point, prediction, acquisition, alternatives, based_on; can be written as JSON."""
        ...
