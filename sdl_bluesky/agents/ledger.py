"""What an agent has been told: rows, failures, and suggestions that wait for either. In order, nothing forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdl_bluesky.agents.space import Space, number
from sdl_bluesky.errors import IngestError, OutOfRange
from sdl_bluesky.physics.geometry import Array

_NEAR = 0.05  # of the width of the bounds: a readback this close to a point stands for it


@dataclass
class Ledger:
    """Book of an agent.

    Attributes:
        space: inputs and bounds.
        objective: name of the outcome; its standard error is "<objective>_std".
        prefix: of the ids that this agent gives: "<prefix>-<number>", and "-i<k>" for point k of the initial design.
        x, y, y_std: readings [n, d], [n], [n].
        refs: what each reading is known by ("uid", else "_id", else its number).
        failures: points [f, d] that could not be measured and keep agents away.
        failed: number of failed experiments.
        pending: suggestions without an outcome, by id.
        count: number of suggestions made.
    """

    space: Space
    objective: str
    prefix: str
    x: list[Array] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    y_std: list[float] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Array] = field(default_factory=list)
    failed: int = 0
    pending: dict[str, Array] = field(default_factory=dict)
    count: int = 0
    _ids: set[str] = field(default_factory=set)
    _initial: set[int] = field(default_factory=set)

    def new_id(self, initial: int | None = None) -> str:
        """Id of the next suggestion."""
        return f"{self.prefix}-{self.count:04d}" + ("" if initial is None else f"-i{initial}")

    def note(self, identity: str, x: Array) -> None:
        """A suggestion was made."""
        self.pending[identity] = x
        self._number(identity)

    def _number(self, identity: str) -> None:
        """Count suggestions by their ids, so that a ledger fed from a catalogue goes on where the first one stopped."""
        match = re.fullmatch(re.escape(self.prefix) + r"-(\d+)(?:-i(\d+))?", identity)
        if match:
            self.count = max(self.count, int(match[1]) + 1)
            if match[2]:
                self._initial.add(int(match[2]))

    def _resolve(self, identity: str, x: Array) -> None:
        self._number(identity)
        if identity:
            self.pending.pop(identity, None)
            return
        near = {k: float(np.max(np.abs(self.space.unit(p) - self.space.unit(x)))) for k, p in self.pending.items()}
        if near and min(near.values()) < _NEAR:
            del self.pending[min(near, key=lambda k: near[k])]

    def ingest(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows in; the good ones are kept.

        Raises:
            IngestError: names the bad ones.
        """
        refused: dict[int, str] = {}
        for i, row in enumerate(rows):
            try:
                self._ingest(row)
            except OutOfRange as fault:
                refused[i] = str(fault)
        if refused:
            raise IngestError(refused)

    def _ingest(self, row: Mapping[str, Any]) -> None:
        if not isinstance(row, Mapping):
            raise OutOfRange(f"{row!r} is no row: give a dict")
        x, y = self.space.read(row), number(row, self.objective)
        key = f"{self.objective}_std"
        std = number(row, key) if row.get(key) is not None else 0.0
        if std < 0:
            raise OutOfRange(f"{key} = {std:g} is negative")
        names = [str(row[k]) for k in ("uid", "_id") if row.get(k)]
        known = [name for name in names if name in self._ids]
        if known:
            raise OutOfRange(f"{known[0]!r} was ingested before")
        self._ids.update(names)
        self.x.append(x)
        self.y.append(y)
        self.y_std.append(std)
        self.refs.append(names[0] if names else str(len(self.y) - 1))
        self.rows.append(
            {**self.space.point(x), self.objective: y, **{k: row[k] for k in ("_id", "uid", key) if k in row}}
        )
        self._resolve(str(row.get("_id") or ""), x)

    def fail(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take note of failed experiments; `"exclude": False` in a point says that the place was not to blame.

        Raises:
            IngestError: a point cannot be read; the others are kept.
        """
        refused: dict[int, str] = {}
        for i, point in enumerate(points):
            identity = str(point.get("_id") or "")
            try:
                x = self.space.read(
                    {**self.space.point(self.pending[identity]), **point} if identity in self.pending else point
                )
            except OutOfRange as fault:
                refused[i] = str(fault)
                continue
            self.failed += 1
            if point.get("exclude", True):
                self.failures.append(x)
            self._resolve(identity, x)
        if refused:
            raise IngestError(refused)

    def initial_done(self, k: int, x: Array) -> bool:
        """Whether point k of the initial design was suggested, measured or tried, or something very near it was."""
        return k in self._initial or self.tried(x, _NEAR)

    def tried(self, x: Array, near: float = 1e-6) -> bool:
        """Whether a point was suggested, measured or tried, or one within `near` widths of the bounds."""
        known = [*self.x, *self.failures, *self.pending.values()]
        return any(np.max(np.abs(self.space.unit(p) - self.space.unit(x))) < near for p in known)

    def arrays(self, n: int | None = None) -> tuple[Array, Array, Array]:
        """The first n readings (all by default): [n, d], [n], [n]."""
        x = np.array(self.x[:n]).reshape(-1, len(self.space.names))
        return x, np.array(self.y[:n]), np.array(self.y_std[:n])
