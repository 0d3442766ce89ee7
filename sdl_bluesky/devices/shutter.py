"""A shutter: two named positions."""

from __future__ import annotations

from typing import Any

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO

from sdl_bluesky.errors import OutOfRange

from .base import metadata_of
from .mover import Mover
from .words import Word

CLOSED, OPEN = "Closed", "Open"


class Shutter(Mover):
    """Moves to "Open" or "Closed" and reads back one of the two.

    Closing is always allowed; opening needs the interlock.
    """

    # not string=True: the first monitor of an enum record comes before its words are known, and says "0"
    readback = Cpt(EpicsSignalRO, "", kind="hinted", auto_monitor=True)
    setpoint = Cpt(EpicsSignal, ":SP", kind="omitted", auto_monitor=True)

    choices = (CLOSED, OPEN)
    unknown = Word("unknown")

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        kwargs.setdefault("safe_target", CLOSED)
        kwargs.setdefault("needs_interlock", True)
        super().__init__(prefix, name=name, **kwargs)

    @property
    def egu(self) -> str:
        """A shutter has no unit."""
        return ""

    @property
    def limits(self) -> tuple[Word, Word]:  # type: ignore[override]
        """The two positions."""
        return Word(CLOSED), Word(OPEN)

    @property
    def position(self) -> Word:
        """The word "Open" or "Closed", or "unknown" when no readback can be trusted."""
        found = super().position
        return found if found is self.unknown else Word(self._word(found))

    @property
    def is_open(self) -> bool:
        """True unless the last readback was "Closed": an unknown position counts as open."""
        return self._position is None or self._word(self._position) != CLOSED

    def _words(self) -> tuple[str, ...]:
        """The record's own words for its states, as soon as they are known."""
        return tuple(metadata_of(self.setpoint).get("enum_strs") or self.choices)

    def _word(self, value: Any) -> str:
        return str(value) if isinstance(value, str) else self._words()[int(value)]

    def _checked(self, position: Any) -> str:
        if position not in self.choices or not isinstance(position, str):
            raise OutOfRange(f"{self.name}: {position!r} is no position; choose 'Open' or 'Closed'; nothing was moved")
        return str(position)

    def raw_of(self, target: str) -> int:
        """Number of a position in the setpoint record."""
        words = self._words()
        return words.index(target) if target in words else self.choices.index(target)

    def _raw(self, target: str) -> int:
        return self.raw_of(target)

    def _is_accepted(self, raw: Any, target: str) -> bool:
        return int(raw) == self.raw_of(target)

    def _reached(self, position: Any, target: str) -> bool:
        return self._word(position) == target

    def read(self) -> dict[str, Any]:  # type: ignore[override]
        """The position as a word; raises as `LabDevice.read`."""
        readings = super().read()
        readings[self.name]["value"] = self._word(readings[self.name]["value"])
        return readings

    def describe(self) -> dict[str, Any]:  # type: ignore[override]
        """One data key of dtype string."""
        keys = super().describe()
        keys[self.name].update(dtype="string", enum_strs=self.choices)
        return keys
