"""What an agent has been told: rows, failures, and suggestions that wait for either. In order, nothing forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdl_bluesky.agents.earlier import Origin
from sdl_bluesky.agents.rows import Extinction, check_quality, energy_kWh, extinction, origin, went_out
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
        prefix: of the ids that this agent gives: "<prefix>-<number>", with "-i<k>" for point k of the initial design and
            "-n<k>" for query k of a negative rate.
        x, y, y_std: readings [n, d], [n], [n].
        outcomes: what is read beside the objective, the objective among it in its place; see `arrays`.
        all_y, all_std: readings and errors of the outcomes, each [n, outcomes]; nan where a row has none.
        refs: what each reading is known by ("uid", else "_id", else its number).
        origins: of each reading [n], if it was made before the agent's own experiments.
        failures: points [f, d] that could not be measured and keep agents away, extinctions among them.
        extinctions: plasmas that went out.
        failed: number of failed experiments, extinctions among them.
        refused: rows that were refused, in order: {"row": ..., "reason": ...}.
        energies: energy on the target [kWh], of every row and failure that told it.
        pending: suggestions without an outcome, by id.
        count: number of suggestions made.
    """

    space: Space
    objective: str
    prefix: str
    outcomes: tuple[str, ...] = ()
    all_y: list[list[float]] = field(default_factory=list)
    all_std: list[list[float]] = field(default_factory=list)
    x: list[Array] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    y_std: list[float] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    origins: list[Origin | None] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Array] = field(default_factory=list)
    extinctions: list[Extinction] = field(default_factory=list)
    failed: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    pending: dict[str, Array] = field(default_factory=dict)
    count: int = 0
    _ids: set[str] = field(default_factory=set)
    _marks: set[str] = field(default_factory=set)

    def new_id(self, mark: str = "") -> str:
        """Id of the next suggestion; a mark, such as "i3", says what it is for."""
        return f"{self.prefix}-{self.count:04d}" + (f"-{mark}" if mark else "")

    def note(self, identity: str, x: Array) -> None:
        """A suggestion was made."""
        self.pending[identity] = x
        self._number(identity)

    def expect(self, suggestions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Note points that somebody else chose; those without an "_id" get one."""
        out: list[dict[str, Any]] = []
        for suggestion in suggestions:
            identity = str(suggestion.get("_id") or self.new_id())
            self.note(identity, self.space.read(suggestion))
            out.append({**suggestion, "_id": identity})
        return out

    def _number(self, identity: str) -> None:
        """Count suggestions by their ids, so that a ledger fed from a catalogue goes on where the first one stopped."""
        match = re.fullmatch(re.escape(self.prefix) + r"-(\d+)(?:-([in]\d+))?", identity)
        if match:
            self.count = max(self.count, int(match[1]) + 1)
            if match[2]:
                self._marks.add(match[2])

    def _resolve(self, identity: str, x: Array) -> None:
        self._number(identity)
        if identity:
            self.pending.pop(identity, None)
            return
        near = {k: float(np.max(np.abs(self.space.unit(p) - self.space.unit(x)))) for k, p in self.pending.items()}
        if near and min(near.values()) < _NEAR:
            del self.pending[min(near, key=lambda k: near[k])]

    def ingest(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows in; the good ones are kept, the bad ones remembered with the reason.

        Raises:
            IngestError: names the bad ones.
        """
        refused: dict[int, str] = {}
        for i, row in enumerate(rows):
            try:
                self._ingest(row)
            except OutOfRange as fault:
                refused[i] = str(fault)
                self.refused.append({"row": dict(row) if isinstance(row, Mapping) else row, "reason": str(fault)})
        if refused:
            raise IngestError(refused)

    def _ingest(self, row: Mapping[str, Any]) -> None:
        if not isinstance(row, Mapping):
            raise OutOfRange(f"{row!r} is no row: give a dict")
        if went_out(row):
            self._go_out(row)
            return
        check_quality(row)
        x, y, energy = self.space.read(row), number(row, self.objective), energy_kWh(row)
        key = f"{self.objective}_std"
        std = number(row, key) if row.get(key) is not None else 0.0
        if std < 0:
            raise OutOfRange(f"{key} = {std:g} is negative")
        names = self._new_names(row)
        readings = [_reading(row, name, float("nan")) for name in self.outcomes]
        errors = [_reading(row, f"{name}_std", 0.0) for name in self.outcomes]
        before = origin(row)
        self._ids.update(names)
        self.origins.append(before)
        self.x.append(x)
        self.y.append(y)
        self.y_std.append(std)
        self.all_y.append(readings)
        self.all_std.append(errors)
        self.refs.append(names[0] if names else str(len(self.y) - 1))
        self.rows.append(
            {**self.space.point(x), self.objective: y, **{k: row[k] for k in ("_id", "uid", key) if k in row}}
        )
        self.energies += [] if energy is None else [energy]
        self._resolve(str(row.get("_id") or ""), x)

    def _new_names(self, row: Mapping[str, Any]) -> list[str]:
        names = [str(row[k]) for k in ("uid", "_id") if row.get(k)]
        known = [name for name in names if name in self._ids]
        if known:
            raise OutOfRange(f"{known[0]!r} was ingested before")
        return names

    def _go_out(self, row: Mapping[str, Any]) -> None:
        """An extinction among the rows."""
        names = self._new_names(row)
        self._fail(row)
        self._ids.update(names)

    def fail(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take note of failed experiments; `"exclude": False` in a point says that the place was not to blame, `"vetoed"`:
        True that it was not wanted and not tried, which uses no budget.

        Raises:
            IngestError: a point cannot be read; the others are kept.
        """
        refused: dict[int, str] = {}
        for i, point in enumerate(points):
            try:
                self._fail(point)
            except OutOfRange as fault:
                refused[i] = str(fault)
        if refused:
            raise IngestError(refused)

    def _fail(self, point: Mapping[str, Any]) -> None:
        if not isinstance(point, Mapping):
            raise OutOfRange(f"{point!r} is no point: give a dict")
        identity = str(point.get("_id") or "")
        known = self.space.point(self.pending[identity]) if identity in self.pending else {}
        x, energy = self.space.read({**known, **point}), energy_kWh(point)
        if went_out(point):
            self.extinctions.append(extinction(point, x, np.array(self.space.bounds)[:, 0]))
        self.failed += 0 if point.get("vetoed") else 1
        self.energies += [] if energy is None else [energy]
        if point.get("exclude", True):
            self.failures.append(x)
        self._resolve(identity, x)

    @property
    def own(self) -> int:
        """How many readings are those of the agent's own experiments."""
        return sum(k is None for k in self.origins)

    def marked(self, kind: str) -> int:
        """How many suggestions carry a mark of a kind ("i" or "n")."""
        return sum(mark.startswith(kind) for mark in self._marks)

    def initial_done(self, k: int, x: Array) -> bool:
        """Whether point k of the initial design was suggested, measured or tried, or something very near it was."""
        return f"i{k}" in self._marks or self.tried(x, _NEAR)

    def tried(self, x: Array, near: float = 1e-6) -> bool:
        """Whether a point was suggested, measured or tried, or one within `near` widths of the bounds."""
        known = [*self.x, *self.failures, *self.pending.values()]
        return any(np.max(np.abs(self.space.unit(p) - self.space.unit(x))) < near for p in known)

    def arrays(self, n: int | None = None) -> tuple[Array, Array, Array]:
        """The first n readings (all by default): [n, d], [n], [n]; of several outcomes [n, d] and twice [n, outcomes]."""
        x = np.array(self.x[:n]).reshape(-1, len(self.space.names))
        if len(self.outcomes) > 1:
            return x, np.array(self.all_y[:n]), np.array(self.all_std[:n])
        return x, np.array(self.y[:n]), np.array(self.y_std[:n])


def _reading(row: Mapping[str, Any], name: str, missing: float) -> float:
    """One number of a row that need not have it; `missing` also for one that is not finite: that sensor gave none."""
    value = row.get(name)
    return missing if value is None or (isinstance(value, float) and not np.isfinite(value)) else number(row, name)
