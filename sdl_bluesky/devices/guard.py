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
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .base import put_now
from .sputter import SafeStep
from .status import ca_thread

if TYPE_CHECKING:
    from bluesky import RunEngine

    from .chamber import Chamber

log = logging.getLogger(__name__)

UNSAFE_STATES = frozenset({"pausing", "suspending", "aborting", "stopping", "halting", "panicked"})
STEPS_TIMEOUT_S = 1.0
HEARTBEAT_PERIOD_S = 0.5
RIVAL_BEATS = 3


@dataclass(frozen=True)
class SafeStepResult:
    """One step of making safe.

    Attributes:
        step: what was done.
        ok: the put was sent to a living IOC.
        message: why not, if not.
    """

    step: str
    ok: bool
    message: str = ""


def make_safe_now(chamber: Chamber, timeout_s: float = STEPS_TIMEOUT_S) -> list[SafeStepResult]:
    """Close every shutter and set every power to 0, outside any plan, each step on its own.

    Sends and does not wait for the machine; takes `timeout_s` at most, also when the IOC is gone or hung. Failures are
    logged and returned, never raised. Counts as an interruption of every source and of the substrate.
    """
    owners = [chamber.substrate, *chamber.sources.values()]
    steps: list[SafeStep] = []
    for owner in owners:
        owner.interruptions += 1
        steps += owner.safe_steps()
    steps.sort(key=lambda step: not step[0].startswith("close"))
    results: dict[str, SafeStepResult] = {}

    def run(what: str, step: Any) -> None:
        try:
            step()
        except Exception as exc:
            results[what] = SafeStepResult(what, False, str(exc))
        else:
            problem = chamber.liveness.problem()
            note = "" if problem is None else f"sent, but {problem}"
            results[what] = SafeStepResult(what, problem is None, note)

    threads = [ca_thread(lambda w=what, s=step: run(w, s), f"safe: {what}") for what, step in steps]
    end = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"not sent within {timeout_s:g} s"
    found = [results.get(what) or SafeStepResult(what, False, late) for what, _ in steps]
    failed = [result for result in found if not result.ok]
    if failed:
        told = "; ".join(f"{result.step}: {result.message}" for result in failed)
        log.error("making %s safe: %d of %d steps failed: %s", chamber.name, len(failed), len(found), told)
    return found


class Guard:
    """Keeps the IOC's watchdog quiet while this process is in charge, and makes safe when the RunEngine is interrupted.

        guard = Guard(chamber)
        guard.start()          # this process is in charge now
        guard.attach(RE)
        ...
        guard.close()          # makes safe, gives up charge: the IOC sees no heartbeat any more

    Only one process should be in charge of a chamber: two heartbeats would hide the death of one of them. `start()`
    logs a warning when it sees somebody else's. The thread beats as long as the process lives, also while the
    RunEngine's thread is busy; it ends with `close()`, when the RunEngine panics, and with the main thread.

    Attributes:
        last_results: of the last time the machine was made safe.
    """

    def __init__(self, chamber: Chamber, *, period_s: float = HEARTBEAT_PERIOD_S) -> None:
        self.chamber = chamber
        self.period_s = period_s
        self.last_results: list[SafeStepResult] = []
        self.beats = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._engines: list[tuple[RunEngine, Any, Any]] = []
        self._sent: set[int] = set()
        self._foreign = 0
        self._token: int | None = None

    def __enter__(self) -> Guard:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the heartbeat
    @property
    def in_charge(self) -> bool:
        """True while the heartbeat runs."""
        return self._thread is not None and self._thread.is_alive() and not self._over.is_set()

    def start(self) -> None:
        """Take charge: begin to write the heartbeat. Harmless when it runs already."""
        if self.in_charge:
            return
        self._over = threading.Event()
        self._token = self.chamber.liveness.heartbeat.subscribe(self._heard, run=False)
        self._thread = ca_thread(lambda over=self._over: self._beat(over), f"heartbeat {self.chamber.prefix}")
        self._thread.start()

    def _beat(self, over: threading.Event) -> None:
        signal = self.chamber.liveness.heartbeat
        count = int(time.time() * 2) % 1_000_000_000
        failing = False
        while not over.is_set() and threading.main_thread().is_alive():
            count += 1
            self._sent.add(count)
            self._sent.discard(count - 50)
            try:
                put_now(signal, count)
                self.beats += 1
                failing = False
            except Exception as exc:
                if not failing:
                    log.warning("no heartbeat could be sent to %s: %s", self.chamber.prefix, exc)
                failing = True
            over.wait(self.period_s)

    def _heard(self, value: Any = None, **_: Any) -> None:
        if value is None or int(value) in self._sent or int(value) == 0:  # 0: the IOC has just been started
            return
        self._foreign += 1
        if self._foreign == RIVAL_BEATS:
            log.warning(
                "another client writes the heartbeat of %s as well: only one process should be in charge of a chamber",
                self.chamber.prefix,
            )

    def stop_beating(self) -> None:
        """Give up charge without touching the machine: its watchdog makes it safe if anything is on."""
        self._over.set()
        if self._token is not None:
            self.chamber.liveness.heartbeat.unsubscribe(self._token)
            self._token = None

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
        log.warning("RunEngine %s (was %s): making %s safe", new, old, self.chamber.name)
        if new == "panicked":
            self.stop_beating()
        try:
            ca_thread(self.make_safe, f"make safe {self.chamber.prefix}").start()
        except Exception:
            log.exception("the thread that makes the machine safe could not be started")

    def make_safe(self) -> None:
        """`make_safe_now` for this chamber; keeps the results."""
        try:
            self.last_results = make_safe_now(self.chamber)
        except Exception:
            log.exception("making %s safe failed", self.chamber.name)
