"""Something with two positions that are words: a run/vent valve, an arm."""

from __future__ import annotations

from typing import Any

from sdl_bluesky.errors import OutOfRange

from ..shutter import Shutter
from ..words import Word

VENT, RUN = "Vent", "Run"
NO, YES = "No", "Yes"


class Switch(Shutter):
    """Moves to one of two words, of which the first is the safe one.

    Going to the first is always allowed; the second needs the interlock.
    """

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        kwargs.setdefault("safe_target", self.choices[0])
        super().__init__(prefix, name=name, **kwargs)

    @property
    def limits(self) -> tuple[Word, Word]:  # type: ignore[override]
        """The two positions."""
        return Word(self.choices[0]), Word(self.choices[1])

    @property
    def is_open(self) -> bool:
        """True unless the last readback was the first word: an unknown position counts as the second."""
        return self._position is None or self._word(self._position) != self.choices[0]

    def _checked(self, position: Any) -> str:
        if not isinstance(position, str) or position not in self.choices:
            first, second = self.choices
            raise OutOfRange(f"{self.name}: {position!r} is no position; choose {first!r} or {second!r}; nothing moved")
        return str(position)


class Valve(Switch):
    """Sends a line into the reactor ("Run") or past it ("Vent")."""

    choices = (VENT, RUN)

    def _refusal(self, target: Any, raw: Any) -> Exception:
        error = super()._refusal(target, raw)
        return type(error)(f"{error}: carrier on, pressure reached, and hydrides in run before group III?")


class Arm(Switch):
    """Whether a line takes part in the next growth that is started by command, "Yes" or "No"."""

    choices = (NO, YES)
