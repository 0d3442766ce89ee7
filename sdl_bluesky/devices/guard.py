"""The client's half of safety: a heartbeat, and a hook that makes the machine safe whatever the RunEngine does.

What the RunEngine does on each way out (bluesky 1.15), and why a hook is needed:

- exception in the plan: finalizers run; the state goes from "running" straight to "idle", the hook does nothing.
- `RE.abort()`, `RE.stop()`: state "aborting" or "stopping"; finalizers run, as messages, one after the other.
- pause (Ctrl-C twice, `RE.request_pause()`, `bps.pause()`): state "pausing"; `stop()` of everything that was set, then
  `pause()` of every object that a message has named. A shutter stays open unless its device has `pause()`. Without a
  checkpoint the state goes on to "aborting".
- suspender: state "suspending", then the same as a pause without a prompt.
- `RE.halt()`: state "halting"; the plan gets PlanHalt, a GeneratorExit: `finalize_wrapper` and `except Exception` do
  NOT clean up. Only `stop()`, `unstage()` and the stop document follow. Shutters would stay open and powers on.
- "panicked": the RunEngine is lost; here the heartbeat ends as well, so that the IOC makes itself safe.
- the process dies: the heartbeat ends with it.

So the hook sends the safe puts itself, from a thread of its own, at "pausing", "suspending", "aborting", "stopping",
"halting" and "panicked". It never waits: what a dead IOC does not take, its watchdog does.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .heartbeat import HEARTBEAT_PERIOD_S, Heartbeat
from .machine import Machine
from .making_safe import STEPS_TIMEOUT_S, SafeStepResult, announce, make_safe_now
from .status import ca_thread

if TYPE_CHECKING:
    from bluesky import RunEngine

log = logging.getLogger(__name__)

UNSAFE_STATES = frozenset({"pausing", "suspending", "aborting", "stopping", "halting", "panicked"})

__all__ = ["Guard", "SafeStepResult", "make_safe_now"]


class Guard:
    """Keeps the IOCs' watchdogs quiet while this process is in charge, and makes safe when the RunEngine is interrupted.

        guard = Guard(chamber, station)
        guard.start()          # this process is in charge now
        guard.attach(RE)
        ...
        guard.close()          # makes safe, gives up charge: the IOCs see no heartbeat any more

    Only one process should be in charge of a machine: two heartbeats would hide the death of one of them. A warning is
    logged when somebody else's is seen. Each machine has a heartbeat and safe puts of its own: one that hangs or is dead
    keeps nothing from the others. The heartbeats end with `close()`, when the RunEngine panics, and with the main thread.

    Attributes:
        machines: those that it looks after.
        last_results: of the last time the machines were made safe.
    """

    def __init__(self, *machines: Machine, period_s: float = HEARTBEAT_PERIOD_S) -> None:
        self.machines = machines
        self.last_results: list[SafeStepResult] = []
        self._heartbeats = [Heartbeat(machine.liveness, period_s=period_s) for machine in machines]
        self._engines: list[tuple[RunEngine, Any, Any]] = []

    def __enter__(self) -> Guard:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the heartbeats
    @property
    def in_charge(self) -> bool:
        """True while a heartbeat runs."""
        return any(heartbeat.running for heartbeat in self._heartbeats)

    @property
    def beats(self) -> int:
        """How many heartbeats were sent, the least of all machines."""
        return min((heartbeat.beats for heartbeat in self._heartbeats), default=0)

    def start(self) -> None:
        """Take charge: begin to write the heartbeats. Harmless when they run already."""
        for heartbeat in self._heartbeats:
            heartbeat.start()

    def stop_beating(self) -> None:
        """Give up charge without touching the machines: their watchdogs make them safe if anything is on."""
        for heartbeat in self._heartbeats:
            heartbeat.stop()

    def close(self) -> None:
        """Let go of the RunEngines, make safe, give up charge."""
        for engine, hook, previous in self._engines:
            if engine.state_hook is hook:
                engine.state_hook = previous  # type: ignore[assignment]
        self._engines.clear()
        if self.in_charge:
            self.make_safe()
        self.stop_beating()

    # the RunEngine
    def attach(self, engine: RunEngine) -> None:
        """Listen to a RunEngine's state; a hook that it has already is called first."""
        if any(known is engine for known, _, _ in self._engines):
            return
        previous = engine.state_hook

        def hook(new: str, old: str) -> None:
            if previous is not None:
                try:
                    previous(new, old)
                except Exception:
                    log.exception("the state hook that was there before failed")
            if any(known is engine for known, _, _ in self._engines):  # not after close()
                self._state_changed(str(new), str(old))

        engine.state_hook = hook  # type: ignore[assignment]
        self._engines.append((engine, hook, previous))

    def _state_changed(self, new: str, old: str) -> None:
        """Runs in the RunEngine's own thread: must neither wait nor raise."""
        if new not in UNSAFE_STATES:
            return
        log.warning("RunEngine %s (was %s): making %s safe", new, old, ", ".join(m.name for m in self.machines))
        if new == "panicked":
            self.stop_beating()
        for machine in self.machines:
            announce(machine)
        try:
            ca_thread(lambda: self.make_safe(announced=True), "make safe").start()
        except Exception:
            log.exception("the thread that makes the machines safe could not be started")

    def make_safe(self, *, announced: bool = False) -> None:
        """`make_safe_now` for every machine, side by side; keeps the results."""
        results: dict[str, list[SafeStepResult]] = {}

        def one(machine: Machine) -> None:
            try:
                results[machine.prefix] = make_safe_now(machine, announced=announced)
            except Exception:
                log.exception("making %s safe failed", machine.name)

        threads = [ca_thread(lambda m=machine: one(m), f"make safe {machine.prefix}") for machine in self.machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * STEPS_TIMEOUT_S)
        self.last_results = [step for found in results.values() for step in found]
