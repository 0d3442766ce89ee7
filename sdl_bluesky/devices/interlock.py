"""The machine's interlock: read, explained, and reset."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import InterlockTripped

from .base import LabDevice, put_now
from .status import until

RESET_TIMEOUT_S = 3.0


class AnyInterlock(LabDevice):
    """Base of the machines' interlocks: inputs, and a summary that latches until it is reset.

    Attributes:
        ok: summary, 1 = OK, 0 = tripped.
        cause: first cause since the last reset, "" if none.
        door, heartbeat: inputs that every machine has, 1 = OK.
        inputs: names of all inputs.
    """

    inputs: ClassVar[tuple[str, ...]] = ("door", "heartbeat")

    ok = Cpt(EpicsSignalRO, "OK", kind="normal", auto_monitor=True)
    cause = Cpt(EpicsSignalRO, "CAUSE", kind="normal", string=True, auto_monitor=True)
    door = Cpt(EpicsSignalRO, "DOOR", kind="normal", auto_monitor=True)
    heartbeat = Cpt(EpicsSignalRO, "HEARTBEAT", kind="normal", auto_monitor=True)
    reset_command = Cpt(EpicsSignal, "RESET", kind="omitted", auto_monitor=True)

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        self._last: dict[str, Any] = {}
        super().__init__(prefix, name=name, **kwargs)
        for label in ("ok", "cause", *self.inputs):
            getattr(self, label).subscribe(self._remember(label))

    def _remember(self, label: str) -> Callable[..., None]:
        def changed(value: Any = None, **_: Any) -> None:
            self._last[label] = value

        return changed

    @property
    def tripped(self) -> bool:
        """True if the summary said so at its last update; False before the first."""
        value = self._last.get("ok")
        return value is not None and int(value) == 0

    @property
    def bad_inputs(self) -> list[str]:
        """Names of the inputs that are bad now."""
        return [name.upper() for name in self.inputs if self._last.get(name) is not None and int(self._last[name]) == 0]

    def explain(self) -> str:
        """One sentence: tripped or not, by what, and what to do."""
        if not self.tripped:
            return "the interlock is OK"
        cause = self._last.get("cause") or "unknown cause"
        bad = self.bad_inputs
        if bad:
            return f"the interlock is tripped by {cause}; still bad: {', '.join(bad)}; put that right, then reset it"
        return f"the interlock is tripped by {cause}; all inputs are good again: reset it"

    def error(self) -> InterlockTripped:
        """The error that says so."""
        return InterlockTripped(self.explain())

    def wait_for_cause(self, timeout_s: float) -> None:
        """Give the cause, which may arrive just after the summary, a moment."""
        end = time.monotonic() + timeout_s
        while self.tripped and not self._last.get("cause") and time.monotonic() < end:
            time.sleep(0.02)

    def reset(self) -> Status:
        """Ask for a reset; the status is done when the summary is OK.

        The status fails with InterlockTripped, naming what is still bad, if the machine refuses.

        Raises:
            Disconnected: nothing was sent.
        """
        put_now(self.reset_command, 1)
        return until(
            self.ok,
            lambda value: int(value) == 1,
            timeout_s=RESET_TIMEOUT_S,
            error=lambda _: InterlockTripped(f"the reset was refused: {self.explain()}"),
            liveness=self.liveness,
            interlock=False,
        )


class Interlock(AnyInterlock):
    """Of a sputter chamber: water, door, pressure with power on, and heartbeat."""

    water = Cpt(EpicsSignalRO, "WATER", kind="normal", auto_monitor=True)
    pressure = Cpt(EpicsSignalRO, "PRESSURE", kind="normal", auto_monitor=True)

    inputs = ("water", "door", "pressure", "heartbeat")
